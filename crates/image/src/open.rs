//! Opening an image by its name: which format it has, which files its chain needs, and whether they may be opened.

use crate::error::{Error, Result};
use crate::file_name::{FileName, resolve_beside};
use crate::format::{Detected, Format, detect_in};
use crate::gate::Gate;
use crate::image::{Image, Layer};
use crate::recover::open_recovered;
use crate::rounded::RoundedUp;
use disksmith_qcow2::{Header, Qcow2};
use disksmith_storage::{FileId, HostFile, Intent, LockMode, OpenMode, StorageRef, pending_log};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest backing chain that is followed.
pub const MAX_CHAIN: usize = 200;

/// How an image is opened. Start from [`OpenOptions::read`] or [`OpenOptions::write`].
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub(crate) writable: bool,
    pub(crate) format: Option<Format>,
    pub(crate) gate: Gate,
    pub(crate) lock: LockMode,
    pub(crate) backing: bool,
    pub(crate) log_dir: Option<PathBuf>,
}

impl OpenOptions {
    /// Opens for reading, with QEMU's locks, in whatever format it has, with the whole chain.
    #[must_use]
    pub fn read() -> Self {
        Self {
            writable: false,
            format: None,
            gate: Gate::FollowAll,
            lock: LockMode::Lock,
            backing: true,
            log_dir: None,
        }
    }

    /// The top for writing, everything else as said already.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    /// Where logs of raw images are, if not beside them.
    #[must_use]
    pub fn log_dir(mut self, log_dir: Option<PathBuf>) -> Self {
        self.log_dir = log_dir;
        self
    }

    /// As [`read`](Self::read), the top for writing. What is below it stays read-only.
    #[must_use]
    pub fn write() -> Self {
        Self {
            writable: true,
            ..Self::read()
        }
    }

    /// The format that the image has, instead of detecting it.
    #[must_use]
    pub fn format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }

    /// Which files may be opened that the image names.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// How the files are locked.
    #[must_use]
    pub fn lock(mut self, lock: LockMode) -> Self {
        self.lock = lock;
        self
    }

    /// Leaves the backing file alone: what the top does not hold reads as zeroes.
    #[must_use]
    pub fn without_backing(mut self) -> Self {
        self.backing = false;
        self
    }
}

/// A file of the chain that was opened, before its content is.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<HostFile>,
    pub(crate) format: Format,
    pub(crate) probed: bool,
    pub(crate) header: Option<Box<Header>>,
}

impl Image {
    /// Opens the image at `path`, which may be a `file:` name but no other protocol.
    ///
    /// # Errors
    /// [`Error::MissingMember`] where a file of the chain cannot be opened, [`Error::Gated`] where the gate keeps it shut,
    /// [`Error::ChainLoop`], [`Error::ForeignFormat`], [`Error::Packed`], and those of the storage and of the format.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let found = find_chain(path.as_ref(), options)?;
        let mut layers: Vec<Layer> = Vec::with_capacity(found.len());
        let mut backing: Option<StorageRef> = None;
        for (depth, part) in found.into_iter().enumerate().rev() {
            let writable = options.writable && depth == 0;
            let layer = open_layer(part, backing.take(), writable, options)?;
            backing = Some(layer.storage());
            layers.push(layer);
        }
        layers.reverse();
        Ok(Self::from_layers(layers))
    }
}

/// The path that a name given by the user stands for.
pub(crate) fn path_of_name(path: &Path) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // A file that exists under exactly that name is meant, colon or not: nothing else could be opened anyway.
    if path.symlink_metadata().is_ok() {
        return Ok(path.to_owned());
    }
    match FileName::parse(path.as_os_str().as_bytes()) {
        FileName::Path(path) => Ok(path),
        FileName::Protocol(protocol) => Err(Error::Protocol {
            name: path.display().to_string(),
            protocol,
            overlay: None,
        }),
    }
}

