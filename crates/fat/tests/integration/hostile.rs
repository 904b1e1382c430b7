use crate::judge::{format, have, mcopy};
use disksmith_fat::{Fat, FatKind, FormatOptions, OpenOptions, identify};
use disksmith_storage::{Memory, StorageRef};
use disksmith_vfs::{
    Error, FileSystem, FileSystemRef, FileType, NewNode, Owner, RenameMode, Timestamp, Tree, WalkStep,
};
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};

/// Small images of all three kinds, cut after the part that is used.
fn images() -> &'static [Vec<u8>] {
    static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        if !have("mkfs.vfat") || !have("mcopy") {
            return Vec::new();
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("src");
        std::fs::create_dir_all(source.join("a directory/b")).unwrap();
        std::fs::write(source.join("some long name.txt"), [7; 9000]).unwrap();
        std::fs::write(source.join("a directory/SHORT.TXT"), [8; 3000]).unwrap();
        let make = |(mib, args): (u64, &[&str])| {
            let image = format(dir.path(), mib, args);
            mcopy(&image, &source);
            let mut bytes = std::fs::read(image).unwrap();
            let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0) + 4096;
            bytes.truncate(used);
            bytes
        };
        [
            (1, &["-F", "12"][..]),
            (9, &["-F", "16", "-s", "2"]),
            (34, &["-F", "32", "-s", "1"]),
        ]
        .map(make)
        .into()
    })
}

/// Does everything that can be done; every outcome but a panic or an endless loop is fine.
fn use_it(bytes: &[u8]) {
    let storage: StorageRef = Arc::new(Memory::from_bytes(bytes));
    let _ = identify(&storage);
    let Ok(fat) = Fat::open(storage) else { return };
    let _ = fat.stat_fs();
    let _ = fat.free_ranges(&mut |_, _| Ok(()));
    let fs: FileSystemRef = Arc::new(fat);
    let tree = Tree::new(Arc::clone(&fs), Timestamp::default());
    let mut visited = 0;
    let _ = tree.walk("/", |entry| {
        visited += 1;
        if entry.metadata.is_dir() {
            let _ = fs.parent(entry.node.inode);
        } else {
            let _ = tree.read_limited(&entry.path, 1 << 20);
        }
        Ok::<_, Error>(if visited > 2000 {
            WalkStep::Stop
        } else {
            WalkStep::Continue
        })
    });
}

/// Changes everything that can be changed; every outcome but a panic or an endless loop is fine.
fn change_it(bytes: &[u8]) {
    let options = OpenOptions::new(true, Arc::new(Timestamp::default));
    let Ok(fat) = Fat::open_with(Arc::new(Memory::from_bytes(bytes)), options) else {
        return;
    };
    let root = fat.root();
    let node = |file_type| NewNode {
        file_type,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time: Timestamp::default(),
        target: &[],
        device: (0, 0),
    };
    let mut dirs = vec![root];
    for round in 0..3 {
        for dir in dirs.clone() {
            let mut entries = Vec::new();
            let _ = fat.read_dir(dir, 0, &mut |entry| {
                entries.push(entry);
                entries.len() < 40
            });
            let _ = fat.create(dir, b"a new file with a long name", &node(FileType::Regular));
            if let Ok(new) = fat.create(dir, b"newdir", &node(FileType::Directory)) {
                let _ = fat.rename(dir, b"newdir", root, b"moved", RenameMode::Replace);
                let _ = fat.metadata(new);
            }
            for entry in entries {
                if dirs.len() < 20 && entry.file_type == FileType::Directory {
                    dirs.push(entry.inode);
                }
                let _ = fat.write(entry.inode, 5000, &[1; 3000]);
                let _ = fat.set_size(entry.inode, 20_000);
                let _ = fat.set_size(entry.inode, 100);
                let _ = fat.rename(dir, &entry.name, root, b"some other name", RenameMode::Replace);
                let _ = fat.rename(root, b"some other name", dir, &entry.name, RenameMode::NoReplace);
                if round == 2 {
                    let _ = fat.unlink(dir, &entry.name);
                    let _ = fat.remove_dir(dir, &entry.name);
                }
            }
        }
    }
    let _ = fat.stat_fs();
}

