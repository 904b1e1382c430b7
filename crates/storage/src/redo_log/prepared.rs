//! A complete log.

use super::header::{LogHeader, LogState};
use super::index::{Index, Logged};
use super::log_file::LogFile;
use super::recovery;
use super::shadow::Image;
use super::{PAGE, apply, mark};
use crate::error::{Error, Result};
use crate::host_file::{HostFile, OpenMode};
use crate::lock::LockMode;
use crate::record::{RecordReader, RecordWriter};
use crate::shadow::Prepared;
use crate::storage::Storage;
use std::path::{Path, PathBuf};

/// A change of a raw image whose log is complete and durable, and not sealed yet.
#[derive(Debug)]
pub(super) struct RawPrepared {
    image: Image,
    /// `None`: nothing was changed.
    log: Option<CompleteLog>,
}

#[derive(Debug)]
struct CompleteLog {
    file: LogFile,
    header: LogHeader,
    index: Index,
    /// Holes of the image for which space was taken: offset and length.
    taken: Vec<(u64, u64)>,
}

impl RawPrepared {
    pub(super) fn nothing(image: Image) -> Self {
        Self { image, log: None }
    }

    /// Completes a log: makes everything durable. `taken`: the space that the image got for it.
    pub(super) fn complete(
        image: Image,
        file: LogFile,
        mut header: LogHeader,
        index: Index,
        taken: Vec<(u64, u64)>,
    ) -> Result<Self> {
        let finish = |header: &mut LogHeader| {
            // The space that was taken must outlast a power cut. So must what an earlier writer left unflushed:
            // recovery compares with the contents as they were read here.
            image.storage.flush()?;
            let log = file.storage();
            log.set_size(header.length)?;
            header.digest = apply::digest(log.as_ref(), header.length)?;
            header.state = LogState::Complete;
            file.write(0, &header.encode())?;
            log.flush()?;
            file.sync_name()
        };
        if let Err(error) = finish(&mut header) {
            give_back(&image, &taken);
            return Err(error);
        }
        Ok(Self {
            image,
            log: Some(CompleteLog {
                file,
                header,
                index,
                taken,
            }),
        })
    }
}

/// Takes space in the image's file for all data of the log, so that carrying it over cannot run out of it: the holes that it
/// took, as offset and length. `new_size`: what the image's size will be.
///
/// # Errors
/// Nothing is taken then.
pub(super) fn take_space(image: &Image, new_size: u64, index: &Index) -> Result<Vec<(u64, u64)>> {
    let mut taken = Vec::new();
    match take_all(image, new_size, index, &mut taken) {
        Ok(()) => Ok(taken),
        Err(error) => {
            give_back(image, &taken);
            Err(error)
        }
    }
}

fn take_all(image: &Image, new_size: u64, index: &Index, taken: &mut Vec<(u64, u64)>) -> Result<()> {
    let Some(file) = image.file.as_ref().filter(|file| !file.is_block_device()) else {
        return Ok(());
    };
    // Ranges that follow each other lie apart in the log where a segment ends; space is taken for both at once.
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for run in index.iter().filter(|run| matches!(run.value, Logged::At(_))) {
        match ranges.last_mut() {
            Some((_, end)) if *end == run.start => *end = run.end,
            _ => ranges.push((run.start, run.end)),
        }
    }
    for (start, end) in ranges {
        let end = end.saturating_mul(PAGE).min(new_size);
        let mut at = start.saturating_mul(PAGE);
        while at < end {
            let extent_len = if at < image.size {
                let extent = file.extent_at(at, end - at)?;
                if !extent.reads_as_zero() {
                    at += extent.len;
                    continue;
                }
                extent.len
            } else {
                end - at
            };
            let before = file.allocated()?;
            file.preallocate_beyond(at, extent_len)?;
            // Else the space was there already, and stays whatever happens.
            if file.allocated()? > before {
                taken.push((at, extent_len));
            }
            at += extent_len;
        }
    }
    Ok(())
}

