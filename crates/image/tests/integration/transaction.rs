//! Edits: whole or not at all, whatever happens.

use crate::judge::{assert_clean, assert_same, directory, have, qemu_img, qemu_io, run};
use disksmith_image::{
    DiskSpec, Error, Format, Image, OpenOptions, Output, Recovered, Transaction, TransactionOptions, recover,
};
use disksmith_storage::{Diagnose, ErrorKind, Existing, LockMode, StorageRef};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const SIZE: u64 = 8 << 20;
/// Places that an edit changes: offset and length; unaligned, small and large.
const PLACES: [(u64, usize); 7] = [
    (0, 512),
    (1000, 100),
    (65_000, 5000),
    (1 << 20, 300_000),
    (3 << 20, 4096),
    (5_000_001, 1),
    (SIZE - 700, 700),
];

fn edit(path: &Path) -> Transaction {
    begin(&[DiskSpec::in_place(path)]).unwrap()
}

fn begin(disks: &[DiskSpec]) -> Result<Transaction, Error> {
    Transaction::begin(disks, &TransactionOptions::default())
}

/// Changes everything that marks a generation.
fn mark(storage: &StorageRef, generation: u8) {
    for (offset, len) in PLACES {
        storage.write_at(offset, &vec![generation; len]).unwrap();
    }
}

/// The generation that an image holds, as its first place says; all places must agree.
fn generation(path: &Path, format: Format) -> u8 {
    let options = OpenOptions::read().format(Some(format));
    let image = Image::open(path, &options).unwrap();
    let mut found = None;
    for (offset, len) in PLACES {
        let mut bytes = vec![0; len];
        image.storage().read_at(offset, &mut bytes).unwrap();
        let first = *found.get_or_insert(bytes[0]);
        assert!(
            bytes.iter().all(|b| *b == first),
            "{}: {offset} is torn",
            path.display()
        );
    }
    found.unwrap()
}

fn raw(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    path
}

fn qcow2(dir: &Path, name: &str) -> PathBuf {
    qemu_img(dir, &format!("create -q -f qcow2 {name} {SIZE}"));
    qemu_io(
        dir,
        "qcow2",
        name,
        &["write -c -P 0 0 64k", "write -P 7 2M 1M", "write -z 1M 64k"],
    );
    dir.join(name)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_commit_changes_everything_and_leaves_nothing() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    for (path, format) in [
        (raw(dir, "a.raw"), Format::Raw),
        (qcow2(dir, "a.qcow2"), Format::Qcow2),
    ] {
        for generation_wanted in 1..4 {
            let transaction = edit(&path);
            let storage = transaction.storage(0).unwrap();
            mark(&storage, generation_wanted);
            let mut seen = [0; 100];
            storage.read_at(1000, &mut seen).unwrap();
            assert_eq!(seen, [generation_wanted; 100]);
            let report = transaction.commit().unwrap();
            assert_eq!(report.changed, [true]);
            // The view ends with the edit.
            assert!(storage.read_at(0, &mut seen).is_err());
            assert_eq!(generation(&path, format), generation_wanted);
        }
        if format == Format::Qcow2 {
            assert_clean(&path);
        }
    }
    assert_eq!(names(dir), ["a.qcow2", "a.raw"]);
}

#[test]
fn what_is_not_committed_leaves_every_byte() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    for path in [raw(dir, "a.raw"), qcow2(dir, "a.qcow2")] {
        let before = std::fs::read(&path).unwrap();
        // Without a change.
        let report = edit(&path).commit().unwrap();
        assert_eq!(report.changed, [false]);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        // Given up, and dropped; with more than what is held in memory.
        for give_up in [true, false] {
            let options = TransactionOptions {
                budget: 1 << 20,
                ..Default::default()
            };
            let transaction = Transaction::begin(&[DiskSpec::in_place(&path)], &options).unwrap();
            let storage = transaction.storage(0).unwrap();
            mark(&storage, 9);
            storage.write_at(3 << 20, &vec![8; 4 << 20]).unwrap();
            if give_up {
                transaction.abandon();
            } else {
                drop(transaction);
            }
            assert_eq!(std::fs::read(&path).unwrap(), before, "{}", path.display());
        }
        // A dry run.
        let options = TransactionOptions {
            dry_run: true,
            ..Default::default()
        };
        let transaction = Transaction::begin(&[DiskSpec::in_place(&path)], &options).unwrap();
        let storage = transaction.storage(0).unwrap();
        mark(&storage, 5);
        let mut seen = [0; 4];
        storage.read_at(1 << 20, &mut seen).unwrap();
        assert_eq!(seen, [5; 4]);
        assert_eq!(transaction.commit().unwrap().changed, [true]);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    assert_eq!(names(dir), ["a.qcow2", "a.raw"]);
}

