//! New filesystems: ours against those of mke2fs with the same options, byte by byte.

use super::judges::{assert_clean, debugfs, e2fsck_complaints, have, keep, long, run};
use super::kernel::{Mount, can_mount};
use super::options::{TABLE, TIME, make};
use disksmith_ext4::Superblock;
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, read_vec};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Makes an image with mke2fs, the time being fixed.
fn mke2fs(image: &Path, size: u64, options: &str) -> bool {
    File::create(image).unwrap().set_len(size).unwrap();
    let time = format!("E2FSPROGS_FAKE_TIME={TIME}");
    let mut args = vec![time.as_str(), "mke2fs", "-q", "-F"];
    args.extend(options.split_whitespace());
    args.push(image.to_str().unwrap());
    let output = run("env", &args);
    if !output.status.success() {
        eprintln!("{options}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// Blanks what cannot be equal: how much was written, who made it (in the multi-mount protection block), and checksums over it.
fn normalise(image: &Path) -> Superblock {
    let file = File::options().read(true).write(true).open(image).unwrap();
    let mut bytes = vec![0; 1024];
    file.read_exact_at(&mut bytes, 1024).unwrap();
    let mut sb = Superblock::from_bytes(&bytes, 1024).unwrap();
    let groups = sb.group_count();
    for group in 0..groups {
        if !sb.group_has_superblock(group as u32) {
            continue;
        }
        let block = u64::from(sb.first_data_block) + group * u64::from(sb.blocks_per_group);
        let at = if group == 0 {
            1024
        } else {
            block * u64::from(sb.block_size())
        };
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes[0x178..0x180].fill(0);
        bytes[0x3fc..].fill(0);
        file.write_all_at(&bytes, at).unwrap();
    }
    if sb.mmp_block != 0 {
        let at = sb.mmp_block * u64::from(sb.block_size());
        for (offset, len) in [(8, 104), (1020, 4)] {
            file.write_all_at(&vec![0; len], at + offset).unwrap();
        }
    }
    sb.kbytes_written = 0;
    sb
}

fn dump(image: &Path) -> String {
    String::from_utf8_lossy(&run("dumpe2fs", &[image.to_str().unwrap()]).stdout)
        .lines()
        .filter(|line| !line.starts_with("Lifetime writes") && !line.starts_with("Checksum: "))
        // Who used it last.
        .filter(|line| !line.starts_with("    mmp_"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn first_difference(ours: &str, theirs: &str) -> String {
    ours.lines()
        .zip(theirs.lines())
        .filter(|(a, b)| a != b)
        .take(12)
        .map(|(a, b)| format!("  ours:   {a}\n  theirs: {b}\n"))
        .collect()
}

/// The first few places at which two images differ, in KiB. Holes of both are skipped.
fn differing_blocks(a: &Path, b: &Path) -> Vec<u64> {
    let [a, b] = [a, b].map(|path| HostFile::open(path, OpenMode::Read, LockMode::None).unwrap());
    let (mut list, mut at) = (Vec::new(), 0);
    while at < a.size() && list.len() < 8 {
        let [x, y] = [&a, &b].map(|file| file.extent_at(at, 64 << 20).unwrap());
        let len = x.len.min(y.len);
        if !(x.reads_as_zero() && y.reads_as_zero()) {
            let [x, y] = [&a, &b].map(|file| read_vec(file, at, len as usize).unwrap());
            let pairs = x.chunks(1024).zip(y.chunks(1024)).enumerate();
            list.extend(
                pairs
                    .filter(|(_, (x, y))| x != y)
                    .map(|(i, _)| at / 1024 + i as u64)
                    .take(8),
            );
        }
        at += len;
    }
    list
}

#[test]
fn new_filesystems_equal_those_of_mke2fs() {
    if !have("mke2fs") || !have("dumpe2fs") || !have("e2fsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut failures = String::new();
    let mut made = 0;
    for (size, options) in TABLE {
        if (*size > 40 << 30) && !long() {
            continue;
        }
        let (ours, theirs) = (dir.path().join("ours.img"), dir.path().join("theirs.img"));
        let seed = "hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa";
        let all = match options.split_once("-E ") {
            Some((before, after)) => format!("{before}-E {seed},{after}"),
            None => format!("{options} -E {seed}"),
        } + " -U 11111111-2222-3333-4444-555555555555";
        let accepted = mke2fs(&theirs, *size, &all);
        let before = made;
        match make(&ours, *size, &all) {
            Ok(_) if !accepted => failures += &format!("{size} {options}: mke2fs refuses it\n"),
            Err(error) if accepted => failures += &format!("{size} {options}: {error}\n"),
            Ok(_) => made += 1,
            Err(_) => {}
        }
        if made == before {
            continue;
        }
        let complaints = e2fsck_complaints(&ours);
        if !complaints.is_empty() {
            failures += &format!("{size} {options}: e2fsck: {complaints}\n");
        }
        let (our_dump, their_dump) = (dump(&ours), dump(&theirs));
        if our_dump != their_dump {
            failures += &format!(
                "{size} {options}: dumpe2fs differs\n{}",
                first_difference(&our_dump, &their_dump)
            );
            continue;
        }
        normalise(&ours);
        normalise(&theirs);
        let differing = differing_blocks(&ours, &theirs);
        if !differing.is_empty() {
            failures += &format!("{size} {options}: blocks of 1 KiB differ: {differing:?}\n");
            eprintln!("{}", keep(&ours) + " " + &keep(&theirs));
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn the_kernel_mounts_new_filesystems() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("new.img");
    for (size, options) in [
        (64u64 << 20, "-t ext4"),
        (1 << 30, "-t ext4"),
        (100 << 30, "-t ext4"),
        (32 << 20, "-t ext2"),
    ] {
        make(&image, size, options).unwrap();
        let mount = Mount::new(&image, "rw");
        std::fs::write(mount.path().join("file"), vec![7; 100_000]).unwrap();
        std::fs::create_dir(mount.path().join("dir")).unwrap();
        drop(mount);
        assert_clean(&image, options);
        assert!(debugfs(&image, "ls /\n", false).contains("lost+found"));
    }
}

#[test]
fn the_same_options_give_the_same_bytes_and_old_contents_go() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.img"), dir.path().join("b.img"));
    let size = 16 << 20;
    make(&a, size, "-t ext4").unwrap();
    std::fs::write(&b, vec![0xEE; size as usize]).unwrap();
    super::options::make_over(&b, "-t ext4").unwrap();
    if have("e2fsck") {
        assert_clean(&b, "over old contents");
    }
    make(&b, size, "-t ext4").unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
}
