//! Opening an image by its name: which format it has, which files its chain needs, and whether they may be opened.

mod find;
mod layer;
mod member;

pub(crate) use find::find_nodes;

use crate::error::{Error, Result};
use crate::file_name::FileName;
use crate::format::Format;
use crate::gate::Gate;
use crate::image::{Image, Layer};
use crate::keys::Keys;
use crate::node::Node;
use disksmith_storage::{LockMode, StorageRef};
use layer::open_layer;
use std::path::{Path, PathBuf};

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
