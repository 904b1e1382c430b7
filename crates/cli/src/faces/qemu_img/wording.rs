//! Errors of the library in qemu-img's words, wherever scripts could read them.

use disksmith_image::Error;
use disksmith_storage as storage;
use std::path::Path;

/// What was to be done with the file that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Only reading.
    Read,
    /// Changing it.
    Write,
}

/// What the operating system said, without its number.
pub(super) fn system(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None if error.kind() == std::io::ErrorKind::IsADirectory => "Is a directory".into(),
        None => text,
    }
}

/// A file that another process holds.
pub(super) fn locked(path: &Path, intent: Use) -> String {
    let lock = match intent {
        Use::Read => "Failed to get shared \"write\" lock",
        Use::Write => "Failed to get \"write\" lock",
    };
    format!("{lock}\nIs another process using the image [{}]?", path.display())
}

/// Why something failed.
pub(super) fn cause(error: &Error, intent: Use) -> String {
    match error {
        Error::Storage(error) => storage_cause(error, intent),
        Error::Node { reason } => reason.clone(),
        Error::NotInFormat { format, .. } => format!("Image is not in {format} format"),
        Error::MissingMember {
            role: "backing file",
            source,
            ..
        } => {
            format!("Could not open backing file: {}", cause(source, Use::Read))
        }
        Error::MissingMember { source, .. } => cause(source, intent),
        Error::UnknownFormat { name, .. } => format!("Could not open backing file: Unknown driver '{name}'"),
        Error::Protocol { protocol, .. } => format!("Unknown protocol '{protocol}'"),
        Error::ForeignFormat { format, .. } => format!("the format '{format}' is not supported yet"),
        Error::Qcow2 {
            source: disksmith_qcow2::Error::NotQcow2 { .. },
            ..
        } => "Image is not in qcow2 format".into(),
        Error::Qcow2 {
            source: disksmith_qcow2::Error::Encryption { source, .. },
            ..
        }
        | Error::Luks { source, .. } => source.to_string(),
        Error::Qcow2 { source, .. } => source.to_string(),
        Error::File { source, .. } => system(source),
        other => other.to_string(),
    }
}

fn storage_cause(error: &storage::Error, intent: Use) -> String {
    match error {
        storage::Error::Io {
            object,
            operation: operation @ ("open" | "create"),
            source,
            ..
        } => {
            format!("Could not {operation} '{object}': {}", system(source))
        }
        storage::Error::Io { source, .. } => system(source),
        storage::Error::Locked { path, .. } => locked(path, intent),
        storage::Error::Unsupported { object, .. } if intent == Use::Write && Path::new(object).is_dir() => {
            format!("Could not open '{object}': Is a directory")
        }
        storage::Error::Unsupported { object, .. } if Path::new(object).is_dir() => {
            format!("'file' driver requires '{object}' to be a regular file")
        }
        other => other.to_string(),
    }
}
