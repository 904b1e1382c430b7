//! Files that an image names: backing files and external data files.

use super::find::Found;
use crate::error::{Error, Result};
use crate::file_name::{FileName, resolve_beside};
use crate::format::Format;
use crate::gate::Gate;
use crate::node::Node;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that an image names.
pub(crate) struct Member {
    pub(super) overlay: PathBuf,
    role: &'static str,
    pub(super) recorded: String,
    pub(crate) path: PathBuf,
    pub(crate) format: Option<Format>,
    /// What it is made of.
    pub(crate) node: Node,
}

impl Member {
    /// What stands in for the file that an image names.
    pub(super) fn instead(overlay: &Found, mut node: Node) -> Self {
        // the recorded format still counts
        if let (Node::Format(format), Some(header)) = (&mut node, &overlay.header)
            && format.format.is_none()
        {
            format.format = header.backing_format().and_then(Format::from_name);
        }
        let shown = node.shown();
        Self {
            overlay: overlay.path.clone(),
            role: "backing file",
            path: node
                .host_path()
                .map_or_else(|| PathBuf::from(&shown), Path::to_owned),
            recorded: shown,
            format: Some(Format::Raw),
            node,
        }
    }

    /// Resolves a recorded name, and asks the gate.
    pub(super) fn resolve(overlay: &Path, role: &'static str, recorded: &[u8], gate: &Gate) -> Result<Self> {
        let text = String::from_utf8_lossy(recorded).into_owned();
        let full = resolve_beside(overlay, recorded);
        let node = match FileName::parse(&full) {
            FileName::Path(path) => Node::path(path, None),
            FileName::Protocol(protocol) => {
                Node::from_name(OsStr::from_bytes(&full), None).map_err(|_| Error::Protocol {
                    name: text.clone(),
                    protocol,
                    overlay: Some(overlay.into()),
                })?
            }
        };
        let path = node
            .host_path()
            .map_or_else(|| PathBuf::from(OsStr::from_bytes(&full)), Path::to_owned);
        if let Some(path) = node.host_paths().into_iter().find(|path| !gate.allows(path)) {
            let resolved = path.to_owned();
            return Err(Error::Gated {
                overlay: overlay.into(),
                role,
                recorded: text,
                resolved,
            });
        }
        Ok(Self {
            overlay: overlay.into(),
            role,
            recorded: text,
            path,
            format: None,
            node,
        })
    }

    pub(super) fn missing(&self, source: Error) -> Error {
        // What is wrong inside a file that was found names that file itself.
        match source {
            Error::Storage(_) | Error::NotInFormat { .. } | Error::Node { .. } => Error::MissingMember {
                overlay: self.overlay.clone(),
                role: self.role,
                recorded: self.recorded.clone(),
                resolved: self.path.clone(),
                source: Box::new(source),
            },
            other => other,
        }
    }
}

/// The backing file that an image names, if it names one.
pub(crate) fn backing_of(overlay: &Found, gate: &Gate) -> Result<Option<Member>> {
    let Some(header) = &overlay.header else {
        return Ok(None);
    };
    let Some(name) = &header.backing_name else {
        return Ok(None);
    };
    let mut member = Member::resolve(&overlay.path, "backing file", name, gate)?;
    member.format = match header.backing_format() {
        None | Some(b"") => None,
        // How old images record a raw file, or device, below them.
        Some(b"file" | b"host_device" | b"null-co" | b"null-aio") => Some(Format::Raw),
        Some(format) => Some(Format::from_name(format).ok_or_else(|| Error::UnknownFormat {
            path: overlay.path.clone(),
            what: format!("the backing file '{}'", member.recorded),
            name: String::from_utf8_lossy(format).into_owned(),
        })?),
    };
    if let Node::Format(node) = &mut member.node
        && node.format.is_none()
    {
        node.format = member.format;
    }
    Ok(Some(member))
}
