use crate::judge::{LoopDevice, blkid, have, image, run};
use disksmith_storage::{HostFile, LockMode, Memory, OpenMode, Storage, StorageRef};
use disksmith_volume::{Disk, Notice, SectorSize, Table};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn open(path: &Path) -> StorageRef {
    Arc::new(HostFile::open(path, OpenMode::Read, LockMode::None).unwrap())
}

fn probe(path: &Path) -> Disk {
    Disk::probe(open(path)).unwrap()
}

/// As sfdisk prints what is not ASCII.
fn escape(name: &str) -> String {
    let one = |byte: u8| match byte {
        0x80.. => format!("\\x{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    name.bytes().map(one).collect()
}

/// Compares what is found with `sfdisk --dump`: start, size, type, uuid, name, active flag.
fn agrees_with_sfdisk(path: &Path) {
    let dump = run("sfdisk", &["--dump"], path, "");
    let disk = probe(path);
    let mut seen = 0;
    for line in dump.lines().filter(|line| line.contains("start=")) {
        let (device, fields) = line.split_once(" : ").unwrap();
        let number: u32 = device
            .trim_start_matches(&path.display().to_string())
            .parse()
            .unwrap();
        let partition = disk
            .partition(number)
            .unwrap_or_else(|| panic!("no partition {number}\n{dump}"));
        seen += 1;
        let mut bootable = false;
        for field in fields.split(", ").map(str::trim) {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let value = value.trim().trim_matches('"');
            match key {
                "start" => assert_eq!(partition.start / 512, value.parse::<u64>().unwrap(), "{line}"),
                "size" => assert_eq!(partition.len / 512, value.parse::<u64>().unwrap(), "{line}"),
                "type" => {
                    let ours = partition.kind.to_string();
                    assert!(
                        ours.trim_start_matches("0x").eq_ignore_ascii_case(value),
                        "{line} / {ours}"
                    );
                }
                "uuid" => assert!(
                    partition.uuid.as_ref().unwrap().eq_ignore_ascii_case(value),
                    "{line}"
                ),
                "name" => assert_eq!(escape(partition.name.as_deref().unwrap()), value, "{line}"),
                "bootable" => bootable = true,
                _ => {}
            }
        }
        if disk.table_name() == Some("dos") {
            assert_eq!(partition.bootable, bootable, "{line}");
        }
    }
    assert_eq!(seen, disk.partitions().len(), "{dump}");
}

#[test]
fn a_cloud_image_with_numbers_out_of_order() {
    if !have("sfdisk") || !have("blkid") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "cloud.img", 256 * MIB);
    let script = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n\
        14 : start=2048, size=8192, type=21686148-6449-6E6F-744E-656564454649\n\
        15 : start=10240, size=253952, type=U, name=\"EFI Grüße\"\n\
        1 : start=264192, type=L, uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, attrs=LegacyBIOSBootable\n";
    run("sfdisk", &[], &path, script);
    agrees_with_sfdisk(&path);
    let disk = probe(&path);
    assert!(disk.notices().is_empty(), "{:?}", disk.notices());
    let numbers: Vec<u32> = disk.partitions().iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 14, 15]);
    assert!(disk.partition(15).unwrap().kind.is_efi_system());
    assert!(disk.partition(1).unwrap().bootable);
    assert_eq!(
        disk.open(disk.partition(1).unwrap()).unwrap().size(),
        disk.partition(1).unwrap().len
    );
    let blkid = blkid(&path, &[]);
    assert!(blkid.contains(&("PTTYPE".into(), disk.table_name().unwrap().into())));
    assert!(blkid.contains(&("PTUUID".into(), disk.uuid().unwrap())));
}

