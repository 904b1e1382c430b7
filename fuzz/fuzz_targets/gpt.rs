//! Any bytes as a disk with a GPT: the checksums are made good first, so that what lies behind them is reached.

#![no_main]

use disksmith_storage::{Memory, StorageRef};
use disksmith_volume::{BootRecord, Disk};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// The protective MBR, headers and entries of a small disk; the input is laid over the tables.
const SIZE: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    for sector in [512, 4096] {
        let mut disk = vec![0; SIZE];
        disk[..512].copy_from_slice(&BootRecord::protective((SIZE / sector) as u64).encode_over(&[]));
        let (primary, backup) = data.split_at(data.len() / 2);
        put(&mut disk, sector, primary);
        put(&mut disk, SIZE - sector, backup);
        for header in [sector, SIZE - sector] {
            repair(&mut disk, header, sector);
        }
        use_it(&disk);
    }
    use_it(data);
});

fn put(disk: &mut [u8], at: usize, data: &[u8]) {
    for (place, byte) in disk.iter_mut().skip(at).zip(data) {
        *place = *byte;
    }
    for (place, byte) in disk.iter_mut().skip(at).zip(b"EFI PART\0\0\x01\0\x5c\0\0\0") {
        *place = *byte;
    }
}

fn field(disk: &[u8], at: usize) -> usize {
    disk.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b) as usize)
}

fn repair(disk: &mut [u8], header: usize, sector: usize) {
    let own = ((header / sector) as u64).to_le_bytes();
    disk[header + 24..header + 32].copy_from_slice(&own);
    let start = field(disk, header + 72).saturating_mul(sector);
    let len = field(disk, header + 80).saturating_mul(field(disk, header + 84));
    if let Some(array) = disk.get(start..start.saturating_add(len)) {
        let crc = crc32fast::hash(array).to_le_bytes();
        disk[header + 88..header + 92].copy_from_slice(&crc);
    }
    disk[header + 16..header + 20].fill(0);
    let crc = crc32fast::hash(&disk[header..header + 92]).to_le_bytes();
    disk[header + 16..header + 20].copy_from_slice(&crc);
}

fn use_it(bytes: &[u8]) {
    let storage: StorageRef = Arc::new(Memory::from_bytes(bytes));
    let Ok(disk) = Disk::probe(storage) else { return };
    for partition in disk.partitions() {
        assert!(partition.end() <= bytes.len() as u64);
        assert!(disk.open(partition).is_ok());
    }
}
