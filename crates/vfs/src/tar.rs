//! Tar archives: reading them from a stream, and moving trees into and out of them.
//!
//! The format is POSIX.1-2017 `pax` with ustar headers, GNU tar's extensions (long names, large numbers, sparse files), and the
//! extended attributes of star, GNU tar and libarchive.

mod acl_text;
mod entry;
mod error;
mod header;
mod number;
mod pack;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod unpack;

pub use entry::{TarEntry, TarKind};
pub use error::TarError;
pub use pack::TarOutOptions;
pub use reader::TarReader;
pub use unpack::TarInOptions;

/// Bytes of a header, and what contents are filled up to.
const BLOCK: usize = 512;
