//! A sound qcow2 image whose snapshot table, or bitmap directory, comes from a stranger: checked, listed, applied, deleted,
//! repaired. Errors are fine, nothing else is.
//!
//! The first byte says which of the two; the second is their number; the rest is the table.

#![no_main]

use disksmith_qcow2::{
    CreateOptions, NewSnapshot, OpenOptions, Qcow2, Repair, SnapshotKey, build_image_bytes, check,
};
use disksmith_storage::{Memory, Storage, StorageRef};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fn image(data: &[u8]) -> Option<Vec<u8>> {
    let [kind, count, table @ ..] = data else { return None };
    let options = CreateOptions { cluster_bits: 9, ..CreateOptions::new(64 << 10) };
    let built = build_image_bytes(&options).ok()?;
    let mut bytes = vec![0; built.len as usize];
    for (at, piece) in &built.pieces {
        bytes[*at as usize..*at as usize + piece.len()].copy_from_slice(piece);
    }
    let place = (bytes.len() as u64).to_be_bytes();
    if kind % 2 == 0 {
        bytes[60..64].copy_from_slice(&u32::from(*count).to_be_bytes());
        bytes[64..72].copy_from_slice(&place);
    } else {
        bytes[95] |= 1;
        let mut extension = 0x2385_2875u32.to_be_bytes().to_vec();
        extension.extend_from_slice(&24u32.to_be_bytes());
        extension.extend_from_slice(&u32::from(*count).to_be_bytes());
        extension.extend_from_slice(&[0; 4]);
        extension.extend_from_slice(&(table.len() as u64).to_be_bytes());
        extension.extend_from_slice(&place);
        extension.extend_from_slice(&[0; 8]);
        bytes[112..112 + extension.len()].copy_from_slice(&extension);
    }
    bytes.extend_from_slice(table);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    Some(bytes)
}

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = image(data) else { return };
    let memory = || -> StorageRef { Arc::new(Memory::from_bytes(&bytes)) };
    let _ = check(&memory(), Repair::None);
    if let Ok(image) = Qcow2::open(memory(), OpenOptions::default()) {
        let _ = image.snapshots();
        let _ = image.bitmaps();
    }
    let options = OpenOptions { writable: true, ..OpenOptions::default() };
    for change in 0..3 {
        let Ok(image) = Qcow2::open(memory(), options.clone()) else { break };
        let image = Arc::new(image);
        let id = image.snapshots().ok().and_then(|list| Some(list.first()?.id.clone()));
        let key = SnapshotKey::Id(id.as_deref().unwrap_or(b"1"));
        let _ = match change {
            0 => image.create_snapshot(&NewSnapshot::default()),
            1 => image.apply_snapshot(key),
            _ => image.delete_snapshot(key),
        };
        let _ = image.write_at(0, &[7; 700]);
        let _ = image.flush();
    }
    let repaired = memory();
    let _ = check(&repaired, Repair::All);
    let _ = check(&repaired, Repair::None);
});
