//! Changing filesystems: fsck.vfat and mtools judge, a filesystem in memory is the model.

use crate::judge::{format, have, is_clean, run};
use disksmith_fat::{Fat, FatKind, FormatOptions, OpenOptions};
use disksmith_storage::testing::{Failure, Faulty, Operation, Plan};
use disksmith_storage::{HostFile, LockMode, Memory, OpenMode, StorageRef};
use disksmith_vfs::{
    Error, FileSystem, FileSystemRef, FileType, InodeNo, MemoryFs, MetadataChange, NewNode, Owner,
    RenameMode, Timestamp, Tree, WalkStep,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const NOW: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};
const KINDS: [(u64, &[&str]); 4] = [
    (2, &["-F", "12", "-r", "512"]),
    (16, &["-F", "16"]),
    (34, &["-F", "32", "-s", "1"]),
    (40, &["-F", "12", "-S", "4096", "-s", "4"]),
];

fn tools() -> bool {
    ["mkfs.vfat", "mcopy", "mdir", "mtype", "fsck.vfat"]
        .into_iter()
        .all(have)
}

fn open(image: &Path) -> Arc<Fat> {
    let storage: StorageRef = Arc::new(HostFile::open(image, OpenMode::Write, LockMode::None).unwrap());
    open_storage(storage).unwrap()
}

fn open_storage(storage: StorageRef) -> disksmith_vfs::Result<Arc<Fat>> {
    let options = OpenOptions::new(true, Arc::new(|| NOW));
    Fat::open_with(storage, options).map(Arc::new)
}

fn tree(image: &Path) -> Tree {
    let fs: FileSystemRef = open(image);
    Tree::new(fs, NOW)
}

fn node(file_type: FileType) -> NewNode<'static> {
    NewNode {
        file_type,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time: NOW,
        target: &[],
        device: (0, 0),
    }
}

/// Paths and contents of all files; directories have none.
fn everything(tree: &Tree) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    tree.walk("/", |entry| {
        let contents = match entry.metadata.is_dir() {
            true => None,
            false => Some(tree.read(&entry.path).unwrap()),
        };
        all.insert(entry.path.clone(), contents);
        Ok::<_, Error>(WalkStep::Continue)
    })
    .unwrap();
    all
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len() as u64) as usize]
    }
}

const NAMES: [&str; 12] = [
    "A.TXT",
    "b.txt",
    "Mixed Case.html",
    "longer name than eight.conf",
    "longer name than nine.conf",
    "x",
    "DIR",
    "a directory with a name of more than one part",
    "grüße ☃ 🎉",
    ".hidden",
    "a.b.c",
    "[x]+=,;",
];

/// Does one random thing to both; both must say the same.
fn step(dice: &mut Dice, ours: &dyn FileSystem, model: &dyn FileSystem, dirs: &mut Vec<(InodeNo, InodeNo)>) {
    let (a, b) = *dice.pick(dirs);
    let (c, d) = *dice.pick(dirs);
    let (name, other) = (dice.pick(&NAMES).as_bytes(), dice.pick(&NAMES).as_bytes());
    let found = (ours.lookup(a, name).ok(), model.lookup(b, name).ok());
    let outcome = |x: Result<(), Error>, y: Result<(), Error>| {
        assert_eq!(
            x.as_ref().err().map(Error::errno),
            y.as_ref().err().map(Error::errno),
            "{x:?} {y:?}"
        );
    };
    match dice.roll(20) {
        0..5 => {
            let (x, y) = (
                ours.create(a, name, &node(FileType::Regular)),
                model.create(b, name, &node(FileType::Regular)),
            );
            outcome(x.map(drop), y.map(drop));
        }
        5..7 => {
            let (x, y) = (
                ours.create(a, name, &node(FileType::Directory)),
                model.create(b, name, &node(FileType::Directory)),
            );
            if let (Ok(x), Ok(y), true) = (&x, &y, dirs.len() < 12) {
                dirs.push((*x, *y));
            }
            outcome(x.map(drop), y.map(drop));
        }
        7..12 => {
            if let (Some(x), Some(y)) = found
                && ours.metadata(x).unwrap().is_file()
            {
                let data = vec![dice.roll(256) as u8; dice.roll(9000) as usize];
                let offset = dice.roll(20_000);
                outcome(ours.write(x, offset, &data), model.write(y, offset, &data));
            }
        }
        12..14 => {
            if let (Some(x), Some(y)) = found
                && ours.metadata(x).unwrap().is_file()
            {
                let size = dice.roll(20_000);
                outcome(ours.set_size(x, size), model.set_size(y, size));
            }
        }
        14..16 => outcome(ours.unlink(a, name), model.unlink(b, name)),
        16 => outcome(ours.remove_dir(a, name), model.remove_dir(b, name)),
        _ => {
            let mode = match dice.roll(3) {
                0 => RenameMode::NoReplace,
                _ => RenameMode::Replace,
            };
            outcome(
                ours.rename(a, name, c, other, mode),
                model.rename(b, name, d, other, mode),
            );
        }
    }
    // Directories that are gone.
    dirs.retain(|(_, y)| model.metadata(*y).is_ok());
}

