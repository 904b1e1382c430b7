//! Metadata and extended attributes as the file floor speaks of them.

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Incompat, RoCompat};
use crate::inode::{INODE_BASE_SIZE, InodeFlags};
use crate::inode_table::Node;
use crate::xattr::{Acl, Attribute, Attributes, MAX_VALUE, Value, full_name, split_name};
use disksmith_vfs as vfs;
use disksmith_vfs::{FileType, InodeNo, Metadata, MetadataChange, XattrMode};

/// Numbers of the two names that hold access control lists.
const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;

/// Where the project stands in an inode: its end.
const PROJECT_END: usize = 0xa0;

/// Longest rest of a name of an attribute.
const MAX_XATTR_NAME: usize = 255;

fn refuse<T>(node: &Node, reason: &'static str) -> Result<T> {
    Err(Error::File(vfs::Error::NotPermitted {
        path: node.name(),
        reason,
    }))
}

impl Core {
    /// Metadata as `stat` tells it.
    pub(crate) fn metadata(&self, node: &Node) -> Result<Metadata> {
        let Some(file_type) = node.rec.file_type() else {
            return Err(node.corrupt("i_mode", node.rec.mode, "no kind of file"));
        };
        let is_device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
        let huge = self.geometry.has_ro_compat(RoCompat::HUGE_FILE);
        Ok(Metadata {
            inode: InodeNo(u64::from(node.ino)),
            file_type,
            permissions: node.rec.mode & 0o7777,
            uid: node.rec.uid(),
            gid: node.rec.gid(),
            size: node.rec.size(),
            blocks: node.rec.sectors(huge, self.geometry.block_size),
            links: u64::from(node.rec.links),
            device: if is_device { node.rec.device() } else { (0, 0) },
            accessed: node.rec.accessed(),
            modified: node.rec.modified(),
            changed: node.rec.changed(),
            created: node.rec.created(),
        })
    }

    fn check_attributes(&self, node: &Node) -> Result<()> {
        if node.has(InodeFlags::IMMUTABLE) {
            return refuse(node, "it is immutable");
        }
        if node.has(InodeFlags::APPEND) {
            return refuse(node, "it is append-only");
        }
        Ok(())
    }

    /// Changes metadata. Permission bits and an access control list are kept in step, as the kernel does.
    pub(crate) fn set_metadata(&mut self, node: &mut Node, change: &MetadataChange) -> Result<()> {
        self.check_attributes(node)?;
        if let Some(permissions) = change.permissions {
            node.rec.mode = node.rec.mode & 0xf000 | permissions & 0o7777;
            if !node.rec.is_symlink() {
                self.follow_mode(node)?;
            }
        }
        let values = self.value_inodes(node, change)?;
        self.charge_values(node, -values);
        if let Some(uid) = change.uid {
            node.rec.set_uid(uid);
        }
        if let Some(gid) = change.gid {
            node.rec.set_gid(gid);
        }
        self.charge_values(node, values);
        if let Some(time) = change.accessed {
            node.rec.set_accessed(time);
        }
        if let Some(time) = change.modified {
            node.rec.set_modified(time);
        }
        let changed = change.changed.unwrap_or_else(|| self.now());
        node.rec.set_changed(changed);
        self.store(node)
    }

    /// The project of an inode, and whether new entries of it (a directory) inherit that.
    pub(crate) fn project(&self, node: &Node) -> (u32, bool) {
        (node.rec.project_id, node.has(InodeFlags::PROJINHERIT))
    }

    /// Changes the project of an inode.
    pub(crate) fn set_project(&mut self, node: &mut Node, project: u32, inherit: bool) -> Result<()> {
        self.check_attributes(node)?;
        let has_room = INODE_BASE_SIZE + usize::from(node.rec.extra_isize) >= PROJECT_END;
        if !self.geometry.has_ro_compat(RoCompat::PROJECT) || !has_room {
            return Err(Error::unsupported(
                "a project without the feature, or in an inode without room for it",
            ));
        }
        if inherit && !node.rec.is_dir() {
            return refuse(node, "only directories hand their project on");
        }
        let values = self.value_count(node)?;
        self.charge_values(node, -values);
        node.rec.project_id = project;
        node.rec.set_flag(InodeFlags::PROJINHERIT, inherit);
        self.charge_values(node, values);
        self.touch_attributes(node)
    }

