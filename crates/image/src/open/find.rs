//! Finding the files of a chain, from the top down: headers only.

use super::member::{Member, backing_of};
use super::{MAX_CHAIN, OpenOptions};
use crate::error::{Error, Result};
use crate::format::{Detected, Format, detect_in};
use crate::gate::Gate;
use crate::image::Image;
use crate::node::{Below, FileNode, FormatNode, Node, NullNode};
use crate::null_disk::NullDisk;
use crate::recover::open_recovered;
use crate::rounded::RoundedUp;
use disksmith_qcow2::Header;
use disksmith_storage::{FileId, HostFile, Intent, LockMode, OpenMode, StorageRef, Window};
use std::path::PathBuf;
use std::sync::Arc;

/// A file of the chain that was opened, before its content is.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<HostFile>,
    pub(crate) format: Format,
    pub(crate) probed: bool,
    pub(crate) header: Option<Box<Header>>,
    /// What holds the format, where that is not simply the file.
    pub(super) content: Option<StorageRef>,
    /// The node that the external data file is, instead of the recorded one.
    pub(super) data_file: Option<Node>,
    /// What holds the header of a LUKS image, where that is elsewhere.
    pub(super) luks_header: Option<Node>,
    /// The options that say how it is decrypted.
    pub(super) crypto: Vec<(String, String)>,
}

/// Opens the files of the chain from the top down, reading headers only. Each comes with the node that it was found by.
pub(crate) fn find_nodes(top: &Node, options: &OpenOptions) -> Result<Vec<(Found, Node)>> {
    let mode = if options.writable {
        OpenMode::Write
    } else {
        OpenMode::Read
    };
    let mut chain = vec![(find(top, mode, options)?, top.clone())];
    let mut seen: Vec<FileId> = chain.iter().map(|(f, _)| f.file.id()).collect();
    while let Some((overlay, node)) = chain.last() {
        let below = match node {
            Node::Format(format) => format.backing.clone(),
            _ => Below::Nothing,
        };
        let member = match below {
            Below::Nothing => break,
            _ if !options.backing => break,
            Below::Recorded => backing_of(overlay, &options.gate)?,
            Below::Node(node) => Some(Member::instead(overlay, node)),
        };
        let Some(mut member) = member else { break };
        if let (Node::Format(named), Node::Format(below)) = (node, &mut member.node)
            && below.crypto.is_empty()
        {
            below.crypto = named.backing_crypto.clone();
        }
        let shown = || PathBuf::from(top.shown());
        if chain.len() >= MAX_CHAIN {
            return Err(Error::ChainTooLong {
                top: shown(),
                limit: MAX_CHAIN,
            });
        }
        // Before it is opened: our own lock on it would be in the way.
        if member
            .node
            .host_path()
            .is_some_and(|path| FileId::of_path(path).is_ok_and(|id| seen.contains(&id)))
        {
            return Err(Error::ChainLoop {
                top: shown(),
                again: member.path,
            });
        }
        let found = find(&member.node, OpenMode::Read, options).map_err(|source| member.missing(source))?;
        if member.format.is_none() && options.gate != Gate::FollowAll {
            refuse_unsafe_probe(&member, &found)?;
        }
        seen.push(found.file.id());
        chain.push((found, member.node));
    }
    Ok(chain)
}

fn find(node: &Node, mode: OpenMode, options: &OpenOptions) -> Result<Found> {
    match node {
        Node::Null(null) => find_null(null, mode),
        Node::File(file) => find_file(file, Some(Format::Raw), mode, options),
        Node::Format(format) => find_format(format, mode, options),
    }
}

fn find_null(null: &NullNode, mode: OpenMode) -> Result<Found> {
    Ok(Found {
        path: format!("{}://", null.driver).into(),
        file: Arc::new(HostFile::open("/dev/null", mode, LockMode::None)?),
        format: Format::Raw,
        probed: false,
        header: None,
        content: Some(Arc::new(NullDisk::new(null.size, null.zeroes))),
        data_file: None,
        luks_header: None,
        crypto: Vec::new(),
    })
}

/// A format over something: mostly over a file.
fn find_format(node: &FormatNode, mode: OpenMode, options: &OpenOptions) -> Result<Found> {
    let mut options = options.clone();
    if node.force_share && mode == OpenMode::Read {
        options.lock = LockMode::ForceShare;
    }
    let found = match &node.file {
        Node::File(file) => find_file(file, node.format, mode, &options)?,
        Node::Null(null) => find_null(null, mode)?,
        Node::Format(_) => {
            let below = Image::open_node(
                &node.file,
                &OpenOptions {
                    writable: mode == OpenMode::Write,
                    // what was said about a backing file concerns the format above
                    backing: true,
                    over: None,
                    ..options.clone()
                },
            )?;
            let Some(layer) = below.top() else {
                return Err(Error::BadOption("no image under a format".into()));
            };
            Found {
                path: layer.path().to_owned(),
                file: layer.file().clone(),
                format: Format::Raw,
                probed: false,
                header: None,
                content: Some(below.storage().clone()),
                data_file: None,
                luks_header: None,
                crypto: Vec::new(),
            }
        }
    };
    let found = over_content(found, node)?;
    Ok(Found {
        content: windowed(&found, node)?,
        data_file: node.data_file.clone(),
        luks_header: node.header.clone(),
        crypto: node.crypto.clone(),
        ..found
    })
}

