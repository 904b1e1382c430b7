//! Internal snapshots: against a model and qemu-img, across power cuts, and on damaged images.

use crate::judge;
use crate::model::{Op, apply, compare, op};
use disksmith_qcow2::{
    CompressionType, CreateOptions, Error, NewSnapshot, OpenOptions, Qcow2, Repair, Snapshot, SnapshotKey,
    check, create,
};
use disksmith_storage::testing::{Failure, Faulty, Journal, Operation, Plan, Recorder};
use disksmith_storage::{HostFile, Memory, Shadow, Storage, StorageRef};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::path::Path;
use std::sync::Arc;

fn long() -> bool {
    std::env::var_os("DISKSMITH_LONG").is_some()
}

fn open(file: StorageRef, writable: bool) -> Arc<Qcow2> {
    let options = OpenOptions {
        writable,
        ..OpenOptions::default()
    };
    Arc::new(Qcow2::open(file, options).unwrap())
}

fn named(name: &str) -> NewSnapshot {
    NewSnapshot {
        name: name.into(),
        date_seconds: 1_700_000_000,
        date_nanoseconds: 5,
        vm_clock: 0,
    }
}

fn all(disk: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

fn is_clean(file: &StorageRef) {
    let report = check(file, Repair::None).unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
}

/// What an image holds: the disk, and each snapshot's id, name and contents, seen by applying it to a copy.
type Contents = (Vec<u8>, Vec<(String, String, Vec<u8>)>);

fn contents(file: &Memory) -> Contents {
    let image = open(Arc::new(file.duplicate()), false);
    let mut snapshots = Vec::new();
    for snapshot in image.snapshots().unwrap() {
        let copy = open(Arc::new(file.duplicate()), true);
        copy.apply_snapshot(SnapshotKey::Id(&snapshot.id)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        snapshots.push((text(&snapshot.id), text(&snapshot.name), all(&*copy)));
    }
    (all(&*image), snapshots)
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Op>),
    /// Writes through a change set, with a snapshot before them and perhaps one deleted after.
    Edit(Vec<Op>, bool, bool),
    QemuWrite(f64, f64, u8),
    Create(bool),
    Apply(f64, bool),
    Delete(f64, bool),
    Resize(f64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let ops = || prop::collection::vec(op(), 1..6);
    prop_oneof![
        3 => ops().prop_map(Step::Write),
        2 => (ops(), any::<bool>(), any::<bool>()).prop_map(|(ops, snapshot, delete)| Step::Edit(ops, snapshot, delete)),
        2 => (0.0..1.0f64, 0.0..0.4f64, any::<u8>()).prop_map(|(at, len, byte)| Step::QemuWrite(at, len, byte)),
        4 => any::<bool>().prop_map(Step::Create),
        3 => (0.0..1.0f64, any::<bool>()).prop_map(|(which, ours)| Step::Apply(which, ours)),
        3 => (0.0..1.0f64, any::<bool>()).prop_map(|(which, ours)| Step::Delete(which, ours)),
        1 => (0.3..1.7f64, any::<bool>()).prop_map(|(factor, ours)| Step::Resize(factor, ours)),
    ]
}

struct Model {
    disk: Vec<u8>,
    /// Id, name, contents.
    snapshots: Vec<(u64, String, Vec<u8>)>,
    made: u32,
}

impl Model {
    fn create(&mut self) -> String {
        let id = self.snapshots.iter().map(|s| s.0).max().unwrap_or(0) + 1;
        self.made += 1;
        let name = format!("s{}", self.made);
        self.snapshots.push((id, name.clone(), self.disk.clone()));
        name
    }

    fn pick(&self, which: f64) -> Option<usize> {
        let count = self.snapshots.len();
        (count > 0).then(|| ((count as f64 * which) as usize).min(count - 1))
    }
}

fn run_step(step: &Step, path: &Path, model: &mut Model, cluster: u64, version: u32) {
    let name = path.to_str().unwrap();
    match step {
        Step::Write(ops) => {
            let image = judge::open(path, true);
            for op in ops {
                apply(op, &*image, Some(&image), &mut model.disk, cluster);
            }
            image.flush().unwrap();
        }
        Step::Edit(ops, snapshot, delete) => {
            let image = judge::open(path, true);
            let mut edit = Box::new(image.change_set().unwrap());
            let (before, after) = ops.split_at(ops.len() / 2);
            for op in before {
                apply(op, &*edit, None, &mut model.disk, cluster);
            }
            if *snapshot {
                let name = model.create();
                edit.create_snapshot(&named(&name)).unwrap();
            }
            for op in after {
                apply(op, &*edit, None, &mut model.disk, cluster);
            }
            if *delete && let Some(index) = model.pick(0.3) {
                let (_, name, _) = model.snapshots.remove(index);
                edit.delete_snapshot(SnapshotKey::Name(name.as_bytes())).unwrap();
            }
            for op in before {
                apply(op, &*edit, None, &mut model.disk, cluster);
            }
            compare(&*edit, &model.disk);
            edit.prepare().unwrap().switch().unwrap();
        }
        Step::QemuWrite(at, len, byte) => {
            let size = model.disk.len();
            let at = ((size as f64 * at) as usize).min(size - 1) & !511;
            let len = (((size as f64 * len) as usize) & !511).clamp(512, size - at);
            judge::qemu_io(path, &[format!("write -P {byte} {at} {len}")]);
            model.disk[at..at + len].fill(*byte);
        }
        Step::Create(ours) => {
            let snapshot = model.create();
            if *ours {
                let image = judge::open(path, true);
                image.create_snapshot(&named(&snapshot)).unwrap();
                compare(&*image, &model.disk);
            } else {
                judge::qemu_img(&["snapshot", "-c", &snapshot, name]);
            }
        }
        Step::Apply(which, ours) => {
            let Some(index) = model.pick(*which) else { return };
            let (id, snapshot, bytes) = &model.snapshots[index];
            model.disk = bytes.clone();
            if *ours {
                let image = judge::open(path, true);
                let id = id.to_string();
                image
                    .apply_snapshot(SnapshotKey::IdOrName(id.as_bytes()))
                    .unwrap();
                compare(&*image, &model.disk);
            } else {
                judge::qemu_img(&["snapshot", "-a", snapshot, name]);
            }
        }
        Step::Delete(which, ours) => {
            let Some(index) = model.pick(*which) else { return };
            let (_, snapshot, _) = model.snapshots.remove(index);
            if *ours {
                let image = judge::open(path, true);
                image
                    .delete_snapshot(SnapshotKey::Name(snapshot.as_bytes()))
                    .unwrap();
                compare(&*image, &model.disk);
            } else {
                judge::qemu_img(&["snapshot", "-d", &snapshot, name]);
            }
        }
        Step::Resize(factor, ours) => {
            let size = ((model.disk.len() as f64 * factor) as u64 & !511).clamp(1024, 1 << 20);
            // What is too old to be resized with snapshots stays as it is.
            if version < 3 {
                return;
            }
            model.disk.resize(size as usize, 0);
            if *ours {
                let image = judge::open(path, true);
                image.set_size(size).unwrap();
                image.flush().unwrap();
            } else {
                judge::qemu_img(&["resize", "-q", "--shrink", "-f", "qcow2", name, &size.to_string()]);
            }
        }
    }
}

/// Both programs find the image sound, with the same disk and the same list of snapshots.
fn judge_image(path: &Path, dir: &Path, model: &Model) {
    judge::assert_clean(path);
    is_clean(&judge::file(path, disksmith_storage::OpenMode::Read));
    let image = judge::open(path, false);
    compare(&*image, &model.disk);
    let list: Vec<(String, String, u64)> = image
        .snapshots()
        .unwrap()
        .iter()
        .map(|s| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(&s.id), text(&s.name), s.disk_size.unwrap())
        })
        .collect();
    let wanted: Vec<(String, String, u64)> = model
        .snapshots
        .iter()
        .map(|s| (s.0.to_string(), s.1.clone(), s.2.len() as u64))
        .collect();
    assert_eq!(list, wanted);
    assert!(judge::contents(path, dir) == model.disk);
}

