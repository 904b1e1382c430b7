//! Taking files and folders of the host into a tree.

use crate::error::{Error, Result};
use crate::host_options::{HostNotice, HostOptions, Links};
use crate::source::Source;
use crate::tree::{Attributes, ImageTree, NodeId};
use crate::zisofs::ZisofsHeader;
use disksmith_vfs::FileType;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A file of the host: device and inode number.
type Identity = (u64, u64);

/// A folder that is still to be taken in.
struct Pending {
    dir: NodeId,
    folder: PathBuf,
    /// How many directories are above it in the image; the root has none.
    depth: usize,
    /// The folders on the way to it, where links are followed: one that comes again is a loop.
    way: Vec<Identity>,
}

/// What is known while one call takes files in.
struct Walk<'a> {
    options: &'a HostOptions<'a>,
    links: HashMap<Identity, NodeId>,
}

impl ImageTree {
    /// Adds a file or folder of the host, with everything below it, under a name. Names of one file stay names of one file.
    /// Gives what was added; `None` where it was left out.
    ///
    /// # Errors
    /// What the host refuses; names that cannot be in a tree.
    pub fn add_host(
        &mut self,
        dir: NodeId,
        name: &[u8],
        path: &Path,
        options: &HostOptions<'_>,
    ) -> Result<Option<NodeId>> {
        let mut walk = Walk {
            options,
            links: HashMap::new(),
        };
        let metadata = look(path)?;
        let Some(metadata) = walk.resolve(path, metadata)? else {
            return Ok(None);
        };
        let Some(id) = self.add_one(dir, name, path, &metadata, &mut walk)? else {
            return Ok(None);
        };
        if metadata.is_dir() {
            self.add_below(id, path, &metadata, &mut walk)?;
        }
        Ok(Some(id))
    }

    /// Adds everything in a folder of the host to a directory.
    ///
    /// # Errors
    /// As for [`add_host`](Self::add_host).
    pub fn add_host_contents(&mut self, dir: NodeId, folder: &Path, options: &HostOptions<'_>) -> Result<()> {
        let mut walk = Walk {
            options,
            links: HashMap::new(),
        };
        let metadata = fs::metadata(folder).map_err(|e| refused(folder, "look at", e))?;
        self.add_below(dir, folder, &metadata, &mut walk)
    }

    fn depth(&self, dir: NodeId) -> usize {
        let mut depth = 0;
        let mut at = dir;
        while at != self.root() {
            at = self.node(at).parent;
            depth += 1;
        }
        depth
    }

