//! Partition tables against sfdisk, sgdisk and blkid.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod judge;
mod lvm;
mod reading;
mod resizing;
mod writing;
