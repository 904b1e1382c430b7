//! Errors of the image floor.

use crate::file_name::MAX_BACKING_NAME;
use crate::format::{Format, Packing};
use disksmith_storage::{Diagnose, ErrorKind};
use std::fmt::Write;
use std::path::PathBuf;

/// The result of an image operation.
pub type Result<T> = std::result::Result<T, Error>;

/// How many clones a refusal lists by name.
pub const CLONES_LISTED: usize = 10;

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
    /// A qcow2 image is damaged, or needs what disksmith lacks.
    #[error("{}", named(.path, .source))]
    Qcow2 {
        /// The image file.
        path: PathBuf,
        /// What is wrong with it.
        source: disksmith_qcow2::Error,
    },
    /// An operation on a file as a whole (rename, remove, list) failed.
    #[error("cannot {operation} {}: {source}", .path.display())]
    File {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An image in a format that disksmith does not open.
    #[error("{} is a {format} image, a format that is not supported yet", .path.display())]
    ForeignFormat {
        /// The image file.
        path: PathBuf,
        /// The format's name in qemu-img.
        format: &'static str,
    },
    /// A compressed file where an image is needed.
    #[error("{} is a {} file, not a disk image", .path.display(), .packing.name)]
    Packed {
        /// The file.
        path: PathBuf,
        /// How it is packed.
        packing: Packing,
    },
    /// The caller named a format and the file has not got its signature.
    #[error("{} is not in {format} format", .path.display())]
    NotInFormat {
        /// The image file.
        path: PathBuf,
        /// The format that was named.
        format: Format,
    },
    /// A format's name that disksmith does not know.
    #[error("{}: the format '{name}' of {what} is not supported", .path.display())]
    UnknownFormat {
        /// The image that names it.
        path: PathBuf,
        /// What it is the format of: `the backing file …`.
        what: String,
        /// The name.
        name: String,
    },
    /// Carrying bytes from one image to another failed.
    #[error("error while {} at byte {offset}: {source}", if *.writing { "writing" } else { "reading" })]
    Transfer {
        /// Whether writing failed, not reading.
        writing: bool,
        /// Where in the disk, in bytes.
        offset: u64,
        /// Why.
        source: Box<Error>,
    },
    /// A name that only QEMU's drivers can reach.
    #[error("'{name}' is not a file: the protocol '{protocol}' is not supported{}", in_image(.overlay))]
    Protocol {
        /// The name as given or recorded.
        name: String,
        /// What stands before its colon.
        protocol: String,
        /// The image that names it.
        overlay: Option<PathBuf>,
    },
    /// A LUKS image is damaged, or cannot be opened with what was given.
    #[error("{}: {source}", .path.display())]
    Luks {
        /// The image file.
        path: PathBuf,
        /// What is wrong with it.
        source: disksmith_luks::Error,
    },
    /// The parts of a node do not fit each other.
    #[error("{reason}")]
    Node {
        /// What does not fit, in QEMU's words.
        reason: String,
    },
    /// A file that an image needs cannot be opened.
    #[error("{}: cannot open its {role} '{recorded}' ({}): {source}", .overlay.display(), .resolved.display())]
    MissingMember {
        /// The image that names it.
        overlay: PathBuf,
        /// `backing file` or `data file`.
        role: &'static str,
        /// The name as it is recorded.
        recorded: String,
        /// The path that the name leads to.
        resolved: PathBuf,
        /// Why it cannot be opened.
        source: Box<Error>,
    },
    /// The gate keeps a file shut that an image names.
    #[error("{}: its {role} '{recorded}' ({}) is outside of what may be opened", .overlay.display(), .resolved.display())]
    Gated {
        /// The image that names it.
        overlay: PathBuf,
        /// `backing file` or `data file`.
        role: &'static str,
        /// The name as it is recorded.
        recorded: String,
        /// The path that the name leads to.
        resolved: PathBuf,
    },
    /// A backing file whose format is not recorded, which looks like one that names further files.
    #[error(
        "{}: the format of its backing file '{recorded}' is not recorded; it looks like {detected} with files of its own, \
         which a guest that writes to a raw image can fake", .overlay.display()
    )]
    UnsafeProbe {
        /// The image that names it.
        overlay: PathBuf,
        /// The name as it is recorded.
        recorded: String,
        /// What it looks like.
        detected: Format,
    },
    /// A chain that comes back to itself.
    #[error("the backing chain of {} loops: {} is in it twice", .top.display(), .again.display())]
    ChainLoop {
        /// The first image of the chain.
        top: PathBuf,
        /// The image that comes a second time.
        again: PathBuf,
    },
    /// A chain that is longer than any that makes sense.
    #[error("the backing chain of {} is longer than {limit} images", .top.display())]
    ChainTooLong {
        /// The first image of the chain.
        top: PathBuf,
        /// The cap.
        limit: usize,
    },
    /// An image that others stand on would be changed.
    #[error("{} has {total} clone{}: {}", .base.display(), if *.total == 1 { "" } else { "s" }, clone_list(.clones, *.total))]
    HasClones {
        /// The image that would be changed.
        base: PathBuf,
        /// The first clones found, at most [`CLONES_LISTED`].
        clones: Vec<PathBuf>,
        /// How many there are.
        total: usize,
    },
    /// A name that means no image of a chain.
    #[error("{} is not in the backing chain of {}", .name.display(), .image.display())]
    NotInChain {
        /// The name.
        name: PathBuf,
        /// The first image of the chain.
        image: PathBuf,
    },
    /// An image that stands on nothing where it must.
    #[error("{} has no backing file", .path.display())]
    NoBackingFile {
        /// The image.
        path: PathBuf,
    },
    /// The file that shall become a backing file cannot be opened.
    #[error("cannot open the new backing file '{name}': {source}")]
    NewBacking {
        /// Its name as it shall be recorded.
        name: String,
        /// Why.
        source: Box<Error>,
    },
    /// An output that is there already.
    #[error("{} exists already", .path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// An option that cannot be, or not with the others.
    #[error("{0}")]
    BadOption(String),
    /// A backing name that no header can hold.
    #[error(
        "{}: the name of its backing file has {len} bytes; a qcow2 image can record at most {MAX_BACKING_NAME}",
        .overlay.display()
    )]
    NameTooLong {
        /// The image that should record it.
        overlay: PathBuf,
        /// The name's length in bytes.
        len: usize,
    },
    /// The verb does not exist for this format.
    #[error("{}: {verb} is not possible for {format} images", .path.display())]
    NotForFormat {
        /// The image.
        path: PathBuf,
        /// The verb.
        verb: &'static str,
        /// The image's format.
        format: Format,
    },
    /// An edit of a raw image would make it look like an image of another format.
    #[error("the change would make the raw image {} look like a {looks_like} image", .path.display())]
    WouldChangeFormat {
        /// The image.
        path: PathBuf,
        /// What it would be taken for.
        looks_like: String,
    },
    /// The image is not empty where it has to be, or too small for what shall go in.
    #[error("{}: {reason}", .path.display())]
    Unfit {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// The error's text, with the image's path before it where it does not name the image itself.
fn named(path: &std::path::Path, source: &disksmith_qcow2::Error) -> String {
    let (name, text) = (path.display().to_string(), source.to_string());
    if text.contains(&name) {
        text
    } else {
        format!("{name}: {text}")
    }
}

fn in_image(overlay: &Option<PathBuf>) -> String {
    overlay
        .as_ref()
        .map(|p| format!(" (named by {})", p.display()))
        .unwrap_or_default()
}

fn clone_list(clones: &[PathBuf], total: usize) -> String {
    let mut text = String::new();
    for (i, clone) in clones.iter().enumerate() {
        let _ = write!(text, "{}{}", if i > 0 { ", " } else { "" }, clone.display());
    }
    if total > clones.len() {
        let _ = write!(text, " and {} more", total - clones.len());
    }
    text
}

impl Error {
    /// Wraps what the operating system said about a whole file.
    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            operation,
            path: path.into(),
            source,
        }
    }

    /// Puts the path before an error of a LUKS image.
    pub(crate) fn luks(path: &std::path::Path) -> impl FnOnce(disksmith_luks::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Luks { path, source }
    }

    /// Adds the image's path to an error of its format.
    pub(crate) fn qcow2(path: impl Into<PathBuf>) -> impl FnOnce(disksmith_qcow2::Error) -> Self {
        let path = path.into();
        move |source| Self::Qcow2 { path, source }
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(e) => e.kind(),
            Self::Qcow2 { source, .. } => source.kind(),
            Self::File { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
                _ => ErrorKind::Failed,
            },
            Self::ForeignFormat { .. }
            | Self::Packed { .. }
            | Self::UnknownFormat { .. }
            | Self::Protocol { .. }
            | Self::ChainTooLong { .. }
            | Self::NotForFormat { .. } => ErrorKind::Unsupported,
            Self::NotInFormat { .. } | Self::ChainLoop { .. } => ErrorKind::Corrupt,
            Self::MissingMember { source, .. } | Self::NewBacking { source, .. } => source.kind(),
            Self::NoBackingFile { .. } | Self::NotInChain { .. } => ErrorKind::Usage,
            Self::Gated { .. }
            | Self::UnsafeProbe { .. }
            | Self::HasClones { .. }
            | Self::OutputExists { .. }
            | Self::WouldChangeFormat { .. }
            | Self::Unfit { .. } => ErrorKind::Refused,
            Self::Transfer { source, .. } => source.kind(),
            Self::Luks { source, .. } => source.kind(),
            Self::BadOption(_) | Self::Node { .. } | Self::NameTooLong { .. } => ErrorKind::Usage,
            Self::Cancelled => ErrorKind::Failed,
        }
    }

    fn may_have_changed(&self) -> bool {
        match self {
            Self::Storage(e) => e.may_have_changed(),
            Self::Qcow2 { source, .. } => source.may_have_changed(),
            Self::Luks { source, .. } => source.may_have_changed(),
            Self::MissingMember { source, .. } | Self::NewBacking { source, .. } => source.may_have_changed(),
            Self::Transfer { source, .. } => source.may_have_changed(),
            _ => false,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(e) => e.hint(),
            Self::File { source, path, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some(format!("make room on the disk that {} lies on, then run this again", path.display()))
            }
            Self::Qcow2 { source, .. } => source.hint(),
            Self::Luks { source, .. } => source.hint(),
            Self::ForeignFormat { path, format } => Some(format!(
                "convert it first, with `qemu-img convert -f {format} -O qcow2 {} NEW.qcow2`; if it is a raw disk all the same, say `-f raw`",
                path.display()
            )),
            Self::Packed { path, packing } => {
                Some(format!("unpack it first, with `{} {}`", packing.unpack, path.display()))
            }
            Self::NotInFormat { .. } => Some("leave the format out to have it detected".into()),
            Self::Protocol { name, .. } => Some(format!(
                "disksmith works on files of this machine; a file whose name holds a colon is written `./{name}`"
            )),
            Self::MissingMember { overlay, role: "backing file", source, .. }
                if source.kind() == ErrorKind::NotFound =>
            {
                Some(format!(
                    "put the file back, or record its new place with `disksmith rebase -u -b NEW_PLACE -F FORMAT {}`",
                    overlay.display()
                ))
            }
            Self::MissingMember { source, .. } | Self::NewBacking { source, .. } => source.hint(),
            Self::NotInChain { image, .. } => Some(format!(
                "`disksmith info --chain {}` lists the images of the chain",
                image.display()
            )),
            Self::Gated { .. } => {
                Some("if you trust the image, leave `--no-backing` out, or name a directory with `--backing-root`".into())
            }
            Self::UnsafeProbe { overlay, recorded, .. } => Some(format!(
                "record the format, with `disksmith rebase -u -F FORMAT -b '{recorded}' {}`",
                overlay.display()
            )),
            Self::HasClones { .. } => Some(
                "changing it would corrupt every one of them; change a full copy (`disksmith clone --full`); an edit by a verb of disksmith goes on with `--force`"
                    .into(),
            ),
            Self::OutputExists { .. } => Some("remove it, name another, or say `--force`".into()),
            Self::ChainTooLong { .. } => {
                Some("flatten a part of it, with `disksmith clone --full` or `disksmith convert`".into())
            }
            Self::WouldChangeFormat { .. } => Some("name the format with `-f raw` if this is meant".into()),
            Self::NameTooLong { .. } => Some("use a shorter, relative path".into()),
            _ => None,
        }
    }
}
