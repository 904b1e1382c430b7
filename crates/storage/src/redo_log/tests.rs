use super::header::LogState;
use super::log_file::LogFile;
use super::recovery::{read_header, recover_with};
use super::shadow::{Image, LogSource};
use super::*;
use crate::testing::{Failure, Faulty, Journal, Operation, Plan, Random, Recorder};
use crate::{
    Error, FileId, HostFile, LockMode, Memory, OpenMode, Shadow, Staging, Storage, StorageRef, ZeroMode,
    read_vec,
};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const ID: FileId = FileId { device: 1, inode: 2 };

fn contents(storage: &dyn Storage) -> Vec<u8> {
    read_vec(storage, 0, storage.size() as usize).unwrap()
}

fn shadow_over(image: StorageRef, log: StorageRef) -> Box<RawShadow> {
    let size = image.size();
    Box::new(RawShadow::assemble(Image {
        storage: image,
        file: None,
        id: ID,
        size,
        log: LogSource::Given(log),
    }))
}

/// An image with data, zeroes and holes.
fn image(size: usize) -> Memory {
    let mut random = Random::new(size as u64);
    let mut bytes = vec![0; size];
    for chunk in bytes.chunks_mut(20_000) {
        if !random.one_in(3) {
            random.fill(chunk);
        }
    }
    Memory::from_bytes(&bytes)
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, usize, u64),
    Zero(usize, usize, bool),
    Discard(usize, usize),
    Resize(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..600_000, 0usize..30_000, any::<u64>()).prop_map(|(a, l, s)| Op::Write(a, l, s)),
        3 => (0usize..600_000, 0usize..100_000, any::<bool>()).prop_map(|(a, l, k)| Op::Zero(a, l, k)),
        1 => (0usize..600_000, 0usize..100_000).prop_map(|(a, l)| Op::Discard(a, l)),
        1 => (1usize..600_000).prop_map(Op::Resize),
    ]
}

