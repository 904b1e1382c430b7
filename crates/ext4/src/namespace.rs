//! Names: making, linking, removing and renaming.

use crate::core::Core;
use crate::directory::{Found, MAX_NAME, kind_of};
use crate::error::{Error, Result};
use crate::features::RoCompat;
use crate::inode::{InodeFlags, mode_of};
use crate::inode_table::{Node, ROOT_INODE};
use disksmith_vfs as vfs;
use disksmith_vfs::{FileType, NewNode, RenameMode};

/// Largest number of names of an inode.
pub(crate) const MAX_LINKS: u16 = 65000;

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn file_error<T>(error: vfs::Error) -> Result<T> {
    Err(Error::File(error))
}

/// Checks a name as it is given to any operation.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    let path = text(name);
    if name.len() > MAX_NAME {
        return file_error(vfs::Error::NameTooLong {
            path,
            limit: MAX_NAME,
        });
    }
    let reason = if name.is_empty() {
        "an empty name"
    } else if name == b"." || name == b".." {
        "not a name of its own"
    } else if name.iter().any(|b| *b == b'/' || *b == 0) {
        "a name with a slash or NUL"
    } else {
        return Ok(());
    };
    file_error(vfs::Error::InvalidName { path, reason })
}

impl Core {
    /// An inode that must be a directory.
    pub(crate) fn load_directory(&self, ino: u32) -> Result<Node> {
        let node = self.load(ino)?;
        if !node.rec.is_dir() {
            return file_error(vfs::Error::NotADirectory { path: node.name() });
        }
        Ok(node)
    }

    fn require(&self, dir: &Node, name: &[u8]) -> Result<Found> {
        match self.find_entry(dir, name)? {
            Some(found) => Ok(found),
            None => file_error(vfs::Error::NotFound { path: text(name) }),
        }
    }

    fn require_free(&self, dir: &Node, name: &[u8]) -> Result<()> {
        match self.find_entry(dir, name)? {
            None => Ok(()),
            Some(_) => file_error(vfs::Error::Exists { path: text(name) }),
        }
    }

    /// Refuses to change the entries of a directory that carries a flag against it. `removes`: an entry is to go.
    fn check_entries(&self, dir: &Node, removes: bool) -> Result<()> {
        let reason = if dir.has(InodeFlags::IMMUTABLE) {
            "the directory is immutable"
        } else if removes && dir.has(InodeFlags::APPEND) {
            "the directory is append-only"
        } else {
            return Ok(());
        };
        file_error(vfs::Error::NotPermitted {
            path: dir.name(),
            reason,
        })
    }

    /// Refuses to change the names of an inode that carries a flag against it.
    fn check_target(&self, node: &Node, name: &[u8]) -> Result<()> {
        let reason = if node.has(InodeFlags::IMMUTABLE) {
            "it is immutable"
        } else if node.has(InodeFlags::APPEND) {
            "it is append-only"
        } else {
            return Ok(());
        };
        file_error(vfs::Error::NotPermitted {
            path: text(name),
            reason,
        })
    }

    /// A directory whose project is inherited takes only what belongs to that project, as in the kernel.
    fn check_project(&self, dir: &Node, node: &Node, name: &[u8]) -> Result<()> {
        if dir.has(InodeFlags::PROJINHERIT)
            && self.geometry.has_ro_compat(RoCompat::PROJECT)
            && dir.rec.project_id != node.rec.project_id
        {
            return file_error(vfs::Error::CrossesFilesystems { path: text(name) });
        }
        Ok(())
    }

    fn check_links(&self, node: &Node) -> Result<()> {
        // Hashed directories may go on uncounted.
        let uncounted = node.rec.is_dir()
            && node.has(InodeFlags::INDEX)
            && self.geometry.has_ro_compat(RoCompat::DIR_NLINK);
        if node.rec.links >= MAX_LINKS && !uncounted {
            return file_error(vfs::Error::TooManyLinks { path: node.name() });
        }
        Ok(())
    }

