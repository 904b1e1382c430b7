//! A qcow2 image from a stranger: checked, opened, read, edited, repaired. Errors are fine, nothing else is.

#![no_main]

use disksmith_qcow2::{OpenOptions, Qcow2, Repair, check};
use disksmith_storage::{Memory, Storage, StorageRef, ZeroMode};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fn memory(data: &[u8]) -> StorageRef {
    Arc::new(Memory::from_bytes(data))
}

fn change(disk: &dyn Storage) {
    let size = disk.size();
    for at in [0, size / 2, size.saturating_sub(3000)] {
        let len = 3000.min(size - at);
        let _ = disk.write_at(at, &vec![7; len as usize]);
        let _ = disk.write_zeroes(at, len, ZeroMode::Unmap);
        let _ = disk.discard(at, len);
    }
    let _ = disk.flush();
}

fuzz_target!(|data: &[u8]| {
    let _ = check(&memory(data), Repair::None);
    if let Ok(image) = Qcow2::open(memory(data), OpenOptions::default()) {
        let _ = image.snapshots();
        let _ = image.bitmaps();
        let (mut at, mut buf) = (0, vec![0; 1 << 16]);
        for _ in 0..64 {
            let n = (image.size().saturating_sub(at)).min(buf.len() as u64);
            if n == 0 {
                break;
            }
            let _ = image.read_at(at, &mut buf[..n as usize]);
            let _ = image.extent_at(at, u64::MAX);
            at += n;
        }
    }
    let options = OpenOptions { writable: true, ..OpenOptions::default() };
    if let Ok(image) = Qcow2::open(memory(data), options.clone()) {
        if let Ok(shadow) = Arc::new(image).shadow() {
            change(&*shadow);
            if let Ok(prepared) = shadow.prepare() {
                let _ = prepared.switch();
            }
        }
    }
    if let Ok(image) = Qcow2::open(memory(data), options) {
        change(&image);
    }
    let _ = check(&memory(data), Repair::All);
});
