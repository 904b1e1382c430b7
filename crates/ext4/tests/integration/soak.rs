//! Long work on few files, after fsx: reads, writes, cuts, holes, preallocation, each compared with bytes in memory; and power
//! cuts of an edit that is staged in an image.

use crate::edit::{Dice, open};
use crate::judges::{assert_clean, have, long, mke2fs};
use crate::snapshot::{self, Compare, differences};
use disksmith_ext4::{Ext4, OpenOptions};
use disksmith_qcow2::{CreateOptions, Qcow2, create};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, Staging, Storage, StorageRef};
use disksmith_vfs::{Error, FileSystem, FileType, InodeNo, NewNode, RenameMode, Timestamp, XattrMode};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const NOW: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};

fn node(file_type: FileType) -> NewNode<'static> {
    NewNode {
        file_type,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time: NOW,
        target: b"",
        device: (0, 0),
    }
}

/// A file and what it should hold.
struct Subject {
    ino: InodeNo,
    bytes: Vec<u8>,
}

/// Largest size of a subject.
const MOST: u64 = 300_000;

fn position(dice: &mut Dice) -> u64 {
    // Edges of blocks are where mistakes are.
    match dice.below(3) {
        0 => dice.below(MOST),
        1 => dice.below(MOST / 4096) * 4096,
        _ => (dice.below(MOST / 1024) * 1024).saturating_sub(dice.below(3)),
    }
}

/// One operation; `false` where the filesystem was full and nothing may have changed.
fn step(fs: &Ext4, subject: &mut Subject, dice: &mut Dice, count: u64) {
    let offset = position(dice);
    let len = 1 + if dice.below(2) == 0 {
        dice.below(5000)
    } else {
        dice.below(60_000)
    };
    let end = (offset + len).min(MOST);
    let len = end.saturating_sub(offset);
    if len == 0 {
        return;
    }
    let result = match dice.below(12) {
        0..5 => {
            let data: Vec<u8> = (0..len).map(|i| (count + i * 7) as u8 | 1).collect();
            let result = fs.write(subject.ino, offset, &data);
            if result.is_ok() {
                if (subject.bytes.len() as u64) < end {
                    subject.bytes.resize(end as usize, 0);
                }
                subject.bytes[offset as usize..end as usize].copy_from_slice(&data);
            }
            result
        }
        5..7 => {
            let result = fs.set_size(subject.ino, offset);
            if result.is_ok() {
                subject.bytes.resize(offset as usize, 0);
            }
            result
        }
        7..9 => {
            let result = fs.punch_hole(subject.ino, offset, len);
            if result.is_ok() {
                let size = subject.bytes.len() as u64;
                subject.bytes[offset.min(size) as usize..end.min(size) as usize].fill(0);
            }
            result
        }
        9 => {
            let keep = dice.below(2) == 0;
            let result = fs.allocate(subject.ino, offset, len, keep);
            if result.is_ok() && !keep && (subject.bytes.len() as u64) < end {
                subject.bytes.resize(end as usize, 0);
            }
            result
        }
        10 => {
            let mut found = vec![0xEE; len as usize];
            let got = fs.read(subject.ino, offset, &mut found).unwrap();
            let size = subject.bytes.len() as u64;
            let want = &subject.bytes[offset.min(size) as usize..end.min(size) as usize];
            assert!(
                &found[..got] == want,
                "operation {count}: {len} bytes at {offset}"
            );
            Ok(())
        }
        _ => {
            // Everything that is told to be a hole is zero.
            let mut at = 0;
            while let Some((from, len)) = fs.next_data(subject.ino, at).unwrap() {
                assert!(subject.bytes[at as usize..from as usize].iter().all(|b| *b == 0));
                at = from + len;
            }
            assert!(subject.bytes[at as usize..].iter().all(|b| *b == 0));
            Ok(())
        }
    };
    match result {
        Ok(()) | Err(Error::NoSpace { .. } | Error::Unsupported { .. }) => {}
        Err(error) => panic!("operation {count}: {error}"),
    }
}

#[test]
fn files_hold_what_was_written_through_many_operations() {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    let kinds = [
        "-t ext4 -b 1024",
        "-t ext4 -b 4096",
        "-t ext3 -b 1024",
        "-t ext4 -O bigalloc -C 16384",
        "-t ext4 -O inline_data,quota",
        "-t ext2 -b 2048",
        "-t ext4 -b 65536",
    ];
    let (rounds, steps) = if long() { (15, 10_000) } else { (2, 250) };
    for (number, options) in kinds.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        // Small enough to be full at times.
        let size = if options.contains("65536") {
            24 * MIB
        } else {
            6 * MIB
        };
        mke2fs(&image, size, &format!("{options} -N 64"));
        let mut dice = Dice(number as u64 + 1);
        let mut files: Vec<Subject> = Vec::new();
        let mut count = 0;
        for round in 0..rounds {
            let fs = open(&image, true).unwrap();
            for i in files.len()..5 {
                let name = format!("f{i}");
                let ino = fs.create(fs.root(), name.as_bytes(), &node(FileType::Regular));
                files.push(Subject {
                    ino: ino.unwrap(),
                    bytes: Vec::new(),
                });
            }
            for _ in 0..steps {
                let which = dice.below(files.len() as u64) as usize;
                count += 1;
                step(&fs, &mut files[which], &mut dice, count);
                if count % 3001 == 0 {
                    fs.sync().unwrap();
                }
            }
            fs.sync().unwrap();
            drop(fs);
            assert_clean(&image, &format!("{options}, round {round}"));
            let fs = open(&image, false).unwrap();
            for file in &files {
                let mut found = vec![0xEE; MOST as usize + 1];
                let len = fs.read(file.ino, 0, &mut found).unwrap();
                assert!(found[..len] == file.bytes, "{options}, round {round}");
            }
        }
        eprintln!("{options}: {count} operations");
    }
}

