//! Images are judged by other programs: xorriso, bsdtar, isoinfo, 7z, blkid.

mod boot;
mod judge;
mod large;
mod listing;
mod model;
mod round_trip;
