//! Writing an image to a file that appears whole or not at all.

use crate::error::{Error, Result};
use crate::image::IsoImage;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What to do where the output is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Fail, and leave it as it is.
    Refuse,
    /// Put the new file in its place.
    #[default]
    Replace,
}

impl IsoImage {
    /// Writes the image to a new file: under a temporary name beside it, flushed to disk, then renamed. What is no
    /// regular file (a block device, a pipe) is written directly.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to); [`Error::OutputExists`]. No partial file is left behind.
    pub fn write_file(&self, path: &Path, existing: Existing) -> Result<()> {
        let name = path.display().to_string();
        match path.symlink_metadata() {
            Ok(_) if existing == Existing::Refuse => return Err(Error::OutputExists { path: path.into() }),
            Ok(_) => match path.metadata() {
                Ok(found) if !found.is_file() => return self.write_directly(path),
                _ => {}
            },
            Err(_) => {}
        }
        // A link is followed, as a plain open for writing would.
        let target = path.canonicalize().unwrap_or_else(|_| path.into());
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // The process's umask applies.
        let mut temporary = tempfile::Builder::new()
            .prefix(".disksmith-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| Error::io(&name, "create", e))?;
        self.write_buffered(temporary.as_file_mut(), &name)?;
        temporary
            .as_file()
            .sync_all()
            .map_err(|e| Error::io(&name, "flush", e))?;
        let persisted = match existing {
            Existing::Replace => temporary.persist(&target),
            Existing::Refuse => temporary.persist_noclobber(&target),
        };
        persisted.map_err(|e| match e.error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::OutputExists { path: path.into() },
            _ => Error::io(&name, "create", e.error),
        })?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| Error::io(folder.display().to_string(), "flush", e))
    }

    fn write_directly(&self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        let mut file = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(|e| Error::io(&name, "open", e))?;
        self.write_buffered(&mut file, &name)
    }

    fn write_buffered(&self, file: &mut File, name: &str) -> Result<()> {
        let mut out = BufWriter::with_capacity(256 * 1024, file);
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
