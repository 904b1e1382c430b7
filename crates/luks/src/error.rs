//! What can be wrong with an encrypted volume, or with what is asked of one.

use disksmith_storage::{Diagnose, ErrorKind};

/// The result of an operation on an encrypted volume.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the encryption floor. The texts are QEMU's where it has one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
    /// The header is damaged, or of a kind that is not supported.
    #[error("{problem}")]
    Header {
        /// Which field.
        field: &'static str,
        /// Its byte offset in the header.
        offset: u64,
        /// Its value, where it is a number.
        value: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// No key slot opens with the passphrase.
    #[error("Invalid password, cannot unlock any keyslot")]
    WrongPassphrase,
    /// A key slot asks for more work than is allowed.
    #[error(
        "the key slots ask for {rounds} rounds of key derivation, more than the {limit} that are done for one image"
    )]
    TooExpensive {
        /// Rounds that the slots ask for.
        rounds: u64,
        /// The limit.
        limit: u64,
    },
    /// A passphrase is needed and was not given.
    #[error("it is encrypted, and no passphrase was given")]
    PassphraseMissing {
        /// `encrypt.` in a qcow2 image, nothing else.
        prefix: &'static str,
    },
    /// What is asked cannot be done, or not without harm.
    #[error("{0}")]
    Refused(String),
    /// No random bytes could be had.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl Error {
    /// The text that QEMU's tools have for it.
    #[must_use]
    pub fn in_qemus_words(&self) -> String {
        match self {
            Self::PassphraseMissing { prefix } => {
                format!("Parameter '{prefix}key-secret' is required for cipher")
            }
            other => other.to_string(),
        }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    pub(crate) fn header(field: &'static str, offset: u64, value: u64, problem: impl Into<String>) -> Self {
        Self::Header {
            field,
            offset,
            value,
            problem: problem.into(),
        }
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Header { .. } => ErrorKind::Corrupt,
            Self::TooExpensive { .. } => ErrorKind::Unsupported,
            Self::WrongPassphrase | Self::PassphraseMissing { .. } | Self::Refused(_) => ErrorKind::Usage,
            Self::Random(_) => ErrorKind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(error) => error.hint(),
            Self::PassphraseMissing { .. } => {
                Some("name the passphrase, with `--key file:FILE` or `--key env:VARIABLE`".into())
            }
            Self::WrongPassphrase => {
                Some("a passphrase in a file counts with every byte of it, also a newline at its end".into())
            }
            _ => None,
        }
    }
}
