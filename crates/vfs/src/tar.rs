//! Tar archives: reading them from a stream, and moving trees into and out of them.
//!
//! The format is POSIX.1-2017 `pax` with ustar headers, GNU tar's extensions (long names, large numbers, sparse files), and the
//! extended attributes of star, GNU tar and libarchive. Headers are those of the `tar` crate. What that crate cannot carry is here:
//! extended attributes whose values hold line ends, at which it splits records; maps of sparse files as maps, not as zeroes;
//! a limit on what headers may take of memory; names as they are, `./` and `..` with them, so that whoever unpacks can judge them.

mod acl_text;
mod entry;
mod error;
mod header;
mod pack;
mod pax;
mod pax_record;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod unpack;

pub use acl_text::AclNames;
pub use entry::{TarEntry, TarKind};
pub use error::TarError;
pub use pack::TarOutOptions;
pub use reader::TarReader;
pub use unpack::TarInOptions;

/// Bytes of a header, and what contents are filled up to.
const BLOCK: usize = 512;
