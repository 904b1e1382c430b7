//! The volumes that seeds are put on: an ISO 9660 image, or a FAT filesystem without a partition table around it.

use crate::error::{Error, Result};
use disksmith_fat::{Content, FormatOptions, Volume, VolumeBuilder};
use disksmith_iso9660::{Attributes, ImageTree, IsoImage, Options, Source};
use disksmith_storage::{Durability, Existing, NewFile, Storage};
use disksmith_vfs::Timestamp;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::Path;

/// A file of a seed: its path in the volume, and its contents.
pub type SeedFile = (String, Vec<u8>);

/// Bytes of the smallest FAT volume, as cloud-localds makes it.
const LEAST_FAT: u64 = 128 << 10;
/// Bytes of a FAT volume that shall look like a hard disk, as OpenStack makes its config drives.
const HARD_DISK: u64 = 64 << 20;

/// Images up to so many bytes are made in memory first.
const IN_MEMORY: u64 = 4 << 20;
/// Bytes of a page, the unit of holes.
const PAGE: usize = 4096;

/// What kind of volume a seed is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaFormat {
    /// ISO 9660 with Joliet and Rock Ridge: for a CD-ROM drive, or a disk.
    #[default]
    Iso,
    /// A FAT filesystem, as small as can be.
    Vfat,
    /// A FAT filesystem of 64 MiB or more (a sparse file), for a hard disk: cloudbase-init's `config_drive_raw_hhd`,
    /// OpenStack's `config_drive_format=vfat`. No partition table.
    RawHardDisk,
}

/// A volume that is ready to be written.
#[derive(Debug)]
pub struct Media(Kind);

#[derive(Debug)]
enum Kind {
    Iso(Box<IsoImage>),
    Fat(Box<Volume>),
}

impl Media {
    /// Makes a volume with these files. The same arguments give the same bytes.
    ///
    /// # Errors
    /// Names and labels that the volume cannot carry; files that do not fit.
    pub fn new(format: MediaFormat, label: &str, time: Timestamp, files: &[SeedFile]) -> Result<Self> {
        Ok(Self(match format {
            MediaFormat::Iso => Kind::Iso(Box::new(iso(label, time, files)?)),
            MediaFormat::Vfat => Kind::Fat(Box::new(fat(LEAST_FAT, label, time, files)?)),
            MediaFormat::RawHardDisk => Kind::Fat(Box::new(fat(HARD_DISK, label, time, files)?)),
        }))
    }

    /// Bytes of the volume.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Kind::Iso(image) => image.size(),
            Kind::Fat(volume) => volume.size(),
        }
    }

    /// Writes the whole volume, front to back.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        match &self.0 {
            Kind::Iso(image) => Ok(image.write_to(out)?),
            Kind::Fat(volume) => Ok(volume.stream(out)?),
        }
    }

    /// Writes the volume to a file that appears whole or not at all. What is no regular file (a block device, a pipe) is
    /// written directly.
    ///
    /// # Errors
    /// The file exists and may not be replaced; it cannot be written.
    pub fn write_file(&self, path: &Path, existing: Existing, durability: Durability) -> Result<()> {
        if let Kind::Iso(image) = &self.0
            && image.size() > IN_MEMORY
        {
            return Ok(image.write_file(path, existing, durability)?);
        }
        if path.symlink_metadata().is_ok() {
            if existing == Existing::Refuse {
                return Err(Error::OutputExists { path: path.into() });
            }
            if path.metadata().is_ok_and(|found| !found.is_file()) {
                let fail = |source: io::Error| {
                    disksmith_storage::Error::io(path.display().to_string(), "open", None, source)
                };
                let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(fail)?;
                return self.write_to(&mut file);
            }
        }
        let new = NewFile::create(path, existing)?;
        new.file().set_size(self.size())?;
        // What is zero stays a hole: of a small ISO image that is nearly everything.
        match &self.0 {
            Kind::Fat(volume) => volume.write_to(new.file().as_ref(), true)?,
            Kind::Iso(image) => {
                let mut bytes = Vec::with_capacity(usize::try_from(image.size()).unwrap_or(0));
                image.write_to(&mut bytes)?;
                write_data(new.file().as_ref(), &bytes)?;
            }
        }
        new.commit(existing, durability)?;
        Ok(())
    }
}

/// Writes all but the pages that are zero, neighbours at once.
fn write_data(file: &dyn Storage, bytes: &[u8]) -> Result<()> {
    let mut start = None;
    let mut at = 0usize;
    for page in bytes.chunks(PAGE) {
        if disksmith_storage::is_zero(page) {
            if let Some(data) = start.take().and_then(|from| Some((from, bytes.get(from..at)?))) {
                file.write_at(data.0 as u64, data.1)?;
            }
        } else {
            start.get_or_insert(at);
        }
        at += page.len();
    }
    if let Some(data) = start.and_then(|from| Some((from, bytes.get(from..)?))) {
        file.write_at(data.0 as u64, data.1)?;
    }
    Ok(())
}

/// An ISO 9660 volume with Joliet and Rock Ridge, so that every guest reads the exact names.
fn iso(label: &str, time: Timestamp, files: &[SeedFile]) -> Result<IsoImage> {
    let mut tree = ImageTree::new(Attributes::new(0o755, time));
    for (path, bytes) in files {
        let mut dir = tree.root();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                let attributes = Attributes::new(0o644, time);
                tree.add_file(dir, part.as_bytes(), attributes, Source::bytes(bytes.as_slice()))?;
            } else {
                dir = match tree.child(dir, part.as_bytes()) {
                    Some(found) => found,
                    None => tree.add_directory(dir, part.as_bytes(), Attributes::new(0o755, time))?,
                };
            }
        }
    }
    let options = Options {
        joliet: true,
        rock_ridge: true,
        ..Options::new(label, time)
    };
    Ok(IsoImage::plan(tree, options)?)
}

/// A FAT filesystem of at least these bytes, whose serial number follows from its files.
fn fat(least: u64, label: &str, time: Timestamp, files: &[SeedFile]) -> Result<Volume> {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    let id = hash.finalize();
    let id = id
        .iter()
        .take(4)
        .fold(0u32, |id, byte| id << 8 | u32::from(*byte));
    let options = FormatOptions {
        label: Some(label.into()),
        ..FormatOptions::new(id, time)
    };
    let mut builder = VolumeBuilder::new(options);
    builder.min_size(least);
    for (path, bytes) in files {
        builder.add_file(path.as_bytes(), Content::Bytes(bytes.clone()))?;
    }
    Ok(builder.plan()?)
}
