//! Journals that the kernel left dirty: our recovery against that of e2fsck, byte by byte.

use super::judges::{assert_clean, copy_sparse, debugfs, have, keep, long, mke2fs, run, run_ok};
use super::kernel::{Mount, can_mount};
use super::snapshot::{self, Compare, differences};
use disksmith_ext4::{Log, LogRun, RecoveredView, Recovery, RecoveryLimits, Superblock};
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, StorageRef, read_vec};
use disksmith_vfs::FileSystem;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

const JOURNAL_INODE: u32 = 8;

fn open(image: &Path, mode: OpenMode) -> StorageRef {
    Arc::new(HostFile::open(image, mode, LockMode::None).unwrap())
}

fn superblock(storage: &dyn Storage) -> Superblock {
    Superblock::from_bytes(&read_vec(storage, 1024, 1024).unwrap(), 1024).unwrap()
}

/// The journal's block map as debugfs tells it.
fn journal_map(image: &Path) -> Vec<LogRun> {
    let sb = superblock(&*open(image, OpenMode::Read));
    let stat = debugfs(image, &format!("stat <{JOURNAL_INODE}>\n"), false);
    let size = stat
        .split("Size: ")
        .nth(1)
        .and_then(|s| s.split_whitespace().next())
        .unwrap();
    let blocks = size.parse::<u64>().unwrap() / u64::from(sb.block_size());
    let commands: String = (0..blocks)
        .map(|b| format!("bmap <{JOURNAL_INODE}> {b}\n"))
        .collect();
    let runs = debugfs(image, &commands, false)
        .lines()
        .filter(|line| !line.starts_with("debugfs") && !line.is_empty())
        .enumerate()
        .map(|(i, line)| LogRun {
            logical: i as u32,
            physical: line.split_whitespace().next().unwrap().parse().unwrap(),
            len: 1,
        })
        .collect::<Vec<_>>();
    assert_eq!(runs.len() as u64, blocks);
    runs
}

fn log(map: &[LogRun], storage: &dyn Storage) -> Log {
    let sb = superblock(storage);
    Log::open(
        storage,
        map.to_vec(),
        map.len() as u64,
        sb.block_size(),
        sb.blocks_count(),
    )
    .unwrap()
}

/// Work that leaves revocations, reused blocks and blocks that look like the journal's own.
fn work(dir: &Path, rounds: usize) {
    let mut magic = vec![0xC0, 0x3B, 0x39, 0x98];
    magic.resize(4096, 7);
    for round in 0..rounds {
        let sub = dir.join(format!("d{round}"));
        fs::create_dir(&sub).unwrap();
        for i in 0..60 {
            let path = sub.join(format!("a-rather-long-file-name-to-fill-the-directory-{i}"));
            let mut file = File::create(&path).unwrap();
            file.write_all(&magic).unwrap();
            file.write_all(format!("{round} {i}").as_bytes()).unwrap();
            if i % 20 == 0 {
                file.sync_all().unwrap();
            }
        }
        File::open(&sub).unwrap().sync_all().unwrap();
        if round % 2 == 1 {
            fs::remove_dir_all(dir.join(format!("d{}", round - 1))).unwrap();
            fs::rename(&sub, dir.join(format!("renamed{round}"))).unwrap();
            File::open(dir).unwrap().sync_all().unwrap();
        }
    }
    // Whatever is still only in memory.
    fs::write(dir.join("last"), b"not synced").unwrap();
}

struct Case {
    name: &'static str,
    size: u64,
    mke2fs: &'static str,
    mount: &'static str,
    rounds: usize,
}

const MIB: u64 = 1 << 20;

const CASES: &[Case] = &[
    Case {
        name: "default",
        size: 64 * MIB,
        mke2fs: "-t ext4",
        mount: "rw",
        rounds: 6,
    },
    Case {
        name: "1k",
        size: 32 * MIB,
        mke2fs: "-t ext4 -b 1024",
        mount: "rw",
        rounds: 6,
    },
    Case {
        name: "wraps",
        size: 64 * MIB,
        mke2fs: "-t ext4 -b 1024 -J size=1",
        mount: "rw,data=journal",
        rounds: 24,
    },
    Case {
        name: "ext3",
        size: 32 * MIB,
        mke2fs: "-t ext3 -b 1024 -J size=1",
        mount: "rw,data=journal",
        rounds: 20,
    },
    Case {
        name: "no checksums, 64bit",
        size: 64 * MIB,
        mke2fs: "-t ext4 -O ^metadata_csum,64bit",
        mount: "rw,data=journal",
        rounds: 6,
    },
    Case {
        name: "version 1 checksums",
        size: 64 * MIB,
        mke2fs: "-t ext4 -O ^metadata_csum,^64bit",
        mount: "rw,journal_checksum",
        rounds: 6,
    },
    Case {
        name: "asynchronous commits, version 1 checksums",
        size: 64 * MIB,
        mke2fs: "-t ext4 -O ^metadata_csum",
        mount: "rw,journal_async_commit,data=writeback",
        rounds: 6,
    },
    Case {
        name: "asynchronous commits",
        size: 64 * MIB,
        mke2fs: "-t ext4",
        mount: "rw,journal_async_commit,data=writeback",
        rounds: 6,
    },
    Case {
        name: "not 64bit",
        size: 64 * MIB,
        mke2fs: "-t ext4 -O ^64bit,orphan_file",
        mount: "rw,data=journal",
        rounds: 6,
    },
    Case {
        name: "checksum seed",
        size: 64 * MIB,
        mke2fs: "-t ext4 -O metadata_csum_seed -U 11111111-2222-3333-4444-555555555555",
        mount: "rw",
        rounds: 6,
    },
];

