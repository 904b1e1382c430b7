//! Any bytes as a physical volume of LVM2, and any text as the description of a volume group: there the checksums are made good.

#![no_main]

use disksmith_storage::{Memory, StorageRef};
use disksmith_volume::Lvm;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const AREA: usize = 4096;
const AREA_SIZE: usize = 64 << 10;
const SIZE: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    use_it(data);
    let text = &data[..data.len().min(AREA_SIZE - 512)];
    use_it(&physical(text));
});

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    hasher.update(bytes);
    !hasher.finalize()
}

/// A physical volume with this text in the middle of its ring.
fn physical(text: &[u8]) -> Vec<u8> {
    let mut disk = vec![0u8; SIZE];
    let put = |disk: &mut [u8], at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(&mut disk, 512, b"LABELONE");
    put(&mut disk, 520, &1u64.to_le_bytes());
    put(&mut disk, 532, &32u32.to_le_bytes());
    put(&mut disk, 536, b"LVM2 001");
    put(&mut disk, 544, b"abcdefghijklmnopqrstuvwxyz012345");
    put(&mut disk, 576, &(SIZE as u64).to_le_bytes());
    put(&mut disk, 584, &(128u64 << 10).to_le_bytes());
    put(&mut disk, 616, &(AREA as u64).to_le_bytes());
    put(&mut disk, 624, &(AREA_SIZE as u64).to_le_bytes());
    let sum = checksum(&disk[532..1024]);
    put(&mut disk, 528, &sum.to_le_bytes());

    let start = AREA_SIZE / 2;
    put(&mut disk, AREA + 4, b" LVM2 x[5A%r0N*>");
    put(&mut disk, AREA + 20, &1u32.to_le_bytes());
    put(&mut disk, AREA + 24, &(AREA as u64).to_le_bytes());
    put(&mut disk, AREA + 32, &(AREA_SIZE as u64).to_le_bytes());
    put(&mut disk, AREA + 40, &(start as u64).to_le_bytes());
    put(&mut disk, AREA + 48, &(text.len() as u64).to_le_bytes());
    put(&mut disk, AREA + 56, &checksum(text).to_le_bytes());
    let sum = checksum(&disk[AREA + 4..AREA + 512]);
    put(&mut disk, AREA, &sum.to_le_bytes());
    for (index, byte) in text.iter().enumerate() {
        let at = start + index;
        let at = if at < AREA_SIZE { at } else { at - AREA_SIZE + 512 };
        disk[AREA + at] = *byte;
    }
    disk
}

fn use_it(bytes: &[u8]) {
    let storage: StorageRef = Arc::new(Memory::from_bytes(bytes));
    for volume in Lvm::find(&[storage]).logical {
        if let Ok(storage) = volume.storage {
            let mut buf = [0; 8];
            let size = storage.size();
            assert!(storage.read_at(size - 8, &mut buf).is_ok());
            assert!(storage.read_at(size - 7, &mut buf).is_err());
            assert!(storage.extent_at(0, u64::MAX).is_ok());
        }
    }
}
