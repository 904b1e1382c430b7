//! Makes prepared changes of several images switch together.
//!
//! When all images are prepared, an intent file with everybody's [`Prepared::record`] is written, durably and in
//! one step. From then on the change counts: whatever happens, each image can be switched from its record. When all
//! are switched the file is removed.
//!
//! The file lies beside the first image as `.NAME.disksmith-intent`. Beside each other image lies a *pointer* of
//! the same kind of name, written before, so that whoever opens any of the images finds the intent. A pointer to
//! nothing says nothing.
//!
//! ```text
//! prepare all → write pointers → write intent (the decision) → switch each → remove intent → remove pointers
//! ```
//!
//! Layout, in little-endian numbers of 64 bits: magic, version, kind, then for a pointer the path and checksum of
//! the intent; for an intent the number of members and, for each, format, path of the image, device, inode, size
//! and record; at the end the checksum of all before it. Texts and records stand after their length.

use crate::error::{Error, Result};
use crate::host_file::FileId;
use crate::new_file::{Durability, Existing, NewFile, sync_directory};
use crate::record::{RecordReader, RecordWriter};
use crate::redo_log::digest::Digest;
use crate::redo_log::place::companion;
use crate::shadow::Prepared;
use crate::storage::Storage;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const MAGIC: u64 = u64::from_le_bytes(*b"dsksmint");
const VERSION: u64 = 1;
const KIND_INTENT: u64 = 1;
const KIND_POINTER: u64 = 2;
/// Larger files are not ours.
const LARGEST_FILE: u64 = 64 << 20;
/// More images at once are not offered.
const LARGEST_COUNT: u64 = 65_536;

/// An image that takes part in a change of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What understands the record: [`Prepared::format`].
    pub format: String,
    /// The image's file. Made absolute in the intent.
    pub image: PathBuf,
    /// Which file that was.
    pub id: FileId,
    /// How long the file was, in bytes.
    pub size: u64,
    /// [`Prepared::record`].
    pub record: Vec<u8>,
}

impl Member {
    /// The member for a prepared change of the image whose file `image` names.
    pub fn new(image: &Path, prepared: &dyn Prepared) -> Result<Self> {
        let fail = |source| Error::io(image.display().to_string(), "examine", None, source);
        let metadata = std::fs::metadata(image).map_err(fail)?;
        Ok(Self {
            format: prepared.format().to_owned(),
            image: std::fs::canonicalize(image).map_err(fail)?,
            id: FileId::of(&metadata),
            size: metadata.len(),
            record: prepared.record(),
        })
    }
}

/// An intent file that stands: the changes of its members count.
#[derive(Debug)]
#[must_use = "an intent stays until `finish` is called"]
pub struct Decided {
    path: PathBuf,
    pointers: Vec<PathBuf>,
}

impl Decided {
    /// Removes the intent, durably, after all members were switched.
    pub fn finish(self) -> Result<()> {
        remove(&self.path)?;
        sync_directory(&self.path)?;
        for pointer in &self.pointers {
            // A pointer to nothing does no harm.
            if let Err(error) = remove(pointer) {
                log::warn!("{error}");
            }
        }
        Ok(())
    }

    /// Where the intent file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// An intent file that was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Intent {
    path: PathBuf,
    members: Vec<Member>,
    log_dir: Option<PathBuf>,
}

impl Intent {
    /// Decides that the prepared changes of `members` count, durably. Now switch each of them, then call
    /// [`Decided::finish`].
    ///
    /// # Errors
    /// [`Error::Pending`] where one of the images has an intent already. Unless the error is
    /// [`Error::Interrupted`], nothing is decided, and the changes are to be abandoned.
    pub fn decide(members: &[Member], log_dir: Option<&Path>) -> Result<Decided> {
        let mut paths = Vec::with_capacity(members.len());
        for member in members {
            if let Some(log) = decided(&member.image, member.id, log_dir)? {
                return Err(Error::Pending {
                    image: member.image.clone(),
                    log,
                });
            }
            paths.push(place(&member.image, member.id, log_dir)?);
        }
        let mut paths = paths.into_iter();
        let Some(path) = paths.next() else {
            return Err(Error::Unsupported {
                object: "intent".into(),
                operation: "changing no image",
            });
        };
        let pointers: Vec<PathBuf> = paths.collect();
        let bytes = encode(members);
        let target = Target {
            path: path.clone(),
            digest: Digest::of(&bytes),
        };
        let written = pointers
            .iter()
            .try_for_each(|pointer| write(pointer, &target.encode()).map(drop))
            .and_then(|()| write(&path, &bytes));
        let undecided = Decided { path, pointers };
        let Err(error) = written else {
            return Ok(undecided);
        };
        // The name may have been made, and only its durability be in doubt.
        let log = undecided.path.clone();
        let image = members
            .first()
            .map(|member| member.image.display().to_string())
            .unwrap_or_default();
        match undecided.finish() {
            Ok(()) => Err(error),
            Err(_) => Err(Error::Interrupted {
                image,
                log,
                source: Box::new(error),
            }),
        }
    }