/// Clears `needs_recovery`, as whoever opens the filesystem does.
fn clear_flag(storage: &dyn Storage) {
    let mut bytes = read_vec(storage, 1024, 1024).unwrap();
    let mut sb = Superblock::from_bytes(&bytes, 1024).unwrap();
    sb.feature_incompat &= !4;
    sb.seal_into(&mut bytes);
    storage.write_at(1024, &bytes).unwrap();
}

/// Where two images differ, in blocks; times and counters of the superblock that only e2fsck changes are left out.
fn differing_blocks(ours: &dyn Storage, theirs: &dyn Storage, log: &Log) -> Vec<u64> {
    let block_size = u64::from(log.block_size());
    let mut list = Vec::new();
    for block in 0..ours.size() / block_size {
        let mut a = read_vec(ours, block * block_size, block_size as usize).unwrap();
        let mut b = read_vec(theirs, block * block_size, block_size as usize).unwrap();
        if block == 1024 / block_size {
            let at = (1024 % block_size) as usize;
            let view = |bytes: &mut [u8]| {
                for range in [0x2c..0x38, 0x40..0x44, 0x178..0x180, 0x274..0x278, 0x3fc..0x400] {
                    bytes[at + range.start..at + range.end].fill(0);
                }
            };
            view(&mut a);
            view(&mut b);
        }
        if a != b {
            list.push(block);
        }
    }
    list
}

#[test]
fn recovery_equals_that_of_e2fsck() {
    if !can_mount() || !have("mke2fs") || !have("debugfs") || !have("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for case in CASES {
        for flush_log in [false, true] {
            if flush_log && !long() && case.name != "default" {
                continue;
            }
            let name = format!(
                "{}, log {}flushed",
                case.name,
                if flush_log { "" } else { "not " }
            );
            // e2fsck goes on to clear orphans where the log happens to end with some; then another log is made.
            let mut orphans = true;
            for _ in 0..10 {
                if !orphans {
                    break;
                }
                let image = dir.path().join("dirty.img");
                mke2fs(&image, case.size, case.mke2fs);
                let map = journal_map(&image);
                let mount = Mount::new(&image, case.mount);
                work(mount.path(), case.rounds);
                mount.shut_down(flush_log);

                let theirs_path = dir.path().join("theirs.img");
                copy_sparse(&image, &theirs_path);
                let as_it_was = dir.path().join("as-it-was.img");
                copy_sparse(&theirs_path, &as_it_was);
                let judged = run(
                    "e2fsck",
                    &["-E", "journal_only", "-p", theirs_path.to_str().unwrap()],
                );
                assert!(
                    judged.status.code().is_some_and(|code| code <= 1),
                    "{name}: {judged:?}"
                );

                orphans = String::from_utf8_lossy(&judged.stdout).contains("orphaned inode");
                if orphans {
                    eprintln!("{name}: ends with orphans");
                    continue;
                }
                // Both start from the same bytes.
                run_ok("cmp", &[image.to_str().unwrap(), as_it_was.to_str().unwrap()]);
                let ours = open(&image, OpenMode::Write);
                assert_ne!(superblock(&*ours).feature_incompat & 4, 0, "{name}: not dirty");
                let recovery = Recovery::plan(log(&map, &*ours), &*ours, RecoveryLimits::default()).unwrap();
                assert!(
                    recovery.is_needed() && recovery.transactions() > 0 && recovery.blocks() > 0,
                    "{name}"
                );
                eprintln!(
                    "{name}: {} transactions, {} blocks, {} revoked",
                    recovery.transactions(),
                    recovery.blocks(),
                    recovery.revoked()
                );
                let view = RecoveredView::new(ours.clone(), &recovery).unwrap();
                clear_flag(&view);
                recovery.apply(&*ours).unwrap();
                clear_flag(&*ours);
                let log = log(&map, &*ours);
                assert_eq!(log.superblock().start(), 0);
                let theirs = open(&theirs_path, OpenMode::Read);
                let different = differing_blocks(&*ours, &*theirs, &log);
                if !different.is_empty() {
                    let kept = keep(&as_it_was);
                    panic!("{name}: differs from e2fsck's in {different:?}, started from {kept}");
                }
                assert_eq!(
                    differing_blocks(&view, &*theirs, &log),
                    Vec::<u64>::new(),
                    "{name}, as a view"
                );
                drop((ours, view));
                // Orphans are left on the list by a machine that lost power; that is for whoever opens it next.
                let full = run("e2fsck", &["-fy", image.to_str().unwrap()]);
                let theirs_full = run("e2fsck", &["-fy", theirs_path.to_str().unwrap()]);
                assert_eq!(
                    String::from_utf8_lossy(&full.stdout).replace("dirty.img", "theirs.img"),
                    String::from_utf8_lossy(&theirs_full.stdout),
                    "{name}"
                );
                assert_clean(&image, &name);
                drop(Mount::new(&image, "rw"));
                assert_clean(&image, &name);
            }
            assert!(!orphans, "{name}: every log ended with orphans");
        }
    }
}

