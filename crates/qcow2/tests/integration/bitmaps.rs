//! Persistent dirty bitmaps survive a change, with the bits of what changed.

use crate::judge;
use disksmith_qcow2::{
    BitmapAction, CreateOptions, NewBitmap, OpenOptions, Qcow2, Qcow2Shadow, Repair, check, create,
};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, Shadow, Storage, StorageRef, ZeroMode};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_changed_image_keeps_its_bitmaps_and_their_bits() {
    if !judge::available() {
        return;
    }
    for shadowed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.qcow2");
        let name = path.to_str().unwrap();
        judge::qemu_img(&["create", "-q", "-f", "qcow2", name, "64M"]);
        judge::qemu_img(&["bitmap", "--add", name, "auto"]);
        judge::qemu_img(&["bitmap", "--add", "--disable", name, "off"]);
        judge::qemu_io(&path, &["write -P 1 0 1M".into()]);
        let image = judge::open(&path, true);
        assert_eq!(image.bitmaps().unwrap().len(), 2);
        if shadowed {
            let shadow: Box<dyn Shadow> = image.shadow().unwrap();
            shadow.write_at(8 << 20, &[5; 100_000]).unwrap();
            shadow.prepare().unwrap().switch().unwrap();
        } else {
            image.write_at(8 << 20, &[5; 100_000]).unwrap();
            image.flush().unwrap();
        }
        drop(image);
        judge::assert_clean(&path);
        let info = judge::qemu_img(&["info", "--output", "json", name]);
        assert!(info.contains("\"auto\"") && info.contains("\"off\""), "{info}");
        // Merged into a new bitmap by the other program, the bits are there.
        judge::qemu_img(&["bitmap", "--add", "--merge", "auto", name, "copy"]);
        judge::assert_clean(&path);
    }
}

type Bits = Vec<(String, u32, Vec<(u64, u64)>)>;

