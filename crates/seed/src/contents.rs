//! Reading a seed that was made by anything: a folder, or a volume in an image.

use crate::document::Document;
use crate::error::{Error, Result};
use crate::media::SeedFile;
use disksmith_fat::Fat;
use disksmith_iso9660::Iso;
use disksmith_storage::StorageRef;
use disksmith_vfs::{FileSystemRef, FileType, InodeNo};
use disksmith_volume::Disk;
use std::path::Path;
use std::sync::Arc;

/// So many files are read.
const MAX_FILES: usize = 4000;
/// So deep are folders looked into.
const MAX_DEPTH: usize = 8;
/// So many bytes all files together may have.
const MAX_BYTES: u64 = 128 << 20;

/// What a seed is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSource {
    /// `user-data` and its like in the volume's root.
    NoCloud,
    /// `openstack/latest/…`.
    ConfigDrive,
}

/// A seed as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The image or folder.
    pub name: String,
    /// `iso9660`, `vfat`; `None` for a folder.
    pub filesystem: Option<&'static str>,
    /// Label of the volume.
    pub label: Option<String>,
    /// Whether the volume is a partition, not the whole disk.
    pub partition: bool,
    /// What it is for, as far as names and label tell.
    pub data_source: DataSource,
    /// All files by path, sorted.
    pub files: Vec<SeedFile>,
}

impl Contents {
    /// The seed in a folder of the host.
    ///
    /// # Errors
    /// [`Error::NoSeed`] where it cannot be read, or holds too much.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let name = folder.display().to_string();
        let mut files = Vec::new();
        let mut room = MAX_BYTES;
        host_files(folder, "", &mut files, &mut room, 0)
            .map_err(|error| no_seed(&name, format!("cannot be read: {error}")))?;
        Self::new(name, None, None, false, files)
    }

    /// The seed on a disk: the filesystem that fills it, or the one in a partition that has a seed's label, else the first partition
    /// whose filesystem could hold one.
    ///
    /// # Errors
    /// [`Error::NoSeed`] where neither an ISO 9660 nor a FAT filesystem is on it; those of reading.
    pub fn of_disk(name: &str, storage: &StorageRef) -> Result<Self> {
        if let Some(found) = Self::of_volume(name, storage, false)? {
            return Ok(found);
        }
        let mut first = None;
        if let Ok(disk) = Disk::probe(Arc::clone(storage)) {
            for partition in disk.partitions() {
                let Ok(slice) = disk.open(partition) else { continue };
                // a partition that holds far more than a seed, or is damaged, is no seed
                match Self::of_volume(name, &slice, true) {
                    Ok(Some(found)) if found.has_seed_label() => return Ok(found),
                    Ok(Some(found)) => first = first.or(Some(found)),
                    Ok(None) | Err(_) => {}
                }
            }
        }
        first.ok_or_else(|| no_seed(name, "holds neither an ISO 9660 nor a FAT filesystem"))
    }

    /// The seed on a volume; `None` where there is no filesystem that could hold one.
    fn of_volume(name: &str, storage: &StorageRef, partition: bool) -> Result<Option<Self>> {
        let mut mark = [0u8; 5];
        let is_iso = storage.size() >= 0x8800 && {
            storage.read_at(0x8001, &mut mark)?;
            &mark == b"CD001"
        };
        let files: FileSystemRef = if is_iso {
            Arc::new(Iso::open(Arc::clone(storage))?)
        } else {
            match Fat::open(Arc::clone(storage)) {
                Ok(fat) => Arc::new(fat),
                Err(_) => return Ok(None),
            }
        };
        let label = files
            .label()
            .map(|label| String::from_utf8_lossy(&label).into_owned());
        let mut found = Vec::new();
        let mut room = MAX_BYTES;
        let mut walk = Walk {
            files: &files,
            name,
            found: &mut found,
            room: &mut room,
        };
        walk.folder(files.root(), "", 0)?;
        let kind = if is_iso { "iso9660" } else { "vfat" };
        Self::new(name.into(), Some(kind), label, partition, found).map(Some)
    }

    fn new(
        name: String,
        filesystem: Option<&'static str>,
        label: Option<String>,
        partition: bool,
        mut files: Vec<SeedFile>,
    ) -> Result<Self> {
        files.sort();
        let drive = files
            .iter()
            .any(|(path, _)| path.to_ascii_lowercase().starts_with("openstack/"))
            || label
                .as_deref()
                .is_some_and(|l| l.eq_ignore_ascii_case("config-2"));
        Ok(Self {
            name,
            filesystem,
            label,
            partition,
            data_source: if drive {
                DataSource::ConfigDrive
            } else {
                DataSource::NoCloud
            },
            files,
        })
    }

    fn has_seed_label(&self) -> bool {
        self.label.as_deref().is_some_and(|label| {
            let label = label.trim_end();
            label.eq_ignore_ascii_case("cidata") || label.eq_ignore_ascii_case("config-2")
        })
    }

    /// A file as a document, named as `IMAGE:PATH`.
    pub fn document(&self, path: &str) -> Option<Document> {
        let (_, bytes) = self.files.iter().find(|(there, _)| there == path)?;
        Some(Document::new(self.file_name(path), bytes.clone()))
    }

    /// How findings name a file of it.
    pub(crate) fn file_name(&self, path: &str) -> String {
        match self.filesystem {
            Some(_) => format!("{}:{path}", self.name),
            None => format!("{}/{path}", self.name.trim_end_matches('/')),
        }
    }
}