/// Opens the files of the chain from the top down, reading headers only.
pub(crate) fn find_chain(path: &Path, options: &OpenOptions) -> Result<Vec<Found>> {
    let top = path_of_name(path)?;
    let mode = if options.writable {
        OpenMode::Write
    } else {
        OpenMode::Read
    };
    let mut chain: Vec<Found> = vec![find(&top, mode, options, options.format)?];
    let mut seen: Vec<FileId> = chain.iter().map(|f| f.file.id()).collect();
    if !options.backing {
        return Ok(chain);
    }
    while let Some(overlay) = chain.last() {
        let Some(member) = backing_of(overlay, &options.gate)? else {
            break;
        };
        if chain.len() >= MAX_CHAIN {
            return Err(Error::ChainTooLong {
                top,
                limit: MAX_CHAIN,
            });
        }
        // Before it is opened: our own lock on it would be in the way.
        if FileId::of_path(&member.path).is_ok_and(|id| seen.contains(&id)) {
            return Err(Error::ChainLoop {
                top,
                again: member.path,
            });
        }
        let found = find(&member.path, OpenMode::Read, options, member.format)
            .map_err(|source| member.missing(source))?;
        if member.format.is_none() && options.gate != Gate::FollowAll {
            refuse_unsafe_probe(&member, &found)?;
        }
        seen.push(found.file.id());
        chain.push(found);
    }
    Ok(chain)
}

fn find(path: &Path, mode: OpenMode, options: &OpenOptions, format: Option<Format>) -> Result<Found> {
    let log_dir = options.log_dir.as_deref();
    let file = Arc::new(match mode {
        OpenMode::Read => HostFile::open(path, mode, options.lock)?,
        OpenMode::Write => open_recovered(path, options.lock, log_dir, format)?,
    });
    let detected = detect_in(&*file)?;
    let chosen = match (format, detected) {
        (Some(Format::Raw), _) => Format::Raw,
        (Some(Format::Qcow2), Detected::Known(Format::Qcow2)) => Format::Qcow2,
        (Some(Format::Qcow2), _) => {
            return Err(Error::NotInFormat {
                path: path.into(),
                format: Format::Qcow2,
            });
        }
        (None, Detected::Known(format)) => format,
        (None, Detected::Foreign(format)) => {
            return Err(Error::ForeignFormat {
                path: path.into(),
                format,
            });
        }
        (None, Detected::Packed(packing)) => {
            return Err(Error::Packed {
                path: path.into(),
                packing,
            });
        }
    };
    if mode == OpenMode::Read
        && chosen != Format::Raw
        && let Some(intent) = Intent::find(path, file.id(), log_dir)?
    {
        // The old state is still what the file shows, but it does not count any more.
        let (image, log) = (path.to_owned(), intent.path().to_owned());
        return Err(disksmith_storage::Error::Pending { image, log }.into());
    }
    let header = match chosen {
        Format::Raw => None,
        Format::Qcow2 => Some(Box::new(Header::load(&*file).map_err(Error::qcow2(path))?)),
    };
    Ok(Found {
        path: path.into(),
        file,
        format: chosen,
        probed: format.is_none(),
        header,
    })
}

/// A file that an image names.
pub(crate) struct Member {
    overlay: PathBuf,
    role: &'static str,
    recorded: String,
    pub(crate) path: PathBuf,
    pub(crate) format: Option<Format>,
}

impl Member {
    /// Resolves a recorded name, and asks the gate.
    fn resolve(overlay: &Path, role: &'static str, recorded: &[u8], gate: &Gate) -> Result<Self> {
        let text = String::from_utf8_lossy(recorded).into_owned();
        let path = match FileName::parse(&resolve_beside(overlay, recorded)) {
            FileName::Path(path) => path,
            FileName::Protocol(protocol) => {
                return Err(Error::Protocol {
                    name: text,
                    protocol,
                    overlay: Some(overlay.into()),
                });
            }
        };
        if !gate.allows(&path) {
            return Err(Error::Gated {
                overlay: overlay.into(),
                role,
                recorded: text,
                resolved: path,
            });
        }
        Ok(Self {
            overlay: overlay.into(),
            role,
            recorded: text,
            path,
            format: None,
        })
    }