    fn add_subdirectory(&self, dir: &mut Node) {
        if dir.rec.links == 1 {
            return;
        }
        dir.rec.links = dir.rec.links.saturating_add(1);
        if dir.rec.links > MAX_LINKS {
            dir.rec.links = 1;
        }
    }

    fn drop_subdirectory(&self, dir: &mut Node) {
        if dir.rec.links > 2 {
            dir.rec.links -= 1;
        }
    }

    fn touch_directory(&self, dir: &mut Node) {
        let now = self.now();
        dir.rec.set_modified(now);
        dir.rec.set_changed(now);
    }

    /// Makes a new file of any kind.
    pub(crate) fn create(&mut self, parent: u32, name: &[u8], new: &NewNode<'_>) -> Result<u32> {
        check_name(name)?;
        let mut dir = self.load_directory(parent)?;
        self.check_entries(&dir, false)?;
        self.require_free(&dir, name)?;
        let is_dir = new.file_type == FileType::Directory;
        if is_dir {
            self.check_links(&dir)?;
        }
        if new.file_type == FileType::Symlink {
            let reason = if new.target.is_empty() {
                Some("an empty link target")
            } else if new.target.contains(&0) {
                Some("a link target with NUL")
            } else {
                None
            };
            if let Some(reason) = reason {
                return file_error(vfs::Error::InvalidArgument {
                    path: text(name),
                    reason,
                });
            }
            if new.target.len() >= self.geometry.block_size.min(4096) as usize {
                return file_error(vfs::Error::NameTooLong {
                    path: text(name),
                    limit: self.geometry.block_size.min(4096) as usize - 1,
                });
            }
        }
        let top = is_dir && (parent == ROOT_INODE || dir.has(InodeFlags::TOPDIR));
        let mut node = self.allocate_inode(parent, is_dir, top, new.time)?;
        node.rec.mode = mode_of(new.file_type) | (new.permissions & 0o7777);
        node.rec.set_uid(new.uid);
        node.rec.set_gid(new.gid);
        node.rec.links = if is_dir { 2 } else { 1 };
        self.inherit_flags(&dir, &mut node);
        self.inherit_access_list(&dir, &mut node)?;
        match new.file_type {
            FileType::Regular | FileType::Directory => self.clear_blocks(&mut node),
            FileType::CharDevice | FileType::BlockDevice => {
                node.rec.set_flag(InodeFlags::EXTENTS, false);
                if new.device.0 > 0xfff || new.device.1 > 0xf_ffff {
                    return file_error(vfs::Error::InvalidArgument {
                        path: text(name),
                        reason: "a device number that does not fit",
                    });
                }
                node.rec.set_device(new.device.0, new.device.1);
            }
            _ => node.rec.set_flag(InodeFlags::EXTENTS, false),
        }
        if is_dir {
            self.start_directory(&mut node, parent)?;
        } else if new.file_type == FileType::Symlink {
            if new.target.len() < node.rec.block.len() {
                if let Some(slot) = node.rec.block.get_mut(..new.target.len()) {
                    slot.copy_from_slice(new.target);
                }
            } else {
                self.clear_blocks(&mut node);
                self.write_blocks(&mut node, 0, new.target)?;
            }
            node.rec.set_size(new.target.len() as u64);
        }
        self.store(&mut node)?;
        self.add_entry(&mut dir, name, node.ino, kind_of(new.file_type))?;
        if is_dir {
            self.add_subdirectory(&mut dir);
        }
        dir.rec.set_modified(new.time);
        dir.rec.set_changed(new.time);
        self.store(&mut dir)?;
        Ok(node.ino)
    }

