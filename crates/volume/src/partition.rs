//! A partition.

use crate::partition_type::PartitionType;

/// A slice of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number as Linux counts: entries of a GPT from 1, primary partitions 1 to 4, logical ones from 5; 0 is the whole
    /// of a disk without partition table.
    pub number: u32,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What it is said to be for.
    pub kind: PartitionType,
    /// Its name; only GPT has names.
    pub name: Option<String>,
    /// Its identifier as `blkid` prints PART_ENTRY_UUID: a GUID, or `DISKID-NN` in an MBR that has an identifier.
    pub uuid: Option<String>,
    /// Whether a BIOS shall boot from it: the active flag of an MBR, attribute bit 2 of a GPT.
    pub bootable: bool,
    /// Attribute bits of a GPT entry; 0 elsewhere.
    pub attributes: u64,
}

impl Partition {
    /// Where it ends, in bytes.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether it only holds logical partitions.
    pub fn is_extended(&self) -> bool {
        self.kind.is_extended()
    }
}
