//! Peak memory does not grow with the image.

use crate::judge::{directory, have, qemu_img};
use disksmith_image::{
    CommitOptions, ConvertOptions, DiskSpec, Format, Image, InfoOptions, NoProgress, OpenOptions,
    PullOptions, RebaseOptions, Transaction, TransactionOptions, check, commit, compare, convert, info, pull,
    rebase,
};
use disksmith_qcow2::Repair;
use disksmith_storage::LockMode;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIMIT: u64 = 64 << 20;

/// Runs a verb in a process of its own, which prints the most memory that it had.
#[test]
#[ignore = "run by the memory tests, in a process of its own"]
fn run_verb() {
    let Some(verb) = std::env::var_os("DISKSMITH_MEMORY_VERB") else {
        return;
    };
    let dir = PathBuf::from(std::env::var_os("DISKSMITH_MEMORY_DIR").unwrap());
    let source = dir.join("source.raw");
    let to = |name: &str, options: &ConvertOptions| {
        convert(
            std::slice::from_ref(&source),
            &OpenOptions::read(),
            &dir.join(name),
            options,
            &NoProgress,
        )
        .unwrap();
    };
    match verb.to_str().unwrap() {
        "raw" => to("out.raw", &ConvertOptions::new(Format::Raw)),
        "qcow2" => to("out.qcow2", &ConvertOptions::new(Format::Qcow2)),
        "compressed" => {
            to(
                "out.c",
                &ConvertOptions {
                    compress: true,
                    threads: Some(8),
                    ..ConvertOptions::new(Format::Qcow2)
                },
            );
        }
        "large clusters" => {
            let mut options = ConvertOptions {
                threads: Some(8),
                ..ConvertOptions::new(Format::Qcow2)
            };
            options.create.qcow2.cluster_bits = 21;
            to("out.large", &options);
        }
        "compare" => {
            let a = Image::open(&source, &OpenOptions::read()).unwrap();
            let b = Image::open(dir.join("out.qcow2"), &OpenOptions::read()).unwrap();
            assert_eq!(
                compare(&**a.storage(), &**b.storage(), false, &NoProgress)
                    .unwrap()
                    .exit_status(),
                0
            );
        }
        "info" => {
            info(&dir.join("huge.qcow2"), &InfoOptions::default()).unwrap();
            Image::open(dir.join("huge.qcow2"), &OpenOptions::read()).unwrap();
        }
        "edit" => {
            for name in ["out.raw", "out.qcow2"] {
                let options = TransactionOptions::default();
                let edit = Transaction::begin(&[DiskSpec::in_place(dir.join(name))], &options).unwrap();
                let storage = edit.storage(0).unwrap();
                for at in (0..storage.size() - 70_000).step_by(100_000) {
                    storage.write_at(at, &[7; 70_000]).unwrap();
                }
                edit.commit().unwrap();
            }
        }
        "commit" => {
            commit(&dir.join("top.qcow2"), &CommitOptions::default(), &NoProgress).unwrap();
        }
        "pull" => {
            pull(&dir.join("top.qcow2"), &PullOptions::default(), &NoProgress).unwrap();
        }
        "rebase" => {
            let options = RebaseOptions {
                backing: Some(b"huge.qcow2".to_vec()),
                threads: Some(8),
                ..RebaseOptions::default()
            };
            rebase(&dir.join("top.qcow2"), &options, &NoProgress).unwrap();
        }
        "check" | "check of fragments" => {
            let image = if verb == "check" {
                "mapped.qcow2"
            } else {
                "fragments.qcow2"
            };
            let report = check(&dir.join(image), None, Repair::None, LockMode::Lock).unwrap();
            assert!(report.is_clean());
            assert!(report.allocated_clusters > 100_000);
        }
        other => panic!("{other}"),
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    println!("peak: {}", line.split_whitespace().nth(1).unwrap());
}

fn peak(dir: &Path, verb: &str) -> u64 {
    let out = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "memory::run_verb",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("DISKSMITH_MEMORY_VERB", verb)
        .env("DISKSMITH_MEMORY_DIR", dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = said
        .lines()
        .find_map(|l| l.split_once("peak: "))
        .unwrap_or_else(|| {
            panic!("{verb}: {said} {}", String::from_utf8_lossy(&out.stderr));
        });
    line.1.trim().parse::<u64>().unwrap() << 10
}

/// An image of small clusters in no order.
fn fragments(dir: &Path) {
    qemu_img(dir, "create -q -f qcow2 -o cluster_size=512 fragments.qcow2 100M");
    let open = OpenOptions::write();
    let image = Image::open(dir.join("fragments.qcow2"), &open).unwrap();
    let count = (100 << 20) / 512;
    for n in 0..count / 7 * 4 {
        // Every cluster at most once, as the factor and the count have nothing in common.
        let cluster = n * 104_729 % count;
        image.storage().write_at(cluster * 512, &[3; 512]).unwrap();
    }
    image.storage().flush().unwrap();
}

#[test]
fn every_verb_stays_in_its_bounds() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let source = std::fs::File::create(dir.join("source.raw")).unwrap();
    source.set_len(300 << 20).unwrap();
    let mut x = 1u32;
    let block: Vec<u8> = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x % 7) as u8
    })
    .take(1 << 20)
    .collect();
    for at in (0..200).chain(280..290) {
        source.write_all_at(&block, at << 20).unwrap();
    }
    qemu_img(dir, "create -q -f qcow2 huge.qcow2 15T");
    qemu_img(
        dir,
        "create -q -f qcow2 -o preallocation=metadata mapped.qcow2 100G",
    );
    fragments(dir);
    for verb in [
        "raw",
        "qcow2",
        "compressed",
        "large clusters",
        "compare",
        "info",
        "edit",
        "commit",
        "rebase",
        "pull",
        "check",
        "check of fragments",
    ] {
        if matches!(verb, "commit" | "rebase" | "pull") {
            qemu_img(dir, "convert -O qcow2 source.raw top.qcow2");
            qemu_img(dir, "create -q -f qcow2 under.qcow2 300M");
            match verb {
                "commit" => qemu_img(dir, "rebase -u -b under.qcow2 -F qcow2 top.qcow2"),
                _ => qemu_img(dir, "create -q -f qcow2 -b out.large -F qcow2 top.qcow2"),
            };
        }
        let peak = peak(dir, verb);
        eprintln!("{verb}: {} KiB", peak >> 10);
        assert!(peak <= LIMIT, "{verb}: {} MiB", peak >> 20);
    }
}
