//! FAT filesystems that other programs made, and what becomes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod details;
mod formatting;
mod hostile;
mod judge;
mod reading;
mod volumes;
mod writing;
