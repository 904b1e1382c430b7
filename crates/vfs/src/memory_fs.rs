//! A filesystem in memory.

mod directory;
mod inode;
mod sparse_bytes;
mod state;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::filesystem::{DirEntry, DirSink, FileSystem, FreeSink, NewNode, RenameMode, XattrMode};
use crate::gate::OperationGate;
use crate::metadata::{FileType, InodeNo, Metadata, MetadataChange, StatFs, Timestamp};
use crate::name::check_name;
use directory::Directory;
use inode::{Body, Inode};
use sparse_bytes::{PAGE, SparseBytes};
use state::{State, inode_text, into_itself, name_text};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const ROOT: InodeNo = InodeNo(1);
const KIND: &str = "memory";
const MAX_NAME_LEN: usize = 255;
const MAX_FILE_SIZE: u64 = i64::MAX as u64;
const MAX_LINKS: u64 = 65_000;
const MAX_TARGET_LEN: usize = 4095;
const DEFAULT_CAPACITY: u64 = 1 << 30;

/// A whole filesystem in memory: hard links, holes, extended attributes, every rename mode.
///
/// It is the model that other filesystems are compared with, and what tests of higher floors run on. It follows
/// what Linux filesystems do where POSIX leaves a choice. Its contents take at most a fixed capacity (1 GiB unless
/// told otherwise).
#[derive(Debug)]
pub struct MemoryFs {
    state: Mutex<State>,
    gate: OperationGate,
    clock: Timestamp,
    capacity_pages: u64,
    label: Option<Vec<u8>>,
    uuid: Option<String>,
    writable: bool,
}

impl MemoryFs {
    /// An empty filesystem, whose root belongs to root with mode 0755. Times that a call must set itself are `clock`.
    pub fn new(clock: Timestamp) -> Self {
        let root = Inode {
            body: Body::Directory(Directory::new(ROOT)),
            permissions: 0o755,
            uid: 0,
            gid: 0,
            device: (0, 0),
            links: 2,
            accessed: clock,
            modified: clock,
            changed: clock,
            created: clock,
            xattrs: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(State {
                inodes: BTreeMap::from([(ROOT, root)]),
                next_inode: ROOT.0 + 1,
                used_pages: 0,
            }),
            gate: OperationGate::default(),
            clock,
            capacity_pages: DEFAULT_CAPACITY / PAGE,
            label: None,
            uuid: None,
            writable: true,
        }
    }

    /// The same with room for that many bytes of file contents.
    #[must_use]
    pub fn with_capacity(mut self, bytes: u64) -> Self {
        self.capacity_pages = bytes / PAGE;
        self
    }

    /// The same with a label.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<Vec<u8>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same with an identifier.
    #[must_use]
    pub fn with_uuid(mut self, uuid: impl Into<String>) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// The same, but every change fails with [`Error::ReadOnly`].
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.writable = false;
        self
    }

    /// The gate that every changing call enters.
    pub fn gate(&self) -> &OperationGate {
        &self.gate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_writable(&self) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(Error::ReadOnly {
            filesystem: KIND.into(),
            reason: "opened for reading".into(),
        })
    }

    fn check_space(&self, state: &State, pages: u64) -> Result<()> {
        if pages <= self.capacity_pages.saturating_sub(state.used_pages) {
            return Ok(());
        }
        Err(Error::NoSpace {
            filesystem: KIND.into(),
            what: "blocks",
        })
    }
}

fn check_entry_name(name: &[u8]) -> Result<()> {
    check_name(name)?;
    if name.len() > MAX_NAME_LEN {
        return Err(Error::NameTooLong {
            path: name_text(name),
            limit: MAX_NAME_LEN,
        });
    }
    Ok(())
}

fn file_end(inode: InodeNo, offset: u64, len: u64) -> Result<u64> {
    offset
        .checked_add(len)
        .filter(|end| *end <= MAX_FILE_SIZE)
        .ok_or_else(|| Error::FileTooLarge {
            path: inode_text(inode),
        })
}