#[test]
fn random_changes_are_those_of_the_model() {
    if !tools() {
        return;
    }
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..=if long { 40 } else { 2 } {
        for (mib, args) in KINDS {
            let image = format(dir.path(), mib, args);
            let ours: FileSystemRef = open(&image);
            let model: FileSystemRef = Arc::new(MemoryFs::new(NOW));
            let mut dice = Dice(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
            let mut dirs = vec![(ours.root(), model.root())];
            for number in 0..if long { 400 } else { 150 } {
                step(&mut dice, &*ours, &*model, &mut dirs);
                is_clean(&image);
                if number % 25 == 24 {
                    let theirs = everything(&Tree::new(Arc::clone(&model), NOW));
                    assert_eq!(everything(&Tree::new(Arc::clone(&ours), NOW)), theirs);
                    assert_eq!(everything(&tree(&image)), theirs, "read anew");
                    for (x, y) in &dirs {
                        let known = |inode| dirs.iter().position(|(x, y)| inode == (*x, *y));
                        let parents = (ours.parent(*x).unwrap(), model.parent(*y).unwrap());
                        if known(parents).is_none() {
                            assert!(dirs.iter().all(|(x, y)| *x != parents.0 && *y != parents.1));
                        }
                    }
                }
            }
            is_clean(&image);
        }
    }
}

#[test]
fn mtools_reads_what_was_written_and_the_other_way_round() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..200_001_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (mib, args) in KINDS {
        let image = format(dir.path(), mib, args);
        let tree = tree(&image);
        tree.create_dir_all("/deep/er and deeper/down", Owner::ROOT, 0o755)
            .unwrap();
        let names = [
            "user-data",
            "lower.txt",
            "UPPER.TXT",
            "A long name.yaml",
            "Grüße ☃.md",
        ];
        for name in names {
            tree.write(format!("/deep/er and deeper/{name}"), &noise, Owner::ROOT, 0o755)
                .unwrap();
        }
        is_clean(&image);
        let listing = run(Command::new("mdir")
            .args(["-/", "-b", "-a", "-i"])
            .arg(&image)
            .arg("::/"));
        let listing = String::from_utf8(listing).unwrap();
        for name in names {
            let path = format!("::/deep/er and deeper/{name}");
            assert!(listing.lines().any(|line| line == path), "{path}: {listing}");
            let typed = run(Command::new("mtype").arg("-i").arg(&image).arg(&path));
            assert!(typed == noise, "{path}");
        }
        let file = dir.path().join("From mtools.bin");
        std::fs::write(&file, &noise).unwrap();
        drop(tree);
        run(Command::new("mcopy")
            .arg("-i")
            .arg(&image)
            .arg(&file)
            .arg("::/deep"));
        let tree = self::tree(&image);
        let (fs, inode) = tree.open_node(tree.resolve("/deep/From mtools.bin").unwrap());
        fs.write(inode, 1000, &[7; 100]).unwrap();
        fs.set_size(inode, 5000).unwrap();
        tree.rename("/deep/From mtools.bin", "/moved.bin").unwrap();
        is_clean(&image);
        let typed = run(Command::new("mtype").arg("-i").arg(&image).arg("::/moved.bin"));
        assert_eq!(typed[..1000], noise[..1000]);
        assert_eq!(typed[1000..1100], [7; 100]);
        assert_eq!(typed[1100..], noise[1100..5000]);
    }
}

