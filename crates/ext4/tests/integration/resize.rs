//! Growing and shrinking, beside resize2fs.

use super::judges::{assert_clean, copy_sparse, debugfs, have, long, mke2fs, run, run_ok};
use super::snapshot::{self, Compare, Snapshot};
use disksmith_ext4::{
    BlockNumbers, Clock, Error, Ext4, OpenOptions, ResizeOptions, Resized, SizeReport, resize, size_report,
};
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, StorageRef};
use disksmith_vfs::Timestamp;
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

pub fn clock() -> Clock {
    Arc::new(|| Timestamp {
        seconds: 1_700_000_000,
        nanoseconds: 0,
    })
}

pub fn storage(image: &Path) -> StorageRef {
    Arc::new(HostFile::open(image, OpenMode::Write, LockMode::None).unwrap())
}

/// What a resize has to leave as it is.
pub fn tree(image: &Path) -> Snapshot {
    let fs = Ext4::open(storage(image), OpenOptions::new(clock())).unwrap();
    snapshot::of(&fs)
}

fn report(image: &Path) -> SizeReport {
    size_report(&storage(image), clock()).unwrap()
}

fn change(image: &Path, blocks: u64, options: &ResizeOptions) -> Result<Resized, Error> {
    let storage = storage(image);
    let size = size_report(&storage, clock())?.block_size;
    let wanted = blocks * u64::from(size);
    if wanted > storage.size() {
        storage.set_size(wanted).unwrap();
    }
    let done = resize(&storage, blocks, options)?;
    storage.set_size(done.blocks * u64::from(size)).unwrap();
    Ok(done)
}

/// A folder with a bit of everything, about 5 MiB.
pub fn contents(dir: &Path) {
    let mut state = 1u64;
    let mut random = |len: usize| -> Vec<u8> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    };
    for d in 0..12 {
        let sub = dir.join(format!("d{d}/sub"));
        std::fs::create_dir_all(&sub).unwrap();
        for f in 0..10 {
            let len = [0, 10, 3000, 20_000, 70_000][(d + f) % 5];
            std::fs::write(dir.join(format!("d{d}/f{f}")), random(len)).unwrap();
        }
        std::os::unix::fs::symlink("f1", sub.join("short")).unwrap();
        std::os::unix::fs::symlink("x".repeat(100), sub.join("long")).unwrap();
        std::fs::hard_link(dir.join(format!("d{d}/f2")), sub.join("hard")).unwrap();
        rustix::fs::setxattr(
            dir.join(format!("d{d}/f3")),
            "user.long",
            &[b'v'; 300],
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap_or_default();
    }
    std::fs::create_dir(dir.join("many")).unwrap();
    for i in 0..300 {
        std::fs::write(dir.join(format!("many/{}{i}", "n".repeat(40))), format!("{i}")).unwrap();
    }
    let sparse = std::fs::File::create(dir.join("sparse")).unwrap();
    for i in 0..300u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"yyyy", i * 9000).unwrap();
    }
}

/// The lines of dumpe2fs that have to be the same as after resize2fs.
fn numbers(image: &Path) -> Vec<String> {
    const KEYS: [&str; 14] = [
        "Filesystem features:",
        "Inode count:",
        "Block count:",
        "Reserved block count:",
        "Free blocks:",
        "Free inodes:",
        "First block:",
        "Group descriptor size:",
        "Reserved GDT blocks:",
        "Blocks per group:",
        "Inodes per group:",
        "Flex block group size:",
        "Journal backup:",
        "Backup block groups:",
    ];
    let text = run_ok("dumpe2fs", &[image.to_str().unwrap()]);
    text.lines()
        .filter(|line| {
            KEYS.iter().any(|key| line.starts_with(key))
                || line.starts_with("Group ") && line.contains("Blocks")
        })
        .map(|line| match line.split_once(" csum") {
            // Which bitmaps are written out is another matter.
            Some((group, _)) if line.starts_with("Group ") => group.to_owned(),
            _ => line.split(" [").next().unwrap_or(line).to_owned(),
        })
        .collect()
}

/// Size, options, and the sizes in MiB that it is given, one after the other; 0 is the smallest that resize2fs would
/// take.
const TABLE: &[(u64, &str, &[u64])] = &[
    (32, "-t ext4", &[100, 0]),
    (32, "-t ext2", &[90, 20, 0]),
    (40, "-t ext3 -J size=4", &[300, 25, 0]),
    (64, "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg", &[200, 40]),
    (
        40,
        "-t ext4 -b 1024 -O ^resize_inode,^flex_bg -N 2000",
        &[2000, 0],
    ),
    (40, "-t ext4 -O sparse_super2", &[120, 0]),
    (40, "-t ext4 -b 1024 -O ^resize_inode,meta_bg", &[500, 0]),
    (
        40,
        "-t ext4 -b 1024 -O bigalloc -C 4096 -N 2000 -J size=4",
        &[100, 36],
    ),
    (
        60,
        "-t ext4 -b 1024 -O ^has_journal,inline_data -N 3000 -I 512",
        &[0, 100],
    ),
    (40, "-t ext4 -O orphan_file,ea_inode -J size=4", &[0, 64]),
];