/// Each snapshot holds its contents, as qemu-img and as this crate applies it.
fn judge_snapshots(path: &Path, dir: &Path, model: &Model) {
    for (id, name, bytes) in &model.snapshots {
        let copy = dir.join("copy.qcow2");
        std::fs::copy(path, &copy).unwrap();
        judge::qemu_img(&["snapshot", "-a", name, copy.to_str().unwrap()]);
        judge::assert_clean(&copy);
        assert!(judge::contents(&copy, dir) == *bytes, "{id} {name}");
        std::fs::copy(path, &copy).unwrap();
        let image = judge::open(&copy, true);
        image
            .apply_snapshot(SnapshotKey::Id(id.to_string().as_bytes()))
            .unwrap();
        compare(&*image, bytes);
        drop(image);
        judge::assert_clean(&copy);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if long() { 400 } else { 10 },
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    })]

    #[test]
    fn snapshots_of_both_programs_match_the_model(
        steps in prop::collection::vec(step(), 3..14),
        (bits, refcount_bits, old) in (
            prop_oneof![Just(9u32), Just(12), Just(16)],
            prop_oneof![Just(8u32), Just(16), Just(64)],
            any::<bool>(),
        ),
        (zstd, extended) in (any::<bool>(), any::<bool>()),
    ) {
        if !judge::available() {
            return Ok(());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.qcow2");
        let version = if old && refcount_bits == 16 { 2 } else { 3 };
        let size = ((20u64 << bits) + 1536).max(64 << 10);
        let file: StorageRef = Arc::new(HostFile::create_new(&path).unwrap());
        let options = CreateOptions {
            version,
            cluster_bits: bits,
            refcount_bits,
            compression: if zstd && version == 3 { CompressionType::Zstd } else { CompressionType::Zlib },
            extended_l2: extended && version == 3 && bits >= 14,
            ..CreateOptions::new(size)
        };
        create(&file, None, &options).unwrap();
        drop(file);
        let mut model = Model { disk: vec![0; size as usize], snapshots: Vec::new(), made: 0 };
        for step in &steps {
            run_step(step, &path, &mut model, 1 << bits, version);
            judge_image(&path, dir.path(), &model);
        }
        judge_snapshots(&path, dir.path(), &model);
    }

    /// Whatever a few bytes of the metadata are, nothing panics, and a change that fails leaves the disk as it was.
    #[test]
    fn damaged_images_are_refused_or_changed_but_never_panic(
        damage in prop::collection::vec((0.0..1.0f64, any::<u8>(), any::<bool>()), 1..4),
        which in 0..3u8,
    ) {
        let (memory, _) = start(9, 16, 1);
        for (at, byte, early) in damage {
            let range = if early { 112 } else { memory.size() };
            memory.write_at(((range as f64 * at) as u64).max(8), &[byte]).unwrap();
        }
        let file: StorageRef = Arc::new(memory.duplicate());
        let writable = OpenOptions { writable: true, ..OpenOptions::default() };
        let Ok(image) = Qcow2::open(file.clone(), writable) else { return Ok(()) };
        if image.size() > 1 << 24 {
            return Ok(());
        }
        let image = Arc::new(image);
        let read = |image: &Qcow2| {
            let mut bytes = vec![0; image.size() as usize];
            image.read_at(0, &mut bytes).map(|()| bytes).ok()
        };
        let before = read(&image);
        let result = match which {
            0 => image.create_snapshot(&named("new")),
            1 => image.apply_snapshot(SnapshotKey::Name(b"first")),
            _ => image.delete_snapshot(SnapshotKey::Name(b"first")),
        };
        if result.is_err() || which != 1 {
            prop_assert!(read(&image) == before);
        }
    }
}

