//! Disk images whatever their format: opening, backing chains, transactions, and the verbs over them.
//!
//! [`Image::open`] tells an image's format, follows its backing chain through a [`Gate`] and gives the guest's disk as a
//! [`disksmith_storage::Storage`]. The verbs are functions: [`info()`], [`create()`], [`clone_linked`], [`clone_full`],
//! [`convert()`], [`compare()`], [`check()`], [`map()`], [`measure()`], [`resize()`], [`recover()`]. A
//! [`Transaction`] edits images. Where qemu-img has the verb too, the results render
//! as the very text that it prints.
//!
//! ```no_run
//! use disksmith_image::{DiskSpec, Transaction, TransactionOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let edit = Transaction::begin(&[DiskSpec::in_place("vm1.qcow2")], &TransactionOptions::default())?;
//! let disk = edit.storage(0).ok_or("there is one disk")?;
//! disk.write_at(1 << 20, b"seen by nobody yet")?;
//! edit.commit()?; // whole, or not at all
//! # Ok(())
//! # }
//! ```
//!
//! # Locks
//!
//! Every function that reads an image's data or changes it takes QEMU's locks on the files first, and keeps them as long as what it
//! returns lives. [`info()`] takes none.
//!
//! # Errors
//!
//! [`Error`] implements [`disksmith_storage::Diagnose`]: its kind gives the program's exit status, its hint what to do next.

mod amend;
mod amend_keys;
mod bench;
mod bitmap;
mod build;
mod byte_size;
mod chain;
mod chain_tree;
mod check;
mod clone;
mod commit;
mod compare;
mod convert;
mod create;
mod device;
mod error;
mod file_name;
mod format;
mod gate;
mod guard;
mod held_above;
mod image;
mod info;
mod json;
mod keys;
mod map;
mod measure;
mod name_pattern;
mod node;
mod null_disk;
mod open;
mod padded;
mod rebase;
mod recover;
mod resize;
mod rounded;
mod snapshot;
mod snapshot_diff;
mod snapshot_export;
mod snapshot_tree;
mod take_up;
mod transaction;
mod worker;

pub use amend::{ChangeOptions, amend, amend_image};
pub use amend_keys::amend_keys;
pub use bench::{BenchOptions, bench};
pub use bitmap::{BitmapChange, bitmaps_of, change_bitmap, change_bitmap_of, copy_bitmaps};
pub use build::build;
pub use byte_size::{BadSize, human_size, parse_size};
pub use chain_tree::{ChainImage, chain_tree, chain_tree_to_human, chain_tree_to_json};
pub use check::{CheckReport, EXIT_NOT_CHECKABLE, check, check_telling};
pub use clone::{CloneOptions, clone_full, clone_linked};
pub use commit::{CommitOptions, Committed, commit};
pub use compare::{Comparison, compare};
pub use convert::{
    BackingFile, ConvertOptions, ConvertReport, CopyBitmaps, DEFAULT_SPARSE_SIZE, Source, convert,
    convert_from, write_raw,
};
pub use create::{CreateOptions, MAX_SIZE, create};
pub use disksmith_qcow2::{AmendOptions, MAX_SNAPSHOT_NAME, NewSnapshot, SnapshotKey};
pub use error::{CLONES_LISTED, Error, Result};
pub use file_name::{FileName, MAX_BACKING_NAME, protocol_of, relative_name, resolve_beside};
pub use format::{Detected, Format, PROBE_SIZE, Packing, detect, detect_in};
pub use gate::Gate;
pub use guard::{Clones, find_clones, refuse_if_cloned};
pub use image::{Image, Layer};
pub use info::{
    BackingInfo, ChildInfo, FormatDate, FormatSpecific, ImageInfo, InfoOptions, SnapshotInfo, info,
    info_node, snapshot_table,
};
pub use json::pretty_json;
pub use keys::Keys;
pub use map::{MapEntry, for_each_run, map, map_to_human, map_to_json};
pub use measure::{Measurement, Qcow2Layout, measure, measure_empty};
pub use name_pattern::NamePattern;
pub use node::{Below, FileNode, FormatNode, Node, NodeError, NullNode};
pub use open::{MAX_CHAIN, OpenOptions};
pub use rebase::{PullOptions, RebaseOptions, Rebased, pull, rebase};
pub use recover::{Recovered, recover};
pub use resize::{NewSize, ResizeOptions, resize};
pub use snapshot::{SnapshotOptions, apply_snapshot, create_snapshot, delete_snapshot, list_snapshots};
pub use snapshot_diff::{MAX_DIFF_RANGES, SnapshotDiff, snapshot_diff};
pub use snapshot_export::{export_snapshot, import_snapshot};
pub use snapshot_tree::{SnapshotNode, snapshot_tree, snapshot_tree_to_human};
pub use transaction::{CheckpointFailure, CommitReport, DiskSpec, Output, Transaction, TransactionOptions};
pub use worker::{NoProgress, Progress};
