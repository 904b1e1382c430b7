//! Images are judged by other programs: xorriso, bsdtar, isoinfo, 7z, blkid.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod boot;
mod firmware;
mod judge;
mod large;
mod listing;
mod model;
mod mounting;
mod reading;
mod round_trip;
mod uefi;
