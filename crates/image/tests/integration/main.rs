//! The image crate against qemu-img, qemu-io and qemu-nbd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails that way"
)]

mod chain;
mod chain_edit;
mod checkpoint;
mod clone;
mod convert;
mod full_disk;
mod hostile;
mod info;
mod judge;
mod map_check_compare;
mod memory;
mod resize;
mod snapshot;
mod speed;
mod transaction;
