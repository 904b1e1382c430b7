//! `info`: what an image is, without reading its data and without a lock.

mod collect;
mod human;
mod luks_data;
mod node_info;
mod qcow2_data;
mod value;

pub use collect::{InfoOptions, info};
pub use human::{FormatDate, snapshot_table};
pub use node_info::info_node;
pub(crate) use qcow2_data::snapshot_info;

use serde_json::Value;

/// What `info` knows of one image. Sizes are bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageInfo {
    /// The image's file as it was named.
    pub filename: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// The size that a guest sees.
    pub virtual_size: u64,
    /// What the file takes on the host's disk.
    pub actual_size: Option<u64>,
    /// Size of a cluster, for formats that have them.
    pub cluster_size: Option<u64>,
    /// Whether the guest's data is encrypted.
    pub encrypted: bool,
    /// Whether the image was not closed cleanly (lazy refcounts are out of date).
    pub dirty: bool,
    /// The backing file it names.
    pub backing: Option<BackingInfo>,
    /// Internal snapshots, in the image's order.
    pub snapshots: Vec<SnapshotInfo>,
    /// What only its format has.
    pub format_specific: Option<FormatSpecific>,
    /// The files that hold it.
    pub children: Vec<ChildInfo>,
}

/// What an image says of its backing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingInfo {
    /// The name as it is recorded.
    pub filename: String,
    /// The name as it is reached from here.
    pub full_filename: String,
    /// The format as it is recorded.
    pub format: Option<String>,
}

/// An internal snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id, unique in the image, usually a number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Size of the saved state of the virtual machine; 0 for a disk snapshot.
    pub vm_state_size: u64,
    /// When it was made: seconds since 1970.
    pub date_sec: i64,
    /// … and nanoseconds.
    pub date_nsec: u32,
    /// How long the machine had run then, in nanoseconds.
    pub vm_clock_nsec: u64,
    /// How many instructions it had run, where that was counted.
    pub icount: Option<u64>,
}

/// Members of `format-specific`: an object in the order in which QEMU prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatSpecific {
    /// The format whose members these are.
    pub kind: String,
    /// The members.
    pub data: Value,
}

/// A file below an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildInfo {
    /// What it is to the image: `file`.
    pub name: String,
    /// Its name.
    pub filename: String,
    /// `file` or `host_device`.
    pub driver: String,
    /// Its length in bytes, in whole sectors of 512.
    pub length: u64,
    /// What it takes on the host's disk.
    pub actual_size: Option<u64>,
}