/// Name, flags and set ranges of each bitmap.
fn bits(path: &Path) -> Bits {
    let image = judge::open(path, false);
    let list = image.bitmaps().unwrap();
    list.iter()
        .map(|entry| {
            let ranges = image.dirty_ranges(&entry.name).unwrap();
            (
                String::from_utf8(entry.name.clone()).unwrap(),
                entry.flags,
                ranges.iter().collect(),
            )
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, u64),
    Zero(u64, u64),
    Discard(u64, u64),
    Add(u8, Option<u64>, bool),
    Change(u8, BitmapAction),
    Merge(u8, u8),
    Resize(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0u64..2000, 1u64..40).prop_map(|(at, len)| (at * 512, len * 512));
    let action = prop_oneof![
        Just(BitmapAction::Remove),
        Just(BitmapAction::Clear),
        Just(BitmapAction::Enable),
        Just(BitmapAction::Disable)
    ];
    prop_oneof![
        4 => range().prop_map(|(at, len)| Step::Write(at, len)),
        1 => range().prop_map(|(at, len)| Step::Zero(at, len)),
        1 => range().prop_map(|(at, len)| Step::Discard(at, len)),
        3 => (0u8..4, prop::option::of(9u32..21), any::<bool>())
            .prop_map(|(name, g, disabled)| Step::Add(name, g.map(|g| 1 << g), disabled)),
        3 => (0u8..4, action).prop_map(|(name, action)| Step::Change(name, action)),
        2 => (0u8..4, 0u8..4).prop_map(|(a, b)| Step::Merge(a, b)),
        1 => (1u64..4000).prop_map(|sectors| Step::Resize(sectors * 512)),
    ]
}

fn by_the_other(path: &Path, step: &Step) -> bool {
    let name = path.to_str().unwrap();
    let size = judge::open(path, false).size();
    let io = |command: &str, at: u64, len: u64| {
        let len = len.min(size.saturating_sub(at));
        if len > 0 {
            judge::qemu_io(path, &[format!("{command} {at} {len}")]);
        }
        true
    };
    let run = |args: &[&str]| judge::run("qemu-img", args).status.success();
    match step {
        Step::Write(at, len) => io("write -P 7", *at, *len),
        Step::Zero(at, len) => io("write -z", *at, *len),
        Step::Discard(at, len) => io("discard", *at, *len),
        Step::Add(bitmap, granularity, disabled) => {
            let (bitmap, granularity) = (format!("b{bitmap}"), granularity.map(|g| g.to_string()));
            let mut args = vec!["bitmap", "--add"];
            if let Some(granularity) = &granularity {
                args.extend(["-g", granularity.as_str()]);
            }
            if *disabled {
                args.push("--disable");
            }
            args.extend([name, &bitmap]);
            run(&args)
        }
        Step::Change(bitmap, action) => {
            let action = match action {
                BitmapAction::Remove => "--remove",
                BitmapAction::Clear => "--clear",
                BitmapAction::Enable => "--enable",
                BitmapAction::Disable => "--disable",
            };
            run(&["bitmap", action, name, &format!("b{bitmap}")])
        }
        Step::Merge(source, target) => run(&[
            "bitmap",
            "--merge",
            &format!("b{source}"),
            name,
            &format!("b{target}"),
        ]),
        Step::Resize(size) => run(&["resize", "-q", "--shrink", name, &size.to_string()]),
    }
}

fn by_us(path: &Path, step: &Step, shadowed: bool) -> bool {
    let image = judge::open(path, true);
    let size = image.size();
    let write = |at: u64, len: u64, what: &dyn Fn(&dyn Storage, u64, u64)| {
        let len = len.min(size.saturating_sub(at));
        if len == 0 {
            return true;
        }
        if shadowed {
            let shadow = image.shadow().unwrap();
            what(&*shadow, at, len);
            shadow.prepare().unwrap().switch().unwrap();
        } else {
            what(&*image, at, len);
            image.flush().unwrap();
        }
        true
    };
    let name = |bitmap: u8| format!("b{bitmap}").into_bytes();
    match step.clone() {
        Step::Write(at, len) => write(at, len, &|disk, at, len| {
            disk.write_at(at, &vec![7; len as usize]).unwrap();
        }),
        Step::Zero(at, len) => write(at, len, &|disk, at, len| {
            disk.write_zeroes(at, len, ZeroMode::Unmap).unwrap();
        }),
        Step::Discard(at, len) => write(at, len, &|disk, at, len| disk.discard(at, len).unwrap()),
        Step::Add(bitmap, granularity, disabled) => image
            .change_bitmaps(|edit| {
                edit.add_bitmap(&NewBitmap {
                    name: name(bitmap),
                    granularity,
                    disabled,
                })
            })
            .is_ok(),
        Step::Change(bitmap, action) => image
            .change_bitmaps(|edit| edit.change_bitmap(&name(bitmap), action))
            .is_ok(),
        Step::Merge(source, target) => image
            .change_bitmaps(|edit| edit.merge_bitmap(&name(source), &name(target)))
            .is_ok(),
        Step::Resize(size) => {
            let shadow = image.shadow().unwrap();
            shadow.set_size(size).is_ok() && shadow.prepare().unwrap().switch().is_ok()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("DISKSMITH_LONG").is_some() { 200 } else { 5 }, ..ProptestConfig::default() })]

    /// The same steps, done by both programs, leave the same bitmaps; and each program goes on from where the other was.
    #[test]
    fn bitmaps_are_what_the_other_program_makes_of_them(
        cluster_bits in prop_oneof![Just(9u32), Just(12), Just(16)],
        steps in prop::collection::vec((step(), any::<bool>(), any::<bool>()), 1..25),
    ) {
        if judge::available() {
            let dir = tempfile::tempdir().unwrap();
            let (ours, theirs) = (dir.path().join("ours.qcow2"), dir.path().join("theirs.qcow2"));
            let options = format!("cluster_size={}", 1u64 << cluster_bits);
            judge::qemu_img(&["create", "-q", "-f", "qcow2", "-o", &options, theirs.to_str().unwrap(), "1000k"]);
            std::fs::copy(&theirs, &ours).unwrap();
            for (step, shadowed, swapped) in steps {
                if swapped {
                    let between = dir.path().join("between");
                    std::fs::rename(&ours, &between).unwrap();
                    std::fs::rename(&theirs, &ours).unwrap();
                    std::fs::rename(&between, &theirs).unwrap();
                }
                let (a, b) = (by_us(&ours, &step, shadowed), by_the_other(&theirs, &step));
                prop_assert_eq!(a, b, "{:?}", step);
                prop_assert_eq!(bits(&ours), bits(&theirs), "{:?}", step);
                judge::assert_clean(&ours);
            }
        }
    }
}