    /// Flags that new files take over from their directory, as in the kernel.
    fn inherit_flags(&self, dir: &Node, node: &mut Node) {
        let inherited = InodeFlags::SECRM
            | InodeFlags::UNRM
            | InodeFlags::COMPR
            | InodeFlags::SYNC
            | InodeFlags::NODUMP
            | InodeFlags::NOATIME
            | InodeFlags::JOURNAL_DATA
            | InodeFlags::NOTAIL
            | InodeFlags::DIRSYNC
            | InodeFlags::PROJINHERIT
            | InodeFlags::CASEFOLD
            | InodeFlags::DAX;
        let mut flags = dir.rec.flags().intersection(inherited);
        match node.rec.file_type() {
            Some(FileType::Directory) => {}
            Some(FileType::Regular) => {
                flags.remove(InodeFlags::DIRSYNC | InodeFlags::PROJINHERIT | InodeFlags::CASEFOLD);
            }
            _ => flags = flags.intersection(InodeFlags::NODUMP | InodeFlags::NOATIME),
        }
        node.rec.set_flag(flags, true);
        if dir.has(InodeFlags::PROJINHERIT) && self.geometry.has_ro_compat(RoCompat::PROJECT) {
            node.rec.project_id = dir.rec.project_id;
        }
    }

    /// Gives an inode a further name.
    pub(crate) fn link(&mut self, ino: u32, parent: u32, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let mut dir = self.load_directory(parent)?;
        self.check_entries(&dir, false)?;
        self.require_free(&dir, name)?;
        let mut node = self.load(ino)?;
        if node.rec.is_dir() {
            return file_error(vfs::Error::NotPermitted {
                path: text(name),
                reason: "a directory has one name only",
            });
        }
        self.check_target(&node, name)?;
        self.check_links(&node)?;
        self.check_project(&dir, &node, name)?;
        let kind = node.rec.file_type().map_or(0, kind_of);
        node.rec.links += 1;
        let now = self.now();
        node.rec.set_changed(now);
        self.store(&mut node)?;
        self.add_entry(&mut dir, name, ino, kind)?;
        self.touch_directory(&mut dir);
        self.store(&mut dir)
    }

    /// Takes one name from an inode that is no directory; deletes it with its last one.
    fn drop_name(&mut self, node: &mut Node) -> Result<()> {
        node.rec.links = node.rec.links.saturating_sub(1);
        if node.rec.links == 0 {
            return self.part_with(node);
        }
        let now = self.now();
        node.rec.set_changed(now);
        self.store(node)
    }

    /// Frees an inode and everything it has.
    pub(crate) fn delete(&mut self, node: &mut Node) -> Result<()> {
        let is_dir = node.rec.is_dir();
        self.release_attributes(node)?;
        if self.has_blocks(node) {
            self.unmap(node, 0, u64::from(u32::MAX) + 1)?;
        }
        self.free_inode(node, is_dir)
    }

    /// Removes a name of anything but a directory.
    pub(crate) fn unlink(&mut self, parent: u32, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let mut dir = self.load_directory(parent)?;
        self.check_entries(&dir, true)?;
        let found = self.require(&dir, name)?;
        let mut node = self.load(found.inode)?;
        if node.rec.is_dir() {
            return file_error(vfs::Error::IsADirectory { path: text(name) });
        }
        self.check_target(&node, name)?;
        self.remove_entry(&mut dir, &found)?;
        self.touch_directory(&mut dir);
        self.store(&mut dir)?;
        self.drop_name(&mut node)
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&mut self, parent: u32, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let mut dir = self.load_directory(parent)?;
        self.check_entries(&dir, true)?;
        let found = self.require(&dir, name)?;
        let mut node = self.load(found.inode)?;
        if !node.rec.is_dir() {
            return file_error(vfs::Error::NotADirectory { path: text(name) });
        }
        self.check_target(&node, name)?;
        if !self.directory_is_empty(&node)? {
            return file_error(vfs::Error::NotEmpty { path: text(name) });
        }
        self.remove_entry(&mut dir, &found)?;
        self.drop_subdirectory(&mut dir);
        self.touch_directory(&mut dir);
        self.store(&mut dir)?;
        self.part_with(&mut node)
    }

