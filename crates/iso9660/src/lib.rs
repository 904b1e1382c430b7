//! ISO 9660 images with Joliet, Rock Ridge and El Torito.
//!
//! [`ImageTree`] takes the files, [`IsoImage::plan`] lays them out, [`IsoImage::write_to`] writes the image in one pass to
//! anything that takes bytes. [`Iso::open`] reads an image as a [`disksmith_vfs::FileSystem`]. The same tree and options give the same bytes.

mod boot_catalog;
mod date;
mod directory;
mod directory_record;
mod endian;
mod error;
mod hierarchy;
mod host_options;
mod host_tree;
mod hybrid;
mod hybrid_tables;
mod image;
mod inspection;
mod iso;
mod joliet_names;
mod layout;
mod options;
mod output_file;
mod partition_table;
mod path_table;
mod plain_names;
mod plain_rules;
mod rock_ridge;
mod source;
mod susp;
mod susp_area;
mod translation_table;
mod tree;
mod volume;
mod volume_descriptor;
mod zisofs;

pub use boot_catalog::{BootCatalog, BootEntry, BootImage, Emulation, Platform};
pub use date::volume_time;
pub use error::{Error, Result};
pub use host_options::{FixedAttributes, HostAttributes, HostNotice, HostOptions, HostPlace, Links};
pub use hybrid::{AppendedPartition, CylinderAlignment, Hybrid, HybridKind};
pub use image::{IsoImage, MetadataSize};
pub use inspection::{Inspection, RawBoot, RawPath, RawRecord, View};
pub use iso::Iso;
pub use options::{Duplicates, Level, NameCharset, Options, TranslationTable, VolumeTexts};
pub use partition_table::PartitionType;
pub use plain_rules::{PlainLength, PlainRules};
pub use source::Source;
pub use tree::{Attributes, ImageTree, NodeId, Visibility};
pub use zisofs::ZisofsHeader;