/// More of the same, for long runs.
const MORE: &[(u64, &str, &[u64])] = &[
    (32, "-t ext4 -O ^64bit", &[100, 0]),
    (32, "-t ext4 -O ^has_journal", &[100, 0]),
    (32, "-t ext4 -b 1024", &[400, 0]),
    (32, "-t ext4 -b 2048", &[400, 0]),
    (64, "-t ext4 -b 4096", &[800, 0]),
    (128, "-t ext4 -b 8192", &[800, 0]),
    (32, "-t ext4 -O ^flex_bg", &[400, 0]),
    (32, "-t ext4 -G 4 -g 2048 -b 1024", &[100, 0]),
    (32, "-t ext4 -G 64 -b 1024", &[600, 0]),
    (32, "-t ext4 -I 128", &[100, 0]),
    (32, "-t ext4 -I 1024", &[100, 0]),
    (32, "-t ext4 -O ^extent,^64bit", &[100, 0]),
    (32, "-t ext4 -O ^metadata_csum", &[100, 0]),
    (32, "-t ext4 -O metadata_csum_seed", &[100, 0]),
    (32, "-t ext4 -O quota", &[100, 0]),
    (32, "-t ext4 -O quota,project", &[100, 0]),
    (32, "-t ext4 -O mmp", &[100, 0]),
    (32, "-t ext4 -O large_dir", &[100, 0]),
    (32, "-t ext4 -O ^dir_index", &[100, 0]),
    (32, "-t ext4 -O ^filetype", &[100, 0]),
    (32, "-t ext4 -O ^sparse_super,^resize_inode", &[100, 0]),
    (32, "-t ext4 -E resize=100000", &[64, 150, 0]),
    (32, "-t ext4 -b 1024 -E resize=300000", &[500, 0]),
    (32, "-t ext4 -O fast_commit", &[100, 0]),
    (32, "-t ext4 -m 1", &[100, 0]),
    (32, "-t ext4 -E stride=4,stripe_width=16", &[100, 0]),
    (40, "-t ext4 -N 600", &[100, 0]),
    (40, "-t ext4 -i 1024", &[100, 0]),
    (40, "-t ext2 -b 4096", &[300, 0]),
    (40, "-t ext2 -b 1024 -O ^resize_inode", &[3000, 0]),
    (40, "-t ext2 -b 1024 -g 4096", &[300, 0]),
    (40, "-t ext3 -b 4096 -J size=4", &[300, 0]),
    (40, "-t ext3 -b 1024 -O ^sparse_super,^resize_inode", &[300, 0]),
    (
        60,
        "-t ext4 -b 4096 -O bigalloc -C 16384 -N 2000 -J size=4",
        &[300, 40],
    ),
];

fn one(dir: &Path, from: &Path, (size, options, sizes): (u64, &str, &[u64])) {
    let image = dir.join("image");
    mke2fs(&image, size * MIB, &format!("{options} -E root_owner=0:0"));
    run_ok(
        "mke2fs",
        &[
            &["-q", "-F", "-d", from.to_str().unwrap()],
            options.split_whitespace().collect::<Vec<_>>().as_slice(),
            &[image.to_str().unwrap()],
        ]
        .concat(),
    );
    // Holes in the middle, and what is left lies at the end.
    let gone: String = (0..6)
        .flat_map(|d| (0..10).map(move |f| format!("rm /d{d}/f{f}\n")))
        .collect();
    debugfs(&image, &gone, true);
    run("e2fsck", &["-fy", image.to_str().unwrap()]);
    assert_clean(&image, &format!("{options}: before"));
    let before = tree(&image);
    let theirs = dir.join("theirs");
    copy_sparse(&image, &theirs);
    for size in sizes {
        let now = report(&image);
        let has_clusters = options.contains("bigalloc");
        if !has_clusters {
            let told = run_ok("resize2fs", &["-P", "-f", image.to_str().unwrap()]);
            let told = told.trim().rsplit(' ').next().unwrap_or_default();
            assert_eq!(now.minimum.to_string(), told, "{options}: smallest size");
        }
        let blocks = match size {
            0 => now.minimum,
            mib => mib * MIB / u64::from(now.block_size),
        };
        let when = format!("{options}: {} -> {blocks} blocks", now.blocks);
        let done = change(&image, blocks, &ResizeOptions::new(clock()));
        let done = done.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_clean(&image, &when);
        let differ = snapshot::differences(
            &before,
            &tree(&image),
            Compare {
                times: true,
                blocks: false,
            },
        );
        assert_eq!(differ, "", "{when}");
        assert!(done.blocks <= blocks);
        // Debian's resize2fs of today miscounts clusters.
        if !has_clusters && size > &0 {
            let told = run(
                "resize2fs",
                &["-f", theirs.to_str().unwrap(), &blocks.to_string()],
            );
            if told.status.success() {
                assert_eq!(numbers(&image), numbers(&theirs), "{when}");
            }
        }
        copy_sparse(&image, &theirs);
    }
}

