//! LVM2: volume groups over physical volumes, and the logical volumes in them.

mod checksum;
mod find;
mod group;
mod label;
mod mapped;
mod metadata_area;
mod text;

pub use find::{LogicalVolume, Lvm, PhysicalVolume, VolumeGroup};
