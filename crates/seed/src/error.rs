//! What can go wrong while a seed is made.

use crate::diagnostic::{Diagnostic, Severity};
use disksmith_storage::{Diagnose, ErrorKind};

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
    /// The volume cannot be made or written.
    #[error(transparent)]
    Volume(#[from] disksmith_iso9660::Error),
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
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
            | Self::LabelNotSearched { .. } => ErrorKind::Usage,
            Self::Volume(inner) => inner.kind(),
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
            Self::Volume(inner) => inner.hint(),
        }
    }
}
