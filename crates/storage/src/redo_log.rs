//! Changes to raw images and block devices: a redo log beside the image.
//!
//! A raw image has no room inside for a second state, so a change is written to a log file first. The image is
//! touched only after the log is complete, flushed and *sealed*; from then on, whatever happens, the new state can
//! be had from the image and the log together. What must hold, in this order:
//!
//! 1. Pages go to the log as they are written. The image stays as it is.
//! 2. [`Shadow::prepare`](crate::Shadow::prepare): all space that the image will need is taken, and the image
//!    flushed; the log is complete and flushed, its name in the folder too.
//! 3. [`Prepared::switch`](crate::Prepared::switch): the log is sealed by one write of its first 512 bytes, and
//!    flushed. This is the point of no return.
//! 4. The image is marked, durably: an attribute of its file names the log, so that it is found, or missed, after the
//!    image was renamed or moved. The pages are written to the image, the image is flushed, the mark is taken away, the
//!    log is removed, durably.
//!
//! After a crash, [`open_for_change`] or [`recover`] finds the log: unsealed, it is removed; sealed, it is applied
//! again. As somebody may have started a virtual machine on the image in between, the log holds a checksum of each
//! sector as it was before; recovery goes ahead only if each sector to be written holds either its old or its new
//! contents, else it touches nothing.
//!
//! All numbers in a log are little-endian. A log is read only by the program version that wrote it or a later one.

mod apply;
pub(crate) mod digest;
mod header;
mod index;
mod log_file;
mod mark;
pub(crate) mod place;
mod prepared;
mod recovery;
mod shadow;
mod table;
mod view;

pub use prepared::finish_prepared;
pub use recovery::{PendingLog, Recovery, open_for_change, pending_log, recover};
pub use shadow::RawShadow;
pub use view::LogView;

/// Bytes per page of a log.
const PAGE: u64 = 4096;
/// Bytes per sector, the unit that a device writes whole or not at all.
const SECTOR: usize = 512;
/// Sectors per page.
const SECTORS: usize = 8;
/// Most bytes moved with one call.
const LARGEST_MOVE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