fn ops(seed: u8, count: usize) -> Vec<Op> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    (0..count)
        .map(|_| op().new_tree(&mut runner).unwrap().current())
        .collect()
}

/// An image with snapshots "first" and "second", which share some clusters with the disk and with each other.
fn start(bits: u32, refcount_bits: u32, seed: u8) -> (Memory, u64) {
    // Several L2 tables where clusters are small.
    let size = ((if bits == 9 { 150 } else { 40 }) << bits) + 512;
    let options = CreateOptions {
        cluster_bits: bits,
        refcount_bits,
        ..CreateOptions::new(size)
    };
    let memory: StorageRef = Arc::new(Memory::new(0));
    create(&memory, None, &options).unwrap();
    let image = open(memory.clone(), true);
    let mut model = vec![0; size as usize];
    for (round, name) in ["first", "second", ""].into_iter().enumerate() {
        for op in ops(seed + 50 * round as u8, 8) {
            apply(&op, &*image, Some(&image), &mut model, 1 << bits);
        }
        image.flush().unwrap();
        if !name.is_empty() {
            image.create_snapshot(&named(name)).unwrap();
        }
    }
    drop(image);
    let mut bytes = vec![0; memory.size() as usize];
    memory.read_at(0, &mut bytes).unwrap();
    (Memory::from_bytes(&bytes), size)
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Create,
    Apply,
    ApplyOtherSize,
    DeleteFirst,
    DeleteLast,
    Mixed,
}