#[test]
fn resized_filesystems_are_those_of_resize2fs() {
    if !have("resize2fs") || !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    std::fs::create_dir(&from).unwrap();
    contents(&from);
    for case in TABLE {
        one(dir.path(), &from, *case);
    }
    if long() {
        for case in MORE {
            one(dir.path(), &from, *case);
        }
    }
}

#[test]
fn block_numbers_get_another_width() {
    if !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(&image, 64 * MIB, "-t ext4 -b 1024 -O ^64bit,^resize_inode");
    for (width, has) in [(BlockNumbers::Bits64, true), (BlockNumbers::Bits32, false)] {
        let options = ResizeOptions {
            block_numbers: width,
            ..ResizeOptions::new(clock())
        };
        change(&image, report(&image).blocks, &options).unwrap();
        assert_clean(&image, "another width");
        let text = run_ok("dumpe2fs", &["-h", image.to_str().unwrap()]);
        assert_eq!(text.contains(" 64bit"), has);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    if !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    std::fs::create_dir(&from).unwrap();
    contents(&from);
    let image = dir.path().join("image");
    let options = format!("-t ext4 -O stable_inodes -d {}", from.display());
    mke2fs(&image, 64 * MIB, &options);
    let resized = |blocks| change(&image, blocks, &ResizeOptions::new(clock()));
    assert!(matches!(resized(1), Err(Error::InvalidOption { .. })));
    let error = resized(40_000).unwrap_err().to_string();
    assert!(error.contains("stable_inodes"), "{error}");
    mke2fs(&image, 64 * MIB, &format!("-t ext4 -d {}", from.display()));
    let copy = dir.path().join("copy");
    copy_sparse(&image, &copy);
    let options = ResizeOptions::new(clock());
    assert!(matches!(
        change(&copy, 5500, &options),
        Err(Error::NoSpace { .. })
    ));
    // More than 2^32 blocks without 64bit.
    mke2fs(&image, 64 * MIB, "-t ext3 -b 1024");
    let huge = storage(&image);
    huge.set_size((1 << 42) + (1 << 30)).unwrap();
    let error = resize(&huge, (1 << 32) + 8192, &options).unwrap_err();
    assert!(error.to_string().contains("64bit"), "{error}");
}

/// Whatever stands in the metadata: an error, or a resize; no panic, no endless loop.
#[test]
fn damaged_filesystems_do_no_harm() {
    if !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    std::fs::create_dir_all(from.join("d/e")).unwrap();
    for i in 0..60 {
        std::fs::write(from.join(format!("d/f{i}")), [i; 3000]).unwrap();
    }
    let sparse = std::fs::File::create(from.join("sparse")).unwrap();
    for i in 0..100u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"y", i * 5000).unwrap();
    }
    let mut state = 99u64;
    let mut random = |below: usize| -> usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    let rounds = if long() { 3000 } else { 15 };
    for options in [
        "-t ext4 -b 1024 -O ^metadata_csum,^has_journal -g 1024 -N 200",
        "-t ext2 -b 1024 -g 1024 -N 200",
        "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^resize_inode,inline_data -g 1024 -N 200 -I 256",
    ] {
        let image = dir.path().join("image");
        mke2fs(&image, 4 * MIB, &format!("{options} -d {}", from.display()));
        let bytes = std::fs::read(&image).unwrap();
        let used: Vec<usize> = (1024..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..rounds {
            let mut bytes = bytes.clone();
            for _ in 0..1 + random(6) {
                // Mostly where something stands already, and mostly in the first blocks, where metadata is.
                let at = if random(3) == 0 {
                    1024 + random(60_000)
                } else {
                    used[random(used.len())]
                };
                bytes[at] = [0, 1, 0xff, 0x80, random(256) as u8][random(5)];
            }
            for blocks in [2600, 3000, 9000] {
                let memory = disksmith_storage::Memory::from_bytes(&bytes);
                memory.set_size(bytes.len().max(blocks * 1024) as u64).unwrap();
                let storage: StorageRef = Arc::new(memory);
                let _ = resize(&storage, blocks as u64, &ResizeOptions::new(clock()));
                let _ = size_report(&storage, clock());
            }
        }
    }
}
