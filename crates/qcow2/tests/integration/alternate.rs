//! One image that is changed by disksmith and by qemu-io and qemu-img in turns, against a model; qemu-img checks it after
//! each step.

use crate::judge;
use crate::model::{Op, apply, compare, op};
use disksmith_qcow2::{CreateOptions, NewSnapshot, Qcow2, SnapshotKey, create};
use disksmith_storage::{ExtentState, HostFile, Storage, StorageRef};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    /// Writes, zeroes, discards, compressed writes.
    Change(Vec<Op>),
    /// A snapshot is made.
    Snapshot,
    /// One of the snapshots becomes the disk.
    Apply(prop::sample::Index),
    /// One of the snapshots is deleted.
    Delete(prop::sample::Index),
    /// The disk gets another size, so many clusters.
    Resize(u64),
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let step = prop_oneof![
        6 => prop::collection::vec(op(), 1..8).prop_map(Step::Change),
        2 => Just(Step::Snapshot),
        1 => any::<prop::sample::Index>().prop_map(Step::Apply),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        1 => (1..120u64).prop_map(Step::Resize),
    ];
    (any::<bool>(), step)
}

struct Disk {
    path: std::path::PathBuf,
    cluster: u64,
    now: Vec<u8>,
    snapshots: Vec<(String, Vec<u8>)>,
    made: u32,
}

impl Disk {
    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn ours(&mut self, change: impl FnOnce(&Arc<Qcow2>, &mut Self)) {
        let image = judge::open(&self.path, true);
        change(&image, self);
        image.flush().unwrap();
    }

    fn step(&mut self, ours: bool, step: &Step) {
        match step {
            Step::Change(ops) if ours => self.ours(|image, disk| {
                for op in ops {
                    apply(op, &**image, Some(image), &mut disk.now, disk.cluster);
                }
            }),
            Step::Change(ops) => self.change_by_qemu(ops),
            Step::Snapshot => {
                self.made += 1;
                let name = format!("s{}", self.made);
                if ours {
                    let new = NewSnapshot {
                        name: name.clone().into_bytes(),
                        ..NewSnapshot::default()
                    };
                    self.ours(|image, _| drop(image.create_snapshot(&new).unwrap()));
                } else {
                    judge::qemu_img(&["snapshot", "-c", &name, self.text()]);
                }
                self.snapshots.push((name, self.now.clone()));
            }
            Step::Apply(index) | Step::Delete(index) if !self.snapshots.is_empty() => {
                let at = index.index(self.snapshots.len());
                let (name, contents) = self.snapshots[at].clone();
                let key = SnapshotKey::Name(name.as_bytes());
                let delete = matches!(step, Step::Delete(_));
                match (ours, delete) {
                    (true, true) => self.ours(|image, _| drop(image.delete_snapshot(key).unwrap())),
                    (true, false) => self.ours(|image, _| drop(image.apply_snapshot(key).unwrap())),
                    (false, true) => drop(judge::qemu_img(&["snapshot", "-d", &name, self.text()])),
                    (false, false) => drop(judge::qemu_img(&["snapshot", "-a", &name, self.text()])),
                }
                if delete {
                    self.snapshots.remove(at);
                } else {
                    self.now = contents;
                }
            }
            Step::Apply(_) | Step::Delete(_) => {}
            Step::Resize(clusters) => {
                let size = clusters * self.cluster;
                let shrinks = size < self.now.len() as u64;
                if shrinks && !self.snapshots.is_empty() {
                    return;
                }
                if ours {
                    self.ours(|image, _| image.set_size(size).unwrap());
                } else {
                    let size = size.to_string();
                    judge::qemu_img(&["resize", "-q", "--shrink", "-f", "qcow2", self.text(), &size]);
                }
                self.now.resize(size as usize, 0);
            }
        }
    }

