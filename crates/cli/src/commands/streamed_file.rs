//! A file of this host that is written from its start to its end, and has its name when it is complete.

use disksmith_guest::Error;
use disksmith_storage::{Durability, Existing, NewFile, Storage, check_replaceable};
use std::io::Write;
use std::path::Path;

/// Has `work` write a file. It takes the place of what has its name in one step; after an error that stays. Devices and pipes are
/// written to directly. A file that is open as an image is refused.
///
/// # Errors
/// Those of the host, and of `work`.
pub(crate) fn write_streamed<T>(
    path: &Path,
    work: impl FnOnce(&mut dyn Write) -> disksmith_guest::Result<T>,
) -> disksmith_guest::Result<T> {
    let host = |operation, source| Error::Host {
        operation,
        path: path.to_owned(),
        source,
    };
    check_replaceable(path).map_err(Error::below)?;
    let there = std::fs::metadata(path).ok();
    if there.as_ref().is_some_and(|m| !m.is_file() && !m.is_dir()) {
        let opened = std::fs::OpenOptions::new().write(true).open(path);
        let mut device = opened.map_err(|source| host("open", source))?;
        let result = work(&mut device)?;
        device.flush().map_err(|source| host("write", source))?;
        return Ok(result);
    }
    let new = NewFile::create(path, Existing::Replace).map_err(Error::below)?;
    let result = work(&mut Appending { new: &new, at: 0 })?;
    // What is lost must not take with it what was there before.
    let durability = if there.is_some() {
        Durability::Sync
    } else {
        Durability::Deferred
    };
    new.commit(Existing::Replace, durability).map_err(Error::below)?;
    Ok(result)
}

struct Appending<'a> {
    new: &'a NewFile,
    at: u64,
}

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let end = self.at.saturating_add(bytes.len() as u64);
        let file = self.new.file();
        let written = file.set_size(end).and_then(|()| file.write_at(self.at, bytes));
        written.map_err(|error| match error {
            disksmith_storage::Error::Io { source, .. } => source,
            other => std::io::Error::other(other),
        })?;
        self.at = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
