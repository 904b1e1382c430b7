//! The qcow2 image format, version 2 and 3, read and written.
//!
//! [`Qcow2`] opens an image and is a [`disksmith_storage::Storage`]: its bytes are the guest's disk. [`create`] makes
//! an image, [`build_image_bytes`] builds an empty one as a few pieces of bytes. Format errors are [`Error`].
//!
//! The format is specified in QEMU's `docs/interop/qcow2.rst`; comments name its sections.

mod allocate;
mod amend;
mod backing_change;
mod bitmap_change;
mod bitmap_directory;
mod bitmap_table;
mod bitmaps;
mod cache;
mod check;
mod compressed_write;
mod compression;
mod core;
mod create;
mod empty;
mod encryption;
mod engine;
mod entry;
mod error;
mod extension;
mod feature;
mod flush;
mod give_back;
mod header;
mod header_area;
mod image;
mod io;
mod preallocate;
mod prepared;
mod record;
mod refcount;
mod refcount_width;
mod references;
mod resize;
mod shadow;
mod snapshot;
mod snapshot_table;
mod snapshot_view;
mod state;
mod types;
mod zero_expansion;

pub use amend::{AmendOptions, AmendRefusal};
pub use backing_change::MAX_BACKING_FORMAT;
pub use bitmap_change::{BitmapAction, BitmapRefusal, DirtyRanges, MAX_BITMAP_NAME, NewBitmap};
pub use bitmap_directory::BitmapEntry;
pub use check::{CheckReport, Finding, Repair, Stop, check, check_telling};
pub use compression::{compress_cluster, decompress_cluster};
pub use create::{Backing, CreateOptions, ImageBytes, Preallocation, build_image_bytes, create};
pub use encryption::{EncryptionMethod, NewEncryption, Unlock};
pub use error::{Error, Result};
pub use extension::{BitmapsExtension, Extension};
pub use feature::{Autoclear, Compatible, FeatureKind, FeatureName, Incompatible};
pub use header::{CompressionType, Header, MAX_BACKING_NAME};
pub use image::{OpenOptions, Qcow2};
pub use record::{Recovered, recover_switch};
pub use shadow::Qcow2Shadow;
pub use snapshot::{MAX_SNAPSHOT_NAME, NewSnapshot, SnapshotKey};
pub use snapshot_table::Snapshot;
pub use types::{
    Geometry, GuestCluster, GuestOffset, HostCluster, HostOffset, MAX_CLUSTER_BITS, MAX_L1_BYTES,
    MAX_REFCOUNT_TABLE_BYTES, MIN_CLUSTER_BITS,
};
