//! The program as its users run it, judged by qemu-img, e2fsck, the kernel, isoinfo, and a guest that boots.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_guests;
mod boot;
mod capacity;
mod chain;
mod check_table;
mod cloud_localds;
mod customize;
mod ext_tools;
mod guest_files;
mod guest_tables;
mod host_results;
mod images;
mod iso;
mod iso_hybrid;
mod kill;
mod kill_verbs;
mod lab;
mod luks;
mod lvm;
mod mke2fs;
mod mount;
mod mtools;
mod new_uuids;
mod qemu_img;
mod refusals;
mod scripts;
mod seal;
mod seed;
mod small_guest;
mod sparsify;
mod virt_customize;