    /// Whether `inside` is `dir` or lies below it.
    fn is_below(&self, inside: u32, dir: u32) -> Result<bool> {
        let mut at = inside;
        // Every step goes up; a chain longer than there are inodes is a loop.
        for _ in 0..self.geometry.inodes_count {
            if at == dir {
                return Ok(true);
            }
            if at == ROOT_INODE {
                return Ok(false);
            }
            at = self.parent_of(&self.load_directory(at)?)?;
        }
        Err(Error::corrupt(
            format!("directory inode {inside}"),
            0,
            "..",
            u64::from(at),
            "its parents form a loop",
        ))
    }

    /// Renames.
    pub(crate) fn rename(
        &mut self,
        from_dir: u32,
        name: &[u8],
        to_dir: u32,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        check_name(name)?;
        check_name(new_name)?;
        let from = self.load_directory(from_dir)?;
        let to = self.load_directory(to_dir)?;
        self.check_entries(&from, true)?;
        self.check_entries(&to, mode == RenameMode::Exchange)?;
        let found = self.require(&from, name)?;
        let node = self.load(found.inode)?;
        self.check_target(&node, name)?;
        let target = self.find_entry(&to, new_name)?;
        match (mode, &target) {
            (RenameMode::NoReplace, Some(_)) => {
                return file_error(vfs::Error::Exists { path: text(new_name) });
            }
            (RenameMode::Exchange, None) => {
                return file_error(vfs::Error::NotFound { path: text(new_name) });
            }
            _ => {}
        }
        if node.rec.is_dir() && from_dir != to_dir && self.is_below(to_dir, node.ino)? {
            return file_error(vfs::Error::InvalidArgument {
                path: text(new_name),
                reason: "a directory cannot move into itself",
            });
        }
        if node.rec.is_dir() && from_dir == to_dir && to_dir == node.ino {
            return Err(node.corrupt("..", from_dir, "a directory that holds itself"));
        }
        let Some(target) = target else {
            return self.move_entry(from, name, to, new_name, node);
        };
        if target.inode == node.ino {
            return Ok(());
        }
        let victim = self.load(target.inode)?;
        self.check_target(&victim, new_name)?;
        if mode == RenameMode::Exchange {
            if victim.rec.is_dir() && from_dir != to_dir && self.is_below(from_dir, victim.ino)? {
                return file_error(vfs::Error::InvalidArgument {
                    path: text(name),
                    reason: "a directory cannot move into itself",
                });
            }
            return self.exchange(from, name, to, new_name, node, victim);
        }
        match (node.rec.is_dir(), victim.rec.is_dir()) {
            (true, false) => return file_error(vfs::Error::NotADirectory { path: text(new_name) }),
            // A directory on the way to what is moved is in use, and said to be so, as by the kernel.
            (false, true) if from_dir != to_dir && self.is_below(from_dir, victim.ino)? => {
                return file_error(vfs::Error::NotEmpty { path: text(new_name) });
            }
            (false, true) => return file_error(vfs::Error::IsADirectory { path: text(new_name) }),
            (true, true) if !self.directory_is_empty(&victim)? => {
                return file_error(vfs::Error::NotEmpty { path: text(new_name) });
            }
            _ => {}
        }
        self.replace(from, name, to, new_name, node, victim)
    }

    /// Runs a change on a directory that may be the same as another one in memory: reads it afresh, and stores it.
    fn with_directory<T>(
        &mut self,
        ino: u32,
        change: impl FnOnce(&mut Self, &mut Node) -> Result<T>,
    ) -> Result<T> {
        let mut dir = self.load_directory(ino)?;
        let result = change(self, &mut dir)?;
        self.touch_directory(&mut dir);
        self.store(&mut dir)?;
        Ok(result)
    }