#[test]
fn names_are_carried_or_refused() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = format(dir.path(), 16, &["-F", "16"]);
    let fs = open(&image);
    let root = fs.root();
    let create = |name: &[u8]| fs.create(root, name, &node(FileType::Regular));
    let errno = |name: &[u8]| create(name).unwrap_err().errno();
    for name in [
        "a:b",
        "a?",
        "a*",
        "\"",
        "<",
        "a|b",
        "back\\slash",
        "bell\u{7}",
        "dot.",
        "blank ",
    ] {
        assert_eq!(errno(name.as_bytes()), 22, "{name}");
    }
    assert_eq!(errno(b"\xff\xfe"), 22);
    let longest = "ä".repeat(255);
    create(longest.as_bytes()).unwrap();
    assert_eq!(errno("ä".repeat(256).as_bytes()), 36);
    let pairs = "🎉".repeat(127) + "x";
    create(pairs.as_bytes()).unwrap();
    assert_eq!(errno("🎉".repeat(128).as_bytes()), 36);
    create(b"Name").unwrap();
    for name in ["name", "NAME"] {
        assert_eq!(errno(name.as_bytes()), 17);
    }
    assert_eq!(errno("Ä".repeat(255).as_bytes()), 17);
    is_clean(&image);
    fs.rename(root, b"Name", root, b"NAME", RenameMode::NoReplace)
        .unwrap();
    let mut names = Vec::new();
    fs.read_dir(root, 0, &mut |entry| {
        names.push(String::from_utf8(entry.name).unwrap());
        true
    })
    .unwrap();
    names.sort_unstable();
    assert_eq!(names, ["NAME".to_owned(), longest, pairs]);
    is_clean(&image);
}

#[test]
fn large_directories_deep_paths_and_full_disks() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (mib, args) in [(8, &["-F", "12"][..]), (34, &["-F", "32", "-s", "1"])] {
        let image = format(dir.path(), mib, args);
        let fs = open(&image);
        let many = fs.create(fs.root(), b"many", &node(FileType::Directory)).unwrap();
        for n in 0..2000 {
            let name = format!("a file in a large directory {n}");
            fs.create(many, name.as_bytes(), &node(FileType::Regular))
                .unwrap();
        }
        is_clean(&image);
        let mut count = 0;
        open(&image)
            .read_dir(many, 0, &mut |_| {
                count += 1;
                true
            })
            .unwrap();
        assert_eq!(count, 2000);
        for n in (0..2000).step_by(2) {
            fs.unlink(many, format!("a file in a large directory {n}").as_bytes())
                .unwrap();
        }
        is_clean(&image);
        let mut at = fs.root();
        for _ in 0..60 {
            at = fs
                .create(at, b"one more level", &node(FileType::Directory))
                .unwrap();
        }
        is_clean(&image);
        // The disk is filled to the last cluster; one byte more is refused, and nothing changes.
        let plug = fs.create(fs.root(), b"plug", &node(FileType::Regular)).unwrap();
        let stat = fs.stat_fs().unwrap();
        fs.set_size(plug, stat.free_blocks * stat.block_size).unwrap();
        assert_eq!(fs.stat_fs().unwrap().free_blocks, 0);
        let before = std::fs::read(&image).unwrap();
        assert_eq!(
            fs.create(at, b"no room", &node(FileType::Directory))
                .unwrap_err()
                .errno(),
            28
        );
        let end = fs.metadata(plug).unwrap().size;
        assert_eq!(fs.write(plug, end, b"x").unwrap_err().errno(), 28);
        assert!(std::fs::read(&image).unwrap() == before);
        is_clean(&image);
        fs.unlink(fs.root(), b"plug").unwrap();
        assert_eq!(fs.stat_fs().unwrap().free_blocks, stat.free_blocks);
        is_clean(&image);
    }
    // A fixed root directory has room for so many entries only.
    let image = format(dir.path(), 8, &["-F", "12", "-r", "112"]);
    let fs = open(&image);
    let full = (0..)
        .map(|n| fs.create(fs.root(), format!("F{n}").as_bytes(), &node(FileType::Regular)))
        .position(|made| made.is_err_and(|error| error.errno() == 28));
    assert!(full.is_some_and(|n| n >= 112), "{full:?}");
    is_clean(&image);
}

#[test]
fn times_owners_and_the_read_only_attribute() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = format(dir.path(), 16, &["-F", "16"]);
    let fs = open(&image);
    let inode = fs.create(fs.root(), b"file", &node(FileType::Regular)).unwrap();
    let change = MetadataChange {
        permissions: Some(0o444),
        modified: Some(Timestamp {
            seconds: 1_000_000_001,
            nanoseconds: 5,
        }),
        accessed: Some(NOW),
        ..MetadataChange::default()
    };
    fs.set_metadata(inode, &change).unwrap();
    let metadata = open(&image).metadata(inode).unwrap();
    assert_eq!(
        (metadata.permissions, metadata.modified.seconds),
        (0o555, 1_000_000_000)
    );
    assert_eq!(metadata.accessed.seconds, NOW.seconds / 86_400 * 86_400);
    assert_eq!(metadata.created, Some(NOW));
    let owned = MetadataChange {
        uid: Some(1000),
        ..MetadataChange::default()
    };
    assert_eq!(fs.set_metadata(inode, &owned).unwrap_err().errno(), 95);
    assert_eq!(
        fs.create(fs.root(), b"l", &node(FileType::Symlink))
            .unwrap_err()
            .errno(),
        95
    );
    assert_eq!(
        fs.write(inode, u64::from(u32::MAX), b"x").unwrap_err().errno(),
        27
    );
    is_clean(&image);
}

