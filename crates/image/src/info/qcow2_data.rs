//! What only qcow2 images have: the members of `format-specific`, snapshots, bitmaps.

use super::SnapshotInfo;
use crate::error::{Error, Result};
use disksmith_qcow2::{
    Autoclear, BitmapEntry, Compatible, CompressionType, Header, Incompatible, OpenOptions, Qcow2, Snapshot,
    Unlock,
};
use disksmith_storage::StorageRef;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The members of `format-specific.data`, in QEMU's order.
pub(super) fn qcow2_data(header: &Header, encryption: Option<Value>, bitmaps: Vec<Value>) -> Value {
    let v3 = header.version >= 3;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.into(), value);
    };
    put("compat", json!(if v3 { "1.1" } else { "0.10" }));
    let compression = match header.compression {
        CompressionType::Zlib => "zlib",
        CompressionType::Zstd => "zstd",
    };
    put("compression-type", json!(compression));
    if v3 {
        put(
            "lazy-refcounts",
            json!(header.compatible.contains(Compatible::LAZY_REFCOUNTS)),
        );
    }
    if !bitmaps.is_empty() {
        put("bitmaps", Value::Array(bitmaps));
    }
    put("refcount-bits", json!(1u32 << header.geometry.refcount_order));
    let data_file = header
        .data_file_name()
        .filter(|_| header.incompatible.contains(Incompatible::DATA_FILE));
    if let Some(name) = data_file {
        put("data-file", json!(String::from_utf8_lossy(name)));
    }
    if let Some(encryption) = encryption {
        put("encrypt", encryption);
    }
    if v3 {
        if data_file.is_some() {
            put(
                "data-file-raw",
                json!(header.autoclear.contains(Autoclear::DATA_FILE_RAW)),
            );
        }
        put(
            "corrupt",
            json!(header.incompatible.contains(Incompatible::CORRUPT)),
        );
        put("extended-l2", json!(header.geometry.extended_l2));
    }
    Value::Object(out)
}

/// The internal snapshots and the persistent bitmaps, the latter as QEMU prints them.
pub(super) fn tables(
    path: &Path,
    file: &StorageRef,
    header: &Header,
) -> Result<(Vec<SnapshotInfo>, Vec<Value>)> {
    if header.snapshots == 0 && header.bitmaps().is_none() {
        return Ok((Vec::new(), Vec::new()));
    }
    // The data file's contents are not looked at; it need not even be there.
    let data_file = header
        .incompatible
        .contains(Incompatible::DATA_FILE)
        .then(|| file.clone());
    let options = OpenOptions {
        data_file,
        unlock: Unlock::metadata_only(),
        ..OpenOptions::default()
    };
    let image = Qcow2::open(file.clone(), options).map_err(Error::qcow2(path))?;
    let snapshots = image.snapshots().map_err(Error::qcow2(path))?;
    let bitmaps = image.bitmaps().map_err(Error::qcow2(path))?;
    Ok((
        snapshots.iter().map(snapshot_info).collect(),
        bitmaps.iter().map(bitmap).collect(),
    ))
}

/// A snapshot as it is told of.
pub(crate) fn snapshot_info(snapshot: &Snapshot) -> SnapshotInfo {
    SnapshotInfo {
        id: String::from_utf8_lossy(&snapshot.id).into_owned(),
        name: String::from_utf8_lossy(&snapshot.name).into_owned(),
        vm_state_size: snapshot.vm_state_size,
        date_sec: snapshot.date_seconds.into(),
        date_nsec: snapshot.date_nanoseconds,
        vm_clock_nsec: snapshot.vm_clock,
        icount: snapshot.instructions,
    }
}

fn bitmap(bitmap: &BitmapEntry) -> Value {
    let mut flags = Vec::new();
    for (bit, name) in [(1, "in-use"), (2, "auto")] {
        if bitmap.flags & bit != 0 {
            flags.push(json!(name));
        }
    }
    json!({
        "flags": flags,
        "name": String::from_utf8_lossy(&bitmap.name),
        "granularity": 1u64.checked_shl(bitmap.granularity_bits.into()).unwrap_or(0),
    })
}
