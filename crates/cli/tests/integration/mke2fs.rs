//! The face of mke2fs beside mke2fs itself: what it says, its exit status, and every byte of the filesystem.

use crate::lab::{Lab, judges};
use std::fs::File;

/// Calls, each on a file of its size (in MiB; none where it is not there yet).
const CALLS: &[(Option<u64>, &str)] = &[
    (Some(64), "-t ext4 IMG"),
    (Some(64), "-t ext4 -v IMG"),
    (Some(64), "-q -t ext4 IMG"),
    (Some(64), "-n -t ext3 IMG"),
    (Some(64), "-F IMG"),
    (Some(64), "-t ext4 -J size=1 IMG"),
    (Some(64), "-t ext4 -b 4096 IMG 8192"),
    (Some(64), "-t ext4 IMG 30M"),
    (Some(64), "-t ext4 IMG 100M"),
    (Some(64), "-b 3000 IMG"),
    (Some(64), "-v -T largefile IMG"),
    (Some(64), "-T foo IMG"),
    (Some(64), "-L thislabelistoolong1 IMG"),
    (Some(64), "-I 100 -t ext4 IMG"),
    (Some(64), "-G 3 IMG"),
    (Some(64), "-g 100 IMG"),
    (Some(64), "-e foo IMG"),
    (Some(64), "-t foo IMG"),
    (Some(64), "-m 70 IMG"),
    (Some(64), "-i 3 IMG"),
    (Some(64), "-O foo IMG"),
    (Some(64), "-E foo IMG"),
    (Some(64), "IMG 12x"),
    (Some(64), "-t ext4 -N 0 IMG"),
    (Some(64), "-q -t ext4 -b 8192 IMG"),
    (Some(64), "-q -F -t ext4 -b 8192 IMG"),
    (Some(64), "-E resize=100M IMG"),
    (Some(64), "-q -t ext4 -O orphan_file -E orphan_file_size=1M IMG"),
    (Some(64), "-t ext4 -O bigalloc IMG"),
    (Some(64), "-t ext4 -v -O bigalloc -C 8192 IMG"),
    (Some(64), "-t ext4 -C 8192 IMG"),
    (Some(64), "-t ext4 -O bigalloc -C 512 IMG"),
    (Some(64), "-t ext4 -O ^extent IMG"),
    (Some(64), "-t ext4 -O mmp IMG"),
    (
        Some(64),
        "-t ext4 -O mmp,quota,project -E mmp_update_interval=12 IMG",
    ),
    (Some(64), "-t ext4 -O quota -E quotatype=foo IMG"),
    (Some(64), "-t ext4 -I 128 -O project,quota IMG"),
    (Some(64), "-t ext4 -O fast_commit -J fast_commit_size=300 IMG"),
    (Some(64), "-t ext4 -J location=20M IMG"),
    (Some(600), "-t ext4 -E packed_meta_blocks=1 IMG"),
    (Some(600), "-t ext4 -O sparse_super2 -E num_backup_sb=1 IMG"),
    (Some(1), "-t ext4 IMG"),
    (Some(8), "-t ext4 IMG"),
    (Some(100 << 10), "-t ext4 IMG"),
    (None, "-t ext4 IMG 10M"),
    (None, "IMG"),
    (None, "nowhere/IMG"),
    (None, "-x"),
    (None, "-V"),
    (None, ""),
];

#[test]
fn mke2fs_and_its_face_say_and_make_the_same() {
    if !judges(&["mke2fs"]) {
        return;
    }
    let lab = Lab::new();
    let fixed = "-U 11111111-2222-3333-4444-555555555555 -E hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa";
    let mut failures = String::new();
    for (size, call) in CALLS {
        let mut said = Vec::new();
        for program in [vec!["mke2fs"], vec![env!("CARGO_BIN_EXE_disksmith"), "mke2fs"]] {
            let _ = std::fs::remove_file(lab.path("IMG"));
            if let Some(mib) = size {
                File::create(lab.path("IMG")).unwrap().set_len(mib << 20).unwrap();
            }
            let line = format!("{fixed} {call}");
            let mut words = vec!["env", "E2FSPROGS_FAKE_TIME=1700000000", "LC_ALL=C"];
            words.extend(&program);
            words.extend(line.split_whitespace());
            let output = std::process::Command::new(words[0])
                .args(&words[1..])
                .env(
                    "PATH",
                    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()),
                )
                .current_dir(lab.path("."))
                .output()
                .unwrap();
            let made = match size {
                // Differs in the count of what was ever written.
                Some(mib) if *mib <= 100 => std::fs::read(lab.path("IMG")).unwrap().len(),
                _ => 0,
            };
            said.push((
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
                made,
            ));
        }
        if said[0] != said[1] {
            failures += &format!(
                "{size:?} {call}\n  mke2fs: {:?}\n  ours:   {:?}\n",
                said[0], said[1]
            );
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn a_directory_becomes_a_filesystem_and_what_was_there_stays_until_it_is() {
    if !judges(&["e2fsck", "debugfs"]) {
        return;
    }
    let lab = Lab::new();
    std::fs::create_dir(lab.path("tree")).unwrap();
    lab.write("tree/hello", "hello\n");
    lab.disksmith("mkfs.ext4 -q -d tree fs.img 20M").ok();
    lab.e2fsck("fs.img", 0);
    assert_eq!(
        lab.tool_args(&["debugfs", "-R", "cat /hello", "fs.img"]).ok(),
        "hello\n"
    );
    let before = lab.read("fs.img");
    lab.write("tree/large", vec![1; 30 << 20]);
    lab.disksmith("mkfs.ext4 -q -F -d tree fs.img").fails(1);
    assert!(
        lab.read("fs.img") == before,
        "a filesystem that cannot be made replaces nothing"
    );
}
