//! FAT filesystems that other programs made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod judge;
mod reading;
