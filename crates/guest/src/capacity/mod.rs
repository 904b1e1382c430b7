//! The size of a disk with all that is in it: image, partition table, partition and filesystem change together, in one
//! transaction.

mod grow;
mod report;
mod shrink;
mod target;

pub use grow::{GrowOptions, grow};
pub use report::{CapacityReport, FilesystemChange, PartitionChange, Remains};
pub use shrink::{ShrinkOptions, ShrinkTo, shrink};
