//! What is on a disk: GPT, MBR, LVM2, or a bare filesystem.
//!
//! [`Disk::probe`] looks at any [`disksmith_storage::Storage`] and gives its partitions, each of which opens as a storage of
//! its own. A disk without a partition table is one slice, the whole of it, so that nobody above has to care.
//! [`GptLayout`] and [`MbrLayout`] write new tables. [`Lvm::find`] puts together the logical volumes that lie on a set of slices.

mod disk;
mod error;
mod gpt;
mod lvm;
mod mbr;
mod notice;
mod partition;
mod partition_type;
mod resize;
mod sector;
mod whole_disk;

pub use disk::{Disk, Table};
pub use error::{Error, Result};
pub use gpt::{GptEntry, GptHeader, GptLayout, GptPartition};
pub use lvm::{LogicalVolume, Lvm, PhysicalVolume, VolumeGroup};
pub use mbr::{BootRecord, Chs, MbrLayout, MbrPartition, PartitionRecord};
pub use notice::Notice;
pub use partition::Partition;
pub use partition_type::{PartitionType, gpt_type};
pub use resize::{Room, TableChange};
pub use sector::{Lba, SectorSize};
pub use uuid::Uuid;