const VERBS: [Verb; 6] = [
    Verb::Create,
    Verb::Apply,
    Verb::ApplyOtherSize,
    Verb::DeleteFirst,
    Verb::DeleteLast,
    Verb::Mixed,
];

fn perform(verb: Verb, image: &Arc<Qcow2>) -> disksmith_storage::Result<()> {
    let mut edit = Box::new(image.change_set()?);
    match verb {
        Verb::Create => edit.create_snapshot(&named("third"))?,
        Verb::Apply | Verb::ApplyOtherSize => edit.apply_snapshot(SnapshotKey::Name(b"first"))?,
        Verb::DeleteFirst => edit.delete_snapshot(SnapshotKey::Name(b"first"))?,
        Verb::DeleteLast => edit.delete_snapshot(SnapshotKey::Name(b"second"))?,
        Verb::Mixed => {
            edit.write_at(700, &[1; 3000])?;
            edit.create_snapshot(&named("undo"))?;
            edit.write_at(900, &[2; 3000])?;
            edit.delete_snapshot(SnapshotKey::Name(b"first"))?;
            edit.write_at(0, &[3; 1000])?;
            edit.apply_snapshot(SnapshotKey::Name(b"second"))?
        }
    };
    edit.prepare()?.switch()
}

fn prepared_image(verb: Verb, bits: u32, refcount_bits: u32, seed: u8) -> Memory {
    let (memory, size) = start(bits, refcount_bits, seed);
    if matches!(verb, Verb::ApplyOtherSize) {
        let memory: StorageRef = Arc::new(memory);
        let image = open(memory.clone(), true);
        image.set_size(size * 70).unwrap();
        image.write_at(size * 69, &[7; 5000]).unwrap();
        image.flush().unwrap();
        drop(image);
        let mut bytes = vec![0; memory.size() as usize];
        memory.read_at(0, &mut bytes).unwrap();
        return Memory::from_bytes(&bytes);
    }
    memory
}

