//! Partition tables against sfdisk, sgdisk and blkid.

mod hostile;
mod judge;
mod reading;
mod writing;
