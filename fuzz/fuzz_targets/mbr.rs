//! Any bytes as a chain of boot records, each with its signature.

#![no_main]

use disksmith_storage::{Memory, StorageRef};
use disksmith_volume::Disk;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// Partition records of one boot record.
const RECORDS: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut disk = vec![0; 64 * 512];
    for (sector, records) in disk.chunks_exact_mut(512).zip(data.chunks(RECORDS)) {
        sector[446..446 + records.len()].copy_from_slice(records);
        for record in 0..4 {
            sector[446 + record * 16] &= 0x80;
            // Starts within the disk, mostly, so that chains meet records.
            sector[446 + record * 16 + 9..446 + record * 16 + 12].fill(0);
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
    }
    for bytes in [&disk[..], data] {
        let storage: StorageRef = Arc::new(Memory::from_bytes(bytes));
        let Ok(disk) = Disk::probe(storage) else { continue };
        for partition in disk.partitions() {
            assert!(partition.end() <= bytes.len() as u64);
            assert!(disk.open(partition).is_ok());
        }
    }
});