#[test]
fn a_power_cut_leaves_the_old_or_the_new_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.qcow2");
    let (mut states, mut seen_old, mut seen_new) = (0u64, 0u64, 0u64);
    for (round, (bits, refcount_bits)) in [(9, 16), (12, 64), (9, 8)].into_iter().enumerate() {
        for verb in VERBS {
            let seed = round as u8 * 7 + 1;
            let memory = prepared_image(verb, bits, refcount_bits, seed);
            let old = contents(&memory);
            let journal = Journal::new();
            let file = Arc::new(memory);
            let recorder: StorageRef = Arc::new(Recorder::new(file.clone(), &journal));
            perform(verb, &open(recorder, true)).unwrap();
            journal.mark("done");
            let new = contents(&file);
            assert!(old != new, "{verb:?}");
            for state in journal.crash_states(if long() { 3000 } else { 40 }, seed.into()) {
                let file = state.storage(0);
                let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
                assert!(report.is_clean(), "{verb:?} {state}: {:?}", report.faults);
                let now = contents(&file);
                assert!(now == old || now == new, "{verb:?} {state}: neither old nor new");
                if state.passed("done") {
                    assert!(now == new, "{verb:?} {state}: it was lost");
                }
                seen_old += u64::from(now == old);
                seen_new += u64::from(now == new);
                states += 1;
                if states.is_multiple_of(if long() { 7 } else { 31 }) && judge::available() {
                    std::fs::write(&path, file.to_vec()).unwrap();
                    judge::assert_clean(&path);
                }
            }
        }
    }
    eprintln!("{states} states: {seen_old} old, {seen_new} new");
    assert!(seen_old > 100 && seen_new > 50);
}

#[test]
fn a_failing_write_leaves_the_old_or_the_new_snapshots() {
    for verb in VERBS {
        let mut nth = 0;
        loop {
            let memory = Arc::new(prepared_image(verb, 9, 16, 3));
            let old = contents(&memory);
            let plan = Plan {
                operation: Operation::Change,
                nth,
                failure: Failure::NoSpace,
                lasting: false,
            };
            let faulty: StorageRef = Arc::new(Faulty::new(memory.clone(), plan));
            let image = open(faulty, true);
            let result = perform(verb, &image);
            is_clean(&(memory.clone() as StorageRef));
            let now = contents(&memory);
            if result.is_err() && now == old && image.write_at(0, &[1; 600]).is_ok() {
                // The image can be used again.
                image.flush().unwrap();
                is_clean(&(memory.clone() as StorageRef));
            }
            if result.is_ok() {
                assert!(now != old);
                break;
            }
            nth += if long() { 1 } else { 3 };
            assert!(nth < 10_000);
        }
    }
}

#[test]
fn a_snapshot_is_found_as_qemu_img_finds_it() {
    let (memory, _) = start(9, 16, 2);
    let image = open(Arc::new(memory), true);
    for name in ["", "first", "1", "7"] {
        image.create_snapshot(&named(name)).unwrap();
    }
    let list = image.snapshots().unwrap();
    let ids: Vec<&[u8]> = list.iter().map(|s| s.id.as_slice()).collect();
    assert_eq!(ids, [b"1", b"2", b"3", b"4", b"5", b"6"]);
    for (key, index) in [
        (SnapshotKey::IdOrName(b"1"), Some(0)),
        (SnapshotKey::IdOrName(b"7"), Some(5)),
        (SnapshotKey::IdOrName(b"first"), Some(0)),
        (SnapshotKey::IdOrName(b""), Some(2)),
        (SnapshotKey::Name(b"1"), Some(4)),
        (SnapshotKey::Name(b"2"), None),
        (SnapshotKey::NameOrId(b"1"), Some(4)),
        (SnapshotKey::NameOrId(b"2"), Some(1)),
        (SnapshotKey::Id(b"first"), None),
    ] {
        assert_eq!(key.find(&list), index, "{key:?}");
    }
    // The greatest id counts, not the number of snapshots.
    image.delete_snapshot(SnapshotKey::Id(b"2")).unwrap();
    assert_eq!(image.create_snapshot(&named("x")).unwrap().id, b"7");
    image.delete_snapshot(SnapshotKey::Id(b"7")).unwrap();
    assert_eq!(image.create_snapshot(&named("x")).unwrap().id, b"7");
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let (memory, _) = start(9, 16, 4);
    let image = open(Arc::new(memory.duplicate()), true);
    let mut edit = image.change_set().unwrap();
    let missing = |result: Result<Snapshot, Error>| matches!(result, Err(Error::NoSuchSnapshot { .. }));
    assert!(missing(edit.apply_snapshot(SnapshotKey::IdOrName(b"nope"))));
    assert!(missing(edit.delete_snapshot(SnapshotKey::Name(b"1"))));
    assert!(edit.create_snapshot(&named(&"n".repeat(256))).is_err());
    // The change set is of use still.
    edit.create_snapshot(&named(&"n".repeat(255))).unwrap();
    Box::new(edit).abandon().unwrap();
    assert_eq!(image.snapshots().unwrap().len(), 2);

    // Refcounts of one bit cannot count a second reference; those of two bits count to three.
    for (width, wanted) in [(1, 0), (2, 2)] {
        let memory: StorageRef = Arc::new(Memory::new(0));
        let options = CreateOptions {
            cluster_bits: 12,
            refcount_bits: width,
            ..CreateOptions::new(1 << 20)
        };
        create(&memory, None, &options).unwrap();
        let image = open(memory.clone(), true);
        image.write_at(0, &[5; 100_000]).unwrap();
        image.flush().unwrap();
        let made = (0..5)
            .take_while(|_| image.create_snapshot(&named("s")).is_ok())
            .count();
        assert_eq!(made, wanted, "{width} bits");
        is_clean(&memory);
        for _ in 0..made {
            image.apply_snapshot(SnapshotKey::Name(b"s")).unwrap();
            image.delete_snapshot(SnapshotKey::Name(b"s")).unwrap();
        }
        is_clean(&memory);
        image.write_at(50_000, &[6; 10]).unwrap();
        image.flush().unwrap();
        is_clean(&memory);
    }
}