    fn add_below(
        &mut self,
        dir: NodeId,
        folder: &Path,
        metadata: &Metadata,
        walk: &mut Walk<'_>,
    ) -> Result<()> {
        let mut pending = vec![Pending {
            dir,
            folder: folder.into(),
            depth: self.depth(dir),
            way: vec![(metadata.dev(), metadata.ino())],
        }];
        while let Some(at) = pending.pop() {
            walk.say(HostNotice::Folder(&at.folder));
            if walk.options.max_depth.is_some_and(|most| at.depth > most) {
                walk.say(HostNotice::TooDeep {
                    path: &at.folder,
                    depth: at.depth,
                });
                continue;
            }
            for (name, found) in list(&at.folder)? {
                let path = at.folder.join(&name);
                if walk.options.exclude.is_some_and(|exclude| exclude(&path)) {
                    continue;
                }
                let Some(metadata) = walk.resolve(&path, found)? else {
                    continue;
                };
                let identity = (metadata.dev(), metadata.ino());
                if metadata.is_dir() && walk.options.links == Links::Follow && at.way.contains(&identity) {
                    walk.say(HostNotice::Loop(&path));
                    continue;
                }
                let Some(id) = self.add_one(at.dir, name.as_bytes(), &path, &metadata, walk)? else {
                    continue;
                };
                if metadata.is_dir() {
                    let mut way = Vec::new();
                    if walk.options.links == Links::Follow {
                        way.clone_from(&at.way);
                        way.push(identity);
                    }
                    pending.push(Pending {
                        dir: id,
                        folder: path,
                        depth: at.depth + 1,
                        way,
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds one file or directory, but nothing below it.
    fn add_one(
        &mut self,
        dir: NodeId,
        name: &[u8],
        path: &Path,
        metadata: &Metadata,
        walk: &mut Walk<'_>,
    ) -> Result<Option<NodeId>> {
        let options = walk.options;
        let attributes = options.attributes_of(metadata);
        let id = if metadata.is_dir() {
            match self.mergeable(dir, name, options) {
                Some(there) => return Ok(Some(there)),
                None => self.add_directory(dir, name, attributes)?,
            }
        } else {
            let identity = (metadata.dev(), metadata.ino());
            match walk.links.get(&identity) {
                Some(first) => self.add_link(dir, name, *first)?,
                None => {
                    let Some(id) = self.add_new(dir, name, path, metadata, attributes, options)? else {
                        return Ok(None);
                    };
                    if metadata.nlink() > 1 {
                        walk.links.insert(identity, id);
                    }
                    id
                }
            }
        };
        if let Some(place) = options.place {
            let placed = place(path);
            self.set_visibility(id, placed.visibility);
            if placed.weight != 0 {
                self.set_weight(id, placed.weight);
            }
        }
        Ok(Some(id))
    }

    /// A directory of that name that is there already, where folders are merged.
    fn mergeable(&self, dir: NodeId, name: &[u8], options: &HostOptions<'_>) -> Option<NodeId> {
        if !options.merge {
            return None;
        }
        self.child(dir, name).filter(|id| self.is_directory(*id))
    }

    fn add_new(
        &mut self,
        dir: NodeId,
        name: &[u8],
        path: &Path,
        metadata: &Metadata,
        attributes: Attributes,
        options: &HostOptions<'_>,
    ) -> Result<Option<NodeId>> {
        let kind = metadata.file_type();
        if kind.is_file() {
            let id = self.add_file(dir, name, attributes, Source::host_file(path, metadata.len()))?;
            if options.zisofs
                && metadata.len() >= ZisofsHeader::LEN as u64
                && let Some(header) = zisofs(path)?
            {
                self.set_zisofs(id, header);
            }
            return Ok(Some(id));
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|e| refused(path, "read", e))?;
            return self
                .add_symlink(dir, name, attributes, target.as_os_str().as_bytes())
                .map(Some);
        }
        let special = if kind.is_char_device() {
            FileType::CharDevice
        } else if kind.is_block_device() {
            FileType::BlockDevice
        } else if kind.is_fifo() {
            FileType::Fifo
        } else if kind.is_socket() {
            FileType::Socket
        } else {
            return Err(Error::UnsupportedFile { path: path.into() });
        };
        self.add_special(dir, name, attributes, special, device(metadata.rdev()))
            .map(Some)
    }
}

impl Walk<'_> {
    fn say(&self, notice: HostNotice<'_>) {
        if let Some(hear) = self.options.notice {
            hear(notice);
        }
    }

    /// What is to be taken in for a path: the file itself, or what a link leads to, or nothing.
    fn resolve(&self, path: &Path, found: Metadata) -> Result<Option<Metadata>> {
        if !found.is_symlink() {
            return Ok(Some(found));
        }
        match self.options.links {
            Links::Keep => Ok(Some(found)),
            Links::Drop => {
                self.say(HostNotice::LinkDropped(path));
                Ok(None)
            }
            Links::Follow => match fs::metadata(path) {
                Ok(target) => Ok(Some(target)),
                Err(error) if self.options.notice.is_some() => {
                    self.say(HostNotice::BrokenLink { path, error: &error });
                    Ok(None)
                }
                Err(error) => Err(refused(path, "follow the link", error)),
            },
        }
    }
}

/// The names in a folder with what they are, sorted: the host's order is not always the same.
fn list(folder: &Path) -> Result<Vec<(OsString, Metadata)>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| refused(folder, "list", e))? {
        let entry = entry.map_err(|e| refused(folder, "list", e))?;
        let metadata = entry
            .metadata()
            .map_err(|e| refused(&entry.path(), "look at", e))?;
        out.push((entry.file_name(), metadata));
    }
    out.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(out)
}

fn look(path: &Path) -> Result<Metadata> {
    fs::symlink_metadata(path).map_err(|e| refused(path, "look at", e))
}

fn zisofs(path: &Path) -> Result<Option<ZisofsHeader>> {
    let mut header = [0; ZisofsHeader::LEN];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) => Ok(ZisofsHeader::parse(&header)),
        Err(error) => Err(refused(path, "read", error)),
    }
}

fn refused(path: &Path, operation: &'static str, source: std::io::Error) -> Error {
    Error::io(path.display().to_string(), operation, source)
}

/// Major and minor of a Linux `dev_t`, as glibc's `major(3)` and `minor(3)` take it apart.
fn device(number: u64) -> (u32, u32) {
    let major = (number >> 8 & 0xFFF) | (number >> 32 & 0xFFFF_F000);
    let minor = (number & 0xFF) | (number >> 12 & 0xFFFF_FF00);
    (major as u32, minor as u32)
}