/// Does the operations to a storage and to a plain array.
fn perform(ops: &[Op], storage: &dyn Storage, model: &mut Vec<u8>) {
    for op in ops {
        let clip = |at: usize, len: usize| {
            let at = at.min(model.len());
            (at, len.min(model.len() - at))
        };
        match *op {
            Op::Write(at, len, seed) => {
                let (at, len) = clip(at, len);
                let mut bytes = vec![0; len];
                // One in four writes what is there already, or zeroes.
                match seed % 8 {
                    0 => bytes.copy_from_slice(&model[at..at + len]),
                    1 => {}
                    _ => Random::new(seed).fill(&mut bytes),
                }
                storage.write_at(at as u64, &bytes).unwrap();
                model[at..at + len].copy_from_slice(&bytes);
            }
            Op::Zero(at, len, keep) => {
                let (at, len) = clip(at, len);
                let mode = if keep { ZeroMode::Keep } else { ZeroMode::Unmap };
                storage.write_zeroes(at as u64, len as u64, mode).unwrap();
                model[at..at + len].fill(0);
            }
            Op::Discard(at, len) => {
                let (at, len) = clip(at, len);
                storage.discard(at as u64, len as u64).unwrap();
                let now = contents(storage);
                for i in at..at + len {
                    assert!(now[i] == model[i] || now[i] == 0);
                }
                model[at..at + len].copy_from_slice(&now[at..at + len]);
            }
            Op::Resize(size) => {
                storage.set_size(size as u64).unwrap();
                model.resize(size, 0);
            }
        }
        assert!(contents(storage) == *model, "after {op:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_as_an_array(ops in proptest::collection::vec(op(), 1..25), size in 1usize..600_000) {
        let image = Arc::new(image(size));
        let before = image.to_vec();
        let mut model = before.clone();
        let shadow = shadow_over(image.clone(), Arc::new(Memory::new(0)));
        perform(&ops, shadow.as_ref(), &mut model);
        let mut at = 0;
        while at < model.len() {
            let extent = shadow.extent_at(at as u64, u64::MAX).unwrap();
            let end = at + extent.len as usize;
            prop_assert!(!extent.reads_as_zero() || crate::is_zero(&model[at..end]));
            at = end;
        }
        prop_assert!(image.to_vec() == before);
        let prepared = shadow.prepare().unwrap();
        prop_assert!(image.to_vec() == before);
        prepared.switch().unwrap();
        prop_assert!(image.to_vec() == model);
    }

    #[test]
    fn a_power_cut_leaves_old_or_new(
        ops in proptest::collection::vec(op(), 1..8),
        size in 1usize..200_000,
        seed in any::<u64>(),
    ) {
        let (states, _) = cut_power(&ops, size, 60, seed, 2);
        prop_assert!(states > 0);
    }
}

/// Commits a change, cuts the power everywhere, and recovers. Returns how many states were tried, and how many of
/// them became the new state.
fn cut_power(ops: &[Op], size: usize, random: u64, seed: u64, nested: u64) -> (u64, u64) {
    let old = image(size);
    let before = old.to_vec();
    let journal = Journal::new();
    let image: StorageRef = Arc::new(Recorder::new(Arc::new(old), &journal));
    let log: StorageRef = Arc::new(Recorder::new(Arc::new(Memory::new(0)), &journal));
    let mut after = before.clone();
    let shadow = shadow_over(image.clone(), log);
    perform(ops, shadow.as_ref(), &mut after);
    let prepared = shadow.prepare().unwrap();
    journal.mark("prepared");
    prepared.switch().unwrap();
    journal.mark("switched");
    let now = contents(image.as_ref());
    let differs = now.iter().zip(&after).position(|(a, b)| a != b);
    assert!(now == after, "{} bytes, first different {differs:?}", now.len());
    let (mut states, mut new) = (0, 0);
    for state in journal.crash_states(random, seed) {
        let became_new = recover_state(&state, &before, &after);
        assert!(
            became_new || !state.passed("switched") || before == after,
            "{state}: a change was lost"
        );
        assert!(
            !became_new || state.passed("prepared") || before == after,
            "{state}: not sealed yet"
        );
        states += 1;
        new += u64::from(became_new);
        // The power goes again while it recovers.
        if nested > 0 && became_new && before != after && states % 50 == 0 {
            let journal = Journal::new();
            let image: StorageRef = Arc::new(Recorder::new(state.storage(0), &journal));
            let log: StorageRef = Arc::new(Recorder::new(state.storage(1), &journal));
            recover_with(image.as_ref(), None, ID, LogFile::over(log, true)).unwrap();
            for again in journal.crash_states(nested, seed) {
                assert!(recover_state(&again, &before, &after), "{state}, then {again}");
                states += 1;
            }
        }
    }
    (states, new)
}

/// Recovers a state and judges it; returns whether it is the new one.
fn recover_state(state: &crate::testing::CrashState, before: &[u8], after: &[u8]) -> bool {
    let (image, log) = (state.storage(0), state.storage(1));
    let result = recover_with(image.as_ref(), None, ID, LogFile::over(log.clone(), true));
    let recovery = result.unwrap_or_else(|error| panic!("{state}: {error}"));
    let now = image.to_vec();
    assert!(
        now == before || now == after,
        "{state}: {recovery:?}: neither old nor new"
    );
    assert_eq!(log.size(), 0);
    now == after
}

#[test]
fn thousands_of_power_cuts_leave_old_or_new() {
    let mut ops = Vec::new();
    let mut random = Random::new(5);
    for _ in 0..30 {
        let (at, len) = (random.below(150_000) as usize, random.below(9_000) as usize);
        ops.push(match random.below(6) {
            0 => Op::Zero(at, len * 3, random.one_in(2)),
            1 => Op::Discard(at, len * 3),
            _ => Op::Write(at, len, random.number()),
        });
    }
    ops.push(Op::Resize(90_001));
    ops.push(Op::Resize(140_777));
    ops.push(Op::Write(110_000, 9_000, 77));
    let count = if std::env::var_os("DISKSMITH_LONG").is_some() {
        100_000
    } else {
        4000
    };
    let (states, new) = cut_power(&ops, 150_000, count, 11, 20);
    assert!(states > count);
    assert!(new > count / 20 && new < states);
}

#[test]
fn what_lay_beyond_both_sizes_does_not_count() {
    let ops = [
        Op::Resize(174_995),
        Op::Write(119_805, 27_652, 407),
        Op::Resize(1),
    ];
    cut_power(&ops, 1, 200, 3, 2);
}

#[test]
fn the_recorder_would_notice_a_missing_flush() {
    // The same commit with a log that swallows flushes must be seen to break.
    #[derive(Debug)]
    struct Unflushed(StorageRef);
    impl Storage for Unflushed {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn name(&self) -> String {
            self.0.name()
        }
        fn is_writable(&self) -> bool {
            true
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> crate::Result<()> {
            self.0.read_at(offset, buf)
        }
        fn write_at(&self, offset: u64, buf: &[u8]) -> crate::Result<()> {
            self.0.write_at(offset, buf)
        }
        fn flush(&self) -> crate::Result<()> {
            Ok(())
        }
        fn set_size(&self, size: u64) -> crate::Result<()> {
            self.0.set_size(size)
        }
    }
    let old = image(100_000);
    let journal = Journal::new();
    let image: StorageRef = Arc::new(Recorder::new(Arc::new(old.duplicate()), &journal));
    let log: StorageRef = Arc::new(Recorder::new(Arc::new(Memory::new(0)), &journal));
    let shadow = shadow_over(image.clone(), Arc::new(Unflushed(log)));
    shadow.write_at(10_000, &[9; 30_000]).unwrap();
    shadow.prepare().unwrap().switch().unwrap();
    let after = contents(image.as_ref());
    let broken = journal.crash_states(500, 1).any(|state| {
        let image = state.storage(0);
        let recovered = recover_with(image.as_ref(), None, ID, LogFile::over(state.storage(1), true));
        recovered.is_err() || ![old.to_vec(), after.clone()].contains(&image.to_vec())
    });
    assert!(broken);
}

#[test]
fn a_failure_anywhere_leaves_old_or_new() {
    for on_image in [true, false] {
        for failure in [Failure::Io, Failure::NoSpace] {
            for lasting in [true, false] {
                let mut nth = 0;
                loop {
                    let plan = Plan {
                        operation: Operation::Change,
                        nth,
                        failure,
                        lasting,
                    };
                    let old = image(100_000);
                    let (image, log) = (Arc::new(old.duplicate()), Arc::new(Memory::new(0)));
                    let wrapped: StorageRef = if on_image { image.clone() } else { log.clone() };
                    let faulty = Arc::new(Faulty::new(wrapped, plan));
                    let (over, beside): (StorageRef, StorageRef) = if on_image {
                        (faulty.clone(), log.clone())
                    } else {
                        (image.clone(), faulty.clone())
                    };
                    let shadow = shadow_over(over, beside);
                    let change = |storage: &dyn Storage| {
                        storage.write_at(5_000, &[9; 30_000])?;
                        storage.write_zeroes(60_000, 20_000, ZeroMode::Unmap)
                    };
                    let mut expected = old.duplicate();
                    change(&expected).unwrap();
                    let result = change(shadow.as_ref())
                        .and_then(|()| shadow.prepare())
                        .and_then(crate::Prepared::switch);
                    let triggered = faulty.triggered();
                    assert_eq!(result.is_err(), triggered);
                    if !matches!(result, Ok(()) | Err(Error::Interrupted { .. })) {
                        assert_eq!(image.to_vec(), old.to_vec());
                    }
                    let recovered = recover_with(image.as_ref(), None, ID, LogFile::over(log, true));
                    let now = image.to_vec();
                    if let Err(error) = recovered {
                        // A header that is half written and cannot be removed: only a failing disk does that.
                        assert!(
                            !on_image && failure == Failure::Io && matches!(error, Error::LogDamaged { .. })
                        );
                        assert_eq!(now, old.to_vec());
                        nth += 1;
                        continue;
                    }
                    if matches!(result, Ok(()) | Err(Error::Interrupted { .. })) {
                        assert!(
                            now == expected.to_vec() || result.is_err() && !on_image && now == old.to_vec()
                        );
                    } else {
                        assert_eq!(now, old.to_vec());
                    }
                    expected = old;
                    drop(expected);
                    if !triggered {
                        break;
                    }
                    nth += 1;
                }
                assert!(nth > 3, "{nth}");
            }
        }
    }
}

/// A sealed log and the image it was made for, not applied.
fn sealed() -> (Memory, Arc<Memory>, Vec<u8>) {
    let old = image(100_000);
    let (image, log) = (Arc::new(old.duplicate()), Arc::new(Memory::new(0)));
    let plan = Plan {
        operation: Operation::Write,
        nth: 0,
        failure: Failure::Io,
        lasting: true,
    };
    let faulty: StorageRef = Arc::new(Faulty::new(image, plan));
    let shadow = shadow_over(faulty, log.clone());
    shadow.write_at(5_000, &[9; 30_000]).unwrap();
    shadow.write_zeroes(60_000, 20_000, ZeroMode::Unmap).unwrap();
    let after = contents(shadow.as_ref());
    let error = shadow.prepare().unwrap().switch().unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert_eq!(
        read_header(log.as_ref(), Path::new("log"))
            .unwrap()
            .unwrap()
            .state,
        LogState::Sealed
    );
    (old, log, after)
}

#[test]
fn an_image_that_was_written_to_is_left_alone() {
    let (image, log, after) = sealed();
    // Where the change does not reach, writing does no harm.
    let untouched = image.duplicate();
    untouched.write_at(99_000, &[1]).unwrap();
    recover_with(
        &untouched,
        None,
        ID,
        LogFile::over(Arc::new(log.duplicate()), true),
    )
    .unwrap();
    assert_eq!(untouched.to_vec()[..99_000], after[..99_000]);
    for offset in [5_000, 34_999, 61_440] {
        let foreign = image.duplicate();
        foreign.write_at(offset, &[0x55]).unwrap();
        if foreign.to_vec() == image.to_vec() {
            continue;
        }
        let before = foreign.to_vec();
        let log = Arc::new(log.duplicate());
        let error = recover_with(&foreign, None, ID, LogFile::over(log.clone(), true)).unwrap_err();
        assert!(
            matches!(error, Error::ChangedSince { offset: at, .. } if at == offset / 512 * 512),
            "{error}"
        );
        assert_eq!(foreign.to_vec(), before);
        assert!(log.size() > 0);
    }
    let longer = image.duplicate();
    longer.set_size(100_001).unwrap();
    assert!(recover_with(&longer, None, ID, LogFile::over(Arc::new(log.duplicate()), true)).is_err());
    let other = FileId { device: 1, inode: 3 };
    let error = recover_with(&image, None, other, LogFile::over(log, true)).unwrap_err();
    assert!(matches!(error, Error::LogOfAnotherFile { .. }));
}

#[test]
fn a_damaged_log_is_never_applied() {
    let (image, log, _) = sealed();
    let before = image.to_vec();
    let length = read_header(log.as_ref(), Path::new("log"))
        .unwrap()
        .unwrap()
        .length;
    let mut random = Random::new(1);
    for i in 0..600 {
        let at = if i < 512 {
            i
        } else {
            PAGE + random.below(length - PAGE)
        };
        let damaged = log.duplicate();
        let mut byte = [0];
        damaged.read_at(at, &mut byte).unwrap();
        damaged.write_at(at, &[byte[0] ^ 0x40]).unwrap();
        let target = image.duplicate();
        assert!(
            recover_with(&target, None, ID, LogFile::over(Arc::new(damaged), true)).is_err(),
            "{at}"
        );
        assert_eq!(target.to_vec(), before);
    }
    let short = log.duplicate();
    short.set_size(length - 1).unwrap();
    assert!(recover_with(&image, None, ID, LogFile::over(Arc::new(short), true)).is_err());
}

struct Raw {
    directory: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Raw {
    fn new(size: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        let file = HostFile::create_new(&path).unwrap();
        file.set_size(size).unwrap();
        file.write_at(0, &[1; 10_000]).unwrap();
        Self { directory, path }
    }

    fn shadow(&self) -> Box<RawShadow> {
        let file = Arc::new(open_for_change(&self.path, None).unwrap());
        Box::new(RawShadow::new(file, None).unwrap())
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.directory.path()).unwrap().count()
    }

    fn log(&self) -> std::path::PathBuf {
        self.directory.path().join(".disk.raw.disksmith-log")
    }
}

#[test]
fn commits_to_a_file() {
    let raw = Raw::new(1 << 30);
    let staging = Staging::new(raw.shadow(), Staging::DEFAULT_BUDGET);
    assert_eq!(raw.files(), 1);
    staging.write_at(5, b"hello").unwrap();
    staging.write_at(1 << 29, &[7; 100_000]).unwrap();
    let prepared = staging.into_shadow().unwrap().prepare().unwrap();
    assert_eq!(raw.files(), 2);
    assert_eq!(std::fs::read(&raw.path).unwrap()[5], 1);
    let file = HostFile::open(&raw.path, OpenMode::Read, LockMode::None).unwrap();
    // Space was taken for what is to be written.
    assert!(file.allocated().unwrap() >= 112_000);
    prepared.switch().unwrap();
    assert_eq!(raw.files(), 1);
    assert_eq!(read_vec(&file, 5, 5).unwrap(), b"hello");
    assert_eq!(read_vec(&file, (1 << 29) + 99_999, 2).unwrap(), [7, 0]);
    assert!(file.allocated().unwrap() < 300_000);
}

#[test]
fn giving_up_leaves_nothing() {
    let raw = Raw::new(1 << 20);
    let allocated = || {
        HostFile::open(&raw.path, OpenMode::Read, LockMode::None)
            .unwrap()
            .allocated()
            .unwrap()
    };
    let before = allocated();
    let shadow = raw.shadow();
    shadow.write_at(500_000, &[7; 100_000]).unwrap();
    assert_eq!(raw.files(), 2);
    shadow.abandon().unwrap();
    assert_eq!((raw.files(), allocated()), (1, before));
    let shadow = raw.shadow();
    shadow.set_size(2 << 20).unwrap();
    shadow.write_at(500_000, &[7; 1_000_000]).unwrap();
    shadow.prepare().unwrap().abandon().unwrap();
    assert_eq!((raw.files(), allocated()), (1, before));
    let unchanged = raw.shadow();
    unchanged.write_at(0, &[1; 10_000]).unwrap();
    assert!(!unchanged.is_dirty());
    unchanged.prepare().unwrap().switch().unwrap();
    assert_eq!(raw.files(), 1);
}

#[test]
fn the_next_opening_completes_what_was_sealed() {
    let raw = Raw::new(1 << 20);
    let shadow = raw.shadow();
    shadow.write_at(4096, &[9; 8192]).unwrap();
    let prepared = shadow.prepare().unwrap();
    // As after a kill between the seal and the first write to the image.
    let mut log = std::fs::read(raw.log()).unwrap();
    drop(prepared);
    std::fs::write(raw.log(), &log).unwrap();
    let reader = Arc::new(HostFile::open(&raw.path, OpenMode::Read, LockMode::Lock).unwrap());
    assert!(pending_log(&reader, None).unwrap().is_none());
    let mut header = super::header::LogHeader::parse(log[..512].try_into().unwrap(), &raw.log())
        .unwrap()
        .unwrap();
    header.state = LogState::Sealed;
    log[..512].copy_from_slice(&header.encode());
    std::fs::write(raw.log(), &log).unwrap();
    // A reader is told, and can see the new state.
    let pending = pending_log(&reader, None).unwrap().unwrap();
    assert!(matches!(pending.refusal(&raw.path), Error::Pending { .. }));
    let view = pending.view(reader.clone()).unwrap();
    assert_eq!(read_vec(&view, 4095, 3).unwrap(), [1, 9, 9]);
    assert_eq!(read_vec(reader.as_ref(), 4095, 3).unwrap(), [1, 1, 1]);
    assert!(view.write_at(0, &[1]).is_err());
    drop((view, reader));
    assert_eq!(recover(&raw.path, None).unwrap(), Recovery::Completed);
    assert_eq!(recover(&raw.path, None).unwrap(), Recovery::Nothing);
    assert_eq!(std::fs::read(&raw.path).unwrap()[4096..12_288], [9; 8192]);
    assert_eq!(raw.files(), 1);
}

#[test]
fn a_log_can_lie_elsewhere() {
    let raw = Raw::new(1 << 20);
    let logs = tempfile::tempdir().unwrap();
    let file = Arc::new(open_for_change(&raw.path, Some(logs.path())).unwrap());
    let shadow = Box::new(RawShadow::new(file.clone(), Some(logs.path())).unwrap());
    shadow.write_at(0, &[5; 4096]).unwrap();
    assert_eq!(
        (raw.files(), std::fs::read_dir(logs.path()).unwrap().count()),
        (1, 1)
    );
    shadow.prepare().unwrap().switch().unwrap();
    assert_eq!(std::fs::read_dir(logs.path()).unwrap().count(), 0);
    let nowhere = raw.directory.path().join("absent");
    let shadow = RawShadow::new(file, Some(&nowhere)).unwrap();
    let error = shadow.write_at(0, &[6; 4096]).unwrap_err();
    assert!(matches!(error, Error::NoPlaceForLog { .. }), "{error}");
    assert!(crate::Diagnose::hint(&error).unwrap().contains("--log-dir"));
}

/// An image of which half a change was carried over when the power went, as `carry` leaves it: with the log in `logs`.
fn half_changed(raw: &Raw, logs: Option<&Path>) -> std::path::PathBuf {
    let file = Arc::new(open_for_change(&raw.path, logs).unwrap());
    let shadow = Box::new(RawShadow::new(file.clone(), logs).unwrap());
    shadow.write_at(4096, &[9; 8192]).unwrap();
    let log_path = super::place::log_path(&raw.path, file.id(), logs).unwrap();
    let prepared = shadow.prepare().unwrap();
    let mut log = std::fs::read(&log_path).unwrap();
    drop(prepared);
    let mut header = super::header::LogHeader::parse(log[..512].try_into().unwrap(), &log_path)
        .unwrap()
        .unwrap();
    header.state = LogState::Sealed;
    log[..512].copy_from_slice(&header.encode());
    std::fs::write(&log_path, &log).unwrap();
    super::mark::set(&file, &log_path).unwrap();
    file.write_at(4096, &[9; 4096]).unwrap();
    log_path
}

#[test]
fn a_moved_image_leads_to_its_log() {
    let raw = Raw::new(1 << 20);
    half_changed(&raw, None);
    let moved = tempfile::tempdir_in(raw.directory.path()).unwrap();
    let moved = moved.path().join("other.raw");
    std::fs::rename(&raw.path, &moved).unwrap();
    let reader = HostFile::open(&moved, OpenMode::Read, LockMode::Lock).unwrap();
    assert!(pending_log(&reader, None).unwrap().is_some());
    drop(reader);
    drop(open_for_change(&moved, None).unwrap());
    assert_eq!(std::fs::read(&moved).unwrap()[4096..12_288], [9; 8192]);
    assert!(!raw.log().exists());
    assert_eq!(recover(&moved, None).unwrap(), Recovery::Nothing);
}

#[test]
fn a_log_elsewhere_is_found_by_who_does_not_name_its_folder() {
    let raw = Raw::new(1 << 20);
    let logs = tempfile::tempdir().unwrap();
    let log = half_changed(&raw, Some(logs.path()));
    assert_eq!(recover(&raw.path, None).unwrap(), Recovery::Completed);
    assert_eq!(std::fs::read(&raw.path).unwrap()[4096..12_288], [9; 8192]);
    assert!(!log.exists());
}

#[test]
fn half_a_change_without_its_log_is_told() {
    let raw = Raw::new(1 << 20);
    let log = half_changed(&raw, None);
    std::fs::remove_file(log).unwrap();
    let reader = HostFile::open(&raw.path, OpenMode::Read, LockMode::None).unwrap();
    for error in [
        pending_log(&reader, None).unwrap_err(),
        recover(&raw.path, None).unwrap_err(),
        open_for_change(&raw.path, None).unwrap_err(),
    ] {
        assert!(matches!(error, Error::LogMissing { .. }), "{error}");
        assert!(crate::Diagnose::hint(&error).unwrap().contains("setfattr -x"));
    }
}

#[test]
fn a_log_is_for_the_owner_of_the_image_alone() {
    use std::os::unix::fs::MetadataExt;
    let raw = Raw::new(1 << 20);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&raw.path, Some(1234), Some(1234)).unwrap();
    }
    let owner = raw.path.metadata().unwrap().uid();
    let shadow = raw.shadow();
    shadow.write_at(0, &[5; 4096]).unwrap();
    let log = raw.log().metadata().unwrap();
    assert_eq!((log.mode() & 0o777, log.uid()), (0o600, owner));
}

#[test]
fn a_log_of_somebody_else_is_not_applied() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let raw = Raw::new(1 << 20);
    let log = half_changed(&raw, None);
    std::os::unix::fs::chown(&log, Some(1234), None).unwrap();
    let before = std::fs::read(&raw.path).unwrap();
    assert!(matches!(recover(&raw.path, None), Err(Error::LogDamaged { .. })));
    assert_eq!(std::fs::read(&raw.path).unwrap(), before);
    std::os::unix::fs::chown(&log, Some(0), None).unwrap();
    assert_eq!(recover(&raw.path, None).unwrap(), Recovery::Completed);
}