    fn value_count(&self, node: &Node) -> Result<i64> {
        if !self.geometry.has_incompat(Incompat::EA_INODE) {
            return Ok(0);
        }
        let all = self.attributes(node)?;
        let values = all.inode.iter().chain(&all.block);
        Ok(values.filter(|a| matches!(a.value, Value::Inode { .. })).count() as i64)
    }

    /// How many inodes hold values of the attributes of one that gets another owner; 0 where it does not.
    fn value_inodes(&self, node: &Node, change: &MetadataChange) -> Result<i64> {
        let stays = change.uid.is_none_or(|uid| uid == node.rec.uid())
            && change.gid.is_none_or(|gid| gid == node.rec.gid());
        if stays { Ok(0) } else { self.value_count(node) }
    }

    /// Puts changed permission bits into the access control list.
    fn follow_mode(&mut self, node: &mut Node) -> Result<()> {
        self.own_values(node)?;
        let mut all = self.attributes(node)?;
        let Some(found) = all.find(ACL_ACCESS, b"") else {
            return Ok(());
        };
        let bytes = self.attribute_value(&found.value)?;
        let Some(mut acl) = Acl::from_disk(&bytes) else {
            return Err(node.corrupt("posix_acl_access", bytes.len() as u64, "no access control list"));
        };
        acl.set_mode(node.rec.mode);
        let attribute = Attribute {
            index: ACL_ACCESS,
            name: Vec::new(),
            value: Value::Here(acl.to_disk()),
        };
        for slot in all.inode.iter_mut().chain(&mut all.block) {
            if slot.is(ACL_ACCESS, b"") {
                *slot = attribute.clone();
            }
        }
        self.store_attributes(node, &all)
    }

    /// Gives a new inode what it inherits of its directory's default access control list: permission bits, list, and for
    /// a directory the default list itself.
    pub(crate) fn inherit_access_list(&mut self, dir: &Node, node: &mut Node) -> Result<()> {
        if node.rec.is_symlink() {
            return Ok(());
        }
        let parents = self.attributes(dir)?;
        let Some(found) = parents.find(ACL_DEFAULT, b"") else {
            return Ok(());
        };
        let bytes = self.attribute_value(&found.value)?;
        let Some(default) = Acl::from_disk(&bytes) else {
            return Err(dir.corrupt("posix_acl_default", bytes.len() as u64, "no access control list"));
        };
        let (mode, access) = default.inherited(node.rec.mode);
        node.rec.mode = mode;
        let mut all = Attributes::default();
        let lists = [
            (ACL_DEFAULT, node.rec.is_dir().then_some(bytes)),
            (ACL_ACCESS, access.map(|acl| acl.to_disk())),
        ];
        for (index, list) in lists {
            if let Some(list) = list {
                let attribute = Attribute {
                    index,
                    name: Vec::new(),
                    value: Value::Here(list),
                };
                self.place_attribute(node, &mut all, attribute)?;
            }
        }
        if all.inode.is_empty() && all.block.is_empty() {
            return Ok(());
        }
        self.store_attributes(node, &all)
    }

