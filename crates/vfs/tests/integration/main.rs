//! A tree over a filesystem in memory, beside the kernel's own directories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod beside_kernel;