#[test]
fn an_mbr_with_logical_partitions() {
    if !have("sfdisk") || !have("blkid") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "mbr.img", 256 * MIB);
    let script = "label: dos\nlabel-id: 0xcafebabe\n\
        1 : start=2048, size=20480, type=83, bootable\n2 : start=22528, type=f\n\
        5 : size=20480, type=82\n6 : size=40960, type=83\n7 : type=8e\n";
    run("sfdisk", &[], &path, script);
    agrees_with_sfdisk(&path);
    let disk = probe(&path);
    assert_eq!(disk.partition(6).unwrap().uuid.as_deref(), Some("cafebabe-06"));
    assert_eq!(disk.partitions().iter().filter(|p| p.is_extended()).count(), 1);
    assert!(blkid(&path, &[]).contains(&("PTUUID".into(), disk.uuid().unwrap())));
    // One logical partition removed, and the rest: numbers move up.
    run("sfdisk", &["--delete"], &path, "");
    assert!(probe(&path).partitions().is_empty());
    run("sfdisk", &[], &path, script);
    let output = Command::new("sfdisk")
        .arg("--delete")
        .arg(&path)
        .arg("6")
        .output()
        .unwrap();
    assert!(output.status.success());
    agrees_with_sfdisk(&path);
    assert_eq!(probe(&path).partitions().len(), 4);
}