/// What a bitmap is and records, as the file has it.
fn bits_in(file: StorageRef) -> Bits {
    let image = Qcow2::open(file, OpenOptions::default()).unwrap();
    let list = image.bitmaps().unwrap();
    list.iter()
        .map(|entry| {
            assert!(entry.is_consistent());
            let ranges = image.dirty_ranges(&entry.name).unwrap();
            (
                String::from_utf8(entry.name.clone()).unwrap(),
                entry.flags,
                ranges.iter().collect(),
            )
        })
        .collect()
}

#[test]
fn a_power_cut_during_a_change_of_bitmaps_leaves_the_old_or_the_new_ones() {
    type Change = fn(&mut Qcow2Shadow) -> disksmith_qcow2::Result<()>;
    let add = |edit: &mut Qcow2Shadow, name: &[u8], granularity| {
        edit.add_bitmap(&NewBitmap {
            name: name.to_vec(),
            granularity: Some(granularity),
            disabled: false,
        })
    };
    let changes: [(&str, Change); 6] = [
        ("add", |edit| {
            edit.add_bitmap(&NewBitmap {
                name: b"new".to_vec(),
                granularity: None,
                disabled: false,
            })
        }),
        ("clear", |edit| edit.change_bitmap(b"a", BitmapAction::Clear)),
        ("merge", |edit| edit.merge_bitmap(b"a", b"b")),
        ("remove", |edit| edit.change_bitmap(b"b", BitmapAction::Remove)),
        ("disable", |edit| edit.change_bitmap(b"a", BitmapAction::Disable)),
        ("all", |edit| {
            edit.merge_bitmap(b"b", b"a")?;
            edit.change_bitmap(b"b", BitmapAction::Remove)?;
            edit.change_bitmap(b"a", BitmapAction::Disable)
        }),
    ];
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.qcow2");
    for (number, cluster_bits) in [9, 12].into_iter().enumerate() {
        let memory: StorageRef = Arc::new(Memory::new(0));
        let options = CreateOptions {
            cluster_bits,
            ..CreateOptions::new(2 << 20)
        };
        create(&memory, None, &options).unwrap();
        let writable = || OpenOptions {
            writable: true,
            ..OpenOptions::default()
        };
        let image = Arc::new(Qcow2::open(memory.clone(), writable()).unwrap());
        image
            .change_bitmaps(|edit| {
                add(edit, b"a", 512)?;
                add(edit, b"b", 4096)
            })
            .unwrap();
        image.write_at(0, &[7; 70_000]).unwrap();
        image
            .change_bitmaps(|edit| edit.change_bitmap(b"b", BitmapAction::Disable))
            .unwrap();
        for at in [300_000, 1_500_000] {
            image.write_at(at, &[7; 70_000]).unwrap();
        }
        image.flush().unwrap();
        drop(image);
        let start = {
            let mut bytes = vec![0; memory.size() as usize];
            memory.read_at(0, &mut bytes).unwrap();
            bytes
        };
        for (name, change) in &changes {
            let journal = Journal::new();
            let file: StorageRef = Arc::new(Recorder::new(Arc::new(Memory::from_bytes(&start)), &journal));
            let old = bits_in(Arc::new(Memory::from_bytes(&start)));
            let image = Arc::new(Qcow2::open(file.clone(), writable()).unwrap());
            image.change_bitmaps(change).unwrap();
            drop(image);
            journal.mark("done");
            let new = bits_in(file);
            assert!(old != new, "{name}");
            let (mut states, mut seen) = (0u64, [0u64; 2]);
            for state in journal.crash_states(if long { 3000 } else { 120 }, number as u64) {
                let file = state.storage(0);
                let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
                assert!(report.is_clean(), "{name}, {state}: {:?}", report.faults);
                let now = bits_in(file.clone());
                assert!(now == old || now == new, "{name}, {state}: {now:?}");
                assert!(!state.passed("done") || now == new, "{name}, {state}: lost");
                seen[usize::from(now == new)] += 1;
                states += 1;
                if states % 61 == 0 && judge::available() {
                    std::fs::write(&path, file.to_vec()).unwrap();
                    judge::assert_clean(&path);
                }
            }
            assert!(seen[0] > 0 && seen[1] > 0, "{name}: {seen:?}");
        }
    }
}
