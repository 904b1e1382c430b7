//! The size of a disk with all that is in it: image, partition table, partition and filesystem change together, in one
//! transaction.

mod grow;
mod repartition;
mod repartition_plan;
mod report;
mod shrink;
mod target;

pub use grow::{GrowOptions, grow};
pub use repartition::{RepartitionStep, repartition};
pub use repartition_plan::{
    PartitionFate, PlannedPartition, RepartitionPlan, RepartitionRequest, SizeRequest, UnknownFilesystems,
    human, plan_repartition, unknown_text,
};
pub use report::{CapacityReport, FilesystemChange, PartitionChange, Remains};
pub use shrink::{ShrinkOptions, ShrinkTo, shrink};
