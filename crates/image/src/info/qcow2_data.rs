//! What only qcow2 images have: the members of `format-specific`, snapshots, bitmaps.

use super::SnapshotInfo;
use crate::error::Result;
use disksmith_qcow2::{Autoclear, Compatible, CompressionType, Header, Incompatible};
use disksmith_storage::Storage;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The members of `format-specific.data`, in QEMU's order.
pub(super) fn qcow2_data(header: &Header, encryption: Option<&str>, bitmaps: Vec<Value>) -> Value {
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
    if let Some(format) = encryption {
        put("encrypt", json!({"format": format}));
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

/// The internal snapshots.
pub(super) fn snapshots(_path: &Path, _file: &dyn Storage, _header: &Header) -> Result<Vec<SnapshotInfo>> {
    Ok(Vec::new())
}

/// The persistent bitmaps.
pub(super) fn bitmaps(_path: &Path, _file: &dyn Storage, _header: &Header) -> Result<Vec<Value>> {
    Ok(Vec::new())
}