/// What lies in something else than a file in the format that the node says, or that is detected there.
fn over_content(found: Found, node: &FormatNode) -> Result<Found> {
    let Some(content) = &found.content else {
        return Ok(found);
    };
    let detected = match node.format {
        Some(format) => Detected::Known(format),
        None => detect_in(&**content)?,
    };
    match detected {
        Detected::Known(format @ (Format::Raw | Format::Luks)) => Ok(Found {
            format,
            probed: node.format.is_none(),
            ..found
        }),
        Detected::Known(Format::Qcow2) => {
            let header = Header::load(&**content).map_err(Error::qcow2(&found.path))?;
            Ok(Found {
                format: Format::Qcow2,
                probed: node.format.is_none(),
                header: Some(Box::new(header)),
                ..found
            })
        }
        _ => Err(Error::NotInFormat {
            path: found.path,
            format: node.format.unwrap_or(Format::Raw),
        }),
    }
}

/// The part of a file that a raw disk is.
fn windowed(found: &Found, node: &FormatNode) -> Result<Option<StorageRef>> {
    if node.offset == 0 && node.size.is_none() {
        return Ok(found.content.clone());
    }
    let content: StorageRef = found.content.clone().unwrap_or_else(|| found.file.clone());
    let (offset, whole) = (node.offset, content.size());
    let bad = |text: String| Err(Error::Node { reason: text });
    let Some(rest) = whole.checked_sub(offset) else {
        return bad(format!(
            "Offset ({offset}) cannot be greater than size of the containing file ({whole})"
        ));
    };
    let size = node.size.unwrap_or(rest);
    if size > rest {
        return bad(format!(
            "The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the  actual size of the containing file ({whole})"
        ));
    }
    if node.size.is_some() && !size.is_multiple_of(RoundedUp::SECTOR) {
        return bad("Specified size is not multiple of 512".into());
    }
    let name = content.name();
    Ok(Some(Arc::new(Window::new(content, offset, size, name)?)))
}

fn find_file(
    node: &FileNode,
    format: Option<Format>,
    mode: OpenMode,
    options: &OpenOptions,
) -> Result<Found> {
    let path = node.path.as_path();
    let lock = if node.locking {
        options.lock
    } else {
        LockMode::None
    };
    let log_dir = options.log_dir.as_deref();
    let file = Arc::new(match mode {
        OpenMode::Read => HostFile::open(path, mode, lock)?,
        OpenMode::Write => open_recovered(path, lock, log_dir, format)?,
    });
    let detected = detect_in(&*file)?;
    let chosen = match (format, detected) {
        // That it is no LUKS header is found when it is read.
        (Some(format @ (Format::Raw | Format::Luks)), _) => format,
        (Some(Format::Qcow2), Detected::Known(Format::Qcow2)) => Format::Qcow2,
        (Some(Format::Qcow2), _) => {
            return Err(Error::NotInFormat {
                path: path.into(),
                format: Format::Qcow2,
            });
        }
        (None, Detected::Known(format)) => format,
        (None, Detected::Foreign(format)) => {
            return Err(Error::ForeignFormat {
                path: path.into(),
                format,
            });
        }
        (None, Detected::Packed(packing)) => {
            return Err(Error::Packed {
                path: path.into(),
                packing,
            });
        }
    };
    if mode == OpenMode::Read
        && chosen == Format::Qcow2
        && let Some(intent) = Intent::find(path, file.id(), log_dir)?
    {
        // The old state is still what the file shows, but it does not count any more.
        let (image, log) = (path.to_owned(), intent.path().to_owned());
        return Err(disksmith_storage::Error::Pending { image, log }.into());
    }
    let header = match chosen {
        Format::Raw | Format::Luks => None,
        Format::Qcow2 => Some(Box::new(Header::load(&*file).map_err(Error::qcow2(path))?)),
    };
    Ok(Found {
        path: path.into(),
        file,
        format: chosen,
        probed: format.is_none(),
        header,
        content: None,
        data_file: None,
        luks_header: None,
        crypto: Vec::new(),
    })
}

/// A guest that writes to a raw image can make it look like an overlay of any host file. Where the format is not recorded,
/// such an image is not followed any further.
fn refuse_unsafe_probe(member: &Member, found: &Found) -> Result<()> {
    match &found.header {
        Some(header) if header.backing_name.is_some() || header.data_file_name().is_some() => {
            Err(Error::UnsafeProbe {
                overlay: member.overlay.clone(),
                recorded: member.recorded.clone(),
                detected: found.format,
            })
        }
        _ => Ok(()),
    }
}
