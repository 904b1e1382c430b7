//! Writing an image to a file that appears whole or not at all.

use crate::error::{Error, Result};
use crate::image::IsoImage;
use disksmith_storage::{Durability, Existing, HostFile, NewFile, Storage};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// How much is written at once.
const BUFFER: usize = 256 * 1024;

/// A file that is written from its start to its end.
struct InOrder<'a> {
    file: &'a HostFile,
    at: u64,
}

impl Write for InOrder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, bytes).map_err(|error| match error {
            disksmith_storage::Error::Io { source, .. } => source,
            other => io::Error::other(other),
        })?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IsoImage {
    /// Writes the image to a new file that gets its name when it is complete. What is no regular file (a block device, a
    /// pipe) is written directly. With [`Durability::Deferred`] it is left to the operating system when the bytes reach
    /// the disk: an image can be made again.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to); [`Error::OutputExists`]. No partial file is left behind.
    pub fn write_file(&self, path: &Path, existing: Existing, durability: Durability) -> Result<()> {
        let name = path.display().to_string();
        match path.symlink_metadata() {
            Ok(_) if existing == Existing::Refuse => return Err(Error::OutputExists { path: path.into() }),
            Ok(_) => match path.metadata() {
                Ok(found) if !found.is_file() => return self.write_directly(path),
                _ => {}
            },
            Err(_) => {}
        }
        let new = NewFile::create(path, existing)?;
        new.file().set_size(self.size())?;
        self.write_buffered(
            InOrder {
                file: new.file(),
                at: 0,
            },
            &name,
        )?;
        new.commit(existing, durability)?;
        Ok(())
    }

    fn write_directly(&self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        let file: File = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(|e| Error::io(&name, "open", e))?;
        self.write_buffered(file, &name)
    }

    fn write_buffered(&self, file: impl Write, name: &str) -> Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        let rename = |error: Error| match error {
            Error::Io {
                operation: "write",
                source,
                ..
            } => Error::io(name, "write", source),
            other => other,
        };
        self.write_to(&mut out).map_err(rename)?;
        out.flush().map_err(|e| Error::io(name, "write", e))
    }
}
