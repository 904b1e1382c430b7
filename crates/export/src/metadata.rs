//! Requests that change metadata, and those about extended attributes.

use crate::attributes::requested_time;
use crate::caller::Caller;
use crate::mounted::{Answer, EINVAL, ENODATA, EPERM, ERANGE, Mounted, errno};
use disksmith_vfs::{Error, MetadataChange, XattrMode};
use fuser::{FileAttr, TimeOrNow};

/// Bytes that a list of names may have (`XATTR_LIST_MAX`).
const LIST_MOST: usize = 64 << 10;

/// What is to be changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<TimeOrNow>,
    pub(crate) modified: Option<TimeOrNow>,
    pub(crate) changed: Option<std::time::SystemTime>,
    /// Who asks.
    pub(crate) by: Caller,
}

impl Wanted {
    fn changes_nothing(&self) -> bool {
        self.mode.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.size.is_none()
            && self.accessed.is_none()
            && self.modified.is_none()
            && self.changed.is_none()
    }
}

impl Mounted {
    /// Changes size, permissions, owner and times.
    pub(crate) fn change_metadata(&self, number: u64, wanted: Wanted) -> Answer<FileAttr> {
        self.change(number, |fs, file| {
            let before = fs.metadata(file.inode).map_err(errno)?;
            let mut permissions = wanted.mode.map(|mode| (mode & 0o7777) as u16);
            if let Some(size) = wanted.size {
                fs.set_size(file.inode, size).map_err(errno)?;
                if self.owners.are_checked() {
                    self.strip_capabilities(fs, file)?;
                    // Only root keeps them when it changes a file.
                    if wanted.by.uid != 0 && permissions.is_none() {
                        permissions = Some(wanted.by.without_privileges(&before));
                    }
                }
            }
            // `chown` to nobody at all comes as a change of nothing.
            let owner = wanted.uid.is_some() || wanted.gid.is_some() || wanted.changes_nothing();
            if owner && !before.is_dir() {
                self.strip_capabilities(fs, file)?;
                if permissions.is_none() {
                    // Nor is a write by which powers are lost told apart from it: the kernel has checked that it may be.
                    let left = wanted.by.without_privileges(&before);
                    permissions = Some(left);
                }
            }
            let change = MetadataChange {
                permissions: permissions.filter(|p| *p != before.permissions || wanted.mode.is_some()),
                uid: wanted.uid.map(|uid| self.owners.uid_in(uid)),
                gid: wanted.gid.map(|gid| self.owners.gid_in(gid)),
                accessed: wanted.accessed.map(requested_time),
                modified: wanted.modified.map(requested_time),
                changed: wanted
                    .changed
                    .map(|time| requested_time(TimeOrNow::SpecificTime(time))),
            };
            if change != MetadataChange::default() || wanted.size.is_none() {
                match fs.set_metadata(file.inode, &change) {
                    // FAT keeps no owners: to set what is there already is no wish.
                    Err(Error::Unsupported { .. })
                        if change.uid.is_none_or(|uid| uid == before.uid)
                            && change.gid.is_none_or(|gid| gid == before.gid)
                            && change.permissions.is_none_or(|p| p == before.permissions) => {}
                    Err(Error::Unsupported { .. }) => return Err(EPERM),
                    other => other.map_err(errno)?,
                }
            }
            let metadata = fs.metadata(file.inode).map_err(errno)?;
            Ok(self.attributes_of(file, number, &metadata))
        })
    }

    /// The value of an extended attribute.
    pub(crate) fn attribute(&self, number: u64, name: &[u8]) -> Answer<Vec<u8>> {
        let (fs, file) = self.file(number)?;
        fs.xattr(file.inode, name).map_err(errno)?.ok_or(ENODATA)
    }

    /// The names of all extended attributes, each with a zero behind it. `all`: those too that only root sees.
    pub(crate) fn attribute_names(&self, number: u64, all: bool) -> Answer<Vec<u8>> {
        let (fs, file) = self.file(number)?;
        let mut list = Vec::new();
        for name in fs.list_xattrs(file.inode).map_err(errno)? {
            if all || !name.starts_with(b"trusted.") {
                list.extend_from_slice(&name);
                list.push(0);
            }
        }
        if list.len() > LIST_MOST {
            return Err(ERANGE);
        }
        Ok(list)
    }

    /// Sets an extended attribute.
    pub(crate) fn set_attribute(
        &self,
        number: u64,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Answer<()> {
        if matches!(name, b"user." | b"trusted." | b"security.") {
            return Err(EINVAL);
        }
        self.change(number, |fs, file| {
            fs.set_xattr(file.inode, name, value, mode).map_err(errno)
        })
    }

    /// Removes an extended attribute.
    pub(crate) fn remove_attribute(&self, number: u64, name: &[u8]) -> Answer<()> {
        self.change(number, |fs, file| match fs.remove_xattr(file.inode, name) {
            // A list that is not there is as good as removed, as the kernel has it.
            Err(Error::NoXattr { .. }) if name.starts_with(b"system.posix_acl_") => Ok(()),
            other => other.map_err(errno),
        })
    }
}
