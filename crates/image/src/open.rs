//! Opening an image by its name: which format it has, which files its chain needs, and whether they may be opened.

use crate::error::{Error, Result};
use crate::file_name::{FileName, resolve_beside};
use crate::format::{Detected, Format, detect_in};
use crate::gate::Gate;
use crate::image::{Image, Layer, LuksDisk};
use crate::keys::Keys;
use crate::node::{Below, FileNode, FormatNode, Node, NullNode};
use crate::null_disk::NullDisk;
use crate::recover::open_recovered;
use crate::rounded::RoundedUp;
use disksmith_luks::{Payload, Volume};
use disksmith_qcow2::{EncryptionMethod, Header, Qcow2, Unlock};
use disksmith_storage::{FileId, HostFile, Intent, LockMode, OpenMode, StorageRef, Window, pending_log};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
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
    pub(crate) over: Option<StorageRef>,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) keys: Keys,
    pub(crate) metadata_only: bool,
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
            over: None,
            log_dir: None,
            keys: Keys::none(),
            metadata_only: false,
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

    /// The passphrases for encrypted images.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Opens encrypted qcow2 images even without a passphrase. Their data cannot be read or written then.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
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

    /// Stands the image on a storage that is open already, or on nothing, instead of the backing file that it names.
    pub(crate) fn over(mut self, backing: Option<StorageRef>) -> Self {
        self.backing = false;
        self.over = backing;
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
    /// What holds the format, where that is not simply the file.
    content: Option<StorageRef>,
    /// The node that the external data file is, instead of the recorded one.
    data_file: Option<Node>,
    /// What holds the header of a LUKS image, where that is elsewhere.
    luks_header: Option<Node>,
    /// The options that say how it is decrypted.
    crypto: Vec<(String, String)>,
}

impl Image {
    /// Opens the image at `path`, which may be a `file:` name but no other protocol.
    ///
    /// # Errors
    /// [`Error::MissingMember`] where a file of the chain cannot be opened, [`Error::Gated`] where the gate keeps it shut,
    /// [`Error::ChainLoop`], [`Error::ForeignFormat`], [`Error::Packed`], and those of the storage and of the format.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let top = path_of_name(path.as_ref())?;
        Self::open_node(&Node::path(top, options.format), options)
    }

    /// Opens what a node describes. The format in `options` does not count, and the gate is not asked about files that the node
    /// names itself.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Node`] where the parts of the node do not fit each other.
    pub fn open_node(node: &Node, options: &OpenOptions) -> Result<Self> {
        let found = find_nodes(node, options)?;
        let paths: Vec<PathBuf> = found.iter().map(|(part, _)| part.path.clone()).collect();
        let mut layers: Vec<Layer> = Vec::with_capacity(found.len());
        let mut backing: Option<StorageRef> = options.over.clone();
        for (depth, (part, _)) in found.into_iter().enumerate().rev() {
            let writable = options.writable && depth == 0;
            let path = part.path.clone();
            let opened = open_layer(part, backing.take(), writable, options);
            let layer = match paths.get(depth.wrapping_sub(1)) {
                Some(overlay) => opened.map_err(|error| below(error, overlay, path))?,
                None => opened?,
            };
            backing = Some(layer.storage());
            layers.push(layer);
        }
        layers.reverse();
        Ok(Self::from_layers(layers))
    }
}

