//! The ext4 crate against its judges: e2fsprogs and the kernel's own ext4 through a loop mount.

#![allow(unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acts;
mod answers;
mod cases;
mod economy;
mod edit;
mod features;
mod fill;
mod format;
mod identity;
mod journal;
mod judges;
mod kernel;
mod options;
mod random;
mod resize;
mod snapshot;
mod soak;