/// A write that fails leaves the filesystem as it was, and in order; the same call works afterwards.
#[test]
fn changes_are_whole_or_undone() {
    if !tools() {
        return;
    }
    type Change = fn(&Fat) -> disksmith_vfs::Result<()>;
    let changes: [(&str, Change); 6] = [
        ("create", |fs| {
            fs.create(
                fs.root(),
                b"a new file with a long name",
                &node(FileType::Regular),
            )
            .map(drop)
        }),
        ("create a directory", |fs| {
            fs.create(fs.root(), b"new", &node(FileType::Directory)).map(drop)
        }),
        ("rename", |fs| {
            let dir = fs.lookup(fs.root(), b"dir")?;
            fs.rename(fs.root(), b"sub", dir, b"file in dir", RenameMode::NoReplace)
        }),
        ("replace", |fs| {
            let dir = fs.lookup(fs.root(), b"dir")?;
            fs.rename(fs.root(), b"file", dir, b"other", RenameMode::Replace)
        }),
        ("unlink", |fs| fs.unlink(fs.root(), b"file")),
        ("grow", |fs| {
            let file = fs.lookup(fs.root(), b"file")?;
            fs.write(file, 30_000, &[9; 30_000])
        }),
    ];
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    for kind in [FatKind::Fat12, FatKind::Fat32] {
        let mut options = FormatOptions::new(1, NOW);
        options.kind = Some(kind);
        let start = Memory::new(2 << 20);
        disksmith_fat::format(&start, &options).unwrap();
        let start: Arc<Memory> = Arc::new(start);
        let tree = Tree::new(open_storage(Arc::clone(&start) as StorageRef).unwrap(), NOW);
        for path in ["/dir", "/sub", "/sub/deep"] {
            tree.create_dir(path, Owner::ROOT, 0o755).unwrap();
        }
        for path in ["/file", "/dir/other"] {
            tree.write(path, &[5; 9000], Owner::ROOT, 0o755).unwrap();
        }
        let before = everything(&tree);
        for (name, change) in changes {
            let mut failures = 0;
            for nth in 0.. {
                let memory = Arc::new(start.duplicate());
                let plan = Plan {
                    operation: Operation::Write,
                    nth,
                    failure: Failure::Io,
                    lasting: false,
                };
                let faulty = Arc::new(Faulty::new(Arc::clone(&memory) as StorageRef, plan));
                let fs = open_storage(Arc::clone(&faulty) as StorageRef).unwrap();
                let done = change(&fs);
                if done.is_err() {
                    failures += 1;
                    let anew = open_storage(Arc::clone(&memory) as StorageRef).unwrap();
                    assert_eq!(everything(&Tree::new(anew, NOW)), before, "{name} {nth}");
                    std::fs::write(&image, memory.to_vec()).unwrap();
                    is_clean(&image);
                    change(&fs).unwrap();
                }
                std::fs::write(&image, memory.to_vec()).unwrap();
                is_clean(&image);
                if !faulty.triggered() {
                    break;
                }
            }
            assert!(failures > 0, "{name}");
        }
    }
}

/// A file keeps its number when it is renamed, and no other file gets it.
#[test]
fn numbers_stay() {
    let memory = Memory::new(2 << 20);
    disksmith_fat::format(&memory, &FormatOptions::new(1, NOW)).unwrap();
    let fs = open_storage(Arc::new(memory)).unwrap();
    let root = fs.root();
    let file = fs.create(root, b"file", &node(FileType::Regular)).unwrap();
    fs.write(file, 0, b"contents").unwrap();
    let dir = fs.create(root, b"dir", &node(FileType::Directory)).unwrap();
    fs.rename(root, b"file", dir, b"moved", RenameMode::Replace)
        .unwrap();
    assert_eq!(fs.lookup(dir, b"moved").unwrap(), file);
    let other = fs.create(root, b"file", &node(FileType::Regular)).unwrap();
    assert_ne!(other, file);
    fs.write(file, 0, b"CON").unwrap();
    let mut buf = [0; 8];
    assert_eq!(fs.read(file, 0, &mut buf).unwrap(), 8);
    assert_eq!(&buf, b"CONtents");
    assert_eq!(fs.metadata(other).unwrap().size, 0);
    fs.unlink(dir, b"moved").unwrap();
    assert!(fs.read(file, 0, &mut buf).is_err());
    assert_eq!(fs.lookup(root, b"file").unwrap(), other);
}
