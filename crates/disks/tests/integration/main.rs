//! Tests of whole disks, judged by e2fsprogs, tar, qemu-img, sfdisk and fsck.fat.

#![allow(unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod format;
mod judge;
mod make;
mod thin;