#[test]
fn results_can_go_elsewhere() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = qcow2(dir, "base.qcow2");
    let before = std::fs::read(&base).unwrap();
    for (name, output) in [
        ("over.qcow2", Output::Overlay(dir.join("over.qcow2"))),
        ("copy.qcow2", Output::Copy(dir.join("copy.qcow2"), Format::Qcow2)),
        ("copy.raw", Output::Copy(dir.join("copy.raw"), Format::Raw)),
    ] {
        let spec = DiskSpec {
            output,
            ..DiskSpec::in_place(&base)
        };
        let transaction = begin(std::slice::from_ref(&spec)).unwrap();
        mark(&transaction.storage(0).unwrap(), 3);
        assert!(!dir.join(name).exists());
        transaction.commit().unwrap();
        let format = if name.ends_with("raw") {
            Format::Raw
        } else {
            Format::Qcow2
        };
        assert_eq!(generation(&dir.join(name), format), 3);
        if format == Format::Qcow2 {
            assert_clean(&dir.join(name));
        }
        assert!(matches!(begin(&[spec]), Err(Error::OutputExists { .. })));
    }
    assert_same(&dir.join("over.qcow2"), &dir.join("copy.raw"));
    assert_same(&dir.join("copy.qcow2"), &dir.join("copy.raw"));
    // An output that is given up never was.
    let spec = DiskSpec {
        output: Output::Overlay(dir.join("no.qcow2")),
        ..DiskSpec::in_place(&base)
    };
    begin(&[spec]).unwrap().abandon();
    assert_eq!(names(dir), ["base.qcow2", "copy.qcow2", "copy.raw", "over.qcow2"]);
    assert_eq!(std::fs::read(&base).unwrap(), before);
}

#[test]
fn a_base_with_clones_is_not_edited() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = qcow2(dir, "base.qcow2");
    qemu_img(dir, "create -q -f qcow2 -b base.qcow2 -F qcow2 clone.qcow2");
    let error = begin(&[DiskSpec::in_place(&base)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("clone.qcow2"));
    let options = TransactionOptions {
        force: true,
        ..Default::default()
    };
    Transaction::begin(&[DiskSpec::in_place(&base)], &options)
        .unwrap()
        .abandon();
    // The clone can be edited, and its base stays.
    let before = std::fs::read(&base).unwrap();
    let transaction = edit(&dir.join("clone.qcow2"));
    mark(&transaction.storage(0).unwrap(), 4);
    transaction.commit().unwrap();
    assert_eq!(std::fs::read(&base).unwrap(), before);
    assert_clean(&dir.join("clone.qcow2"));
}

#[test]
fn a_raw_disk_does_not_turn_into_an_overlay() {
    let dir = directory();
    let path = raw(dir.path(), "a.raw");
    let transaction = edit(&path);
    transaction
        .storage(0)
        .unwrap()
        .write_at(0, b"QFI\xfb\0\0\0\x03")
        .unwrap();
    assert!(matches!(
        transaction.commit(),
        Err(Error::WouldChangeFormat { .. })
    ));
    let spec = DiskSpec {
        format: Some(Format::Raw),
        ..DiskSpec::in_place(&path)
    };
    let transaction = begin(&[spec]).unwrap();
    transaction
        .storage(0)
        .unwrap()
        .write_at(0, b"QFI\xfb\0\0\0\x03")
        .unwrap();
    transaction.commit().unwrap();
    assert!(std::fs::read(&path).unwrap().starts_with(b"QFI"));
}