impl FileSystem for MemoryFs {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn label(&self) -> Option<Vec<u8>> {
        self.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.uuid.clone()
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn root(&self) -> InodeNo {
        ROOT
    }

    fn stat_fs(&self) -> Result<StatFs> {
        let state = self.state();
        let free = self.capacity_pages.saturating_sub(state.used_pages);
        let inodes = state.inodes.len() as u64;
        Ok(StatFs {
            block_size: PAGE,
            blocks: self.capacity_pages,
            free_blocks: free,
            available_blocks: free,
            inodes: u64::from(u32::MAX),
            free_inodes: u64::from(u32::MAX).saturating_sub(inodes),
            max_name_len: MAX_NAME_LEN as u32,
        })
    }

    fn lookup(&self, dir: InodeNo, name: &[u8]) -> Result<InodeNo> {
        if name.len() > MAX_NAME_LEN {
            return check_entry_name(name).map(|()| ROOT);
        }
        self.state().lookup(dir, name)
    }

    fn metadata(&self, inode: InodeNo) -> Result<Metadata> {
        Ok(self.state().inode(inode)?.metadata(inode))
    }

    fn read_dir(&self, dir: InodeNo, cookie: u64, sink: DirSink<'_>) -> Result<()> {
        // Gathered first: the sink may call the filesystem.
        let entries: Vec<DirEntry> = {
            let state = self.state();
            state
                .dir(dir)?
                .entries_after(cookie)
                .map(|(cookie, name, inode)| {
                    Ok(DirEntry {
                        name: name.to_vec(),
                        inode,
                        file_type: state.inode(inode)?.file_type(),
                        cookie,
                    })
                })
                .collect::<Result<_>>()?
        };
        for entry in entries {
            if !sink(entry) {
                break;
            }
        }
        Ok(())
    }

    fn parent(&self, dir: InodeNo) -> Result<InodeNo> {
        Ok(self.state().dir(dir)?.parent)
    }

    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> Result<usize> {
        Ok(self.state().file(inode)?.read(offset, buf))
    }

