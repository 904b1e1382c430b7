//! Tests of whole disks, judged by e2fsprogs, tar, qemu-img, sfdisk and fsck.fat.

mod format;
mod judge;
mod make;
mod thin;