#[test]
fn opening_recovers_as_the_kernel_does() {
    if !can_mount() || !have("mke2fs") || !have("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for case in CASES.iter().step_by(if long() { 1 } else { 3 }) {
        let (image, copy) = (dir.path().join("dirty.img"), dir.path().join("copy.img"));
        mke2fs(&image, case.size, case.mke2fs);
        let mount = Mount::new(&image, case.mount);
        work(mount.path(), case.rounds);
        mount.shut_down(false);
        copy_sparse(&image, &copy);

        let before = fs::read(&image).unwrap();
        let ours = snapshot::of(&super::random::open(&image, OpenMode::Read));
        assert_eq!(
            fs::read(&image).unwrap(),
            before,
            "{}: opening for reading writes",
            case.name
        );
        let kernels = snapshot::of_mounted(Mount::new(&copy, "rw,noatime").path());
        let all = Compare {
            times: true,
            blocks: true,
        };
        assert_eq!(differences(&ours, &kernels, all), "", "{}", case.name);

        let opened = super::random::open(&image, OpenMode::Write);
        assert_eq!(opened.read_only_reason(), None);
        opened.sync().unwrap();
        assert_eq!(
            differences(&snapshot::of(&opened), &kernels, all),
            "",
            "{}",
            case.name
        );
        drop(opened);
        assert_clean(&image, case.name);
    }
}

/// Work of which each step is committed fast. Kinds of work that the kernel itself replays wrongly are left out.
fn work_fast(dir: &Path, seed: u64) {
    let mut dice = super::acts::Dice::new(seed);
    let sync = |path: &Path| File::open(path).unwrap().sync_all().unwrap();
    fs::create_dir(dir.join("d")).unwrap();
    for i in 0..8 {
        fs::write(dir.join(format!("old-{i}")), vec![i as u8; 20_000]).unwrap();
    }
    run("sync", &["-f", dir.to_str().unwrap()]);
    for step in 0..40 {
        let path = dir.join(format!("{}f{step}", ["", "d/"][dice.below(2) as usize]));
        let old = dir.join(format!("old-{}", dice.below(8)));
        match dice.below(10) {
            8 => {
                fs::create_dir(&path).unwrap();
                for name in ["x", "y"] {
                    fs::write(path.join(name), dice.bytes(3000)).unwrap();
                    sync(&path.join(name));
                }
            }
            9 if dir.join("d").exists() => {
                let sub = dir.join(format!("d/sub{step}"));
                fs::create_dir(&sub).unwrap();
                sync(&sub);
                fs::remove_dir(&sub).unwrap();
                fs::write(&path, b"to sync").unwrap();
                sync(&path);
            }
            0..3 => {
                let len = dice.below(60_000) as usize;
                fs::write(&path, dice.bytes(len)).unwrap();
                sync(&path);
            }
            3 if old.exists() => {
                let file = File::options().write(true).open(&old).unwrap();
                let data = dice.bytes(9000);
                std::os::unix::fs::FileExt::write_all_at(&file, &data, dice.below(200_000)).unwrap();
                file.sync_all().unwrap();
            }
            4 if old.exists() => {
                let file = File::options().write(true).open(&old).unwrap();
                file.set_len(dice.below(30_000)).unwrap();
                file.sync_all().unwrap();
            }
            5 if old.exists() => {
                fs::rename(&old, &path).unwrap();
                sync(&path);
            }
            6 if old.exists() => {
                fs::hard_link(&old, &path).unwrap();
                sync(&path);
            }
            7 if old.exists() => {
                fs::remove_file(&old).unwrap();
                fs::write(&path, b"to sync").unwrap();
                sync(&path);
            }
            _ => {
                let mut file = File::create(&path).unwrap();
                for _ in 0..4 {
                    file.write_all(&dice.bytes(5000)).unwrap();
                    file.sync_data().unwrap();
                }
            }
        }
    }
}

