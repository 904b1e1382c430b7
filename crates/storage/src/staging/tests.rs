use super::*;
use crate::memory::Memory;
use crate::scratch::Scratch;
use crate::storage::{StorageRef, is_zero};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// A shadow that notes what reaches it and has large allocation units.
#[derive(Debug)]
struct Noting {
    inner: Scratch,
    unit: u64,
    writes: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Storage for Noting {
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn name(&self) -> String {
        self.inner.name()
    }
    fn is_writable(&self) -> bool {
        true
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.writes.lock().unwrap().push((offset, buf.len() as u64));
        self.inner.write_at(offset, buf)
    }
    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.inner.write_zeroes(offset, len, mode)
    }
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.inner.discard(offset, len)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn set_size(&self, size: u64) -> Result<()> {
        self.inner.set_size(size)
    }
    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.inner.extent_at(offset, limit)
    }
    fn alignment(&self) -> Alignment {
        Alignment {
            io: 1,
            allocation: self.unit,
        }
    }
}

impl Shadow for Noting {
    fn is_dirty(&self) -> bool {
        self.inner.is_dirty()
    }
    fn prepare(self: Box<Self>) -> Result<Box<dyn crate::Prepared>> {
        Box::new(self.inner).prepare()
    }
    fn abandon(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

type Writes = Arc<Mutex<Vec<(u64, u64)>>>;

fn staging(base: Memory, unit: u64, budget: u64) -> (Staging, Writes) {
    let writes = Writes::default();
    let base: StorageRef = Arc::new(base);
    let noting = Noting {
        inner: Scratch::new(base),
        unit,
        writes: Arc::clone(&writes),
    };
    (Staging::new(Box::new(noting), budget), writes)
}

fn contents(storage: &dyn Storage) -> Vec<u8> {
    crate::read_vec(storage, 0, storage.size() as usize).unwrap()
}

#[test]
fn small_writes_reach_the_shadow_as_whole_units() {
    let (staging, writes) = staging(Memory::from_bytes(&[7; 1 << 20]), 65536, 1 << 20);
    for i in 0..1000 {
        staging.write_at(65536 + (i * 37) % 60000, &[1]).unwrap();
    }
    staging.write_at(300_000, b"abc").unwrap();
    assert!(writes.lock().unwrap().is_empty());
    let expected = contents(&staging);
    let shadow = staging.into_shadow().unwrap();
    assert_eq!(*writes.lock().unwrap(), [(65536, 65536), (262_144, 65536)]);
    assert_eq!(contents(shadow.as_ref()), expected);
}

#[test]
fn memory_stays_within_the_budget() {
    let (staging, writes) = staging(Memory::new(1 << 30), 65536, 1 << 20);
    for i in 0..5000u64 {
        staging
            .write_at((i * 7919 * 4096) % (1 << 30), &[1; 4096])
            .unwrap();
        assert!(staging.memory() <= 2 << 20);
    }
    assert!(!writes.lock().unwrap().is_empty());
    for i in 0..50_000u64 {
        staging.write_zeroes(i * 16384, 4096, ZeroMode::Unmap).unwrap();
        assert!(staging.memory() <= 2 << 20);
    }
}

#[test]
fn a_stream_is_written_once() {
    let (staging, writes) = staging(Memory::new(64 << 20), 65536, 4 << 20);
    for i in 0..(32 << 20) / 10_000 {
        staging.write_at(i * 10_000, &[5; 10_000]).unwrap();
    }
    staging.drain().unwrap();
    let mut seen: Vec<_> = writes.lock().unwrap().clone();
    seen.sort_unstable();
    let total: u64 = seen.iter().map(|(_, len)| len).sum();
    assert!(total <= (32 << 20) + 2 * 65536, "{total}");
    assert!(seen.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
}

#[test]
fn a_huge_zero_range_costs_nothing() {
    let (staging, writes) = staging(Memory::new(1 << 50), 65536, 1 << 20);
    staging.write_at(1 << 49, b"x").unwrap();
    staging
        .write_zeroes(100, (1 << 50) - 100, ZeroMode::Unmap)
        .unwrap();
    staging.discard(0, 1 << 50).unwrap();
    let shadow = staging.into_shadow().unwrap();
    assert!(writes.lock().unwrap().is_empty());
    assert!(is_zero(&crate::read_vec(shadow.as_ref(), 1 << 49, 4096).unwrap()));
}

#[test]
fn tells_what_is_staged() {
    let (staging, _) = staging(Memory::new(1 << 20), 65536, 1 << 20);
    assert!(!staging.is_dirty());
    staging.write_at(8192, &[1; 8192]).unwrap();
    staging.write_zeroes(100_000, 65536, ZeroMode::Keep).unwrap();
    assert!(staging.is_dirty());
    assert_eq!(
        staging.extent_at(8192 + 10, u64::MAX).unwrap(),
        Extent::data(8192 - 10)
    );
    assert_eq!(staging.extent_at(0, u64::MAX).unwrap(), Extent::zero(8192));
    assert!(staging.extent_at(102_400, u64::MAX).unwrap().reads_as_zero());
    assert!(staging.extent_at(1 << 20, 1).is_err());
}

#[test]
fn several_threads_share_it() {
    let (staging, _) = staging(Memory::new(8 << 20), 65536, 1 << 20);
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let staging = &staging;
            scope.spawn(move || {
                for i in 0..200u64 {
                    let at = (u64::from(thread) << 20) + i * 5000;
                    staging.write_at(at, &[thread + 1; 5000]).unwrap();
                    let mut buf = [0; 5000];
                    staging.read_at(at, &mut buf).unwrap();
                    assert_eq!(buf, [thread + 1; 5000]);
                }
            });
        }
    });
    let shadow = staging.into_shadow().unwrap();
    for thread in 0..8u8 {
        let bytes = crate::read_vec(shadow.as_ref(), u64::from(thread) << 20, 1_000_000).unwrap();
        assert!(bytes.iter().all(|b| *b == thread + 1));
    }
}