    fn read_link(&self, inode: InodeNo) -> Result<Vec<u8>> {
        let state = self.state();
        let node = state.inode(inode)?;
        match &node.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Error::WrongType {
                path: inode_text(inode),
                found: node.file_type(),
            }),
        }
    }

    fn next_data(&self, inode: InodeNo, offset: u64) -> Result<Option<(u64, u64)>> {
        Ok(self.state().file(inode)?.next_data(offset))
    }

    fn list_xattrs(&self, inode: InodeNo) -> Result<Vec<Vec<u8>>> {
        Ok(self.state().inode(inode)?.xattrs.keys().cloned().collect())
    }

    fn xattr(&self, inode: InodeNo, name: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.state().inode(inode)?.xattrs.get(name).cloned())
    }

    fn free_ranges(&self, _sink: FreeSink<'_>) -> Result<()> {
        Ok(())
    }

    fn create(&self, dir: InodeNo, name: &[u8], node: &NewNode<'_>) -> Result<InodeNo> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        state.check_free(dir, name)?;
        check_entry_name(name)?;
        if node.permissions > 0o7777 {
            return Err(Error::InvalidArgument {
                path: name_text(name),
                reason: "permission bits above 0o7777",
            });
        }
        let body = match node.file_type {
            FileType::Regular => Body::File(SparseBytes::default()),
            FileType::Directory => Body::Directory(Directory::new(dir)),
            FileType::Symlink if node.target.is_empty() => {
                return Err(Error::InvalidArgument {
                    path: name_text(name),
                    reason: "a symbolic link needs a target",
                });
            }
            FileType::Symlink if node.target.len() > MAX_TARGET_LEN => {
                return Err(Error::NameTooLong {
                    path: name_text(name),
                    limit: MAX_TARGET_LEN,
                });
            }
            FileType::Symlink => Body::Symlink(node.target.to_vec()),
            other => Body::Special(other),
        };
        let is_dir = node.file_type == FileType::Directory;
        let inode = InodeNo(state.next_inode);
        state.next_inode += 1;
        state.inodes.insert(
            inode,
            Inode {
                body,
                permissions: if node.file_type == FileType::Symlink {
                    0o777
                } else {
                    node.permissions
                },
                uid: node.uid,
                gid: node.gid,
                device: node.device,
                links: if is_dir { 2 } else { 1 },
                accessed: node.time,
                modified: node.time,
                changed: node.time,
                created: node.time,
                xattrs: BTreeMap::new(),
            },
        );
        state.dir_mut(dir)?.set(name, inode);
        let parent = state.inode_mut(dir)?;
        parent.links += u64::from(is_dir);
        parent.modify(node.time);
        Ok(inode)
    }

    fn link(&self, inode: InodeNo, dir: InodeNo, name: &[u8]) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        state.check_free(dir, name)?;
        check_entry_name(name)?;
        let clock = self.clock;
        let node = state.inode_mut(inode)?;
        if node.file_type() == FileType::Directory {
            return Err(Error::NotPermitted {
                path: name_text(name),
                reason: "directories have one name",
            });
        }
        if node.links >= MAX_LINKS {
            return Err(Error::TooManyLinks {
                path: name_text(name),
            });
        }
        node.links += 1;
        node.changed = clock;
        state.dir_mut(dir)?.set(name, inode);
        state.touch_dir(dir, clock)
    }

    fn unlink(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let inode = state.lookup(dir, name)?;
        if state.inode(inode)?.file_type() == FileType::Directory {
            return Err(Error::IsADirectory {
                path: name_text(name),
            });
        }
        state.dir_mut(dir)?.remove(name);
        state.drop_link(inode, self.clock)?;
        state.touch_dir(dir, self.clock)
    }

    fn remove_dir(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let inode = state.lookup(dir, name)?;
        match &state.inode(inode)?.body {
            Body::Directory(entries) if entries.is_empty() => {}
            Body::Directory(_) => {
                return Err(Error::NotEmpty {
                    path: name_text(name),
                });
            }
            _ => {
                return Err(Error::NotADirectory {
                    path: name_text(name),
                });
            }
        }
        state.dir_mut(dir)?.remove(name);
        state.drop_dir(dir, inode)?;
        state.touch_dir(dir, self.clock)
    }

    fn rename(
        &self,
        dir: InodeNo,
        name: &[u8],
        new_dir: InodeNo,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        // Both directories before both names, as the kernel does.
        state.dir(dir)?;
        state.dir(new_dir)?;
        let moved = state.lookup(dir, name)?;
        check_entry_name(new_name)?;
        let existing = state.dir(new_dir)?.get(new_name);
        let moved_is_dir = state.inode(moved)?.file_type() == FileType::Directory;
        match (mode, existing) {
            (RenameMode::NoReplace, Some(_)) => {
                return Err(Error::Exists {
                    path: name_text(new_name),
                });
            }
            (RenameMode::Exchange, None) => {
                return Err(Error::NotFound {
                    path: name_text(new_name),
                });
            }
            (_, Some(existing)) if existing == moved => return Ok(()),
            (RenameMode::Exchange, Some(existing)) => {
                state.exchange((dir, name, moved), (new_dir, new_name, existing))?;
                state.inode_mut(existing)?.changed = self.clock;
            }
            (_, existing) => {
                if moved_is_dir && state.is_within(new_dir, moved)? {
                    return Err(into_itself(name));
                }
                if let Some(existing) = existing {
                    // A directory on the way to what is moved is in use, and said to be so, as by the kernel.
                    if state.inode(existing)?.file_type() == FileType::Directory
                        && state.is_within(dir, existing)?
                    {
                        return Err(Error::NotEmpty {
                            path: name_text(new_name),
                        });
                    }
                    state.check_replace(moved, existing, new_name)?;
                    if moved_is_dir {
                        state.drop_dir(new_dir, existing)?;
                    } else {
                        state.drop_link(existing, self.clock)?;
                    }
                }
                state.dir_mut(dir)?.remove(name);
                state.dir_mut(new_dir)?.set(new_name, moved);
                state.reparent(moved, dir, new_dir)?;
            }
        }
        state.inode_mut(moved)?.changed = self.clock;
        state.touch_dir(dir, self.clock)?;
        state.touch_dir(new_dir, self.clock)
    }

    fn write(&self, inode: InodeNo, offset: u64, data: &[u8]) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let len = data.len() as u64;
        let pages = state.file(inode)?.pages_to_add(offset, len);
        file_end(inode, offset, len)?;
        self.check_space(&state, pages)?;
        state.change_file(inode, self.clock, |bytes| bytes.write(offset, data))
    }

    fn set_size(&self, inode: InodeNo, size: u64) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        state.file(inode)?;
        file_end(inode, size, 0)?;
        state.change_file(inode, self.clock, |bytes| bytes.set_size(size))
    }

    fn punch_hole(&self, inode: InodeNo, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let end = file_end(inode, offset, len)?.min(state.file(inode)?.size());
        state.change_file(inode, self.clock, |bytes| {
            bytes.zero(offset, end.saturating_sub(offset));
        })
    }

    fn allocate(&self, inode: InodeNo, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let end = file_end(inode, offset, len)?;
        // Pages beyond the end are not held: they would have to be counted, and nothing can be read from them.
        let size = state.file(inode)?.size();
        let new_size = if keep_size { size } else { size.max(end) };
        let held = end.min(new_size).saturating_sub(offset);
        let pages = state.file(inode)?.pages_to_add(offset, held);
        self.check_space(&state, pages)?;
        state.change_file(inode, self.clock, |bytes| {
            bytes.allocate(offset, held);
            bytes.set_size(new_size);
        })
    }

    fn set_metadata(&self, inode: InodeNo, change: &MetadataChange) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        if change.permissions.is_some_and(|p| p > 0o7777) {
            return Err(Error::InvalidArgument {
                path: inode_text(inode),
                reason: "permission bits above 0o7777",
            });
        }
        let node = state.inode_mut(inode)?;
        node.permissions = change.permissions.unwrap_or(node.permissions);
        node.uid = change.uid.unwrap_or(node.uid);
        node.gid = change.gid.unwrap_or(node.gid);
        node.accessed = change.accessed.unwrap_or(node.accessed);
        node.modified = change.modified.unwrap_or(node.modified);
        node.changed = change.changed.unwrap_or(self.clock);
        Ok(())
    }

    fn set_xattr(&self, inode: InodeNo, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let clock = self.clock;
        let node = state.inode_mut(inode)?;
        match (mode, node.xattrs.contains_key(name)) {
            (XattrMode::Create, true) => {
                return Err(Error::Exists {
                    path: name_text(name),
                });
            }
            (XattrMode::Replace, false) => return Err(no_xattr(inode, name)),
            _ => {}
        }
        node.xattrs.insert(name.to_vec(), value.to_vec());
        node.changed = clock;
        Ok(())
    }

    fn remove_xattr(&self, inode: InodeNo, name: &[u8]) -> Result<()> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let mut state = self.state();
        let clock = self.clock;
        let node = state.inode_mut(inode)?;
        node.xattrs.remove(name).ok_or_else(|| no_xattr(inode, name))?;
        node.changed = clock;
        Ok(())
    }
}

fn no_xattr(inode: InodeNo, name: &[u8]) -> Error {
    Error::NoXattr {
        path: inode_text(inode),
        name: name_text(name),
    }
}
