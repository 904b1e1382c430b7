//! Other UUIDs, beside `tune2fs -U`.

use super::judges::{assert_clean, copy_sparse, debugfs, have, mke2fs, run, run_ok};
use super::resize::{clock, contents, storage, tree};
use super::snapshot::{self, Compare};
use disksmith_ext4::{Error, Ext4, OpenOptions, set_uuid};
use disksmith_vfs::{FileSystem, XattrMode};
use std::path::Path;

const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef";
const TEXT: &str = "01234567-89ab-4def-8123-456789abcdef";

/// Size in MiB and options.
const TABLE: &[(u64, &str)] = &[
    (24, "-t ext2"),
    (24, "-t ext3 -J size=4"),
    (48, "-t ext4 -O ^metadata_csum,uninit_bg"),
    (48, "-t ext4 -O metadata_csum,^metadata_csum_seed -b 1024 -g 8192"),
    (48, "-t ext4 -O metadata_csum,metadata_csum_seed"),
    (48, "-t ext4 -O metadata_csum,^64bit -I 128"),
    (48, "-t ext4 -O metadata_csum,^extent,^64bit"),
    (
        48,
        "-t ext4 -b 1024 -O metadata_csum,ea_inode,orphan_file,quota,project -I 512 -J size=4",
    ),
    (24, "-t ext4 -b 1024 -O ^has_journal,^metadata_csum,ea_inode"),
    (
        48,
        "-t ext4 -b 1024 -O metadata_csum,inline_data,mmp,large_dir -I 256 -J size=4",
    ),
    (
        48,
        "-t ext4 -b 1024 -O metadata_csum,^resize_inode,meta_bg -J size=4",
    ),
    (
        48,
        "-t ext4 -b 1024 -O metadata_csum,bigalloc,sparse_super2 -C 4096 -J size=4",
    ),
    (
        48,
        "-t ext4 -b 1024 -O metadata_csum,fast_commit,casefold -J size=8",
    ),
];

/// What dumpe2fs tells of a filesystem but for times and checksums that follow from them.
fn told(image: &Path) -> Vec<String> {
    run_ok("dumpe2fs", &[image.to_str().unwrap()])
        .lines()
        .filter(|line| {
            let times = [
                "Last write time:",
                "Checksum:",
                "Lifetime writes:",
                "Journal checksum:",
            ];
            let is_mmp = line.to_ascii_lowercase().contains("mmp_");
            !is_mmp && !line.is_empty() && !times.iter().any(|key| line.starts_with(key))
        })
        .map(str::to_owned)
        .collect()
}

fn one(dir: &Path, from: &Path, (size, options): (u64, &str)) {
    let image = dir.join("image");
    let folder = from.to_str().unwrap();
    mke2fs(
        &image,
        size << 20,
        &format!("{options} -E root_owner=0:0 -d {folder}"),
    );
    // mke2fs counts no quotas for what it puts in.
    run("e2fsck", &["-fy", image.to_str().unwrap()]);
    let fs = Ext4::open(storage(&image), OpenOptions::new(clock()).writable(true)).unwrap();
    let root = fs.root();
    // Inodes that were used and are free.
    let d3 = fs.lookup(root, b"d3").unwrap();
    fs.unlink(d3, b"f3").unwrap();
    fs.unlink(d3, b"f4").unwrap();
    if options.contains("ea_inode") {
        for name in [&b"sparse"[..], b"many"] {
            let file = fs.lookup(root, name).unwrap();
            fs.set_xattr(file, b"user.large", &[b'w'; 9001], XattrMode::Set)
                .unwrap();
            fs.set_xattr(file, b"user.small", b"beside it", XattrMode::Set)
                .unwrap();
        }
    }
    fs.sync().unwrap();
    drop(fs);
    assert_clean(&image, options);
    let before = tree(&image);
    let judged = dir.join("judged");
    copy_sparse(&image, &judged);

    set_uuid(&storage(&image), UUID, clock()).unwrap_or_else(|error| panic!("{options}: {error}"));

    assert_clean(&image, options);
    let after = tree(&image);
    let as_it_was = Compare {
        times: true,
        blocks: true,
    };
    assert_eq!(snapshot::differences(&before, &after, as_it_was), "", "{options}");
    run_ok("tune2fs", &["-f", "-U", TEXT, judged.to_str().unwrap()]);
    let (ours, theirs) = (told(&image), told(&judged));
    let differ: Vec<_> = ours.iter().zip(&theirs).filter(|(a, b)| a != b).collect();
    assert!(
        differ.is_empty() && ours.len() == theirs.len(),
        "{options}: {differ:#?}"
    );
    assert!(
        told(&image)
            .iter()
            .any(|line| line.starts_with("Filesystem UUID:") && line.ends_with(TEXT))
    );
    // What is written next finds all checksums that it needs.
    let fs = Ext4::open(storage(&image), OpenOptions::new(clock()).writable(true)).unwrap();
    fs.unlink(
        fs.lookup(fs.root(), b"many").unwrap(),
        format!("{}7", "n".repeat(40)).as_bytes(),
    )
    .unwrap();
    fs.sync().unwrap();
    drop(fs);
    assert_clean(&image, options);
}

#[test]
fn another_uuid_is_what_tune2fs_makes() {
    if !have("mke2fs") || !have("tune2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    contents(&from);
    for row in TABLE {
        one(dir.path(), &from, *row);
    }
}

#[test]
fn what_is_damaged_is_not_sealed_over() {
    if !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    contents(&from);
    let image = dir.path().join("image");
    mke2fs(
        &image,
        32 << 20,
        &format!("-t ext4 -O metadata_csum -d {}", from.to_str().unwrap()),
    );
    let text = debugfs(&image, "blocks many\n", false);
    let block: u64 = text
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap();
    let disk = storage(&image);
    let block_size = disksmith_ext4::size_report(&disk, clock()).unwrap().block_size;
    let at = block * u64::from(block_size) + 30;
    let mut byte = [0];
    disk.read_at(at, &mut byte).unwrap();
    disk.write_at(at, &[byte[0] ^ 4]).unwrap();
    let error = set_uuid(&disk, UUID, clock()).unwrap_err();
    assert!(
        error.to_string().contains("the checksum does not match"),
        "{error}"
    );
}

#[test]
fn keys_that_depend_on_the_uuid_forbid_it() {
    if !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(&image, 16 << 20, "-t ext4 -O encrypt,stable_inodes");
    let error = set_uuid(&storage(&image), UUID, clock()).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("stable_inodes"), "{error}");
}