    fn touch_moved(&mut self, ino: u32) -> Result<()> {
        let mut node = self.load(ino)?;
        let now = self.now();
        node.rec.set_changed(now);
        self.store(&mut node)
    }

    fn remove_name(&mut self, dir: u32, name: &[u8]) -> Result<()> {
        self.with_directory(dir, |core, dir| {
            let found = core.require(dir, name)?;
            core.remove_entry(dir, &found)
        })
    }

    /// A directory has a new parent: its `..`, and the numbers of names of both parents.
    fn reparent(&mut self, ino: u32, from: u32, to: u32) -> Result<()> {
        let mut moved = self.load_directory(ino)?;
        self.set_parent(&mut moved, to)?;
        self.with_directory(from, |core, dir| {
            core.drop_subdirectory(dir);
            Ok(())
        })?;
        self.with_directory(to, |core, dir| {
            core.add_subdirectory(dir);
            Ok(())
        })
    }

    fn move_entry(&mut self, from: Node, name: &[u8], to: Node, new_name: &[u8], node: Node) -> Result<()> {
        self.check_project(&to, &node, new_name)?;
        let is_dir = node.rec.is_dir();
        if is_dir && from.ino != to.ino {
            self.check_links(&to)?;
        }
        let kind = node.rec.file_type().map_or(0, kind_of);
        self.with_directory(to.ino, |core, dir| core.add_entry(dir, new_name, node.ino, kind))?;
        self.remove_name(from.ino, name)?;
        if is_dir && from.ino != to.ino {
            self.reparent(node.ino, from.ino, to.ino)?;
        }
        self.touch_moved(node.ino)
    }

    fn point_name(&mut self, dir: u32, name: &[u8], node: &Node) -> Result<()> {
        let kind = node.rec.file_type().map_or(0, kind_of);
        let ino = node.ino;
        self.with_directory(dir, |core, dir| {
            let found = core.require(dir, name)?;
            core.redirect_entry(dir, &found, ino, kind)
        })
    }

    fn replace(
        &mut self,
        from: Node,
        name: &[u8],
        to: Node,
        new_name: &[u8],
        node: Node,
        victim: Node,
    ) -> Result<()> {
        self.check_project(&to, &node, new_name)?;
        self.point_name(to.ino, new_name, &node)?;
        self.remove_name(from.ino, name)?;
        if node.rec.is_dir() {
            // The directory that is replaced was a subdirectory of the new parent, and the moved one becomes one.
            if from.ino == to.ino {
                self.with_directory(to.ino, |core, dir| {
                    core.drop_subdirectory(dir);
                    Ok(())
                })?;
            } else {
                self.with_directory(to.ino, |core, dir| {
                    core.drop_subdirectory(dir);
                    Ok(())
                })?;
                self.reparent(node.ino, from.ino, to.ino)?;
            }
        }
        self.touch_moved(node.ino)?;
        let mut victim = self.load(victim.ino)?;
        if victim.rec.is_dir() {
            self.part_with(&mut victim)
        } else {
            self.drop_name(&mut victim)
        }
    }

    fn exchange(
        &mut self,
        from: Node,
        name: &[u8],
        to: Node,
        new_name: &[u8],
        node: Node,
        other: Node,
    ) -> Result<()> {
        self.check_project(&to, &node, new_name)?;
        self.check_project(&from, &other, name)?;
        self.point_name(to.ino, new_name, &node)?;
        self.point_name(from.ino, name, &other)?;
        if from.ino != to.ino {
            if node.rec.is_dir() && !other.rec.is_dir() {
                self.check_links(&to)?;
            }
            if other.rec.is_dir() && !node.rec.is_dir() {
                self.check_links(&from)?;
            }
            if node.rec.is_dir() {
                self.reparent(node.ino, from.ino, to.ino)?;
            }
            if other.rec.is_dir() {
                self.reparent(other.ino, to.ino, from.ino)?;
            }
        }
        self.touch_moved(node.ino)?;
        self.touch_moved(other.ino)
    }
}