/// A loop device with sectors of 4096 bytes, where the machine gives one.
#[test]
fn sectors_of_4096_bytes() {
    if !have("sfdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "4k.img", 64 * MIB);
    let Some(device) = LoopDevice::new(&path, 4096) else {
        return;
    };
    let script = "label: gpt\n1 : start=256, size=1024\n";
    run(
        "sfdisk",
        &["--no-reread", "--no-tell-kernel"],
        device.path(),
        script,
    );
    drop(device);
    let disk = probe(&path);
    assert_eq!(disk.sector_size(), SectorSize::Bytes4096);
    let partition = disk.partition(1).unwrap();
    assert_eq!((partition.start, partition.len), (MIB, 4 * MIB));
    assert!(disk.notices().is_empty());
    let known = Disk::probe_with(open(&path), SectorSize::Bytes4096).unwrap();
    assert_eq!(known.partitions(), disk.partitions());
}

#[test]
fn a_damaged_copy_is_survived_and_told() {
    if !have("sfdisk") || !have("sgdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "gpt.img", 16 * MIB);
    run("sfdisk", &[], &path, "label: gpt\n1 : size=4096\n2 : size=4096\n");
    let good = std::fs::read(&path).unwrap();
    let expected = probe(&path).partitions().to_vec();
    let damaged = |at: usize| -> Disk {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap()
    };
    // Header, entries of the first copy; entries, header of the second.
    for at in [512 + 60, 1024 + 40] {
        let disk = damaged(at);
        assert!(
            matches!(disk.notices(), [Notice::BackupGptUsed { .. }]),
            "{:?}",
            disk.notices()
        );
        assert_eq!(disk.partitions(), expected);
    }
    for at in [good.len() - 512 + 60, good.len() - 33 * 512 + 40] {
        let disk = damaged(at);
        assert!(
            matches!(disk.notices(), [Notice::BackupGptBad { .. }]),
            "{:?}",
            disk.notices()
        );
        assert_eq!(disk.partitions(), expected);
    }
    // Both.
    let mut bytes = good.clone();
    bytes[512 + 60] ^= 1;
    *bytes.last_mut().unwrap() = 0;
    let at = bytes.len() - 512;
    bytes[at] = 0;
    let error = Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap_err();
    assert!(error.to_string().contains("CRC is 0x"), "{error}");
    // The disk has grown.
    let grown = Memory::from_bytes(&good);
    grown.set_size(32 * MIB).unwrap();
    let disk = Disk::probe(Arc::new(grown)).unwrap();
    assert_eq!(disk.notices(), [Notice::BackupGptNotAtEnd]);
    // The protective MBR is gone.
    let mut bytes = good;
    bytes[..512].fill(0);
    let disk = Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap();
    assert_eq!(disk.notices(), [Notice::NoProtectiveMbr]);
    assert_eq!(disk.partitions(), expected);
}

#[test]
fn a_hybrid_table_is_a_gpt() {
    if !have("sgdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "hybrid.img", 64 * MIB);
    run(
        "sgdisk",
        &["-n", "1:2048:8191", "-n", "2:8192:0", "-h", "1:EE"],
        &path,
        "",
    );
    let disk = probe(&path);
    assert_eq!(disk.table_name(), Some("gpt"));
    assert_eq!(disk.notices(), [Notice::HybridMbr]);
    assert_eq!(disk.partitions().len(), 2);
}

/// A filesystem that takes the whole disk, whose first sector looks more or less like an MBR.
#[test]
fn bare_filesystems_are_no_tables() {
    let dir = tempfile::tempdir().unwrap();
    for (program, args) in [
        ("mkfs.vfat", &["-F", "12"][..]),
        ("mkfs.vfat", &["-F", "16"]),
        ("mkfs.vfat", &["-F", "32", "-s", "1"]),
        ("mkfs.vfat", &["--mbr=y", "-F", "32", "-s", "1"]),
        ("mke2fs", &["-q", "-t", "ext4"]),
        ("mkfs.ntfs", &["-F", "-Q", "-q"]),
        ("mkfs.xfs", &["-q", "-f"]),
        ("mkfs.btrfs", &["-q"]),
        ("mkswap", &[]),
    ] {
        let optional = matches!(program, "mkfs.ntfs" | "mkfs.xfs" | "mkfs.btrfs");
        if (optional && Command::new(program).arg("--version").output().is_err()) || !have(program) {
            continue;
        }
        let path = image(
            dir.path(),
            "bare.img",
            if args.contains(&"12") { 4 * MIB } else { 400 * MIB },
        );
        run(program, args, &path, "");
        let disk = probe(&path);
        assert_eq!(disk.table(), Table::None, "{program} {args:?}");
        let [whole] = disk.partitions() else {
            panic!("{program}")
        };
        assert_eq!(
            (whole.number, whole.start, whole.len),
            (0, 0, disk.storage().size())
        );
    }
}

#[test]
fn boot_code_before_an_ext_filesystem_is_no_table() {
    if !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "ext.img", 8 * MIB);
    run("mke2fs", &["-q", "-t", "ext4"], &path, "");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..440].fill(0x90);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(
        Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap().table(),
        Table::None
    );
    // Code where the records would be.
    bytes[446..510].fill(0x90);
    assert_eq!(
        Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap().table(),
        Table::None
    );
    // But partitions are partitions, whatever lies at the old superblock's place.
    let path = image(dir.path(), "mbr.img", 8 * MIB);
    run("sfdisk", &[], &path, "label: dos\n1 : start=2048, type=83\n");
    let table = std::fs::read(&path).unwrap();
    bytes[440..512].copy_from_slice(&table[440..512]);
    let disk = Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap();
    assert_eq!(disk.table_name(), Some("dos"));
    assert_eq!(disk.partitions().len(), 1);
}

/// The parameter block of a FAT that somebody partitioned over.
#[test]
fn an_mbr_over_an_old_fat_is_an_mbr() {
    if !have("mkfs.vfat") || !have("sfdisk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "old.img", 64 * MIB);
    run("mkfs.vfat", &["-F", "16"], &path, "");
    let mut bytes = std::fs::read(&path).unwrap();
    let other = image(dir.path(), "mbr.img", 64 * MIB);
    run("sfdisk", &[], &other, "label: dos\n1 : start=2048, type=83\n");
    bytes[440..512].copy_from_slice(&std::fs::read(&other).unwrap()[440..512]);
    bytes[512..MIB as usize].fill(0);
    let disk = Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap();
    assert_eq!(disk.table_name(), Some("dos"));
}

#[test]
fn empty_and_tiny_disks() {
    for size in [0, 1, 511, 512, 1024, 4096, 10_000] {
        let disk = Disk::probe(Arc::new(Memory::new(size))).unwrap();
        assert_eq!(disk.table(), Table::None);
        assert_eq!(disk.open(&disk.partitions()[0]).unwrap().size(), size);
    }
}
