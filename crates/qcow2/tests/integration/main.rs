//! The format against its judges: qemu-img and qemu-io.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alternate;
mod amend;
mod bitmaps;
mod check;
mod corpus;
mod crash;
mod create;
mod emptying;
mod header_change;
mod interop;
mod judge;
mod model;
mod random;
mod repair;
mod resize;
mod snapshot;