/// A passphrase that is missing, or wrong, is told with the image that stands on the encrypted one.
fn below(error: Error, overlay: &Path, path: PathBuf) -> Error {
    match error {
        error @ (Error::Luks { .. }
        | Error::Qcow2 {
            source: disksmith_qcow2::Error::Encryption { .. },
            ..
        }) => Error::MissingMember {
            overlay: overlay.into(),
            role: "backing file",
            recorded: path.display().to_string(),
            resolved: path,
            source: Box::new(error),
        },
        other => other,
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

/// Opens the files of the chain from the top down, reading headers only. Each comes with the node that it was found by.
pub(crate) fn find_nodes(top: &Node, options: &OpenOptions) -> Result<Vec<(Found, Node)>> {
    let mode = if options.writable {
        OpenMode::Write
    } else {
        OpenMode::Read
    };
    let mut chain = vec![(find(top, mode, options)?, top.clone())];
    let mut seen: Vec<FileId> = chain.iter().map(|(f, _)| f.file.id()).collect();
    while let Some((overlay, node)) = chain.last() {
        let below = match node {
            Node::Format(format) => format.backing.clone(),
            _ => Below::Nothing,
        };
        let member = match below {
            Below::Nothing => break,
            _ if !options.backing => break,
            Below::Recorded => backing_of(overlay, &options.gate)?,
            Below::Node(node) => Some(Member::instead(overlay, node)),
        };
        let Some(mut member) = member else { break };
        if let (Node::Format(named), Node::Format(below)) = (node, &mut member.node)
            && below.crypto.is_empty()
        {
            below.crypto = named.backing_crypto.clone();
        }
        let shown = || PathBuf::from(top.shown());
        if chain.len() >= MAX_CHAIN {
            return Err(Error::ChainTooLong {
                top: shown(),
                limit: MAX_CHAIN,
            });
        }
        // Before it is opened: our own lock on it would be in the way.
        if member
            .node
            .host_path()
            .is_some_and(|path| FileId::of_path(path).is_ok_and(|id| seen.contains(&id)))
        {
            return Err(Error::ChainLoop {
                top: shown(),
                again: member.path,
            });
        }
        let found = find(&member.node, OpenMode::Read, options).map_err(|source| member.missing(source))?;
        if member.format.is_none() && options.gate != Gate::FollowAll {
            refuse_unsafe_probe(&member, &found)?;
        }
        seen.push(found.file.id());
        chain.push((found, member.node));
    }
    Ok(chain)
}

fn find(node: &Node, mode: OpenMode, options: &OpenOptions) -> Result<Found> {
    match node {
        Node::Null(null) => find_null(null, mode),
        Node::File(file) => find_file(file, Some(Format::Raw), mode, options),
        Node::Format(format) => find_format(format, mode, options),
    }
}

fn find_null(null: &NullNode, mode: OpenMode) -> Result<Found> {
    Ok(Found {
        path: format!("{}://", null.driver).into(),
        file: Arc::new(HostFile::open("/dev/null", mode, LockMode::None)?),
        format: Format::Raw,
        probed: false,
        header: None,
        content: Some(Arc::new(NullDisk::new(null.size, null.zeroes))),
        data_file: None,
        luks_header: None,
        crypto: Vec::new(),
    })
}

/// A format over something: mostly over a file.
fn find_format(node: &FormatNode, mode: OpenMode, options: &OpenOptions) -> Result<Found> {
    let mut options = options.clone();
    if node.force_share && mode == OpenMode::Read {
        options.lock = LockMode::ForceShare;
    }
    let found = match &node.file {
        Node::File(file) => find_file(file, node.format, mode, &options)?,
        Node::Null(null) => find_null(null, mode)?,
        Node::Format(_) => {
            let below = Image::open_node(
                &node.file,
                &OpenOptions {
                    writable: mode == OpenMode::Write,
                    // what was said about a backing file concerns the format above
                    backing: true,
                    over: None,
                    ..options.clone()
                },
            )?;
            let Some(layer) = below.top() else {
                return Err(Error::BadOption("no image under a format".into()));
            };
            Found {
                path: layer.path().to_owned(),
                file: layer.file().clone(),
                format: Format::Raw,
                probed: false,
                header: None,
                content: Some(below.storage().clone()),
                data_file: None,
                luks_header: None,
                crypto: Vec::new(),
            }
        }
    };
    let found = over_content(found, node)?;
    Ok(Found {
        content: windowed(&found, node)?,
        data_file: node.data_file.clone(),
        luks_header: node.header.clone(),
        crypto: node.crypto.clone(),
        ..found
    })
}

/// What lies in something else than a file in the format that the node says, or that is detected there.
fn over_content(found: Found, node: &FormatNode) -> Result<Found> {
    let Some(content) = &found.content else {
        return Ok(found);
    };
    let detected = match node.format {
        Some(format) => Detected::Known(format),
        None => detect_in(&**content)?,
    };
    match detected {
        Detected::Known(format @ (Format::Raw | Format::Luks)) => Ok(Found {
            format,
            probed: node.format.is_none(),
            ..found
        }),
        Detected::Known(Format::Qcow2) => {
            let header = Header::load(&**content).map_err(Error::qcow2(&found.path))?;
            Ok(Found {
                format: Format::Qcow2,
                probed: node.format.is_none(),
                header: Some(Box::new(header)),
                ..found
            })
        }
        _ => Err(Error::NotInFormat {
            path: found.path,
            format: node.format.unwrap_or(Format::Raw),
        }),
    }
}

/// The part of a file that a raw disk is.
fn windowed(found: &Found, node: &FormatNode) -> Result<Option<StorageRef>> {
    if node.offset == 0 && node.size.is_none() {
        return Ok(found.content.clone());
    }
    let content: StorageRef = found.content.clone().unwrap_or_else(|| found.file.clone());
    let (offset, whole) = (node.offset, content.size());
    let bad = |text: String| Err(Error::Node { reason: text });
    let Some(rest) = whole.checked_sub(offset) else {
        return bad(format!(
            "Offset ({offset}) cannot be greater than size of the containing file ({whole})"
        ));
    };
    let size = node.size.unwrap_or(rest);
    if size > rest {
        return bad(format!(
            "The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the  actual size of the containing file ({whole})"
        ));
    }
    if node.size.is_some() && !size.is_multiple_of(RoundedUp::SECTOR) {
        return bad("Specified size is not multiple of 512".into());
    }
    let name = content.name();
    Ok(Some(Arc::new(Window::new(content, offset, size, name)?)))
}

fn find_file(
    node: &FileNode,
    format: Option<Format>,
    mode: OpenMode,
    options: &OpenOptions,
) -> Result<Found> {
    let path = node.path.as_path();
    let lock = if node.locking {
        options.lock
    } else {
        LockMode::None
    };
    let log_dir = options.log_dir.as_deref();
    let file = Arc::new(match mode {
        OpenMode::Read => HostFile::open(path, mode, lock)?,
        OpenMode::Write => open_recovered(path, lock, log_dir, format)?,
    });
    let detected = detect_in(&*file)?;
    let chosen = match (format, detected) {
        // That it is no LUKS header is found when it is read.
        (Some(format @ (Format::Raw | Format::Luks)), _) => format,
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
        && chosen == Format::Qcow2
        && let Some(intent) = Intent::find(path, file.id(), log_dir)?
    {
        // The old state is still what the file shows, but it does not count any more.
        let (image, log) = (path.to_owned(), intent.path().to_owned());
        return Err(disksmith_storage::Error::Pending { image, log }.into());
    }
    let header = match chosen {
        Format::Raw | Format::Luks => None,
        Format::Qcow2 => Some(Box::new(Header::load(&*file).map_err(Error::qcow2(path))?)),
    };
    Ok(Found {
        path: path.into(),
        file,
        format: chosen,
        probed: format.is_none(),
        header,
        content: None,
        data_file: None,
        luks_header: None,
        crypto: Vec::new(),
    })
}

/// A file that an image names.
pub(crate) struct Member {
    overlay: PathBuf,
    role: &'static str,
    recorded: String,
    pub(crate) path: PathBuf,
    pub(crate) format: Option<Format>,
    /// What it is made of.
    pub(crate) node: Node,
}

impl Member {
    /// What stands in for the file that an image names.
    fn instead(overlay: &Found, mut node: Node) -> Self {
        // the recorded format still counts
        if let (Node::Format(format), Some(header)) = (&mut node, &overlay.header)
            && format.format.is_none()
        {
            format.format = header.backing_format().and_then(Format::from_name);
        }
        let shown = node.shown();
        Self {
            overlay: overlay.path.clone(),
            role: "backing file",
            path: node
                .host_path()
                .map_or_else(|| PathBuf::from(&shown), Path::to_owned),
            recorded: shown,
            format: Some(Format::Raw),
            node,
        }
    }

    /// Resolves a recorded name, and asks the gate.
    fn resolve(overlay: &Path, role: &'static str, recorded: &[u8], gate: &Gate) -> Result<Self> {
        let text = String::from_utf8_lossy(recorded).into_owned();
        let full = resolve_beside(overlay, recorded);
        let node = match FileName::parse(&full) {
            FileName::Path(path) => Node::path(path, None),
            FileName::Protocol(protocol) => {
                Node::from_name(OsStr::from_bytes(&full), None).map_err(|_| Error::Protocol {
                    name: text.clone(),
                    protocol,
                    overlay: Some(overlay.into()),
                })?
            }
        };
        let path = node
            .host_path()
            .map_or_else(|| PathBuf::from(OsStr::from_bytes(&full)), Path::to_owned);
        if let Some(path) = node.host_paths().into_iter().find(|path| !gate.allows(path)) {
            let resolved = path.to_owned();
            return Err(Error::Gated {
                overlay: overlay.into(),
                role,
                recorded: text,
                resolved,
            });
        }
        Ok(Self {
            overlay: overlay.into(),
            role,
            recorded: text,
            path,
            format: None,
            node,
        })
    }

    fn missing(&self, source: Error) -> Error {
        // What is wrong inside a file that was found names that file itself.
        match source {
            Error::Storage(_) | Error::NotInFormat { .. } | Error::Node { .. } => Error::MissingMember {
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
        Some(b"file" | b"host_device" | b"null-co" | b"null-aio") => Some(Format::Raw),
        Some(format) => Some(Format::from_name(format).ok_or_else(|| Error::UnknownFormat {
            path: overlay.path.clone(),
            what: format!("the backing file '{}'", member.recorded),
            name: String::from_utf8_lossy(format).into_owned(),
        })?),
    };
    if let Node::Format(node) = &mut member.node
        && node.format.is_none()
    {
        node.format = member.format;
    }
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
        content,
        data_file: data_node,
        luks_header,
        crypto,
    } = found;
    let Some(header) = header else {
        if let Some(content) = content {
            if format == Format::Luks {
                let disk = open_luks(&path, content, luks_header.as_ref(), &crypto, options)?;
                return Ok(Layer::luks(path, file, probed, disk));
            }
            let content = if writable { content } else { in_sectors(content) };
            return Ok(Layer::raw(path, file, probed, content));
        }
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
        if format == Format::Luks {
            let disk = open_luks(&path, storage, luks_header.as_ref(), &crypto, options)?;
            return Ok(Layer::luks(path, file, probed, disk));
        }
        let storage = if writable { storage } else { in_sectors(storage) };
        return Ok(Layer::raw(path, file, probed, storage));
    };
    let wants_data = header
        .incompatible
        .contains(disksmith_qcow2::Incompatible::DATA_FILE);
    let mut plain_data = None;
    let data_file: Option<StorageRef> = match (header.data_file_name(), data_node) {
        (_, Some(node)) if wants_data => {
            let mode = OpenOptions {
                writable,
                ..options.clone()
            };
            Some(Image::open_node(&node, &mode)?.storage().clone())
        }
        (Some(name), _) if wants_data => {
            let mut member = Member::resolve(&path, "data file", name, &options.gate)?;
            if let FileName::Path(other) = FileName::parse(name)
                && member.path.symlink_metadata().is_err()
                && other.symlink_metadata().is_ok()
                && options.gate.allows(&other)
            {
                // QEMU looks for it in the working directory, and makes it there.
                member.path = other;
            }
            let log_dir = options.log_dir.as_deref();
            let opened = if writable {
                open_recovered(&member.path, options.lock, log_dir, Some(Format::Raw))
            } else {
                HostFile::open(&member.path, OpenMode::Read, options.lock).map_err(Error::from)
            };
            let opened = Arc::new(opened.map_err(|source| member.missing(source))?);
            plain_data = Some(opened.clone());
            // An edit that was interrupted while it was carried over counts.
            match if writable {
                None
            } else {
                pending_log(&opened, log_dir)?
            } {
                Some(log) => Some(Arc::new(log.view(opened)?)),
                None => Some(opened),
            }
        }
        _ => None,
    };
    let backing_present = backing.is_some();
    let qcow2_options = disksmith_qcow2::OpenOptions {
        backing,
        data_file,
        writable,
        unlock: Unlock {
            passphrase: match header.encryption.map(EncryptionMethod::name) {
                Some(method) => options.keys.choose(&crypto, method)?,
                None => None,
            },
            metadata_only: options.metadata_only,
            ..Unlock::default()
        },
        ..Default::default()
    };
    let content: StorageRef = content.unwrap_or_else(|| file.clone());
    let image = Qcow2::open(content, qcow2_options).map_err(Error::qcow2(&path))?;
    debug_assert_eq!(format, Format::Qcow2);
    let layer = Layer::qcow2(path, file, probed, Arc::new(image), backing_present);
    Ok(layer.with_data_file(plain_data))
}

/// Finds the key of a LUKS image.
fn open_luks(
    path: &Path,
    storage: StorageRef,
    header: Option<&Node>,
    crypto: &[(String, String)],
    options: &OpenOptions,
) -> Result<LuksDisk> {
    let holder = match header {
        None => storage.clone(),
        Some(node) => {
            let read = OpenOptions {
                writable: false,
                ..options.clone()
            };
            Image::open_node(node, &read)?.storage().clone()
        }
    };
    let volume = Volume::open(holder, header.is_some()).map_err(Error::luks(path))?;
    let Some(passphrase) = options.keys.choose(crypto, "luks")? else {
        return Err(Error::luks(path)(disksmith_luks::Error::PassphraseMissing {
            prefix: "",
        }));
    };
    let key = volume.unlock(&passphrase).map_err(Error::luks(path))?;
    let cipher = Arc::new(volume.cipher(&key).map_err(Error::luks(path))?);
    let offset = volume.header().payload_offset();
    if offset > storage.size() {
        return Err(Error::NotInFormat {
            path: path.into(),
            format: Format::Luks,
        });
    }
    Ok(LuksDisk {
        storage: Arc::new(Payload::new(storage, offset, cipher.clone())),
        offset,
        cipher,
    })
}

/// A raw disk as readers see it: in whole sectors.
fn in_sectors(storage: StorageRef) -> StorageRef {
    if storage.size().is_multiple_of(RoundedUp::SECTOR) {
        storage
    } else {
        Arc::new(RoundedUp::new(storage))
    }
}
