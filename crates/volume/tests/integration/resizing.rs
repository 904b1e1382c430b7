//! Changing tables in place: sgdisk, sfdisk and blkid judge.

use super::judge::{have, image, run};
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef};
use disksmith_volume::{Disk, Notice, SectorSize, TableChange};
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn open(path: &Path) -> StorageRef {
    Arc::new(HostFile::open(path, OpenMode::Write, LockMode::None).unwrap())
}

/// Gives the disk a size, and its partition `number` all the room there is; returns the partition's length.
fn grow(path: &Path, size: u64, number: u32) -> u64 {
    let storage = open(path);
    let disk = Disk::probe(storage.clone()).unwrap();
    let room = disk.room(number, size).unwrap();
    if size > storage.size() {
        storage.set_size(size).unwrap();
    }
    let change = TableChange {
        disk_size: size,
        partition: Some((number, room.max_len)),
    };
    disk.change_table(&*storage, change).unwrap();
    if size < storage.size() {
        storage.set_size(size).unwrap();
    }
    room.max_len
}

fn dump(path: &Path) -> Vec<String> {
    let text = run("sfdisk", &["-d"], path, "");
    text.lines()
        .filter(|l| l.contains(" : ") || l.starts_with("label"))
        .map(|l| match l.split_once(" : ") {
            Some((_, rest)) => rest.replace(' ', ""),
            None => l.to_owned(),
        })
        .collect()
}

fn without_sizes(lines: &[String]) -> Vec<String> {
    let drop = |line: &String| {
        let fields = line.split(',').filter(|f| !f.starts_with("size="));
        fields.collect::<Vec<_>>().join(",")
    };
    lines.iter().map(drop).collect()
}

const GPT: &str = "label: gpt\nlabel-id: 0FC63DAF-0000-4772-8E79-3D69D8477DE4\n\
    start=2048,size=20480,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B,name=\"EFI\"\n\
    start=22528,size=40960,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,name=\"rööt\",attrs=\"LegacyBIOSBootable,GUID:60\"\n";

fn content(text: &str) -> &str {
    assert!(text.contains("No problems found"), "{text}");
    assert!(!text.contains("Caution"), "{text}");
    text
}

#[test]
fn a_gpt_follows_the_end_of_its_disk() {
    if !have("sfdisk") || !have("sgdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "gpt", 40 * MIB);
    run("sfdisk", &["-q"], &path, GPT);
    let before = dump(&path);
    for size in [100 * MIB, 3000 * MIB, 3000 * MIB + 512 * 3] {
        let len = grow(&path, size, 2);
        assert!((22528 * 512 + len).is_multiple_of(MIB) && size - len < 14 * MIB);
        content(&run("sgdisk", &["-v"], &path, ""));
        run("sfdisk", &["--verify"], &path, "");
        assert_eq!(without_sizes(&dump(&path)), without_sizes(&before));
        assert_eq!(Disk::probe(open(&path)).unwrap().notices(), []);
    }
    // Smaller again, to what it was.
    let storage = open(&path);
    let disk = Disk::probe(storage.clone()).unwrap();
    let change = |size, len| TableChange {
        disk_size: size,
        partition: Some((2, len)),
    };
    assert!(disk.change_table(&*storage, change(40 * MIB, 100 * MIB)).is_err());
    disk.change_table(&*storage, change(40 * MIB, 40960 * 512))
        .unwrap();
    storage.set_size(40 * MIB).unwrap();
    content(&run("sgdisk", &["-v"], &path, ""));
    assert_eq!(dump(&path), before);
    // Its neighbour has no room.
    let disk = Disk::probe(storage).unwrap();
    let room = disk.room(1, 80 * MIB).unwrap();
    assert_eq!((room.max_len, room.blocked_by), (20480 * 512, Some(2)));
}

#[test]
fn large_sectors_and_a_damaged_copy() {
    if !have("sgdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "4k", 64 * MIB);
    let layout = disksmith_volume::GptLayout {
        disk_guid: disksmith_volume::Uuid::from_u128(7),
        sector: SectorSize::Bytes4096,
        partitions: vec![disksmith_volume::GptPartition {
            number: 3,
            start: MIB,
            len: 20 * MIB,
            type_guid: disksmith_volume::gpt_type::LINUX_DATA,
            guid: disksmith_volume::Uuid::from_u128(9),
            name: "root".into(),
            attributes: 4,
        }],
    };
    let storage = open(&path);
    layout.write(&*storage).unwrap();
    assert_eq!(grow(&path, 128 * MIB, 3), 126 * MIB);
    let storage = open(&path);
    let disk = Disk::probe(storage.clone()).unwrap();
    assert_eq!(
        (disk.sector_size(), disk.notices()),
        (SectorSize::Bytes4096, &[][..])
    );
    assert_eq!(disk.partitions()[0].len, 126 * MIB);
    // The first copy is gone: it is made anew from the other one.
    storage.write_at(4096, &[0; 512]).unwrap();
    let disk = Disk::probe(storage.clone()).unwrap();
    assert!(matches!(disk.notices()[0], Notice::BackupGptUsed { .. }));
    let repair = TableChange {
        disk_size: 128 * MIB,
        partition: None,
    };
    disk.change_table(&*storage, repair).unwrap();
    assert_eq!(Disk::probe(storage).unwrap().notices(), []);
}

#[test]
fn an_mbr_with_logical_partitions() {
    if !have("sfdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "mbr", 60 * MIB);
    let table = "label: dos\nlabel-id: 0x12345678\nstart=2048,size=20480,type=83,bootable\n\
        start=22528,size=81920,type=5\nstart=24576,size=20480,type=83\nstart=47104,size=20480,type=82\n";
    run("sfdisk", &["-q"], &path, table);
    let before = dump(&path);
    for size in [100 * MIB, 2000 * MIB] {
        let len = grow(&path, size, 6);
        assert_eq!(47104 * 512 + len, size);
        let said = run("sfdisk", &["--verify"], &path, "");
        assert!(
            said.contains("No errors detected") && !said.contains("overlap"),
            "{said}"
        );
        assert_eq!(without_sizes(&dump(&path)), without_sizes(&before));
        let disk = Disk::probe(open(&path)).unwrap();
        assert_eq!(disk.partition(2).unwrap().end(), size);
        assert_eq!(disk.partition(6).unwrap().end(), size);
    }
    let disk = Disk::probe(open(&path)).unwrap();
    // Before the next logical partition stands its record; before the extended one nothing.
    let room = disk.room(5, 4000 * MIB).unwrap();
    assert!(room.max_len <= (47104 - 24576) * 512 && room.blocked_by == Some(6));
    assert_eq!(disk.room(1, 4000 * MIB).unwrap().blocked_by, Some(2));
    let room = disk.room(6, 3 << 40).unwrap();
    assert!(room.is_table_limit && room.max_len < 2 << 40);
}

#[test]
fn a_hybrid_mbr_follows() {
    if !have("sgdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "hybrid", 40 * MIB);
    run("sfdisk", &["-q"], &path, GPT);
    run("sgdisk", &["-h", "2"], &path, "");
    let len = grow(&path, 100 * MIB, 2);
    content(&run("sgdisk", &["-v"], &path, ""));
    let sector = disksmith_storage::read_vec(&*open(&path), 0, 512).unwrap();
    let record = disksmith_volume::BootRecord::parse(&sector).unwrap();
    let slot = record.records.iter().find(|r| r.start == 22528).unwrap();
    assert_eq!(u64::from(slot.sectors) * 512, len);
}
