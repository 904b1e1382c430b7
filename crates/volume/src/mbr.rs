//! Master boot records and the chains of logical partitions.

mod boot_record;
mod change;
mod layout;
mod logical;
mod partition_record;

pub use boot_record::BootRecord;
pub use layout::{MbrLayout, MbrPartition};
pub use partition_record::{Chs, PartitionRecord};

pub(crate) use boot_record::BOOT_RECORD_LEN;
pub(crate) use change::{change, record_before};
pub(crate) use logical::{LogicalPartition, logical_partitions};
