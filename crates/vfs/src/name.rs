//! Names of directory entries.

use crate::error::{Error, Result};

/// Checks that a name can be one entry of a directory: not empty, not `.` or `..`, without `/` and NUL.
///
/// Whoever puts a name that came from an image into a path of any kind calls this first.
///
/// # Errors
/// [`Error::InvalidName`].
pub fn check_name(name: &[u8]) -> Result<()> {
    let reason = match name {
        b"" => "an empty name",
        b"." | b".." => "this name has a meaning of its own",
        _ if name.contains(&b'/') => "a name cannot hold a slash",
        _ if name.contains(&0) => "a name cannot hold a NUL byte",
        _ => return Ok(()),
    };
    Err(Error::InvalidName {
        path: String::from_utf8_lossy(name).into_owned(),
        reason,
    })
}
