//! The format against its judges: qemu-img and qemu-io.

mod check;
mod crash;
mod create;
mod judge;
mod model;
mod random;
