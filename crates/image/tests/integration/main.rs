//! The image crate against qemu-img, qemu-io and qemu-nbd.

mod chain;
mod clone;
mod convert;
mod info;
mod judge;
mod map_check_compare;
mod transaction;