    /// The intent that an image takes part in; `None` where there is none that counts.
    pub fn find(image: &Path, id: FileId, log_dir: Option<&Path>) -> Result<Option<Self>> {
        let own = place(image, id, log_dir)?;
        let Some(bytes) = read(&own)? else { return Ok(None) };
        let (path, members) = match parse(&bytes, &own)? {
            Parsed::Intent(members) => (own, members),
            Parsed::Pointer(target) => {
                // Where the folder was moved as a whole, the intent lies beside its pointer.
                let beside = target.path.file_name().map(|name| own.with_file_name(name));
                let mut found = None;
                for path in [Some(target.path), beside].into_iter().flatten() {
                    if let Some(bytes) = read(&path)?
                        && Digest::of(&bytes) == target.digest
                        && let Parsed::Intent(members) = parse(&bytes, &path)?
                    {
                        found = Some((path, members));
                        break;
                    }
                }
                match found {
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Self {
            path,
            members,
            log_dir: log_dir.map(Path::to_path_buf),
        }))
    }

    /// Where the intent file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The images that take part.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Completes the change: calls `switch` for each member, then removes the intent. `switch` must be able to
    /// meet an image that was switched already, and leave it; for the format `raw` it is
    /// [`finish_prepared`](crate::finish_prepared) of the record.
    ///
    /// # Errors
    /// [`Error::LogOfAnotherFile`] where another file has an image's name now: `switch` was not called then. The
    /// first error that `switch` returns; the intent stays.
    pub fn complete(self, mut switch: impl FnMut(&Member) -> Result<()>) -> Result<()> {
        let mut pointers = Vec::new();
        for member in &self.members {
            let image = member.image.display().to_string();
            let metadata =
                std::fs::metadata(&member.image).map_err(|e| Error::io(image.as_str(), "open", None, e))?;
            // Device numbers may be others after a reboot.
            if FileId::of(&metadata).inode != member.id.inode {
                return Err(Error::LogOfAnotherFile {
                    image,
                    log: self.path,
                });
            }
            pointers.push(place(&member.image, member.id, self.log_dir.as_deref())?);
        }
        self.members.iter().try_for_each(&mut switch)?;
        pointers.retain(|pointer| *pointer != self.path);
        Decided {
            path: self.path,
            pointers,
        }
        .finish()
    }
}

/// The intent file that decided about an image, if there is one.
pub(crate) fn decided(image: &Path, id: FileId, log_dir: Option<&Path>) -> Result<Option<PathBuf>> {
    Ok(Intent::find(image, id, log_dir)?.map(|intent| intent.path))
}

/// What a pointer points to.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    path: PathBuf,
    digest: u64,
}

impl Target {
    fn encode(&self) -> Vec<u8> {
        let mut writer = begin(KIND_POINTER);
        writer.path(&self.path);
        writer.number(self.digest);
        seal(writer)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Intent(Vec<Member>),
    Pointer(Target),
}

fn begin(kind: u64) -> RecordWriter {
    let mut writer = RecordWriter::default();
    writer.number(MAGIC);
    writer.number(VERSION);
    writer.number(kind);
    writer
}

fn seal(mut writer: RecordWriter) -> Vec<u8> {
    let digest = Digest::of(writer.as_slice());
    writer.number(digest);
    writer.finish()
}

fn encode(members: &[Member]) -> Vec<u8> {
    let mut writer = begin(KIND_INTENT);
    writer.number(members.len() as u64);
    for member in members {
        writer.bytes(member.format.as_bytes());
        writer.path(&member.image);
        writer.number(member.id.device);
        writer.number(member.id.inode);
        writer.number(member.size);
        writer.bytes(&member.record);
    }
    seal(writer)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Parsed> {
    let damaged = |field, value| Error::LogDamaged {
        log: path.into(),
        field,
        offset: 0,
        value,
    };
    let short = || damaged("intent: length", bytes.len() as u64);
    let Some((content, digest)) = bytes.split_last_chunk::<8>() else {
        return Err(short());
    };
    let mut reader = RecordReader::new(content);
    let magic = reader.number().ok_or_else(short)?;
    if magic != MAGIC {
        return Err(damaged("intent: magic", magic));
    }
    let digest = u64::from_le_bytes(*digest);
    if Digest::of(content) != digest {
        return Err(damaged("intent: checksum", digest));
    }
    let version = reader.number().ok_or_else(short)?;
    if version != VERSION {
        return Err(damaged("intent: version", version));
    }
    match reader.number().ok_or_else(short)? {
        KIND_POINTER => {
            let path = reader.path().ok_or_else(short)?;
            let digest = reader.number().ok_or_else(short)?;
            Ok(Parsed::Pointer(Target { path, digest }))
        }
        KIND_INTENT => {
            let count = reader.number().ok_or_else(short)?;
            if count > LARGEST_COUNT {
                return Err(damaged("intent: number of images", count));
            }
            let members: Option<Vec<Member>> = (0..count).map(|_| member(&mut reader)).collect();
            Ok(Parsed::Intent(members.ok_or_else(short)?))
        }
        other => Err(damaged("intent: kind", other)),
    }
}

fn member(reader: &mut RecordReader<'_>) -> Option<Member> {
    Some(Member {
        format: String::from_utf8(reader.bytes()?.to_vec()).ok()?,
        image: reader.path()?,
        id: FileId {
            device: reader.number()?,
            inode: reader.number()?,
        },
        size: reader.number()?,
        record: reader.bytes()?.to_vec(),
    })
}

fn place(image: &Path, id: FileId, log_dir: Option<&Path>) -> Result<PathBuf> {
    companion(image, id, log_dir, "disksmith-intent")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = NewFile::create(path, Existing::Replace)?;
    new.file().set_size(bytes.len() as u64)?;
    new.file().write_at(0, bytes)?;
    new.commit(Existing::Replace, Durability::Sync).map(drop)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let fail = |source| Error::io(path.display().to_string(), "read", None, source);
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(fail)?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(bytes))
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(path.display().to_string(), "remove", None, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