#[test]
fn an_image_in_use_is_refused_both_ways() {
    if !have("qemu-nbd") || !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    for (path, format) in [(raw(dir, "a.raw"), "raw"), (qcow2(dir, "a.qcow2"), "qcow2")] {
        let before = std::fs::read(&path).unwrap();
        let mut server = Command::new("qemu-nbd")
            .args(["-t", "-f", format, "-k"])
            .arg(dir.join("socket"))
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It has the image open, and its locks a moment later.
        let descriptors = format!("/proc/{}/fd", server.id());
        let has_image = || {
            let links = std::fs::read_dir(&descriptors).into_iter().flatten().flatten();
            links
                .filter_map(|l| std::fs::read_link(l.path()).ok())
                .any(|target| target == path)
        };
        for _ in 0..3000 {
            if has_image() && dir.join("socket").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(500));
        let error = begin(&[DiskSpec::in_place(&path)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
        assert!(error.to_string().contains("qemu-nbd"), "{error}");
        assert!(Image::open(&path, &OpenOptions::read()).is_err());
        assert!(Image::open(&path, &OpenOptions::read().lock(LockMode::ForceShare)).is_ok());
        disksmith_image::info(&path, &Default::default()).unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        let _ = std::fs::remove_file(dir.join("socket"));
        assert_eq!(std::fs::read(&path).unwrap(), before);

        let transaction = edit(&path);
        let name = path.to_str().unwrap();
        let write = vec!["qemu-io", "-f", format, "-c", "write 0 512", name];
        let read = vec!["qemu-img", "convert", "-f", format, "-O", "raw", name, "out"];
        for args in [write, read] {
            let out = run(dir, args[0], &args[1..]);
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(!out.status.success() && said.contains("lock"), "{said}");
        }
        transaction.abandon();
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// A small filesystem of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let dir = directory();
        let option = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "none"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        if !mounted {
            eprintln!("SKIPPED: no right to mount a small filesystem");
        }
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_every_byte() {
    if !have("qemu-img") {
        return;
    }
    let Some(disk) = SmallDisk::new("6m") else { return };
    let dir = disk.0.path();
    let makers: [fn(&Path) -> PathBuf; 2] = [|dir| qcow2(dir, "a.qcow2"), |dir| raw(dir, "a.raw")];
    for make in makers {
        let path = make(dir);
        let before = std::fs::read(&path).unwrap();
        let options = TransactionOptions {
            budget: 1 << 20,
            ..Default::default()
        };
        let transaction = Transaction::begin(&[DiskSpec::in_place(&path)], &options).unwrap();
        let storage = transaction.storage(0).unwrap();
        let mut failed = None;
        for at in (0..SIZE).step_by(1 << 20) {
            let data: Vec<u8> = (0..1u32 << 20).map(|i| (i % 251) as u8 + 1).collect();
            if let Err(error) = storage.write_at(at, &data) {
                failed = Some(error.kind());
                break;
            }
        }
        let kind = match (failed, transaction.commit()) {
            (Some(kind), _) => kind,
            (None, result) => result.unwrap_err().kind(),
        };
        assert_eq!(kind, ErrorKind::NoSpace, "{}", path.display());
        assert!(std::fs::read(&path).unwrap() == before, "{}", path.display());
        std::fs::remove_file(&path).unwrap();
        assert!(names(dir).is_empty(), "{:?}", names(dir));
    }
}

/// What a child process does that is going to be killed: one edit after the other.
#[test]
#[ignore = "run by the kill tests, in a process of its own"]
fn edit_until_killed() {
    let Some(images) = std::env::var_os("DISKSMITH_KILL_IMAGES") else {
        return;
    };
    let disks: Vec<DiskSpec> = std::env::split_paths(&images).map(DiskSpec::in_place).collect();
    println!("ready");
    for generation in (1..=250u8).cycle() {
        let transaction = begin(&disks).unwrap();
        for index in 0..disks.len() {
            mark(&transaction.storage(index).unwrap(), generation);
        }
        transaction.commit().unwrap();
    }
}

fn kill_an_edit(images: &[&Path], after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "transaction::edit_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env("DISKSMITH_KILL_IMAGES", std::env::join_paths(images).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        if line.contains("ready") {
            break;
        }
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn kills() -> u64 {
    if std::env::var_os("DISKSMITH_LONG").is_some() {
        1000
    } else {
        15
    }
}

/// Numbers that look random and are the same in each run.
fn moments() -> impl Iterator<Item = Duration> {
    let mut x = 0x2545_f491_4f6c_dd1du64;
    std::iter::repeat_with(move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        Duration::from_micros(x % 60_000)
    })
}

#[test]
fn a_killed_edit_of_qcow2_leaves_old_or_new() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let path = qcow2(dir.path(), "a.qcow2");
    let transaction = edit(&path);
    mark(&transaction.storage(0).unwrap(), 0);
    transaction.commit().unwrap();
    for after in moments().take(kills() as usize) {
        kill_an_edit(&[&path], after);
        assert_clean(&path);
        generation(&path, Format::Qcow2);
    }
    assert_eq!(names(dir.path()), ["a.qcow2"]);
}

#[test]
fn a_killed_edit_of_raw_leaves_old_or_new() {
    let dir = directory();
    let path = raw(dir.path(), "a.raw");
    for (after, recovered) in moments()
        .zip([true, false].into_iter().cycle())
        .take(kills() as usize)
    {
        kill_an_edit(&[&path], after);
        // Readers see one state before recovery already.
        let seen = generation(&path, Format::Raw);
        if recovered {
            recover(&path, None).unwrap();
            assert_eq!(generation(&path, Format::Raw), seen);
            assert_eq!(names(dir.path()), ["a.raw"]);
            assert_eq!(recover(&path, None).unwrap(), Recovered::Nothing);
        } else {
            // The next edit recovers by itself.
            edit(&path).abandon();
            assert_eq!(generation(&path, Format::Raw), seen);
        }
    }
}

#[test]
fn a_killed_edit_of_several_images_changes_all_or_none() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let (a, b, c) = (
        raw(dir.path(), "a.raw"),
        qcow2(dir.path(), "b.qcow2"),
        qcow2(dir.path(), "c.qcow2"),
    );
    let disks = [
        DiskSpec::in_place(&a),
        DiskSpec::in_place(&b),
        DiskSpec::in_place(&c),
    ];
    let transaction = begin(&disks).unwrap();
    (0..3).for_each(|index| mark(&transaction.storage(index).unwrap(), 0));
    assert_eq!(transaction.commit().unwrap().changed, [true; 3]);
    assert_eq!(names(dir.path()), ["a.raw", "b.qcow2", "c.qcow2"]);
    for (round, after) in moments().take(kills() as usize).enumerate() {
        kill_an_edit(&[&a, &b, &c], after * 2);
        // Any of them leads to the others.
        recover([&a, &b, &c][round % 3], None).unwrap();
        recover(&a, None).unwrap();
        let found = generation(&a, Format::Raw);
        assert_eq!(generation(&b, Format::Qcow2), found);
        assert_eq!(generation(&c, Format::Qcow2), found);
        assert_clean(&b);
        assert_clean(&c);
    }
}

/// An image whose data is in `NAME.data`, raw or not. QEMU looks for relative names in the working directory.
fn with_data_file(dir: &Path, name: &str, data_file_raw: bool) -> PathBuf {
    let path = dir.join(name);
    let mut options = disksmith_image::CreateOptions::default();
    let data = dir.join(format!("{name}.data"));
    options.qcow2.data_file = Some(data.to_str().unwrap().as_bytes().to_vec());
    options.qcow2.data_file_raw = data_file_raw;
    disksmith_image::create(&path, Format::Qcow2, SIZE, &options, Existing::Refuse).unwrap();
    path
}

#[test]
fn an_edit_of_a_data_file_is_seen_after_the_commit_only() {
    if !have("qemu-img") {
        return;
    }
    for data_file_raw in [false, true] {
        let dir = directory();
        let path = with_data_file(dir.path(), "a.qcow2", data_file_raw);
        let before = std::fs::read(dir.path().join("a.qcow2.data")).unwrap();
        for commit in [false, true] {
            let transaction = edit(&path);
            let disk = transaction.storage(0).unwrap();
            mark(&disk, 9);
            disk.write_zeroes(3 << 20, 2048, disksmith_storage::ZeroMode::Unmap)
                .unwrap();
            disk.write_at(3 << 20, &[9; 2048]).unwrap();
            disk.discard(6 << 20, 65536).unwrap();
            if commit {
                transaction.commit().unwrap();
                assert_eq!(generation(&path, Format::Qcow2), 9);
            } else {
                transaction.abandon();
                assert!(std::fs::read(dir.path().join("a.qcow2.data")).unwrap() == before);
                assert_eq!(generation(&path, Format::Qcow2), 0);
            }
            assert_clean(&path);
            assert_eq!(names(dir.path()), ["a.qcow2", "a.qcow2.data"]);
        }
        let raw = dir.path().join("raw");
        qemu_img(dir.path(), "convert -O raw a.qcow2 raw");
        assert_eq!(generation(&raw, Format::Raw), 9);
        if data_file_raw {
            assert_same(&raw, &dir.path().join("a.qcow2.data"));
        }
    }
}

#[test]
fn a_killed_edit_of_a_data_file_leaves_old_or_new() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let path = with_data_file(dir.path(), "a.qcow2", false);
    let transaction = edit(&path);
    mark(&transaction.storage(0).unwrap(), 0);
    transaction.commit().unwrap();
    for after in moments().take(kills() as usize) {
        kill_an_edit(&[&path], after);
        // Opening for a change completes or discards.
        edit(&path).abandon();
        assert_clean(&path);
        generation(&path, Format::Qcow2);
    }
    let transaction = edit(&path);
    mark(&transaction.storage(0).unwrap(), 1);
    transaction.commit().unwrap();
    assert_eq!(names(dir.path()), ["a.qcow2", "a.qcow2.data"]);
}
