//! Requests about names: finding, making, linking, renaming and removing.

use crate::attributes::{file_type_of, now, unpack_device};
use crate::joined::File;
use crate::mounted::{Answer, EBUSY, EINVAL, ENAMETOOLONG, EXDEV, Mounted, errno};
use disksmith_vfs::{Error, FileSystem, FileType, NewNode, RenameMode};
use fuser::{FileAttr, RenameFlags, Request};

/// The attribute by which a directory says what new files in it may be.
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// What a new file shall be, as the request says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New<'a> {
    pub(crate) mode: u32,
    pub(crate) umask: u32,
    pub(crate) device: u32,
    pub(crate) target: &'a [u8],
}

impl Mounted {
    /// Finds a name; none where there is no such file.
    pub(crate) fn look_up(&self, dir: u64, name: &[u8]) -> Answer<Option<FileAttr>> {
        let (fs, parent) = self.file(dir)?;
        if name.len() > self.joined.max_name(parent.mount) {
            return Err(ENAMETOOLONG);
        }
        match fs.lookup(parent.inode, name) {
            Ok(inode) => self.introduce(File { inode, ..parent }).map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(errno(error)),
        }
    }

    /// Makes a file of any kind.
    pub(crate) fn make(&self, request: &Request, dir: u64, name: &[u8], new: New<'_>) -> Answer<FileAttr> {
        let file_type = file_type_of(new.mode).ok_or(EINVAL)?;
        self.change(dir, |fs, parent| {
            let above = fs.metadata(parent.inode).map_err(errno)?;
            let (uid, mut gid) = self.owners.of_new(request.uid(), request.gid());
            let mut permissions = (new.mode & 0o7777) as u16;
            if above.permissions & 0o2000 != 0 {
                gid = above.gid;
                if file_type == FileType::Directory {
                    permissions |= 0o2000;
                }
            }
            if file_type == FileType::Symlink {
                permissions = 0o777;
            } else if !has_default_acl(fs, parent)? {
                permissions &= !(new.umask & 0o777) as u16;
            }
            let node = NewNode {
                file_type,
                permissions,
                uid,
                gid,
                time: now(),
                target: new.target,
                device: match file_type {
                    FileType::CharDevice | FileType::BlockDevice => unpack_device(new.device),
                    _ => (0, 0),
                },
            };
            let inode = fs.create(parent.inode, name, &node).map_err(errno)?;
            self.listings.forget(dir);
            self.introduce(File { inode, ..parent })
        })
    }

    /// Gives a file a further name.
    pub(crate) fn add_name(&self, number: u64, dir: u64, name: &[u8]) -> Answer<FileAttr> {
        let file = self.joined.file(number);
        self.change(dir, |fs, parent| {
            if file.mount != parent.mount {
                return Err(EXDEV);
            }
            fs.link(file.inode, parent.inode, name).map_err(errno)?;
            self.listings.forget(dir);
            self.introduce(file)
        })
    }

    /// Removes a name.
    pub(crate) fn remove(&self, dir: u64, name: &[u8], directory: bool) -> Answer<()> {
        self.change(dir, |fs, parent| {
            let inode = fs.lookup(parent.inode, name).map_err(errno)?;
            let file = File { inode, ..parent };
            if self.joined.is_covered(file) {
                return Err(EBUSY);
            }
            let kept = self.keep_alive(fs, file)?;
            let removed = if directory {
                fs.remove_dir(parent.inode, name)
            } else {
                fs.unlink(parent.inode, name)
            };
            removed.map_err(errno)?;
            self.has_lost_name(file, kept);
            self.listings.forget(dir);
            Ok(())
        })
    }

    /// Renames.
    pub(crate) fn move_name(
        &self,
        dir: u64,
        name: &[u8],
        new_dir: u64,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Answer<()> {
        let mode = if flags.is_empty() {
            RenameMode::Replace
        } else if flags == RenameFlags::RENAME_NOREPLACE {
            RenameMode::NoReplace
        } else if flags == RenameFlags::RENAME_EXCHANGE {
            RenameMode::Exchange
        } else {
            return Err(EINVAL);
        };
        let to = self.joined.file(new_dir);
        self.change(dir, |fs, from| {
            if from.mount != to.mount {
                return Err(EXDEV);
            }
            let inode = fs.lookup(from.inode, name).map_err(errno)?;
            if self.joined.is_covered(File { inode, ..from }) {
                return Err(EBUSY);
            }
            let mut replaced = None;
            match fs.lookup(to.inode, new_name) {
                Ok(inode) => {
                    let victim = File { inode, ..to };
                    if self.joined.is_covered(victim) {
                        return Err(EBUSY);
                    }
                    if mode == RenameMode::Replace {
                        replaced = Some((victim, self.keep_alive(fs, victim)?));
                    }
                }
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(errno(error)),
            }
            fs.rename(from.inode, name, to.inode, new_name, mode)
                .map_err(errno)?;
            if let Some((victim, kept)) = replaced {
                self.has_lost_name(victim, kept);
            }
            self.listings.forget(dir);
            self.listings.forget(new_dir);
            Ok(())
        })
    }
}

/// Whether new files get their permissions from the directory's list and not from the umask.
fn has_default_acl(fs: &dyn FileSystem, dir: File) -> Answer<bool> {
    match fs.xattr(dir.inode, DEFAULT_ACL) {
        Ok(value) => Ok(value.is_some()),
        Err(Error::Unsupported { .. }) => Ok(false),
        Err(error) => Err(errno(error)),
    }
}