    fn missing(&self, source: Error) -> Error {
        // What is wrong inside a file that was found names that file itself.
        match source {
            Error::Storage(_) => Error::MissingMember {
                overlay: self.overlay.clone(),
                role: self.role,
                recorded: self.recorded.clone(),
                resolved: self.path.clone(),
                source: Box::new(source),
            },
            other => other,
        }
    }
}

/// The backing file that an image names, if it names one.
pub(crate) fn backing_of(overlay: &Found, gate: &Gate) -> Result<Option<Member>> {
    let Some(header) = &overlay.header else {
        return Ok(None);
    };
    let Some(name) = &header.backing_name else {
        return Ok(None);
    };
    let mut member = Member::resolve(&overlay.path, "backing file", name, gate)?;
    member.format = match header.backing_format() {
        None | Some(b"") => None,
        // How old images record a raw file, or device, below them.
        Some(b"file" | b"host_device") => Some(Format::Raw),
        Some(format) => Some(Format::from_name(format).ok_or_else(|| Error::UnknownFormat {
            path: overlay.path.clone(),
            what: format!("the backing file '{}'", member.recorded),
            name: String::from_utf8_lossy(format).into_owned(),
        })?),
    };
    Ok(Some(member))
}

/// A guest that writes to a raw image can make it look like an overlay of any host file. Where the format is not recorded,
/// such an image is not followed any further.
fn refuse_unsafe_probe(member: &Member, found: &Found) -> Result<()> {
    match &found.header {
        Some(header) if header.backing_name.is_some() || header.data_file_name().is_some() => {
            Err(Error::UnsafeProbe {
                overlay: member.overlay.clone(),
                recorded: member.recorded.clone(),
                detected: found.format,
            })
        }
        _ => Ok(()),
    }
}

fn open_layer(
    found: Found,
    backing: Option<StorageRef>,
    writable: bool,
    options: &OpenOptions,
) -> Result<Layer> {
    let Found {
        path,
        file,
        format,
        probed,
        header,
    } = found;
    let Some(header) = header else {
        // What is in the file of an edit that was interrupted while it was carried over is neither old nor new.
        let pending = if writable {
            None
        } else {
            pending_log(&file, options.log_dir.as_deref())?
        };
        let storage: StorageRef = match pending {
            Some(log) => Arc::new(log.view(file.clone())?),
            None => file.clone(),
        };
        let storage = if writable { storage } else { in_sectors(storage) };
        return Ok(Layer::raw(path, file, probed, storage));
    };
    let data_file: Option<StorageRef> = match header.data_file_name() {
        Some(name)
            if header
                .incompatible
                .contains(disksmith_qcow2::Incompatible::DATA_FILE) =>
        {
            let member = Member::resolve(&path, "data file", name, &options.gate)?;
            let mode = if writable { OpenMode::Write } else { OpenMode::Read };
            let opened = HostFile::open(&member.path, mode, options.lock)
                .map_err(|source| member.missing(source.into()))?;
            Some(Arc::new(opened))
        }
        _ => None,
    };
    let backing_present = backing.is_some();
    let qcow2_options = disksmith_qcow2::OpenOptions {
        backing,
        data_file,
        writable,
        ..Default::default()
    };
    let image = Qcow2::open(file.clone(), qcow2_options).map_err(Error::qcow2(&path))?;
    debug_assert_eq!(format, Format::Qcow2);
    Ok(Layer::qcow2(path, file, probed, Arc::new(image), backing_present))
}

/// A raw disk as readers see it: in whole sectors.
fn in_sectors(storage: StorageRef) -> StorageRef {
    if storage.size().is_multiple_of(RoundedUp::SECTOR) {
        storage
    } else {
        Arc::new(RoundedUp::new(storage))
    }
}
