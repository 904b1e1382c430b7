//! The images of a backing chain, looked at without keeping them open: who they are, and how they name each other.

use crate::error::{Error, Result};
use crate::file_name::{protocol_of, relative_name, resolve_beside};
use crate::format::Format;
use crate::image::Image;
use crate::node::Node;
use crate::open::{OpenOptions, find_nodes, path_of_name};
use disksmith_storage::{FileId, StorageRef};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One image of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    /// What it is made of, with the options that decrypt it.
    node: Node,
    /// Whether the format was detected, not named.
    pub(crate) probed: bool,
    pub(crate) id: FileId,
    /// The name of its backing file, as it is recorded.
    pub(crate) recorded: Option<Vec<u8>>,
}

/// The images from the top to the bottom.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) links: Vec<Link>,
}

impl Chain {
    /// Looks at the chain of the image at `path`.
    pub(crate) fn look(path: &Path, options: &OpenOptions) -> Result<Self> {
        Self::look_at(&Node::path(path_of_name(path)?, options.format), options)
    }

    /// The same for the image that a node describes.
    pub(crate) fn look_at(node: &Node, options: &OpenOptions) -> Result<Self> {
        let links = find_nodes(node, options)?.into_iter().map(|(found, node)| Link {
            node,
            id: found.file.id(),
            format: found.format,
            probed: found.probed,
            recorded: found.header.as_ref().and_then(|h| h.backing_name.clone()),
            path: found.path,
        });
        Ok(Self {
            links: links.collect(),
        })
    }

    /// The link at `index`.
    pub(crate) fn link(&self, index: usize) -> Result<&Link> {
        self.links
            .get(index)
            .ok_or_else(|| Error::BadOption(format!("the chain has no image number {index}")))
    }

    /// The place of the image that is meant by `name`: the file itself, wherever it is named from, or what an image above it would
    /// mean by the name.
    pub(crate) fn find(&self, name: &Path) -> Option<usize> {
        let id = FileId::of_path(name).ok();
        self.links
            .iter()
            .position(|link| Some(link.id) == id)
            .or_else(|| self.find_as_recorded(name.as_os_str().as_bytes()))
    }

    /// The place of the backing image that is meant by `name`, read as a name that stands in an image of the chain: how QEMU looks
    /// for it. The top itself is never meant.
    pub(crate) fn find_as_recorded(&self, name: &[u8]) -> Option<usize> {
        let pairs = self.links.iter().zip(self.links.iter().skip(1));
        let place = pairs.into_iter().position(|(overlay, below)| {
            let Some(recorded) = &overlay.recorded else {
                return false;
            };
            if protocol_of(name).is_some() || protocol_of(recorded).is_some() {
                return name == recorded || name == resolve_beside(&overlay.path, recorded);
            }
            let full = resolve_beside(&overlay.path, name);
            match (
                Path::new(OsStr::from_bytes(&full)).canonicalize(),
                below.path.canonicalize(),
            ) {
                (Ok(named), Ok(below)) => named == below,
                _ => false,
            }
        });
        place.map(|index| index + 1)
    }

    /// The name under which the image at `overlay` shall record the image at `index`: as the image above that one does, where both lie in the
    /// same folder, or the name means the same from everywhere; else made anew.
    pub(crate) fn name_for(&self, overlay: &Path, index: usize) -> Result<Vec<u8>> {
        let target = self.link(index)?;
        if let Some(above) = index.checked_sub(1).and_then(|i| self.links.get(i))
            && let Some(recorded) = &above.recorded
            && (above.path.parent() == overlay.parent()
                || recorded.starts_with(b"/")
                || protocol_of(recorded).is_some())
        {
            return Ok(recorded.clone());
        }
        let current = std::env::current_dir().map_err(|e| Error::file("find", ".", e))?;
        let folder = overlay.parent().unwrap_or(Path::new(""));
        Ok(relative_name(&target.path, folder, &current))
    }

    /// Opens the image at `index` over a storage that is open already (over nothing where there is none), or with its own chain.
    pub(crate) fn open(&self, index: usize, options: &OpenOptions, over: Over) -> Result<Image> {
        let link = self.link(index)?;
        let mut node = link.node.clone();
        if let Node::Format(format) = &mut node {
            format.format = Some(link.format);
        }
        let mut options = options.clone();
        if let Over::This(backing) = over {
            options = options.over(backing);
        }
        let image = Image::open_node(&node, &options)?;
        if image.top().is_none_or(|top| top.file().id() != link.id) {
            return Err(Error::Unfit {
                path: link.path.clone(),
                reason: "it was replaced by another file just now".into(),
            });
        }
        Ok(image)
    }
}

/// What an image of a chain is opened over.
pub(crate) enum Over {
    /// The chain that it names.
    Own,
    /// This.
    This(Option<StorageRef>),
}
