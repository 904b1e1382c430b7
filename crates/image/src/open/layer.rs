//! Opening the content of a file of the chain that was found.

use super::OpenOptions;
use super::find::Found;
use super::member::Member;
use crate::error::{Error, Result};
use crate::file_name::FileName;
use crate::format::Format;
use crate::image::{Image, Layer, LuksDisk};
use crate::node::Node;
use crate::recover::open_recovered;
use crate::rounded::RoundedUp;
use disksmith_luks::{Payload, Volume};
use disksmith_qcow2::{EncryptionMethod, Qcow2, Unlock};
use disksmith_storage::{HostFile, OpenMode, StorageRef, pending_log};
use std::path::Path;
use std::sync::Arc;

pub(super) fn open_layer(
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
