//! Any bytes as an ISO 9660 image, which is then walked and read.

#![no_main]

use disksmith_iso9660::Iso;
use disksmith_storage::{Memory, StorageRef};
use disksmith_vfs::{Error, FileSystemRef, Timestamp, Tree, WalkStep};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let storage: StorageRef = Arc::new(Memory::from_bytes(data));
    let Ok(iso) = Iso::open(storage) else { return };
    let fs: FileSystemRef = Arc::new(iso);
    let tree = Tree::new(fs, Timestamp::default());
    let mut visited = 0;
    let _ = tree.walk("/", |entry| {
        visited += 1;
        if !entry.metadata.is_dir() {
            let _ = tree.read_limited(&entry.path, 1 << 16);
            let _ = tree.read_link(&entry.path);
        }
        Ok::<_, Error>(if visited > 200 { WalkStep::Stop } else { WalkStep::Continue })
    });
});