/// Makes holes again of what [`take_space`] took.
fn give_back(image: &Image, taken: &[(u64, u64)]) {
    let Some(file) = &image.file else { return };
    for (offset, len) in taken {
        if let Err(error) = file.release(*offset, *len) {
            log::warn!("{}: cannot give space back: {error}", file.name());
        }
    }
}

impl Prepared for RawPrepared {
    fn record(&self) -> Vec<u8> {
        let mut record = RecordWriter::default();
        record.number(1);
        match &self.log {
            None => record.number(0),
            Some(log) => {
                record.number(1);
                let named = self
                    .image
                    .file
                    .as_ref()
                    .map_or(Path::new(""), |file| file.path().as_ref());
                // Recovery may run in another working directory.
                record.path(&std::fs::canonicalize(named).unwrap_or_else(|_| named.to_owned()));
                record.path(log.file.path());
                record.number(log.header.digest);
            }
        }
        record.finish()
    }

    fn format(&self) -> &'static str {
        "raw"
    }

    fn switch(self: Box<Self>) -> Result<()> {
        let Some(CompleteLog {
            file,
            mut header,
            index,
            taken,
        }) = self.log
        else {
            return Ok(());
        };
        header.state = LogState::Sealed;
        let path = file.path().to_path_buf();
        let mut file = file;
        let interrupted = |source| Error::Interrupted {
            image: self.image.storage.name(),
            log: path.clone(),
            source: Box::new(source),
        };
        // From here on the seal may be on the disk, whatever the calls say.
        file.keep();
        if let Err(error) = file
            .write(0, &header.encode())
            .and_then(|()| file.storage().flush())
        {
            return match file.remove() {
                Ok(()) => {
                    give_back(&self.image, &taken);
                    Err(error)
                }
                Err(_) => Err(interrupted(error)),
            };
        }
        let log = file.storage().as_ref();
        let host = self.image.file.as_deref().filter(|file| !file.is_block_device());
        host.map_or(Ok(()), |host| mark::set(host, &path))
            .and_then(|()| apply::apply(self.image.storage.as_ref(), log, &header, &index))
            .and_then(|()| host.map_or(Ok(()), mark::clear))
            .map_err(interrupted)?;
        // The image is complete; a log that stays is applied once more, which changes nothing.
        file.remove().map_err(interrupted)
    }

    fn abandon(self: Box<Self>) -> Result<()> {
        let Some(log) = self.log else { return Ok(()) };
        give_back(&self.image, &log.taken);
        log.file.remove()
    }
}

/// Completes a change from its [`Prepared::record`], after an intent file has decided that it counts. Where the log
/// is gone, it was carried over already.
///
/// # Errors
/// As [`super::recover`].
pub fn finish_prepared(record: &[u8]) -> Result<()> {
    let damaged = || Error::LogDamaged {
        log: PathBuf::new(),
        field: "record of a raw image",
        offset: 0,
        value: record.len() as u64,
    };
    let mut reader = RecordReader::new(record);
    if reader.number() != Some(1) {
        return Err(damaged());
    }
    if reader.number().ok_or_else(damaged)? == 0 {
        return Ok(());
    }
    let image = reader.path().ok_or_else(damaged)?;
    let log_path = reader.path().ok_or_else(damaged)?;
    let digest = reader.number().ok_or_else(damaged)?;
    let file = HostFile::open(&image, OpenMode::Write, LockMode::Lock)?;
    let Some(log) = LogFile::find(&log_path, OpenMode::Write)? else {
        return Ok(());
    };
    let Some(mut header) = recovery::read_header(log.storage().as_ref(), &log_path)? else {
        return Err(damaged());
    };
    if header.digest != digest || header.state == LogState::Open {
        return Err(Error::LogOfAnotherFile {
            image: image.display().to_string(),
            log: log_path,
        });
    }
    header.state = LogState::Sealed;
    recovery::complete(&file, Some(&file), file.id(), log, &header)
}
