//! Repairs that are cut off: whatever of one reached the file, the image is no worse than it was.

use crate::judge;
use disksmith_qcow2::{OpenOptions, Qcow2, Repair, check};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, Storage, StorageRef};
use std::path::Path;
use std::sync::Arc;

/// An image of 64 clusters with two snapshots; its header, refcount table, refcount block and L1 table are its first
/// four clusters.
fn sound(dir: &Path) -> Vec<u8> {
    let path = dir.join("x.qcow2");
    let text = path.to_str().unwrap();
    judge::qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        "cluster_size=4k",
        text,
        "256k",
    ]);
    let write = |at: u64, byte: u8| format!("write -q -P {byte} {at}k 32k");
    judge::qemu_io(&path, &[write(0, 1), write(64, 2)]);
    judge::qemu_img(&["snapshot", "-c", "one", text]);
    judge::qemu_io(&path, &[write(16, 3), write(128, 4)]);
    judge::qemu_img(&["snapshot", "-c", "two", text]);
    judge::qemu_io(&path, &[write(64, 5)]);
    std::fs::read(&path).unwrap()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Bytes that are overwritten: where, and with what.
type Damage = Vec<(usize, Vec<u8>)>;

fn damages(bytes: &[u8]) -> Vec<(&'static str, Damage)> {
    let refcounts = word(bytes, word(bytes, 48) as usize) as usize;
    let l1 = word(bytes, 40) as usize;
    let l2 = (word(bytes, l1) & 0x00ff_ffff_ffff_fe00) as usize;
    let snapshots = word(bytes, 64) as usize;
    let data = ((word(bytes, l2) & 0x00ff_ffff_ffff_fe00) >> 12) as usize;
    let count = |cluster: usize, count: u16| (refcounts + cluster * 2, count.to_be_bytes().to_vec());
    vec![
        ("leaks", vec![count(200, 1), count(201, 7), count(data, 9)]),
        ("too low", vec![count(data, 1), count(data + 1, 1)]),
        ("free", vec![count(data, 0), count(3, 0)]),
        (
            "flags",
            vec![(l1, vec![0]), (l2, vec![0x80]), (l2 + 8, vec![0x80])],
        ),
        ("no block", vec![(word(bytes, 48) as usize, vec![0; 8])]),
        ("reserved", vec![(word(bytes, 48) as usize + 7, vec![1])]),
        (
            "snapshot table",
            vec![(snapshots + 36, vec![0; 4]), count(data, 1)],
        ),
        ("dirty", vec![(79, vec![3]), count(data, 1), count(202, 1)]),
    ]
}

fn contents(file: StorageRef) -> Vec<u8> {
    let image = Qcow2::open(file, OpenOptions::default()).unwrap();
    let mut bytes = vec![0; image.size() as usize];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_power_cut_during_a_repair_leaves_the_image_no_worse() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = sound(dir.path());
    let path = dir.path().join("cut.qcow2");
    let states = if std::env::var_os("DISKSMITH_LONG").is_some() {
        3000
    } else {
        120
    };
    for (what, damage) in damages(&bytes) {
        let mut bytes = bytes.clone();
        for (at, new) in damage {
            bytes[at..at + new.len()].copy_from_slice(&new);
        }
        for repair in [Repair::Leaks, Repair::All] {
            let whole: StorageRef = Arc::new(Memory::from_bytes(&bytes));
            let before = check(&whole, Repair::None).unwrap();
            let guest = contents(whole);
            let journal = Journal::new();
            let memory: StorageRef = Arc::new(Memory::from_bytes(&bytes));
            let recorder: StorageRef = Arc::new(Recorder::new(memory, &journal));
            let done = check(&recorder, repair).unwrap();
            // A check that came to no end says nothing.
            let left = done.stopped.map_or(done.corruptions, |_| before.corruptions);
            assert!(!before.is_clean() || what == "snapshot table", "{what}");
            for (number, state) in journal.crash_states(states, 7).enumerate() {
                let file: StorageRef = state.storage(0);
                let now = check(&file, Repair::None).unwrap();
                assert!(
                    now.corruptions <= before.corruptions && now.check_errors <= before.check_errors,
                    "{what} {repair:?} {state}: {before:?} became {now:?}"
                );
                assert!(contents(file.clone()) == guest, "{what} {repair:?} {state}");
                // A second repair does what the first one did not come to.
                check(&file, repair).unwrap();
                let again = check(&file, Repair::None).unwrap();
                assert!(again.corruptions <= left, "{what} {repair:?} {state}: {again:?}");
                if number == 0 && repair == Repair::All {
                    let mut bytes = vec![0; file.size() as usize];
                    file.read_at(0, &mut bytes).unwrap();
                    std::fs::write(&path, bytes).unwrap();
                    judge::assert_clean(&path);
                }
            }
        }
    }
}
