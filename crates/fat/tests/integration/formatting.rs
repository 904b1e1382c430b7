//! Making filesystems: what mkfs.vfat makes of the same size and options.

use crate::judge::{have, is_clean, run};
use disksmith_fat::{Fat, FatKind, FormatOptions, format, identify};
use disksmith_storage::{HostFile, LockMode, Memory, OpenMode, StorageRef};
use disksmith_vfs::{FileSystem, Timestamp};
use std::process::Command;
use std::sync::Arc;

/// The time of `mkfs.vfat --invariant`.
const TIME: Timestamp = Timestamp {
    seconds: 1_426_325_212,
    nanoseconds: 0,
};

/// Options of ours for those of mkfs.vfat.
fn options(args: &[&str]) -> FormatOptions {
    let mut options = FormatOptions::new(0x1234_abcd, TIME);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if *arg == "-a" {
            options.align = false;
            continue;
        }
        let value = args.next().unwrap();
        let number = || value.parse::<u32>().unwrap();
        match *arg {
            "-F" => {
                options.kind = Some(match number() {
                    12 => FatKind::Fat12,
                    16 => FatKind::Fat16,
                    _ => FatKind::Fat32,
                });
            }
            "-s" => options.sectors_per_cluster = Some(number() as u8),
            "-S" => options.sector_len = number(),
            "-R" => options.reserved_sectors = Some(number() as u16),
            "-f" => options.fats = number() as u8,
            "-r" => options.root_entries = Some(number() as u16),
            "-h" => options.hidden_sectors = number(),
            "-D" => options.drive_number = Some(number() as u8),
            "-b" => options.backup_sector = Some(number() as u16),
            "-M" => options.media = Some(number() as u8),
            "-i" => options.volume_id = u32::from_str_radix(value, 16).unwrap(),
            "-n" => options.label = Some((*value).to_owned()),
            "-g" => {
                let (heads, track) = value.split_once('/').unwrap();
                options.geometry = Some((heads.parse().unwrap(), track.parse().unwrap()));
            }
            other => panic!("{other}"),
        }
    }
    options
}

const CASES: &[(u64, &[&str])] = &[
    (100, &[]),
    (360, &["-n", "FLOPPY"]),
    (500, &[]),
    (720, &[]),
    (1000, &[]),
    (1200, &[]),
    (1440, &["-n", "CIDATA"]),
    (1440, &["-s", "2"]),
    (1440, &["-r", "112"]),
    (2048, &["-n", "config-2"]),
    (2880, &[]),
    (2881, &[]),
    (4096, &[]),
    (4097, &[]),
    (8192, &[]),
    (16384, &[]),
    (16400, &[]),
    (20000, &[]),
    (32768, &[]),
    (40000, &[]),
    (65536, &["-n", "BOOT"]),
    (100_000, &[]),
    (131_072, &[]),
    (262_144, &[]),
    (266_240, &[]),
    (300_000, &[]),
    (524_287, &[]),
    (524_288, &["-n", "EFI"]),
    (1 << 20, &[]),
    (2 << 20, &[]),
    (8 << 20, &[]),
    (8_389_632, &[]),
    (16 << 20, &[]),
    (32 << 20, &[]),
    (64 << 20, &[]),
    (34_816, &["-F", "32"]),
    (34_816, &["-F", "16"]),
    (65_536, &["-F", "32", "-i", "cafe0001"]),
    (65_536, &["-F", "32", "-s", "1", "-a"]),
    (65_536, &["-a"]),
    (16_384, &["-r", "100"]),
    (16_384, &["-R", "3"]),
    (16_384, &["-S", "1024"]),
    (16_384, &["-S", "4096"]),
    (65_536, &["-S", "4096", "-F", "32"]),
    (16_384, &["-f", "1"]),
    (65_536, &["-F", "32", "-R", "10"]),
    (65_536, &["-h", "2048"]),
    (65_536, &["-g", "16/63"]),
    (32_768, &["-F", "12"]),
    (400_000, &["-F", "16"]),
    (600_000, &["-F", "16"]),
    (2 << 20, &["-F", "16"]),
    (16_384, &["-s", "1"]),
    (16_384, &["-s", "8"]),
    (33_792, &["-F", "32", "-s", "2"]),
    (270_336, &["-F", "32"]),
    (267_264, &["-F", "32"]),
    (50, &[]),
    (1440, &["-M", "248"]),
    (1440, &["-g", "3/7"]),
    (20_001, &["-a"]),
    (20_001, &["-R", "37"]),
    (65_536, &["-D", "129"]),
    (65_536, &["-M", "240", "-F", "32"]),
    (65_536, &["-F", "32", "-b", "9"]),
    (65_536, &["-F", "32", "-b", "0"]),
    (65_536, &["-F", "32", "-R", "2"]),
    (65_536, &["-F", "32", "-R", "3"]),
    (65_536, &["-F", "32", "-R", "6", "-s", "1"]),
    (65_536, &["-f", "4", "-s", "2"]),
    (300_000, &["-f", "3", "-F", "32"]),
    (65_536, &["-S", "2048", "-s", "16"]),
    (65_536, &["-S", "512", "-s", "128"]),
    (65_536, &["-r", "32767"]),
    (8192, &["-r", "16"]),
    (4_097, &["-s", "1"]),
    (2100, &["-F", "16", "-s", "1", "-r", "16"]),
    (3000, &["-F", "16", "-s", "1"]),
    (8_356, &[]),
    (8_400, &[]),
    (32_700, &[]),
    (33_000, &["-s", "8"]),
];

