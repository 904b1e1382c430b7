//! Changing the form of an image: its contents stay, qemu-img agrees, and a power cut leaves one form or the other.

use crate::judge;
use crate::model::{apply, op};
use disksmith_qcow2::{
    AmendOptions, AmendRefusal, CreateOptions, Error, Header, NewBitmap, NewSnapshot, OpenOptions, Qcow2,
    Repair, SnapshotKey, check, create,
};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, Storage, StorageRef, ZeroMode};
use proptest::prelude::*;
use std::sync::Arc;

fn open(file: StorageRef, writable: bool, backing: Option<StorageRef>) -> Arc<Qcow2> {
    let options = OpenOptions {
        writable,
        backing,
        ..OpenOptions::default()
    };
    Arc::new(Qcow2::open(file, options).unwrap())
}

fn all(disk: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The disk, and the disk as each snapshot has it.
fn contents(file: &Memory, backing: Option<&StorageRef>) -> Vec<Vec<u8>> {
    let image = open(Arc::new(file.duplicate()), false, backing.cloned());
    let mut found = vec![all(&*image)];
    for snapshot in image.snapshots().unwrap() {
        found.push(all(&image.snapshot_view(SnapshotKey::Id(&snapshot.id)).unwrap()));
    }
    found
}

/// Which of the disks differ, and from where on.
fn difference(a: &[Vec<u8>], b: &[Vec<u8>]) -> Option<String> {
    (a.len() != b.len())
        .then(|| format!("{} {}", a.len(), b.len()))
        .or_else(|| {
            a.iter()
                .zip(b)
                .enumerate()
                .find(|(_, (a, b))| a != b)
                .map(|(i, (a, b))| {
                    let at = a.iter().zip(b).position(|(a, b)| a != b);
                    format!("disk {i}: {} and {} bytes, {at:?}", a.len(), b.len())
                })
        })
}

fn snapshot(image: &Arc<Qcow2>, name: &str) {
    let new = NewSnapshot {
        name: name.into(),
        ..NewSnapshot::default()
    };
    image.create_snapshot(&new).unwrap();
}

fn options() -> impl Strategy<Value = AmendOptions> {
    let bits = prop::option::of((0u32..7).prop_map(|order| 1u64 << order));
    (
        prop::option::of(2u32..4),
        bits,
        prop::option::of(any::<bool>()),
        prop::option::of((1u64..120).prop_map(|sectors| sectors * 512)),
    )
        .prop_map(|(version, refcount_bits, lazy_refcounts, size)| AmendOptions {
            version,
            refcount_bits,
            lazy_refcounts,
            size,
            ..AmendOptions::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("DISKSMITH_LONG").is_some() { 300 } else { 12 }, ..ProptestConfig::default() })]

    #[test]
    fn amended_images_hold_what_they_held(
        cluster_bits in prop_oneof![Just(9u32), Just(12)],
        backed in any::<bool>(),
        parts in prop::collection::vec(prop::collection::vec(op(), 1..8), 1..4),
        amendments in prop::collection::vec(options(), 1..4),
        seed in any::<u64>(),
    ) {
        let size = (40 << cluster_bits) + 512;
        let backing: Option<StorageRef> = backed.then(|| Arc::new(Memory::from_bytes(&vec![0x77; size as usize])) as StorageRef);
        let memory: Arc<Memory> = Arc::new(Memory::new(0));
        create(&(memory.clone() as StorageRef), None, &CreateOptions { cluster_bits, ..CreateOptions::new(size) }).unwrap();
        {
            let image = open(memory.clone(), true, backing.clone());
            let mut model = all(&*image);
            for (i, ops) in parts.iter().enumerate() {
                if i > 0 {
                    snapshot(&image, &format!("s{i}"));
                }
                for op in ops {
                    apply(op, &*image, Some(&image), &mut model, 1 << cluster_bits);
                }
                image.write_zeroes((i as u64 * 7) << cluster_bits, 3 << cluster_bits, ZeroMode::Keep).unwrap();
                image.flush().unwrap();
            }
        }
        let mut memory = memory;
        for options in amendments {
            let before = contents(&memory, backing.as_ref());
            let old = Header::load(&*memory).unwrap();
            let journal = Journal::new();
            let recorder: StorageRef = Arc::new(Recorder::new(memory.clone(), &journal));
            let image = open(recorder, true, backing.clone());
            let result = image.amend(&options);
            drop(image);
            let mut expected = before.clone();
            if let (Ok(()), Some(size)) = (&result, options.size) {
                // Neither what was cut off nor what the backing file has there shows where the disk grew.
                expected[0].resize(size as usize, 0);
            }
            if result.is_err() {
                prop_assert_eq!(difference(&contents(&memory, backing.as_ref()), &before), None, "{:?}", options);
            } else {
                prop_assert_eq!(difference(&contents(&memory, backing.as_ref()), &expected), None, "{:?} {:?}", old, options);
                let new = Header::load(&*memory).unwrap();
                prop_assert_eq!(new.version, options.version.unwrap_or(old.version));
                let bits = options.refcount_bits.unwrap_or(1 << old.geometry.refcount_order);
                prop_assert_eq!(1u64 << new.geometry.refcount_order, bits);
            }
            let report = check(&(memory.clone() as StorageRef), Repair::None).unwrap();
            prop_assert!(report.is_clean(), "{:?}: {:?}", options, report);
            for state in journal.crash_states(12, seed) {
                let file = state.storage(0);
                let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
                prop_assert!(report.is_clean(), "{options:?} {state}: {:?}", report);
                let now = contents(&file, backing.as_ref());
                prop_assert!(now == before || now == expected, "{:?} {}", options, state);
            }
            if judge::available() && !backed {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("x.qcow2");
                std::fs::write(&path, memory.to_vec()).unwrap();
                judge::assert_clean(&path);
                prop_assert!(judge::contents(&path, dir.path()) == contents(&memory, None)[0]);
            }
            memory = Arc::new(memory.duplicate());
        }
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_done() {
    let memory: Arc<Memory> = Arc::new(Memory::new(0));
    create(
        &(memory.clone() as StorageRef),
        None,
        &CreateOptions::new(1 << 20),
    )
    .unwrap();
    let image = open(memory.clone(), true, None);
    image.write_at(0, &[1; 512]).unwrap();
    image.flush().unwrap();
    snapshot(&image, "s");
    snapshot(&image, "t");
    let before = memory.to_vec();
    let refused = |options: AmendOptions| match image.amend(&options) {
        Err(Error::Amend(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let none = AmendOptions::default();
    let bits = |bits| AmendOptions {
        refcount_bits: Some(bits),
        ..none.clone()
    };
    assert_eq!(refused(bits(3)), AmendRefusal::RefcountBits);
    assert_eq!(refused(bits(128)), AmendRefusal::RefcountBits);
    assert!(matches!(
        refused(bits(1)),
        AmendRefusal::RefcountTooLarge {
            bits: 1,
            count: 3,
            ..
        }
    ));
    let v2 = AmendOptions {
        version: Some(2),
        ..none.clone()
    };
    let lazy = AmendOptions {
        lazy_refcounts: Some(true),
        ..v2.clone()
    };
    assert_eq!(refused(lazy), AmendRefusal::LazyNeedsVersion3);
    let narrow = AmendOptions {
        refcount_bits: Some(8),
        ..v2.clone()
    };
    assert_eq!(refused(narrow), AmendRefusal::RefcountBitsNeedVersion3);
    let resized = AmendOptions {
        size: Some(2 << 20),
        ..v2
    };
    assert_eq!(refused(resized), AmendRefusal::DowngradeWithSnapshots);
    let raw = AmendOptions {
        data_file_raw: Some(true),
        ..none.clone()
    };
    assert_eq!(refused(raw), AmendRefusal::DataFileRaw);
    let data_file = AmendOptions {
        data_file: Some(b"x".to_vec()),
        ..none
    };
    assert_eq!(refused(data_file), AmendRefusal::NoDataFile);
    assert_eq!(memory.to_vec(), before);
}

#[test]
fn bitmaps_do_not_outlive_a_downgrade_and_leave_nothing_behind() {
    let memory: Arc<Memory> = Arc::new(Memory::new(0));
    create(
        &(memory.clone() as StorageRef),
        None,
        &CreateOptions::new(1 << 20),
    )
    .unwrap();
    let image = open(memory.clone(), true, None);
    image
        .change_bitmaps(|edit| {
            edit.add_bitmap(&NewBitmap {
                name: b"x".to_vec(),
                ..NewBitmap::default()
            })
        })
        .unwrap();
    image
        .amend(&AmendOptions {
            version: Some(2),
            ..AmendOptions::default()
        })
        .unwrap();
    // The open image knows the old form only.
    assert!(image.write_at(0, &[1; 512]).is_err());
    let report = check(&(memory.clone() as StorageRef), Repair::None).unwrap();
    assert!(report.is_clean(), "{:?}", report);
    assert!(Header::load(&*memory).unwrap().bitmaps().is_none());
}
