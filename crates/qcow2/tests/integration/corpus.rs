//! The corpora of the fuzz targets, replayed: whatever once was of interest must still do no harm.

use crate::check::use_image;
use disksmith_qcow2::{
    CreateOptions, NewSnapshot, OpenOptions, Qcow2, Repair, SnapshotKey, build_image_bytes, check,
};
use disksmith_storage::{Memory, Storage, StorageRef};
use std::path::PathBuf;
use std::sync::Arc;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no corpus");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The image that the target `qcow2_tables` makes of its input.
fn with_table(data: &[u8]) -> Option<Vec<u8>> {
    let [kind, count, table @ ..] = data else {
        return None;
    };
    let options = CreateOptions {
        cluster_bits: 9,
        ..CreateOptions::new(64 << 10)
    };
    let built = build_image_bytes(&options).unwrap();
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

fn change_snapshots(bytes: &[u8]) {
    let options = OpenOptions {
        writable: true,
        ..OpenOptions::default()
    };
    for change in 0..3 {
        let file: StorageRef = Arc::new(Memory::from_bytes(bytes));
        let Ok(image) = Qcow2::open(file, options.clone()) else {
            return;
        };
        let image = Arc::new(image);
        let id = image
            .snapshots()
            .ok()
            .and_then(|list| Some(list.first()?.id.clone()));
        let key = SnapshotKey::Id(id.as_deref().unwrap_or(b"1"));
        let _ = match change {
            0 => image.create_snapshot(&NewSnapshot::default()),
            1 => image.apply_snapshot(key),
            _ => image.delete_snapshot(key),
        };
        let _ = image.write_at(0, &[7; 700]);
        let _ = image.flush();
    }
}

#[test]
fn the_corpus_of_images_does_no_harm() {
    for bytes in corpus("qcow2") {
        use_image(&bytes);
        change_snapshots(&bytes);
    }
}

#[test]
fn the_corpus_of_tables_does_no_harm() {
    for data in corpus("qcow2_tables") {
        let Some(bytes) = with_table(&data) else { continue };
        use_image(&bytes);
        change_snapshots(&bytes);
        let file: StorageRef = Arc::new(Memory::from_bytes(&bytes));
        let _ = check(&file, Repair::All);
        let _ = check(&file, Repair::None);
    }
}