/// Byte for byte up to the data, but for the code that a machine runs which is started from it.
#[test]
fn formats_as_mkfs_does() {
    if !have("mkfs.vfat") || !have("fsck.vfat") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    let mut wrong = Vec::new();
    for (kib, args) in CASES {
        for path in [&theirs, &ours] {
            std::fs::File::create(path).unwrap().set_len(kib * 1024).unwrap();
        }
        run(Command::new("mkfs.vfat")
            .arg("--invariant")
            .args(*args)
            .arg(&theirs));
        let open =
            |path| -> StorageRef { Arc::new(HostFile::open(path, OpenMode::Write, LockMode::None).unwrap()) };
        if let Err(error) = format(&*open(&ours), &options(args)) {
            wrong.push(format!("{kib} KiB {args:?}: {error}"));
            continue;
        }
        let (a, b) = (open(&theirs), open(&ours));
        let fat = Fat::open(Arc::clone(&a)).unwrap();
        let boot = fat.boot_sector().clone();
        let len = boot.data_offset + u64::from(boot.cluster_len);
        let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        let code = if boot.kind == FatKind::Fat32 { 0x5a } else { 0x3e };
        let mut place = [0; 2];
        a.read_at(50, &mut place).unwrap();
        let backup = usize::from(u16::from_le_bytes(place));
        let backup = backup * boot.sector_len as usize;
        for start in (0..len).step_by(1 << 20) {
            let n = (len - start).min(1 << 20) as usize;
            a.read_at(start, &mut x[..n]).unwrap();
            b.read_at(start, &mut y[..n]).unwrap();
            if start == 0 {
                for bytes in [&mut x, &mut y] {
                    bytes[code..510].fill(0);
                    if boot.kind == FatKind::Fat32 {
                        bytes[backup + code..backup + 510].fill(0);
                    }
                }
            }
            let differ: Vec<String> = (0..n)
                .filter(|at| x[*at] != y[*at])
                .take(6)
                .map(|at| format!("{:#x}: {:#x} {:#x}", start + at as u64, x[at], y[at]))
                .collect();
            if !differ.is_empty() {
                wrong.push(format!("{kib} KiB {args:?}: {differ:?}"));
                break;
            }
        }
        // fsck would add a second boot sector where none is wanted, and knows two tables at most.
        if *kib < 1 << 20 && !args.ends_with(&["-b", "0"]) && !args.contains(&"-f") {
            is_clean(&ours);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_makes_no_filesystem_is_refused() {
    for (kib, args) in [
        (8, &[][..]),
        (8192, &["-F", "16"]),
        (1440, &["-F", "16"]),
        (32_768, &["-F", "12", "-s", "1"]),
        (16_384, &["-s", "3"]),
        (16_384, &["-S", "300"]),
        (16_384, &["-f", "9"]),
        (16_384, &["-n", "twelve chars"]),
        (16_384, &["-n", "a/b"]),
        (16_384, &["-n", "☃"]),
    ] {
        let memory = Arc::new(Memory::new(kib * 1024));
        let storage: StorageRef = Arc::clone(&memory) as StorageRef;
        assert!(format(&*storage, &options(args)).is_err(), "{kib} {args:?}");
        assert_eq!(memory.resident(), 0);
    }
}

#[test]
fn the_label_is_in_both_places() {
    let memory: StorageRef = Arc::new(Memory::new(1440 * 1024));
    format(&*memory, &options(&["-n", "cidata", "-i", "0badf00d"])).unwrap();
    let fat = Fat::open(Arc::clone(&memory)).unwrap();
    assert_eq!(fat.boot_sector().label.as_ref().unwrap(), b"cidata     ");
    assert_eq!(fat.label().unwrap(), b"cidata");
    assert_eq!(identify(&memory).unwrap().uuid.unwrap(), "0BAD-F00D");
}