#[test]
fn fast_commits_are_replayed_as_by_the_kernel() {
    if !can_mount() || !have("mke2fs") || !have("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut replayed = 0;
    for seed in 0..if long() { 40 } else { 3 } {
        let options = [
            "-t ext4 -O fast_commit",
            "-t ext4 -b 1024 -O fast_commit,inline_data",
        ][seed as usize % 2];
        mke2fs(&at("dirty.img"), 64 * MIB, options);
        let map = journal_map(&at("dirty.img"));
        let mount = Mount::new(&at("dirty.img"), "rw");
        work_fast(mount.path(), seed);
        mount.shut_down(false);
        let when = format!("{options}, seed {seed}");
        for name in ["ours.img", "theirs.img"] {
            copy_sparse(&at("dirty.img"), &at(name));
        }
        let storage = open(&at("dirty.img"), OpenMode::Read);
        let plan = Recovery::plan(log(&map, &*storage), &*storage, RecoveryLimits::default()).unwrap();
        replayed += plan.fast_commits().len();
        // For reading: as recovered, and not a byte is written.
        let before = fs::read(at("ours.img")).unwrap();
        let seen = snapshot::of(&super::random::open(&at("ours.img"), OpenMode::Read));
        assert_eq!(fs::read(at("ours.img")).unwrap(), before, "{when}");
        let ours = super::random::open(&at("ours.img"), OpenMode::Write);
        ours.sync().unwrap();
        drop(ours);
        assert_clean(&at("ours.img"), &when);
        let all = Compare {
            times: true,
            blocks: true,
        };
        let again = snapshot::of(&super::random::open(&at("ours.img"), OpenMode::Read));
        let different = differences(&seen, &again, all);
        assert!(
            different.is_empty(),
            "{when}: for reading, for writing:\n{different}"
        );
        drop(Mount::new(&at("theirs.img"), "rw"));
        let theirs = snapshot::of_mounted(Mount::new(&at("theirs.img"), "ro").path());
        // Where the kernel replays a name, it takes that for a change of the present.
        let [again, theirs] = [again, theirs].map(|mut tree| {
            for entry in tree.values_mut() {
                if entry.kind == disksmith_vfs::FileType::Directory {
                    // New ones have 1 when the kernel has replayed them; e2fsck has seen ours.
                    entry.links = 0;
                }
                match &mut entry.times {
                    Some(times) if entry.kind != disksmith_vfs::FileType::Directory => times[2] = times[1],
                    times => *times = None,
                }
            }
            tree
        });
        let different = differences(&again, &theirs, Compare { blocks: false, ..all });
        assert!(
            different.is_empty(),
            "{when}: ours, the kernel's (kept as {}):\n{different}",
            keep(&at("dirty.img"))
        );
    }
    assert!(replayed > 30, "{replayed} records of fast commits");
}

#[test]
fn journals_with_checksums_of_version_2_are_recovered() {
    if !have("mke2fs") || !have("debugfs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (options, version) in [
        ("-t ext4 -O ^metadata_csum,^64bit", ""),
        ("-t ext4", "-c -v 2"),
        ("-t ext4 -b 1024", "-c -v 2"),
        ("-t ext4 -b 4096", "-c -v 3"),
        ("-t ext4 -O ^64bit", ""),
    ] {
        let [image, theirs, data] = ["image", "theirs", "data"].map(|name| dir.path().join(name));
        mke2fs(&image, 32 * MIB, options);
        let size = superblock(&*open(&image, OpenMode::Read)).block_size() as usize;
        fs::write(
            &data,
            [vec![0xC0, 0x3B, 0x39, 0x98], vec![5; 2 * size - 4]].concat(),
        )
        .unwrap();
        let data = data.display();
        let commands =
            format!("jo {version}\njw -b 7000,7001 {data}\njw -r 7001\njw -b 6000,6001 {data}\njc\n");
        debugfs(&image, &commands, true);
        copy_sparse(&image, &theirs);
        let ours = super::random::open(&image, OpenMode::Write);
        ours.sync().unwrap();
        drop(ours);
        assert_clean(&image, options);
        run("e2fsck", &["-fy", "-E", "journal_only", theirs.to_str().unwrap()]);
        for block in [7000u64, 7001, 6000, 6001] {
            let [a, b] = [&image, &theirs]
                .map(|path| read_vec(&*open(path, OpenMode::Read), block * size as u64, size).unwrap());
            assert!(a == b, "{options} {version}: block {block}");
            assert!(
                block == 7001 || a.iter().any(|byte| *byte != 0),
                "{options} {version}: block {block}"
            );
        }
    }
}
