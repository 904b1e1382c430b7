//! Copying between a tree and the host's files.

mod copy_in;
mod copy_out;
mod host_directory;
mod host_file;
mod report;
#[cfg(test)]
mod tests;

pub use copy_in::{CopyInOptions, OwnerPolicy};
pub use copy_out::CopyOutOptions;
pub use report::{CopyReport, Skipped};

use crate::error::Error;
use rustix::io::Errno;
use std::path::Path;

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;

/// What the host said about one of its files.
fn host_error(path: &Path, operation: &'static str, errno: Errno) -> Error {
    disksmith_storage::Error::io(path.display().to_string(), operation, None, errno.into()).into()
}
