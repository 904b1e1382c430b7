//! Storage against the programs and kernels it must get along with.
#![allow(clippy::unwrap_used, clippy::panic)]

mod block_device;
mod full_disk;
mod judge;
mod locks;
