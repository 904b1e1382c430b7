//! Errors of the library in qemu-img's words, wherever scripts could read them.

use disksmith_image::Error;
use disksmith_qcow2 as qcow2;
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
        | Error::Luks { source, .. } => source.in_qemus_words(),
        Error::Qcow2 { source, .. } => qcow2_cause(source),
        Error::File { source, .. } => system(source),
        other => other.to_string(),
    }
}

/// Why a qcow2 image cannot be opened.
fn qcow2_cause(error: &qcow2::Error) -> String {
    match error {
        qcow2::Error::Header {
            field,
            value,
            problem,
            ..
        } => match (*field, *problem) {
            ("cluster_bits", "not between 9 and 21") => format!("Unsupported cluster size: 2^{value}"),
            ("header_length", "shorter than 104") => "qcow2 header too short".into(),
            ("header_length", _) => "qcow2 header exceeds cluster size".into(),
            ("backing_file_offset", _) => "Invalid backing file offset".into(),
            ("backing_file_size", _) => "Backing file name too long".into(),
            ("header extension length", _) => "Header extension too large".into(),
            ("refcount_order", _) => "Reference count entry width too large; may not exceed 64 bits".into(),
            ("crypt_method", _) => format!("Unsupported encryption method {value}"),
            ("refcount_table_clusters", _) => "Reference count table too large".into(),
            ("refcount_table_offset", _) => "Reference count table offset invalid".into(),
            ("l1_size", "too small for the disk's size") => "L1 table is too small".into(),
            ("l1_size", _) => "Active L1 table too large".into(),
            ("l1_table_offset", _) => "Active L1 table offset invalid".into(),
            ("nb_snapshots", _) => "Snapshot table too large".into(),
            ("snapshots_offset", _) => "Snapshot table offset invalid".into(),
            ("compression_type", _) if *value == 0 => {
                "qcow2: Compression type incompatible feature bit must not be set".into()
            }
            ("compression_type", _) => "qcow2: Compression type incompatible feature bit must be set".into(),
            _ => error.to_string(),
        },
        qcow2::Error::Version { version, .. } => format!("Unsupported qcow2 version {version}"),
        qcow2::Error::UnknownFeatures {
            features, unnamed, ..
        } => {
            let mut names = features.clone();
            if *unnamed != 0 {
                names.push(format!("Unknown incompatible feature: {unnamed:x}"));
            }
            format!("Unsupported qcow2 feature(s): {}", names.join(", "))
        }
        qcow2::Error::MarkedCorrupt { .. } => "qcow2: Image is corrupt; cannot be opened read/write".into(),
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