#[test]
fn copies_within_itself() {
    let (staging, _) = staging(Memory::from_bytes(&[3; 1 << 20]), 4096, 1 << 20);
    staging.write_at(4096, &[4; 4096]).unwrap();
    assert_eq!(staging.copy_range(8192, &staging, 0, 8192).unwrap(), 0);
    crate::storage::copy(&staging, 0, &staging, 65536, 65536, false).unwrap();
    assert_eq!(crate::read_vec(&staging, 65536 + 4095, 2).unwrap(), [3, 4]);
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, usize, u8),
    Zero(usize, usize, bool),
    Discard(usize, usize),
    Resize(usize),
    Drain,
}

fn op() -> impl Strategy<Value = Op> {
    let (at, len) = (0usize..900_000, 0usize..400_000);
    prop_oneof![
        6 => (0usize..900_000, 0usize..20_000, any::<u8>()).prop_map(|(a, l, v)| Op::Write(a, l, v)),
        2 => (at.clone(), len.clone(), any::<u8>()).prop_map(|(a, l, v)| Op::Write(a, l, v)),
        3 => (at.clone(), len.clone(), any::<bool>()).prop_map(|(a, l, k)| Op::Zero(a, l, k)),
        2 => (0usize..900_000, 0usize..9_000, any::<bool>()).prop_map(|(a, l, k)| Op::Zero(a, l, k)),
        2 => (at, len).prop_map(|(a, l)| Op::Discard(a, l)),
        1 => (1usize..1_000_000).prop_map(Op::Resize),
        1 => Just(Op::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_as_an_array(
        ops in proptest::collection::vec(op(), 1..40),
        unit in prop_oneof![Just(512u64), Just(4096), Just(65536), Just(2 << 20)],
        size in 1usize..1_000_000,
    ) {
        let mut model: Vec<u8> = (0..size).map(|i| (i / 4096) as u8 | 1).collect();
        let (staging, _) = staging(Memory::from_bytes(&model), unit, 100_000);
        for op in ops {
            let clip = |at: usize, len: usize| {
                let at = at.min(model.len());
                (at, len.min(model.len() - at))
            };
            match op {
                Op::Write(at, len, value) => {
                    let (at, len) = clip(at, len);
                    staging.write_at(at as u64, &vec![value; len]).unwrap();
                    model[at..at + len].fill(value);
                }
                Op::Zero(at, len, keep) => {
                    let (at, len) = clip(at, len);
                    let mode = if keep { ZeroMode::Keep } else { ZeroMode::Unmap };
                    staging.write_zeroes(at as u64, len as u64, mode).unwrap();
                    model[at..at + len].fill(0);
                }
                Op::Discard(at, len) => {
                    let (at, len) = clip(at, len);
                    staging.discard(at as u64, len as u64).unwrap();
                    // Each byte is zero or as before; which, only a look tells.
                    let now = contents(&staging);
                    for i in 0..model.len() {
                        let discarded = (at..at + len).contains(&i);
                        prop_assert!(now[i] == model[i] || discarded && now[i] == 0, "{}", i);
                    }
                    // To have one truth from here on (a spill may turn "as before" into zero), settle it.
                    staging.drain().unwrap();
                    let settled = contents(&staging);
                    for i in 0..model.len() {
                        let discarded = (at..at + len).contains(&i);
                        prop_assert!(settled[i] == now[i] || discarded && settled[i] == 0, "{}", i);
                    }
                    model = settled;
                }
                Op::Resize(size) => {
                    staging.set_size(size as u64).unwrap();
                    model.resize(size, 0);
                }
                Op::Drain => staging.drain().unwrap(),
            }
            let now = contents(&staging);
            prop_assert!(now == model);
        }
        let mut at = 0;
        while at < model.len() {
            let extent = staging.extent_at(at as u64, u64::MAX).unwrap();
            let end = at + extent.len as usize;
            prop_assert!(!extent.reads_as_zero() || is_zero(&model[at..end]));
            at = end;
        }
        let shadow = staging.into_shadow().unwrap();
        let now = contents(shadow.as_ref());
        prop_assert!(now == model);
    }
}