#[test]
fn bitmaps_are_kept_and_keep_the_disk_from_jumping() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.qcow2");
    let name = path.to_str().unwrap();
    judge::qemu_img(&["create", "-q", "-f", "qcow2", name, "4M"]);
    judge::qemu_img(&["bitmap", "--add", name, "auto"]);
    judge::qemu_img(&["bitmap", "--add", "--disable", name, "still"]);
    judge::qemu_io(&path, &["write -P 3 64k 64k".into()]);
    let before = judge::qemu_img(&["map", "--output=json", name]);
    let bitmaps = || judge::open(&path, false).bitmaps().unwrap();
    let (list, tables) = (bitmaps(), bitmap_bytes(&path));
    judge::open(&path, true).create_snapshot(&named("s")).unwrap();
    judge::assert_clean(&path);
    assert!(matches!(
        judge::open(&path, true)
            .change_set()
            .unwrap()
            .apply_snapshot(SnapshotKey::Name(b"s")),
        Err(Error::HasBitmaps { .. })
    ));
    let copy = dir.path().join("copy.qcow2");
    std::fs::copy(&path, &copy).unwrap();
    let refused = judge::run("qemu-img", &["snapshot", "-a", "s", copy.to_str().unwrap()]);
    assert!(!refused.status.success());
    judge::open(&path, true)
        .delete_snapshot(SnapshotKey::Name(b"s"))
        .unwrap();
    judge::assert_clean(&path);
    assert_eq!(bitmaps(), list);
    assert!(bitmap_bytes(&path) == tables, "the bits have changed");
    assert_eq!(judge::qemu_img(&["map", "--output=json", name]), before);
}

/// The clusters of all bitmap tables.
fn bitmap_bytes(path: &Path) -> Vec<Vec<u8>> {
    let image = judge::open(path, false);
    let read = |at: u64| {
        let mut bytes = vec![0; 65536];
        let there = image.file().size().saturating_sub(at).min(65536) as usize;
        image.file().read_at(at, &mut bytes[..there]).unwrap();
        bytes
    };
    let mut all = Vec::new();
    for bitmap in image.bitmaps().unwrap() {
        let table = read(bitmap.table_offset);
        let first = u64::from_be_bytes(table[..8].try_into().unwrap());
        if first > 1 {
            all.push(read(first & 0x00ff_ffff_ffff_fe00));
        }
        all.push(table);
    }
    all
}