fn open_image(file: StorageRef, writable: bool) -> Arc<Qcow2> {
    let options = disksmith_qcow2::OpenOptions {
        writable,
        ..disksmith_qcow2::OpenOptions::default()
    };
    Arc::new(Qcow2::open(file, options).unwrap())
}

fn mount(storage: StorageRef, writable: bool) -> Ext4 {
    Ext4::open(storage, OpenOptions::new(Arc::new(|| NOW)).writable(writable)).unwrap()
}

/// An edit of many kinds.
fn edit(fs: &Ext4, dice: &mut Dice) {
    let root = fs.root();
    for i in 0..30u64 {
        let name = format!("file-{}", dice.below(40));
        match fs.lookup(root, name.as_bytes()) {
            Err(_) => {
                let ino = fs
                    .create(root, name.as_bytes(), &node(FileType::Regular))
                    .unwrap();
                fs.write(ino, 0, &vec![i as u8 | 1; dice.below(90_000) as usize + 1])
                    .unwrap();
            }
            Ok(ino) => match dice.below(5) {
                0 => fs.unlink(root, name.as_bytes()).unwrap(),
                1 => fs.write(ino, dice.below(50_000), &[9; 7000]).unwrap(),
                2 => fs
                    .rename(root, name.as_bytes(), root, b"file-0", RenameMode::Replace)
                    .unwrap(),
                3 => fs.set_xattr(ino, b"user.x", &[1; 300], XattrMode::Set).unwrap(),
                _ => fs.set_size(ino, dice.below(9000)).unwrap(),
            },
        }
    }
}

#[test]
fn a_power_cut_during_a_commit_leaves_the_old_or_the_new_tree() {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw");
    let contents = Compare {
        times: true,
        blocks: true,
    };
    let (mut old_states, mut new_states) = (0, 0);
    for (number, options) in ["-t ext4 -b 1024", "-t ext4 -O quota,inline_data,ea_inode -b 4096"]
        .into_iter()
        .enumerate()
    {
        mke2fs(&raw, 6 * MIB, options);
        let bytes = std::fs::read(&raw).unwrap();
        let mut dice = Dice(7 + number as u64);
        let file: StorageRef = Arc::new(Memory::new(0));
        let create_options = CreateOptions {
            cluster_bits: 12,
            ..CreateOptions::new(bytes.len() as u64)
        };
        create(&file, None, &create_options).unwrap();
        let image = open_image(file.clone(), true);
        image.write_at(0, &bytes).unwrap();
        let fs = mount(image.clone(), true);
        edit(&fs, &mut dice);
        fs.sync().unwrap();
        let before = snapshot::of(&fs);
        drop(fs);
        image.flush().unwrap();
        drop(image);
        let mut all = vec![0; file.size() as usize];
        file.read_at(0, &mut all).unwrap();
        let journal = Journal::new();
        let recorder: StorageRef = Arc::new(Recorder::new(Arc::new(Memory::from_bytes(&all)), &journal));
        let image = open_image(recorder, true);
        let staging = Arc::new(Staging::new(image.shadow().unwrap(), 1 << 20));
        let fs = mount(staging.clone(), true);
        edit(&fs, &mut dice);
        fs.sync().unwrap();
        let after = snapshot::of(&fs);
        drop(fs);
        let shadow = Arc::into_inner(staging).unwrap().into_shadow().unwrap();
        let prepared = shadow.prepare().unwrap();
        journal.mark("prepared");
        prepared.switch().unwrap();
        journal.mark("switched");
        for (i, state) in journal
            .crash_states(if long() { 400 } else { 4 }, number as u64)
            .enumerate()
        {
            let image = open_image(state.storage(0), false);
            if i % 50 == 0 {
                let mut bytes = vec![0; image.size() as usize];
                image.read_at(0, &mut bytes).unwrap();
                std::fs::write(&raw, &bytes).unwrap();
                assert_clean(&raw, &state.to_string());
            }
            let now = snapshot::of(&mount(image, false));
            let is_old = differences(&before, &now, contents).is_empty();
            let is_new = differences(&after, &now, contents).is_empty();
            assert!(is_old || is_new, "{state}: neither old nor new");
            assert!(is_new || !state.passed("switched"), "{state}: lost");
            assert!(is_old || state.passed("prepared"), "{state}: too early");
            old_states += u64::from(is_old);
            new_states += u64::from(is_new);
        }
    }
    eprintln!("{old_states} old, {new_states} new");
    assert!(
        old_states > 50 && new_states > 2,
        "{old_states} old, {new_states} new"
    );
}