fn no_seed(name: &str, reason: impl Into<String>) -> Error {
    Error::NoSeed {
        name: name.into(),
        reason: reason.into(),
    }
}

struct Walk<'a> {
    files: &'a FileSystemRef,
    name: &'a str,
    found: &'a mut Vec<SeedFile>,
    room: &'a mut u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: InodeNo, path: &str, depth: usize) -> Result<()> {
        let mut entries = Vec::new();
        self.files.read_dir(folder, 0, &mut |entry| {
            entries.push((entry.name, entry.inode, entry.file_type));
            entries.len() < MAX_FILES
        })?;
        for (name, inode, file_type) in entries {
            let name = String::from_utf8_lossy(&name).into_owned();
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            match file_type {
                FileType::Directory if depth < MAX_DEPTH => self.folder(inode, &path, depth + 1)?,
                FileType::Regular => {
                    let size = self.files.metadata(inode)?.size;
                    let Some(rest) = self
                        .room
                        .checked_sub(size)
                        .filter(|_| self.found.len() < MAX_FILES)
                    else {
                        return Err(no_seed(self.name, "holds far more than a seed"));
                    };
                    *self.room = rest;
                    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
                    let mut at = 0usize;
                    while at < bytes.len() {
                        let rest = bytes.get_mut(at..).unwrap_or_default();
                        let n = self.files.read(inode, at as u64, rest)?;
                        if n == 0 {
                            break;
                        }
                        at += n;
                    }
                    bytes.truncate(at);
                    self.found.push((path, bytes));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The files below a folder of the host. Links are followed to files, not to folders.
fn host_files(
    folder: &Path,
    path: &str,
    found: &mut Vec<SeedFile>,
    room: &mut u64,
    depth: usize,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() {
            name
        } else {
            format!("{path}/{name}")
        };
        if entry.file_type()?.is_dir() {
            if depth < MAX_DEPTH {
                host_files(&entry.path(), &path, found, room, depth + 1)?;
            }
            continue;
        }
        let metadata = std::fs::metadata(entry.path())?;
        if !metadata.is_file() {
            continue;
        }
        let rest = room
            .checked_sub(metadata.len())
            .filter(|_| found.len() < MAX_FILES);
        *room = rest.ok_or_else(|| std::io::Error::other("it holds far more than a seed"))?;
        found.push((path, std::fs::read(entry.path())?));
    }
    Ok(())
}
