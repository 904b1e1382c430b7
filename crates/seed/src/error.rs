//! What can go wrong while a seed is made.

use crate::diagnostic::Diagnostic;
use disksmith_storage::{Diagnose, ErrorKind};
use std::path::PathBuf;

/// The result of making a seed.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while a seed is made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Documents that cloud-init would ignore or fail on.
    #[error("{}", summary(.diagnostics))]
    Invalid {
        /// All findings, the harmless ones among them.
        diagnostics: Vec<Diagnostic>,
    },
    /// Something must be added to meta-data, and cannot be.
    #[error("{name} {reason}")]
    MetaData {
        /// The document, as the user named it.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A part of a MIME archive whose type nobody knows.
    #[error("{name}: starts with no header that cloud-init knows, and no type was given for it")]
    PartType {
        /// The part.
        name: String,
    },
    /// A label, host name or instance id that nothing can use.
    #[error("the {setting} {value:?} {reason}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A label that NoCloud does not look for.
    #[error("no cloud-init finds a seed with the label {label:?}: NoCloud looks for cidata and CIDATA")]
    LabelNotSearched {
        /// What was given.
        label: String,
    },
    /// A network configuration that ConfigDrive's `network_data.json` has no words for.
    #[error("{name}:{line}:{column}: {reason}")]
    Network {
        /// The document, as the user named it.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What cannot be said.
        reason: String,
    },
    /// A row of a fleet that makes no seed.
    #[error("row {row}: {reason}")]
    Row {
        /// Which row, from 1.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A row of a fleet whose seed cannot be made or written.
    #[error("row {row}: {source}")]
    OfRow {
        /// Which row, from 1.
        row: u64,
        /// Why not.
        source: Box<Error>,
    },
    /// What should be a seed, or a table of a fleet, is none.
    #[error("{name} {reason}")]
    NoSeed {
        /// The file or folder.
        name: String,
        /// Why it is none.
        reason: String,
    },
    /// The output exists, and may not be replaced.
    #[error("{} exists", .path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// Writing the volume failed.
    #[error("cannot write the seed: {source}")]
    Write {
        /// The system's error.
        source: std::io::Error,
    },
    /// The ISO image cannot be made or written, or read.
    #[error(transparent)]
    Volume(#[from] disksmith_iso9660::Error),
    /// The FAT filesystem cannot be made or read.
    #[error(transparent)]
    Files(#[from] disksmith_vfs::Error),
    /// The volume's file cannot be written.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    // without an error it was warnings that were refused
    let worst = diagnostics.iter().map(|d| d.severity).max();
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|d| Some(d.severity) == worst)
        .map(ToString::to_string)
        .collect();
    errors.join("\n")
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. }
            | Self::MetaData { .. }
            | Self::PartType { .. }
            | Self::Setting { .. }
            | Self::Network { .. }
            | Self::Row { .. }
            | Self::NoSeed { .. }
            | Self::LabelNotSearched { .. } => ErrorKind::Usage,
            Self::OutputExists { .. } => ErrorKind::Refused,
            Self::OfRow { source, .. } => source.kind(),
            Self::Write { source } if source.kind() == std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
            Self::Write { .. } => ErrorKind::Failed,
            Self::Volume(inner) => inner.kind(),
            Self::Files(inner) => inner.kind(),
            Self::Storage(inner) => inner.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => {
                Some("correct the documents, or use --no-validate to make the seed all the same".into())
            }
            Self::MetaData { .. } => Some("correct meta-data, or leave it away".into()),
            Self::PartType { .. } => {
                Some("give its type as FILE:TYPE, such as setup.sh:x-shellscript".into())
            }
            Self::Setting { setting, .. } => Some(match *setting {
                "label" => "leave the label away for cidata, which NoCloud looks for".into(),
                "host name" => "give letters, digits and hyphens, with dots between parts".into(),
                _ => "give it a value, or leave it away to have one made".into(),
            }),
            Self::LabelNotSearched { .. } => Some(
                "leave the label away; if fs_label in the guest's configuration of the NoCloud datasource names this one, \
                 --no-validate takes it"
                    .into(),
            ),
            Self::Network { .. } => Some(
                "write network_data.json yourself and give that as the network configuration, or use a NoCloud seed".into(),
            ),
            Self::OutputExists { .. } => Some("name another file, or say `--force` to replace it".into()),
            Self::Row { .. } | Self::NoSeed { .. } | Self::Write { .. } => None,
            Self::OfRow { source, .. } => source.hint(),
            Self::Volume(inner) => inner.hint(),
            Self::Files(inner) => inner.hint(),
            Self::Storage(inner) => inner.hint(),
        }
    }
}