/// Places that mean something: boot sector, tables, directories.
fn place(image: &[u8], which: usize, within: usize) -> usize {
    let nonzero = image
        .iter()
        .enumerate()
        .filter(|(_, b)| **b != 0)
        .map(|(at, _)| at);
    match which {
        0 => within % 90,
        1 => nonzero.filter(|at| *at > 512).nth(within % 700).unwrap_or(0),
        _ => within % image.len(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changed_bytes_never_panic(
        kind in 0..3usize,
        changes in prop::collection::vec((0..3usize, any::<prop::sample::Index>(), any::<[u8; 2]>(), 1..3usize), 1..20),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let Some(image) = images().get(kind) else { return Ok(()) };
        let mut bytes = image.clone();
        for (which, within, value, len) in changes {
            let at = place(image, which, within.index(1 << 20));
            for (place, byte) in bytes.iter_mut().skip(at).zip(value).take(len) {
                *place = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(image.len()));
        }
        use_it(&bytes);
        change_it(&bytes);
    }
}

#[test]
fn circles_are_found() {
    let Some(image) = images().get(1) else { return };
    let open = |bytes: &[u8]| Fat::open(Arc::new(Memory::from_bytes(bytes))).unwrap();
    let tree = |bytes: &[u8]| Tree::new(Arc::new(open(bytes)), Timestamp::default());
    let path = "/src/some long name.txt";
    assert_eq!(tree(image).read(path).unwrap(), [7; 9000]);
    // Every entry of both tables that leads on leads back to the beginning of the file now.
    let boot = open(image).boot_sector().clone();
    let mut bytes = image.clone();
    let table = &mut bytes[boot.fat_offset as usize..(boot.fat_offset + boot.fat_len) as usize];
    let mut first = None;
    for (number, entry) in table.chunks_exact_mut(2).enumerate().skip(2) {
        let value = u16::from_le_bytes([entry[0], entry[1]]);
        if usize::from(value) == number + 1 {
            let first = *first.get_or_insert(number as u16);
            entry.copy_from_slice(&first.to_le_bytes());
        }
    }
    let error = tree(&bytes).read(path).unwrap_err();
    assert!(error.to_string().contains("is a circle"), "{error}");
}

#[test]
fn what_is_no_fat_is_told_by_name() {
    for (bytes, text) in [
        (vec![0; 10], "too few"),
        (vec![0; 4096], "bytes per sector at offset 11 is 0"),
    ] {
        let error = Fat::open(Arc::new(Memory::from_bytes(&bytes))).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// Files whose chains meet: neither is freed, cut or written, for that would take from the other; what else there is can be changed.
#[test]
fn chains_that_meet_are_left_alone() {
    let cluster = 512;
    let mut options = FormatOptions::new(1, Timestamp::default());
    options.sectors_per_cluster = Some(1);
    let storage = Memory::from_bytes(&vec![0; 2 << 20]);
    disksmith_fat::format(&storage, &options).unwrap();
    let storage: StorageRef = Arc::new(storage);
    let open = || {
        let options = OpenOptions::new(true, Arc::new(Timestamp::default));
        Arc::new(Fat::open_with(Arc::clone(&storage), options).unwrap())
    };
    let fat = open();
    let tree = Tree::new(Arc::clone(&fat) as FileSystemRef, Timestamp::default());
    for (name, byte) in [("/one", 1_u8), ("/two", 2), ("/other", 3)] {
        tree.write(name, &vec![byte; 4 * cluster], Owner::ROOT, 0o644)
            .unwrap();
    }
    // The first cluster of `two` leads to the second one of `one`.
    let boot = fat.boot_sector().clone();
    assert_eq!(boot.kind, FatKind::Fat12);
    let first = |name: &str| {
        fat.entry_details(fat.root(), name.as_bytes())
            .unwrap()
            .first_cluster
    };
    let (one, two) = (first("one"), first("two"));
    for copy in 0..u64::from(boot.fat_count) {
        let at = boot.fat_offset + copy * boot.fat_len + u64::from(two) + u64::from(two) / 2;
        let mut bytes = [0; 2];
        storage.read_at(at, &mut bytes).unwrap();
        let old = u16::from_le_bytes(bytes);
        let target = u16::try_from(one + 1).unwrap();
        let new = match two % 2 {
            1 => old & 0x000f | target << 4,
            _ => old & 0xf000 | target,
        };
        storage.write_at(at, &new.to_le_bytes()).unwrap();
    }
    drop((tree, fat));
    let fat = open();
    let root = fat.root();
    for name in [&b"one"[..], b"two"] {
        let inode = fat.lookup(root, name).unwrap();
        let said = fat.unlink(root, name).unwrap_err().to_string();
        assert!(said.contains("another one"), "{said}");
        assert!(fat.set_size(inode, 100).is_err());
        assert!(fat.write(inode, 600, b"new").is_err());
        assert!(fat.write(inode, 4 * cluster as u64, &[9; 2000]).is_err());
    }
    let tree = Tree::new(Arc::clone(&fat) as FileSystemRef, Timestamp::default());
    assert_eq!(tree.read("/one").unwrap(), vec![1; 4 * cluster]);
    fat.unlink(root, b"other").unwrap();
    tree.write("/third", &vec![4; 20 * cluster], Owner::ROOT, 0o644)
        .unwrap();
    assert_eq!(tree.read("/one").unwrap(), vec![1; 4 * cluster]);
    assert_eq!(tree.read("/third").unwrap(), vec![4; 20 * cluster]);
}
