//! `measure`: how much space an image would take in another format, as qemu-img computes it.

use crate::error::Result;
use crate::format::Format;
use crate::json::pretty_json;
use disksmith_storage::{ExtentState, Storage};
use serde_json::{Map, Value, json};

/// Space in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// What the data there is needs.
    pub required: u64,
    /// What a disk full of data needs.
    pub fully_allocated: u64,
    /// What the persistent bitmaps need, where the source can have some and the target can take them.
    pub bitmaps: Option<u64>,
}

/// The qcow2 properties on which sizes depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qcow2Layout {
    /// Size of a cluster in bytes.
    pub cluster_size: u64,
    /// Width of a refcount in bits.
    pub refcount_bits: u32,
    /// Whether L2 entries have subclusters.
    pub extended_l2: bool,
}

impl Default for Qcow2Layout {
    fn default() -> Self {
        Self {
            cluster_size: 65536,
            refcount_bits: 16,
            extended_l2: false,
        }
    }
}

/// Measures for the contents of `source`.
///
/// # Errors
/// Those of reading the source's metadata.
pub fn measure(source: &dyn Storage, format: Format, layout: Qcow2Layout) -> Result<Measurement> {
    let size = source.size();
    if format != Format::Qcow2 {
        return Ok(Measurement {
            required: size,
            fully_allocated: size,
            bitmaps: None,
        });
    }
    let cluster = layout.cluster_size;
    let mut data = 0;
    let mut at = 0;
    while at < size {
        let extent = source.extent_at(at, size - at)?;
        let mut len = extent.len.max(1);
        if extent.state == ExtentState::Data {
            // The rest of its last cluster is taken too.
            len = (at + len).next_multiple_of(cluster) - at;
            data += at % cluster + len;
        }
        at += len;
    }
    let full = measure_empty(size, layout);
    Ok(Measurement {
        required: full.required + data,
        ..full
    })
}

/// Measures for a disk of `size` bytes without data.
#[must_use]
pub fn measure_empty(size: u64, layout: Qcow2Layout) -> Measurement {
    let disk = size.next_multiple_of(layout.cluster_size);
    let fully_allocated = full_size(disk, layout);
    Measurement {
        required: fully_allocated - disk,
        fully_allocated,
        bitmaps: None,
    }
}

/// The length of a file that holds a disk of `disk` bytes (whole clusters) with all metadata.
fn full_size(disk: u64, layout: Qcow2Layout) -> u64 {
    let cluster = layout.cluster_size;
    let l2_entry = if layout.extended_l2 { 16 } else { 8 };
    let l2_entries = (disk / cluster).next_multiple_of(cluster / l2_entry);
    let l1_entries = (l2_entries * l2_entry / cluster).next_multiple_of(cluster / 8);
    let metadata = cluster + l2_entries * l2_entry + l1_entries * 8;
    let clusters = (metadata + disk) / cluster;
    metadata + disk + refcount_clusters(clusters, layout) * cluster
}

/// Clusters for the refcounts of `clusters` clusters and of themselves.
fn refcount_clusters(clusters: u64, layout: Qcow2Layout) -> u64 {
    let per_table = layout.cluster_size / 8;
    let per_block = layout.cluster_size * 8 / u64::from(layout.refcount_bits);
    let (mut blocks, mut table) = (0u64, 0u64);
    loop {
        let before = blocks + table;
        blocks = (clusters + table + blocks).div_ceil(per_block);
        table = blocks.div_ceil(per_table);
        if blocks + table == before {
            return before;
        }
    }
}

impl Measurement {
    /// The same with an encryption header of so many bytes in the image.
    #[must_use]
    pub fn with_header(self, len: u64) -> Self {
        Self {
            required: self.required.saturating_add(len),
            fully_allocated: self.fully_allocated.saturating_add(len),
            ..self
        }
    }

    /// The text that `qemu-img measure` prints.
    #[must_use]
    pub fn to_human(&self) -> String {
        let bitmaps = self
            .bitmaps
            .map(|size| format!("bitmaps size: {size}\n"))
            .unwrap_or_default();
        format!(
            "required size: {}\nfully allocated size: {}\n{bitmaps}",
            self.required, self.fully_allocated
        )
    }

    /// The text that `qemu-img measure --output=json` prints.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Map::new();
        if let Some(size) = self.bitmaps {
            out.insert("bitmaps".into(), json!(size));
        }
        out.insert("required".into(), json!(self.required));
        out.insert("fully-allocated".into(), json!(self.fully_allocated));
        pretty_json(&Value::Object(out)) + "\n"
    }
}