    /// Full names of all attributes, sorted.
    pub(crate) fn attribute_names(&self, node: &Node) -> Result<Vec<Vec<u8>>> {
        let all = self.attributes(node)?;
        let mut names: Vec<Vec<u8>> = all
            .inode
            .iter()
            .chain(&all.block)
            .filter_map(|a| full_name(a.index, &a.name))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The value of an attribute by its full name.
    pub(crate) fn attribute(&self, node: &Node, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((index, rest)) = split_name(name) else {
            return Ok(None);
        };
        if full_name(index, &rest).is_none() {
            return Ok(None);
        }
        let all = self.attributes(node)?;
        let Some(found) = all.find(index, &rest) else {
            return Ok(None);
        };
        let value = self.attribute_value(&found.value)?;
        if matches!(index, ACL_ACCESS | ACL_DEFAULT) {
            return match Acl::from_disk(&value) {
                Some(acl) => Ok(Some(acl.to_wire())),
                None => Err(node.corrupt("posix_acl", value.len() as u64, "no access control list")),
            };
        }
        Ok(Some(value))
    }

    fn split_or_refuse(&self, node: &Node, name: &[u8]) -> Result<(u8, Vec<u8>)> {
        let path = String::from_utf8_lossy(name).into_owned();
        let Some((index, rest)) = split_name(name) else {
            return Err(Error::unsupported(format!("the extended attribute {path}")));
        };
        if full_name(index, &rest).is_none() || index == 7 {
            return Err(Error::unsupported(format!("the extended attribute {path}")));
        }
        if rest.len() > MAX_XATTR_NAME {
            return Err(Error::File(vfs::Error::NameTooLong {
                path,
                limit: MAX_XATTR_NAME,
            }));
        }
        self.check_attributes(node)?;
        Ok((index, rest))
    }

    fn touch_attributes(&mut self, node: &mut Node) -> Result<()> {
        let now = self.now();
        node.rec.set_changed(now);
        self.store(node)
    }

    /// Sets an attribute by its full name.
    pub(crate) fn set_attribute(
        &mut self,
        node: &mut Node,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        let (index, rest) = self.split_or_refuse(node, name)?;
        if index == 1 && !node.rec.is_file() && !node.rec.is_dir() {
            return refuse(node, "only files and directories have attributes of users");
        }
        self.own_values(node)?;
        let mut all = self.attributes(node)?;
        let there = all.find(index, &rest).is_some();
        let path = node.name();
        match mode {
            XattrMode::Create if there => return Err(Error::File(vfs::Error::Exists { path })),
            XattrMode::Replace if !there => {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(Error::File(vfs::Error::NoXattr { path, name }));
            }
            _ => {}
        }
        if value.len() as u64 > MAX_VALUE {
            return Err(Error::File(vfs::Error::InvalidArgument {
                path,
                reason: "a value of more than 64 KiB",
            }));
        }
        let mut stored = value.to_vec();
        if matches!(index, ACL_ACCESS | ACL_DEFAULT) {
            let Some(acl) = Acl::from_wire(value) else {
                return Err(Error::File(vfs::Error::InvalidArgument {
                    path,
                    reason: "no access control list",
                }));
            };
            if index == ACL_DEFAULT && !node.rec.is_dir() {
                return refuse(node, "only directories have default access control lists");
            }
            if node.rec.is_symlink() {
                return Err(Error::unsupported("an access control list on a symbolic link"));
            }
            stored = acl.to_disk();
            if index == ACL_ACCESS {
                let (bits, plain) = acl.mode();
                node.rec.mode = node.rec.mode & !0o777 | bits;
                if plain {
                    // The permission bits say all of it; no list is kept.
                    if let Some(old) = all.remove(index, &rest) {
                        self.release_value(node, &old)?;
                        self.store_attributes(node, &all)?;
                    }
                    return self.touch_attributes(node);
                }
            }
        }
        let old = all.remove(index, &rest);
        let attribute = Attribute {
            index,
            name: rest,
            value: Value::Here(stored),
        };
        self.place_attribute(node, &mut all, attribute)?;
        if let Some(old) = old {
            self.release_value(node, &old)?;
        }
        self.store_attributes(node, &all)?;
        self.touch_attributes(node)
    }

    /// Removes an attribute by its full name.
    pub(crate) fn remove_attribute(&mut self, node: &mut Node, name: &[u8]) -> Result<()> {
        let (index, rest) = self.split_or_refuse(node, name)?;
        self.own_values(node)?;
        let mut all = self.attributes(node)?;
        let Some(old) = all.remove(index, &rest) else {
            return Err(Error::File(vfs::Error::NoXattr {
                path: node.name(),
                name: String::from_utf8_lossy(name).into_owned(),
            }));
        };
        self.release_value(node, &old)?;
        self.store_attributes(node, &all)?;
        self.touch_attributes(node)
    }
}
