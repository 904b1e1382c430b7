//! Damages small ext2, ext3 and ext4 filesystems, then reads and edits them: nothing may panic, hang, or write beyond
//! the image.
//!
//! The input: a byte that chooses the filesystem, then changes of five bytes each: where (three bytes, little-endian),
//! how (a byte), and with what (a byte).

#![no_main]

use disksmith_ext4::{Ext4, FormatOptions, OpenOptions, format};
use disksmith_storage::{Memory, Storage};
use disksmith_vfs::{FileSystem, FileType, InodeNo, NewNode, RenameMode, Timestamp, XattrMode};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

const SIZE: u64 = 3 << 20;
const NOW: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};
/// What the fuzzer would rarely get past are checksums: most of these filesystems have none.
const FEATURES: &[&str] = &[
    "^metadata_csum,^has_journal",
    "^metadata_csum,inline_data,^has_journal",
    "^metadata_csum,^extent,^64bit",
    "^metadata_csum,uninit_bg,^flex_bg,^has_journal",
    "^metadata_csum,orphan_file",
    "^metadata_csum,ea_inode,inline_data,large_dir,^has_journal",
    "^metadata_csum,^dir_index,^has_journal",
    "",
];

static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| FEATURES.iter().map(|features| image(features)).collect());

fn node(file_type: FileType, target: &[u8]) -> NewNode<'_> {
    NewNode {
        file_type,
        permissions: 0o644,
        uid: 0,
        gid: 0,
        time: NOW,
        target,
        device: (0, 0),
    }
}

fn open(memory: Memory) -> Option<Ext4> {
    Ext4::open(Arc::new(memory), OpenOptions::new(Arc::new(|| NOW)).writable(true)).ok()
}

fn image(features: &str) -> Vec<u8> {
    let memory = Memory::new(SIZE);
    let mut options = FormatOptions::new([1; 16], [2; 16], NOW.seconds);
    options.features = features.parse().unwrap();
    format(&memory, &options).unwrap();
    let memory = Arc::new(memory);
    let fs = Ext4::open(memory.clone(), OpenOptions::new(Arc::new(|| NOW)).writable(true)).unwrap();
    let dir = fs.create(fs.root(), b"dir", &node(FileType::Directory, b"")).unwrap();
    for i in 0..90u64 {
        let name = format!("a name of some length, number {i}");
        let file = fs.create(dir, name.as_bytes(), &node(FileType::Regular, b"")).unwrap();
        if i % 9 == 0 {
            for hole in 0..8 {
                fs.write(file, hole * 9000, &[i as u8; 1500]).unwrap();
            }
            fs.set_xattr(file, b"user.x", &[3; 200], XattrMode::Set).unwrap();
            let _ = fs.set_xattr(file, b"user.large", &[i as u8; 6000], XattrMode::Set);
        }
    }
    fs.create(fs.root(), b"link", &node(FileType::Symlink, &[b'x'; 300])).unwrap();
    fs.sync().unwrap();
    memory.to_vec()
}

/// Reads and changes everything that there is, up to a bound.
fn exercise(fs: &Ext4, dir: InodeNo, depth: u32, budget: &mut u32) {
    let mut entries = Vec::new();
    let _ = fs.read_dir(dir, 0, &mut |entry| {
        entries.push(entry);
        entries.len() < 300
    });
    for entry in entries {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let _ = fs.lookup(dir, &entry.name);
        let _ = fs.metadata(entry.inode);
        let _ = fs.read(entry.inode, 0, &mut [0; 5000]);
        let _ = fs.next_data(entry.inode, 3000);
        let _ = fs.read_link(entry.inode);
        if let Ok(names) = fs.list_xattrs(entry.inode) {
            for name in names {
                let _ = fs.xattr(entry.inode, &name);
                let _ = fs.remove_xattr(entry.inode, &name);
            }
        }
        match *budget % 6 {
            0 => drop(fs.write(entry.inode, 4000, &[1; 6000])),
            1 => drop(fs.set_size(entry.inode, 700)),
            2 => drop(fs.unlink(dir, &entry.name)),
            3 => drop(fs.set_xattr(entry.inode, b"user.new", &[4; 90], XattrMode::Set)),
            4 => drop(fs.punch_hole(entry.inode, 1000, 50_000)),
            _ => drop(fs.rename(dir, &entry.name, fs.root(), b"moved", RenameMode::Replace)),
        }
        if entry.file_type == FileType::Directory && depth < 8 {
            exercise(fs, entry.inode, depth + 1, budget);
        }
    }
    let _ = fs.create(dir, b"new", &node(FileType::Directory, b""));
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, changes)) = data.split_first() else { return };
    let mut bytes = IMAGES[usize::from(*choice) % IMAGES.len()].clone();
    for change in changes.chunks_exact(5).take(200) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % bytes.len();
        bytes[at] = match change[3] % 4 {
            0 => change[4],
            1 => bytes[at] ^ (1 << (change[4] % 8)),
            2 => bytes[at].wrapping_add(1),
            _ => 0xFF,
        };
    }
    let memory = Memory::new(SIZE);
    memory.write_at(0, &bytes).unwrap();
    if let Some(fs) = open(memory) {
        let mut budget = 400;
        exercise(&fs, fs.root(), 0, &mut budget);
        let _ = fs.stat_fs();
        let _ = fs.free_ranges(&mut |_, _| Ok(()));
        let _ = fs.sync();
    }
});
