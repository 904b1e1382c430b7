//! The faces of dumpe2fs, tune2fs and e2label beside the tools themselves.

use crate::lab::{Lab, judges};
use std::process::{Command, Output};

const OURS: &str = env!("CARGO_BIN_EXE_disksmith");

/// Runs a tool of e2fsprogs, or our face of it.
fn run(lab: &Lab, ours: bool, line: &str) -> Output {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if ours {
        words.insert(0, OURS);
    }
    Command::new(words[0])
        .args(&words[1..])
        .env("LC_ALL", "C")
        .env("E2FSPROGS_FAKE_TIME", "1700000000")
        .env(
            "PATH",
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()),
        )
        .current_dir(lab.path("."))
        .output()
        .unwrap()
}

fn same(lab: &Lab, line: &str, failures: &mut String) {
    let [theirs, ours] = [false, true].map(|ours| {
        let output = run(lab, ours, line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    });
    if theirs != ours {
        let lines = theirs
            .1
            .lines()
            .zip(ours.1.lines())
            .filter(|(a, b)| a != b)
            .take(4);
        *failures += &format!(
            "{line}: {:?} {:?}\n{:?}\n{:?}\n",
            (theirs.0, &theirs.2),
            (ours.0, &ours.2),
            lines.collect::<Vec<_>>(),
            (theirs.1.len(), ours.1.len()),
        );
    }
}

#[test]
fn dumpe2fs_says_what_it_says() {
    if !judges(&["mke2fs", "dumpe2fs"]) {
        return;
    }
    let lab = Lab::new();
    let mut failures = String::new();
    for (mib, options) in [
        (64, "-t ext4 -L lab -M /x/y"),
        (64, "-t ext2"),
        (64, "-t ext3 -b 2048"),
        (600, "-t ext4 -O quota,project,mmp,orphan_file,metadata_csum_seed"),
        (64, "-t ext4 -E stride=4,stripe_width=8,test_fs -I 128"),
        (64, "-t ext4 -O bigalloc"),
        (600, "-t ext4 -O bigalloc -C 8192 -b 1024"),
        (64, "-t ext4 -g 256"),
        (300, "-t ext4 -O meta_bg,^resize_inode,^flex_bg -b 1024"),
        (300, "-t ext4 -O sparse_super2,^metadata_csum,uninit_bg,casefold"),
        (64, "-t ext4 -O fast_commit,^extent,^64bit"),
    ] {
        let _ = std::fs::remove_file(lab.path("IMG"));
        let made = run(&lab, false, &format!("mke2fs -q -F {options} IMG {mib}M"));
        assert!(made.status.success(), "{options}");
        let mut own = String::new();
        same(&lab, "dumpe2fs IMG", &mut own);
        same(&lab, "dumpe2fs -h IMG", &mut own);
        same(&lab, "tune2fs -l IMG", &mut own);
        if !own.is_empty() {
            failures += &format!("== {options}\n{own}");
        }
    }
    same(&lab, "dumpe2fs", &mut failures);
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn what_tune2fs_and_e2label_change_is_the_same() {
    if !judges(&["mke2fs", "dumpe2fs", "tune2fs", "e2label", "e2fsck"]) {
        return;
    }
    let lab = Lab::new();
    let mut failures = String::new();
    for line in [
        "tune2fs -c 20 -C 3 -e panic -i 10d -L hello -M /a IMG",
        "tune2fs -i 2w IMG",
        "tune2fs -m 3.5 IMG",
        "tune2fs -r 100 -u 5 -g 6 IMG",
        "tune2fs -o journal_data,^acl IMG",
        "tune2fs -E stride=9,stripe_width=18,hash_alg=tea,mount_opts=foo IMG",
        "tune2fs -O ^dir_index IMG",
        "tune2fs -O large_dir IMG",
        "tune2fs -O foo IMG",
        "tune2fs -e foo IMG",
        "tune2fs -U 11111111-2222-3333-4444-555555555555 IMG",
        "tune2fs IMG",
        "e2label IMG other",
        "e2label IMG",
        "e2label IMG 12345678901234567890",
    ] {
        let results = [false, true].map(|ours| {
            let _ = std::fs::remove_file(lab.path("IMG"));
            let seed = "hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa";
            let uuid = "21111111-2222-3333-4444-555555555555";
            run(
                &lab,
                false,
                &format!("mke2fs -q -F -t ext4 -L old -U {uuid} -E {seed} IMG 64M"),
            );
            let output = run(&lab, ours, line);
            lab.e2fsck("IMG", 0);
            let dump = run(&lab, false, "dumpe2fs IMG").stdout;
            let dump: String = String::from_utf8_lossy(&dump)
                .lines()
                .filter(|line| {
                    !["Checksum: ", "Lifetime", "Last write"]
                        .iter()
                        .any(|start| line.starts_with(start))
                })
                .map(|line| format!("{line}\n"))
                .collect();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (
                output.status.code(),
                text(&output.stdout),
                text(&output.stderr),
                dump,
            )
        });
        let [theirs, ours] = &results;
        if (theirs.0, &theirs.1, &theirs.2) != (ours.0, &ours.1, &ours.2) {
            failures += &format!(
                "{line}\n  {:?}\n  {:?}\n",
                (theirs.0, &theirs.1, &theirs.2),
                (ours.0, &ours.1, &ours.2)
            );
        }
        for (a, b) in theirs.3.lines().zip(ours.3.lines()).filter(|(a, b)| a != b) {
            failures += &format!("{line}\n  theirs: {a}\n  ours:   {b}\n");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}
