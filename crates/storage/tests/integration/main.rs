//! Storage against the programs and kernels it must get along with.

mod block_device;
mod judge;
mod locks;
