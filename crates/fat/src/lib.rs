//! The FAT12, FAT16 and FAT32 filesystems, as Microsoft's "FAT32 File System Specification" 1.03 describes them, with
//! long names, read and written.
//!
//! FAT has no inodes: an inode number here is where the file's directory entry lies when it is first seen (its byte offset in the storage
//! divided by 32), and stays when the entry moves;
//! the root directory, which has no entry, is 1. It has no owners and modes either: everything belongs to root with mode 0755,
//! or 0555 where the read-only attribute is set, as Linux mounts it. Times are stored without zone and taken as UTC.

mod boot_sector;
mod chain;
mod code_page;
mod date_time;
mod details;
mod directory;
mod directory_entry;
mod fat_table;
mod file_system;
mod file_writing;
mod format;
mod format_layout;
mod fragments;
mod fs_info;
mod identity;
mod inode_map;
mod links;
mod listing;
mod long_name;
mod namespace;
mod operation;
mod overlay;
mod partition_table;
mod short_name;
mod volume_builder;
mod volume_tree;
mod volume_write;

pub use boot_sector::{BootSector, FatKind};
pub use code_page::CodePage;
pub use details::{Attributes, EntryDetails};
pub use file_system::{Clock, Fat, OpenOptions};
pub use format::{FormatNote, FormatOptions, Formatted, format, plan_format};
pub use format_layout::Suits;
pub use identity::{Identity, identify, set_serial};
pub use volume_builder::{Volume, VolumeBuilder};
pub use volume_tree::Content;
