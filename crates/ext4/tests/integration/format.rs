//! New filesystems: ours against those of mke2fs with the same options, byte by byte.

use super::judges::{assert_clean, debugfs, have, long, run, run_ok};
use super::kernel::{Mount, can_mount};
use super::options::{TABLE, TIME, make};
use disksmith_ext4::Superblock;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Makes an image with mke2fs, the time being fixed.
fn mke2fs(image: &Path, size: u64, options: &str) {
    File::create(image).unwrap().set_len(size).unwrap();
    let time = format!("E2FSPROGS_FAKE_TIME={TIME}");
    let mut args = vec![time.as_str(), "mke2fs", "-q", "-F"];
    args.extend(options.split_whitespace());
    args.push(image.to_str().unwrap());
    run_ok("env", &args);
}

/// Blanks what cannot be equal: how much was written, and checksums over it.
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
        let at = if group == 0 { 1024 } else { block * u64::from(sb.block_size()) };
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes[0x178..0x180].fill(0);
        bytes[0x3fc..].fill(0);
        file.write_all_at(&bytes, at).unwrap();
    }
    sb.kbytes_written = 0;
    sb
}

fn dump(image: &Path) -> String {
    String::from_utf8_lossy(&run("dumpe2fs", &[image.to_str().unwrap()]).stdout)
        .lines()
        .filter(|line| !line.starts_with("Lifetime writes") && !line.starts_with("Checksum: "))
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

#[test]
fn new_filesystems_equal_those_of_mke2fs() {
    if !have("mke2fs") || !have("dumpe2fs") || !have("e2fsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut failures = String::new();
    for (size, options) in TABLE {
        if *size > 200 << 30 && !long() {
            continue;
        }
        let (ours, theirs) = (dir.path().join("ours.img"), dir.path().join("theirs.img"));
        let all = format!(
            "-U 11111111-2222-3333-4444-555555555555 \
             -E hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa,root_owner=0:0 {options}"
        );
        mke2fs(&theirs, *size, &all);
        if let Err(error) = make(&ours, *size, &all) {
            failures += &format!("{size} {options}: {error}\n");
            continue;
        }
        assert_clean(&ours, options);
        let (our_dump, their_dump) = (dump(&ours), dump(&theirs));
        if our_dump != their_dump {
            failures += &format!("{size} {options}: dumpe2fs differs\n{}", first_difference(&our_dump, &their_dump));
            continue;
        }
        normalise(&ours);
        normalise(&theirs);
        let compared = run("cmp", &["-l", ours.to_str().unwrap(), theirs.to_str().unwrap()]);
        if !compared.status.success() {
            let text = String::from_utf8_lossy(&compared.stdout);
            let lines: Vec<&str> = text.lines().take(8).collect();
            failures += &format!("{size} {options}: {} bytes differ, {lines:?}\n", text.lines().count());
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
    for (size, options) in [(64u64 << 20, "-t ext4"), (1 << 30, "-t ext4"), (100 << 30, "-t ext4"), (32 << 20, "-t ext2")] {
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
