use crate::judge::{LoopDevice, have, image, run};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use disksmith_volume::{Disk, GptLayout, GptPartition, MbrLayout, MbrPartition, SectorSize, Uuid, gpt_type};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn writable(path: &Path) -> HostFile {
    HostFile::open(path, OpenMode::Write, LockMode::None).unwrap()
}

fn cloud_layout(sector: SectorSize, size: u64) -> GptLayout {
    let (_, end) = GptLayout::usable(size, sector).unwrap();
    let partition = |number, start, end: u64, type_guid, name: &str| GptPartition {
        number,
        start,
        len: end - start,
        type_guid,
        guid: Uuid::from_u128(0x1234_5678_0000_0000_0000_0000_0000_0000 + u128::from(number)),
        name: name.into(),
        attributes: 0,
    };
    GptLayout {
        disk_guid: Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555),
        sector,
        partitions: vec![
            partition(14, MIB, 4 * MIB, gpt_type::BIOS_BOOT, ""),
            partition(15, 4 * MIB, 16 * MIB, gpt_type::EFI_SYSTEM, "EFI Grüße"),
            partition(1, 16 * MIB, end / MIB * MIB, gpt_type::LINUX_ROOT_X86_64, "root"),
        ],
    }
}

#[test]
fn a_gpt_is_the_one_that_sfdisk_writes() {
    if !have("sfdisk") || !have("sgdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ours = image(dir.path(), "ours.img", 64 * MIB);
    let layout = cloud_layout(SectorSize::Bytes512, 64 * MIB);
    layout.write(&writable(&ours)).unwrap();
    let verdict = run("sgdisk", &["-v"], &ours, "");
    assert!(verdict.contains("No problems found"), "{verdict}");
    assert!(run("sfdisk", &["--verify"], &ours, "").contains("No errors detected"));

    let theirs = image(dir.path(), "theirs.img", 64 * MIB);
    let mut script = format!("label: gpt\nlabel-id: {}\nfirst-lba: 34\n", layout.disk_guid);
    for p in &layout.partitions {
        script += &format!(
            "{} : start={}, size={}, type={}, uuid={}, name=\"{}\"\n",
            p.number,
            p.start / 512,
            p.len / 512,
            p.type_guid,
            p.guid,
            p.name
        );
    }
    run("sfdisk", &[], &theirs, &script);
    let (a, b) = (std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap());
    for (at, (x, y)) in a.chunks(16).zip(b.chunks(16)).enumerate() {
        assert_eq!(x, y, "at offset {}", at * 16);
    }
    let disk = Disk::probe(Arc::new(writable(&ours))).unwrap();
    assert!(disk.notices().is_empty());
    assert_eq!(disk.partition(15).unwrap().name.as_deref(), Some("EFI Grüße"));
}

#[test]
fn a_gpt_with_sectors_of_4096_bytes() {
    if !have("sfdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "4k.img", 64 * MIB);
    cloud_layout(SectorSize::Bytes4096, 64 * MIB)
        .write(&writable(&path))
        .unwrap();
    if let Some(device) = LoopDevice::new(&path, 4096) {
        let verdict = run("sfdisk", &["--verify"], device.path(), "");
        assert!(verdict.contains("No errors detected"), "{verdict}");
    }
    let disk = Disk::probe(Arc::new(writable(&path))).unwrap();
    assert_eq!(
        (disk.sector_size(), disk.partitions().len()),
        (SectorSize::Bytes4096, 3)
    );
    assert!(disk.notices().is_empty());
}

#[test]
fn an_mbr_is_the_one_that_sfdisk_writes() {
    if !have("sfdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ours = image(dir.path(), "ours.img", 64 * MIB);
    let partition = |number, start, end: u64, kind| MbrPartition {
        number,
        start: start * MIB,
        len: (end - start) * MIB,
        kind,
        bootable: number == 1,
    };
    let mut layout = MbrLayout {
        identifier: 0xcafe_babe,
        partitions: vec![partition(1, 1, 11, 0x83), partition(2, 11, 64, 0x0f)],
    };
    layout.write(&writable(&ours)).unwrap();
    let theirs = image(dir.path(), "theirs.img", 64 * MIB);
    let script = "label: dos\nlabel-id: 0xcafebabe\n\
        1 : start=2048, size=20480, type=83, bootable\n2 : start=22528, type=f\n";
    run("sfdisk", &[], &theirs, script);
    let (a, b) = (std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap());
    assert_eq!(a[440..512], b[440..512]);

    layout.partitions.extend([
        partition(5, 12, 20, 0x82),
        partition(6, 21, 40, 0x83),
        partition(7, 41, 64, 0x83),
    ]);
    layout.write(&writable(&ours)).unwrap();
    let verdict = run("sfdisk", &["--verify"], &ours, "");
    assert!(verdict.contains("No errors detected"), "{verdict}");
    assert_eq!(run("sfdisk", &["--dump"], &ours, "").matches("start=").count(), 5);
    let disk = Disk::probe(Arc::new(writable(&ours))).unwrap();
    assert!(disk.notices().is_empty());
    for wanted in &layout.partitions {
        let found = disk.partition(wanted.number).unwrap();
        assert_eq!(
            (found.start, found.len, found.bootable),
            (wanted.start, wanted.len, wanted.bootable)
        );
    }
}

#[test]
fn impossible_layouts_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "x.img", 64 * MIB);
    let storage = writable(&path);
    let refuse = |change: &dyn Fn(&mut GptLayout), text: &str| {
        let mut layout = cloud_layout(SectorSize::Bytes512, 64 * MIB);
        change(&mut layout);
        let error = layout.write(&storage).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    refuse(&|l| l.partitions[0].len += 512, "overlap");
    refuse(&|l| l.partitions[0].number = 1, "given twice");
    refuse(&|l| l.partitions[0].number = 129, "is not one of");
    refuse(&|l| l.partitions[2].len += MIB, "does not lie between");
    refuse(&|l| l.partitions[2].len = u64::MAX, "does not lie between");
    refuse(&|l| l.partitions[0].start += 1, "whole sectors");
    refuse(&|l| l.partitions[0].name = "x".repeat(37), "longer than");
    refuse(&|l| l.partitions[0].guid = Uuid::nil(), "nil GUID");
    assert!(std::fs::read(&path).unwrap().iter().all(|b| *b == 0));
    assert!(GptLayout::usable(20_000, SectorSize::Bytes512).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is written reads back, and sgdisk finds nothing to say.
    #[test]
    fn tables_read_back(lens in prop::collection::vec((0u64..50, 1u64..400), 1..20), seed: u128) {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), "p.img", 32 * MIB);
        let (mut at, end) = GptLayout::usable(32 * MIB, SectorSize::Bytes512).unwrap();
        let mut partitions = Vec::new();
        for (number, (gap, len)) in (1..).zip(lens) {
            at += gap * 512;
            if at + len * 512 > end {
                break;
            }
            partitions.push(GptPartition {
                number: number * 7 % 128 + 1,
                start: at,
                len: len * 512,
                type_guid: gpt_type::LINUX_DATA,
                guid: Uuid::from_u128(seed.wrapping_add(u128::from(number)) | 1),
                name: format!("p{number}"),
                attributes: 1 << (number % 3),
            });
            at += len * 512;
        }
        let layout = GptLayout { disk_guid: Uuid::from_u128(seed | 1), sector: SectorSize::Bytes512, partitions };
        layout.write(&writable(&path)).unwrap();
        let disk = Disk::probe(Arc::new(writable(&path))).unwrap();
        prop_assert!(disk.notices().is_empty());
        prop_assert_eq!(disk.partitions().len(), layout.partitions.len());
        for wanted in &layout.partitions {
            let found = disk.partition(wanted.number).unwrap();
            prop_assert_eq!((found.start, found.len, found.attributes), (wanted.start, wanted.len, wanted.attributes));
            prop_assert_eq!(found.name.as_deref(), Some(wanted.name.as_str()));
        }
        if have("sgdisk") {
            let verdict = run("sgdisk", &["-v"], &path, "");
            prop_assert!(verdict.contains("No problems found"), "{}", verdict);
        }
    }
}
