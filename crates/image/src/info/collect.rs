//! Reads what `info` tells. No file is locked and only headers and tables are read.

use super::{BackingInfo, ChildInfo, FormatSpecific, ImageInfo};
use crate::error::{Error, Result};
use crate::file_name::{FileName, resolve_beside};
use crate::format::{Detected, Format, detect_in};
use crate::gate::Gate;
use crate::info::luks_data::luks_data;
use crate::info::qcow2_data::{qcow2_data, tables};
use crate::open::{MAX_CHAIN, path_of_name};
use crate::rounded::RoundedUp;
use disksmith_qcow2::{EncryptionMethod, Header, Incompatible};
use disksmith_storage::{FileId, HostFile, LockMode, OpenMode, Storage, StorageRef};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which image `info` looks at, and how far down.
#[derive(Debug, Clone, Default)]
pub struct InfoOptions {
    /// The image's format, instead of detecting it.
    pub format: Option<Format>,
    /// Looks at each image of the backing chain, not only at the top.
    pub chain: bool,
    /// Which backing files may be opened.
    pub gate: Gate,
}

/// Tells what the image at `path` is: one entry, or one for each image of its chain. Takes no lock, so it works while a virtual
/// machine runs on the image; what it tells may then be out of date.
///
/// # Errors
/// Those of opening, and of a damaged header.
pub fn info(path: &Path, options: &InfoOptions) -> Result<Vec<ImageInfo>> {
    let top = path_of_name(path)?;
    let mut chain = Vec::new();
    let mut seen: Vec<FileId> = Vec::new();
    let mut next = Some((top.clone(), options.format));
    while let Some((path, format)) = next.take() {
        if chain.len() >= MAX_CHAIN {
            return Err(Error::ChainTooLong {
                top,
                limit: MAX_CHAIN,
            });
        }
        let (image, id) = one(&path, format).map_err(|source| missing(&chain, &path, source))?;
        if seen.contains(&id) {
            return Err(Error::ChainLoop { top, again: path });
        }
        seen.push(id);
        if options.chain
            && let Some(backing) = &image.backing
        {
            next = Some(step(&path, backing, &options.gate)?);
        }
        chain.push(image);
    }
    Ok(chain)
}

/// The backing file as a path, and its format.
fn step(overlay: &Path, backing: &BackingInfo, gate: &Gate) -> Result<(PathBuf, Option<Format>)> {
    let path = match FileName::parse(backing.full_filename.as_bytes()) {
        FileName::Path(path) => path,
        FileName::Protocol(protocol) => {
            return Err(Error::Protocol {
                name: backing.filename.clone(),
                protocol,
                overlay: Some(overlay.into()),
            });
        }
    };
    if !gate.allows(&path) {
        return Err(Error::Gated {
            overlay: overlay.into(),
            role: "backing file",
            recorded: backing.filename.clone(),
            resolved: path,
        });
    }
    Ok((
        path,
        backing
            .format
            .as_ref()
            .and_then(|f| Format::from_name(f.as_bytes())),
    ))
}

fn missing(chain: &[ImageInfo], path: &Path, source: Error) -> Error {
    match (chain.last(), source) {
        (Some(overlay), source @ Error::Storage(_)) => Error::MissingMember {
            overlay: overlay.filename.clone().into(),
            role: "backing file",
            recorded: overlay
                .backing
                .as_ref()
                .map(|b| b.filename.clone())
                .unwrap_or_default(),
            resolved: path.into(),
            source: Box::new(source),
        },
        (_, source) => source,
    }
}

fn one(path: &Path, format: Option<Format>) -> Result<(ImageInfo, FileId)> {
    let file = Arc::new(HostFile::open(path, OpenMode::Read, LockMode::None)?);
    let filename = path.display().to_string();
    let detected = match format {
        Some(format) => Detected::Known(format),
        None => detect_in(&*file)?,
    };
    let child = ChildInfo {
        name: "file".into(),
        filename: filename.clone(),
        driver: if file.is_block_device() {
            "host_device"
        } else {
            "file"
        }
        .into(),
        length: file.size().next_multiple_of(RoundedUp::SECTOR),
        actual_size: Some(file.allocated()?),
    };
    let raw = ImageInfo {
        filename,
        format: Format::Raw.name().into(),
        virtual_size: child.length,
        actual_size: child.actual_size,
        cluster_size: None,
        encrypted: false,
        dirty: false,
        backing: None,
        snapshots: Vec::new(),
        format_specific: None,
        children: vec![child],
    };
    let image = match detected {
        Detected::Known(Format::Raw) => raw,
        Detected::Known(Format::Qcow2) => qcow2(path, &file, raw)?,
        Detected::Known(Format::Luks) => luks(path, &file, raw)?,
        Detected::Foreign(format) => {
            return Err(Error::ForeignFormat {
                path: path.into(),
                format,
            });
        }
        Detected::Packed(packing) => {
            return Err(Error::Packed {
                path: path.into(),
                packing,
            });
        }
    };
    Ok((image, file.id()))
}

fn qcow2(path: &Path, file: &Arc<HostFile>, raw: ImageInfo) -> Result<ImageInfo> {
    let file: StorageRef = file.clone();
    let header = Header::load(&*file).map_err(Error::qcow2(path))?;
    let (snapshots, bitmaps) = tables(path, &file, &header)?;
    let encryption = match header.encryption {
        None => None,
        Some(EncryptionMethod::Aes) => Some(json!({"format": "aes"})),
        Some(EncryptionMethod::Luks) => {
            let volume = header.luks_volume(&file).map_err(Error::qcow2(path))?;
            Some(luks_data(volume.header(), true))
        }
    };
    let backing = header.backing_name.as_ref().map(|name| BackingInfo {
        filename: String::from_utf8_lossy(name).into_owned(),
        full_filename: String::from_utf8_lossy(&resolve_beside(path, name)).into_owned(),
        format: header
            .backing_format()
            .map(|f| String::from_utf8_lossy(f).into_owned()),
    });
    Ok(ImageInfo {
        format: Format::Qcow2.name().into(),
        virtual_size: header.size,
        cluster_size: Some(header.geometry.cluster_size()),
        encrypted: encryption.is_some(),
        dirty: header.incompatible.contains(Incompatible::DIRTY),
        backing,
        snapshots,
        format_specific: Some(FormatSpecific {
            kind: Format::Qcow2.name().into(),
            data: qcow2_data(&header, encryption, bitmaps),
        }),
        ..raw
    })
}

/// A LUKS image; its passphrase is not needed to tell of it.
fn luks(path: &Path, file: &Arc<HostFile>, raw: ImageInfo) -> Result<ImageInfo> {
    let header = disksmith_luks::Header::load(&**file, false).map_err(Error::luks(path))?;
    let Some(payload) = file.size().checked_sub(header.payload_offset()) else {
        return Err(Error::NotInFormat {
            path: path.into(),
            format: Format::Luks,
        });
    };
    Ok(ImageInfo {
        format: Format::Luks.name().into(),
        virtual_size: payload.next_multiple_of(RoundedUp::SECTOR),
        encrypted: true,
        format_specific: Some(FormatSpecific {
            kind: Format::Luks.name().into(),
            data: luks_data(&header, false),
        }),
        ..raw
    })
}
