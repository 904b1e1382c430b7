//! Errors of the qcow2 format.

use crate::amend::AmendRefusal;
use crate::bitmap_change::BitmapRefusal;
use disksmith_storage::{Diagnose, ErrorKind};

/// The result of a qcow2 operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a qcow2 image. `image` is the name of the storage that holds it; `offset` is a byte
/// offset in that storage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage under the image failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
    /// The first four bytes are not `QFI\xfb`.
    #[error("{image} is not a qcow2 image (its first bytes are {found:#010x})")]
    NotQcow2 {
        /// The image.
        image: String,
        /// The first four bytes, big-endian.
        found: u32,
    },
    /// A field of the header has a value that is not allowed.
    #[error("{image}: qcow2 header field {field} at offset {offset} is {value:#x}: {problem}")]
    Header {
        /// The image.
        image: String,
        /// The field's name in the specification.
        field: &'static str,
        /// Byte offset of the field.
        offset: u64,
        /// The value found.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The image is of a version of the format that is not known here.
    #[error("{image}: version {version} of the qcow2 format is not supported")]
    Version {
        /// The image.
        image: String,
        /// Its version.
        version: u32,
    },
    /// The image uses incompatible features that are not known here.
    #[error("{image} uses qcow2 feature(s) that are not supported: {}", feature_list(.features, *.unnamed))]
    UnknownFeatures {
        /// The image.
        image: String,
        /// The names that the image's feature name table gives.
        features: Vec<String>,
        /// Those that it gives no name, as bits.
        unnamed: u64,
    },
    /// The image is valid but needs something that is not there (yet).
    #[error("{image}: {what} is not supported")]
    Unsupported {
        /// The image.
        image: String,
        /// What it needs.
        what: String,
    },
    /// A structure of the image is damaged.
    #[error("{image}: {structure} at offset {offset:#x} is damaged: {problem} ({value:#x})")]
    Corrupt {
        /// The image.
        image: String,
        /// The structure, as the specification calls it.
        structure: &'static str,
        /// Where it lies, in bytes.
        offset: u64,
        /// The value found.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The image carries the corrupt bit; it can only be read.
    #[error("{image} is marked corrupt and cannot be written")]
    MarkedCorrupt {
        /// The image.
        image: String,
    },
    /// A cluster would be referenced more often than the image's refcount width allows.
    #[error("{image}: the reference count of the cluster at offset {offset:#x} cannot exceed {max}")]
    RefcountOverflow {
        /// The image.
        image: String,
        /// Byte offset of the cluster.
        offset: u64,
        /// The greatest count that fits.
        max: u64,
    },
    /// The image cannot grow any further.
    #[error("{image}: {what}")]
    TooLarge {
        /// The image.
        image: String,
        /// Which limit is exceeded.
        what: &'static str,
    },
    /// The image's encryption stands in the way.
    #[error("{image}: {source}")]
    Encryption {
        /// The image.
        image: String,
        /// What is wrong.
        source: disksmith_luks::Error,
    },
    /// A request that makes no sense for this image, or bad options.
    #[error("{what}")]
    Request {
        /// What is wrong with it.
        what: String,
    },
    /// No internal snapshot has that id or name.
    #[error("there is no snapshot '{name}'")]
    NoSuchSnapshot {
        /// The image.
        image: String,
        /// The id or name that was looked for.
        name: String,
    },
    /// The disk's contents cannot jump to another state while bitmaps record how they change.
    #[error("dirty bitmaps would not know what applying a snapshot changes")]
    HasBitmaps {
        /// The image.
        image: String,
    },
    /// A change set is being prepared, so the image itself cannot be changed.
    #[error("{image} is being edited: its own contents cannot change until that ends")]
    Busy {
        /// The image.
        image: String,
    },
    /// The image cannot be amended as asked.
    #[error(transparent)]
    Amend(#[from] AmendRefusal),
    /// A persistent dirty bitmap cannot be changed as asked.
    #[error(transparent)]
    Bitmap(#[from] BitmapRefusal),
    /// A recovery record and the image do not belong together (any more).
    #[error("{image} was changed after its edit was prepared: {what} at offset {offset:#x}")]
    NotUntouched {
        /// The image.
        image: String,
        /// What differs.
        what: &'static str,
        /// Where, in bytes.
        offset: u64,
    },
}

fn feature_list(names: &[String], unnamed: u64) -> String {
    let bits = (0..64).filter(|bit| unnamed >> bit & 1 != 0);
    let bits = bits.map(|bit| format!("unknown incompatible feature bit {bit}"));
    names.iter().cloned().chain(bits).collect::<Vec<_>>().join(", ")
}

impl Error {
    pub(crate) fn corrupt(
        image: &str,
        structure: &'static str,
        offset: u64,
        value: u64,
        problem: &'static str,
    ) -> Self {
        Self::Corrupt {
            image: image.into(),
            structure,
            offset,
            value,
            problem,
        }
    }

    pub(crate) fn encryption(image: &str, source: disksmith_luks::Error) -> Self {
        Self::Encryption {
            image: image.into(),
            source,
        }
    }

    pub(crate) fn unsupported(image: &str, what: impl Into<String>) -> Self {
        Self::Unsupported {
            image: image.into(),
            what: what.into(),
        }
    }

    pub(crate) fn request(what: impl Into<String>) -> Self {
        Self::Request { what: what.into() }
    }
}

impl From<Error> for disksmith_storage::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(inner) => inner,
            other => Self::format(other),
        }
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(inner) => inner.kind(),
            Self::Encryption { source, .. } => source.kind(),
            Self::NotQcow2 { .. }
            | Self::Header { .. }
            | Self::Corrupt { .. }
            | Self::MarkedCorrupt { .. } => ErrorKind::Corrupt,
            Self::Version { .. } | Self::UnknownFeatures { .. } | Self::Unsupported { .. } => {
                ErrorKind::Unsupported
            }
            Self::RefcountOverflow { .. } | Self::TooLarge { .. } => ErrorKind::NoSpace,
            Self::Request { .. } => ErrorKind::Usage,
            Self::Busy { .. } => ErrorKind::InUse,
            Self::NoSuchSnapshot { .. } => ErrorKind::NotFound,
            Self::HasBitmaps { .. } | Self::NotUntouched { .. } | Self::Amend(_) | Self::Bitmap(_) => {
                ErrorKind::Refused
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(inner) => inner.hint(),
            Self::Encryption { source, .. } => source.hint(),
            Self::Corrupt { image, .. } | Self::MarkedCorrupt { image } => Some(format!(
                "copy the image, then repair it with `disksmith check -r all {image}`"
            )),
            Self::RefcountOverflow { .. } => {
                Some("convert the image to one with a greater refcount_bits".into())
            }
            Self::Unsupported { image, what } if what.contains("external data file") => Some(format!(
                "copy it into an image that holds its data itself, with `disksmith convert -O qcow2 {image} NEW.qcow2`"
            )),
            Self::Unsupported { image, what } if what.contains("encrypt") => Some(format!(
                "decrypt it first, with `qemu-img convert --object secret,… --image-opts … {image} NEW.qcow2`"
            )),
            Self::NoSuchSnapshot { image, .. } => {
                Some(format!("`disksmith snapshot list {image}` shows them"))
            }
            Self::HasBitmaps { image } => {
                Some(format!("remove them first; `disksmith info {image}` shows them"))
            }
            Self::NotQcow2 { .. } => Some("if it is a raw image, say so with `--format raw`".into()),
            Self::NotUntouched { .. } => Some(
                "a virtual machine may have used the image since; its current state was left as it is".into(),
            ),
            _ => None,
        }
    }
}
