//! Any bytes as a FAT filesystem, which is then used: walked, read, measured.

#![no_main]

use disksmith_fat::{Fat, identify};
use disksmith_storage::{Memory, StorageRef};
use disksmith_vfs::{Error, FileSystem, FileSystemRef, Timestamp, Tree, WalkStep};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let storage: StorageRef = Arc::new(Memory::from_bytes(data));
    let _ = identify(&storage);
    let Ok(fat) = Fat::open(storage) else { return };
    if fat.boot_sector().clusters < 100_000 {
        let _ = fat.stat_fs();
        let _ = fat.free_ranges(&mut |_, _| Ok(()));
    }
    let fs: FileSystemRef = Arc::new(fat);
    let tree = Tree::new(Arc::clone(&fs), Timestamp::default());
    let mut visited = 0;
    let _ = tree.walk("/", |entry| {
        visited += 1;
        if entry.metadata.is_dir() {
            let _ = fs.parent(entry.node.inode);
        } else {
            let _ = tree.read_limited(&entry.path, 1 << 16);
        }
        Ok::<_, Error>(if visited > 200 { WalkStep::Stop } else { WalkStep::Continue })
    });
});