    fn change_by_qemu(&mut self, ops: &[Op]) {
        let size = self.now.len() as u64;
        let mut commands = Vec::new();
        let mut discarded = Vec::new();
        for op in ops {
            let place = |at: f64, len: f64| {
                let at = ((size as f64 * at) as u64 / 512 * 512).min(size - 512);
                let len = ((size as f64 * len) as u64)
                    .next_multiple_of(512)
                    .clamp(512, size - at);
                (at as usize, len as usize)
            };
            match *op {
                Op::Write { at, len, byte, .. } => {
                    let (at, len) = place(at, len);
                    commands.push(format!("write -q -P {byte} {at} {len}"));
                    self.now[at..at + len].fill(byte);
                }
                Op::Zero { at, len, keep, .. } => {
                    let (at, len) = place(at, len);
                    let how = if keep { "-z" } else { "-z -u" };
                    commands.push(format!("write -q {how} {at} {len}"));
                    self.now[at..at + len].fill(0);
                }
                Op::Discard { at, len } => {
                    let (at, len) = place(at, len);
                    commands.push(format!("discard -q {at} {len}"));
                    discarded.push((at, len));
                }
                Op::Compressed { at, byte } => {
                    let at = (size as f64 * at) as u64 / self.cluster * self.cluster;
                    let len = self.cluster.min(size - at);
                    judge::qemu_io(&self.path, &std::mem::take(&mut commands));
                    // QEMU compresses into clusters only that are not allocated yet.
                    let extent = judge::open(&self.path, false).extent_at(at, len).unwrap();
                    if len == self.cluster
                        && extent.state == ExtentState::Absent
                        && extent.host.is_none()
                        && extent.len == len
                    {
                        commands.push(format!("write -q -c -P {byte} {at} {len}"));
                        self.now[at as usize..(at + len) as usize].fill(byte);
                    }
                }
                Op::Flush => commands.push("flush".into()),
            }
        }
        judge::qemu_io(&self.path, &commands);
        // What was discarded reads as zeroes or as before; what came later counts anyway.
        let image = judge::open(&self.path, false);
        for (at, len) in discarded {
            let mut now = vec![0; len];
            image.read_at(at as u64, &mut now).unwrap();
            for (is, was) in now.iter().zip(&mut self.now[at..at + len]) {
                assert!(
                    *is == 0 || is == was,
                    "a discarded byte is neither zero nor as before"
                );
                *was = *is;
            }
        }
    }

    fn judged(&self, dir: &Path) {
        judge::assert_clean(&self.path);
        compare(&*judge::open(&self.path, false), &self.now);
        assert!(judge::contents(&self.path, dir) == self.now);
    }
}

fn cases() -> u32 {
    match std::env::var_os("DISKSMITH_LONG") {
        Some(_) => 400,
        None => 6,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn disksmith_and_qemu_change_an_image_in_turns(
        cluster_bits in prop_oneof![Just(9u32), Just(12), Just(16)],
        refcount_order in 4..=6u32,
        wide in any::<bool>(),
        steps in prop::collection::vec(step(), 1..14),
    ) {
        if !judge::available() {
            return Ok(());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.qcow2");
        let size = (40 << cluster_bits) + 512;
        let file: StorageRef = Arc::new(HostFile::create_new(&path).unwrap());
        let options = CreateOptions {
            cluster_bits,
            refcount_bits: 1 << refcount_order,
            extended_l2: wide && cluster_bits == 16,
            ..CreateOptions::new(size)
        };
        create(&file, None, &options).unwrap();
        drop(file);
        let mut disk = Disk {
            path,
            cluster: 1 << cluster_bits,
            now: vec![0; size as usize],
            snapshots: Vec::new(),
            made: 0,
        };
        for (ours, step) in &steps {
            disk.step(*ours, step);
            disk.judged(dir.path());
        }
        // Every snapshot still holds what it held.
        for (name, contents) in disk.snapshots.clone() {
            let raw = dir.path().join("raw");
            let (from, to) = (disk.path.to_str().unwrap(), raw.to_str().unwrap());
            judge::qemu_img(&["convert", "-l", &name, "-O", "raw", from, to]);
            let mut bytes = std::fs::read(&raw).unwrap();
            // qemu-img gives a snapshot the size of the disk.
            let len = bytes.len().min(contents.len());
            bytes.truncate(len);
            prop_assert!(bytes[..] == contents[..len], "{name}");
        }
    }
}