/// The saved state of a machine, unknown extra data and dates of other snapshots outlive every change of the table.
#[test]
fn entries_of_other_snapshots_are_kept_whole() {
    let (memory, _) = start(9, 16, 6);
    let file: StorageRef = Arc::new(memory);
    let header = disksmith_qcow2::Header::load(&*file).unwrap();
    let mut list = open(file.clone(), false).snapshots().unwrap();
    list[0].vm_state_size = 0x1_2345_6789;
    list[0].date_nanoseconds = 77;
    list[0].vm_clock = 1 << 40;
    list[0].instructions = Some(99);
    list[0].extra = vec![0xab; 40];
    let mut bytes = Vec::new();
    for snapshot in &list {
        snapshot.encode(&mut bytes).unwrap();
    }
    assert!(bytes.len() <= 512);
    file.write_at(header.snapshots_offset, &bytes).unwrap();
    let image = open(file.clone(), true);
    let wanted = image.snapshots().unwrap().remove(0);
    assert_eq!(wanted.vm_state_size, 0x1_2345_6789);
    image.create_snapshot(&named("third")).unwrap();
    image.delete_snapshot(SnapshotKey::Name(b"second")).unwrap();
    assert_eq!(image.snapshots().unwrap()[0], wanted);
    image.apply_snapshot(SnapshotKey::Name(b"first")).unwrap();
    assert_eq!(image.snapshots().unwrap()[0], wanted);
    is_clean(&file);
}

#[test]
fn an_empty_disk_has_snapshots_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.qcow2");
    let file: StorageRef = Arc::new(HostFile::create_new(&path).unwrap());
    create(&file, None, &CreateOptions::new(0)).unwrap();
    let image = open(file.clone(), true);
    image.create_snapshot(&named("s")).unwrap();
    image.set_size(5 << 20).unwrap();
    image.write_at(1 << 20, &[1; 70_000]).unwrap();
    image.flush().unwrap();
    image.create_snapshot(&named("t")).unwrap();
    image.apply_snapshot(SnapshotKey::Name(b"s")).unwrap();
    assert_eq!(image.size(), 0);
    image.apply_snapshot(SnapshotKey::Name(b"t")).unwrap();
    assert_eq!(image.size(), 5 << 20);
    drop(image);
    is_clean(&file);
    drop(file);
    if judge::available() {
        judge::assert_clean(&path);
        judge::qemu_img(&["snapshot", "-a", "s", path.to_str().unwrap()]);
        judge::assert_clean(&path);
    }
}

/// A snapshot whose L1 table leads to the image's own tables, or twice to the same one, is not followed.
#[test]
fn damaged_snapshots_are_refused() {
    let (memory, _) = start(9, 16, 8);
    let snapshot = open(Arc::new(memory.duplicate()), false)
        .snapshots()
        .unwrap()
        .remove(0);
    let header = disksmith_qcow2::Header::load(&memory).unwrap();
    let mut first = [0; 8];
    memory.read_at(snapshot.l1_offset, &mut first).unwrap();
    assert_eq!(snapshot.l1_entries, 3);
    for (what, at, value) in [
        ("a table twice", 8, u64::from_be_bytes(first)),
        ("the refcount table", 0, header.refcount_table_offset),
        ("far away", 0, 1 << 50),
    ] {
        let copy = Arc::new(memory.duplicate());
        copy.write_at(snapshot.l1_offset + at, &value.to_be_bytes())
            .unwrap();
        let image = open(copy.clone(), true);
        let before = all(&*image);
        for apply in [true, false] {
            let key = SnapshotKey::Name(b"first");
            let result = if apply {
                image.apply_snapshot(key)
            } else {
                image.delete_snapshot(key)
            };
            assert!(result.is_err(), "{what}");
            assert!(all(&*image) == before, "{what}");
        }
    }
}
