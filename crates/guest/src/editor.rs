//! Edits a guest's files and writes down every change.

mod copy;
mod place;
mod unpack;

use crate::error::{Error, Result};
use crate::files::{Group, User, parse_group, parse_passwd, text};
use crate::inspect::UNREACHABLE;
use crate::report::{Action, Change, Step};
use crate::selinux::Labels;
use disksmith_vfs::{Error as FileError, FileType, Metadata, Node, Owner, Timestamp, Tree};

pub(crate) use copy::{NewFile, host_attributes};
pub(crate) use place::is_of_system;

/// Largest file that is edited as text: it is held in memory.
const MAX_TEXT: u64 = 64 << 20;

/// A tree, and the record of what is done to it.
#[derive(Debug)]
pub(crate) struct Editor<'a> {
    tree: &'a Tree,
    pub(crate) labels: Labels,
    pub(crate) step: Step,
}

impl<'a> Editor<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            labels: Labels::of(tree),
            step: Step::default(),
        }
    }

    pub(crate) fn tree(&self) -> &'a Tree {
        self.tree
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.tree.clock()
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.step.notes.push(note.into());
    }

    // Looking

    /// Metadata of what a path leads to; `None` where it leads nowhere.
    pub(crate) fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        absent_is_none(self.tree.metadata(path))
    }

    /// Metadata of what stands at a path, a symbolic link itself.
    pub(crate) fn link_metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        absent_is_none(self.tree.symlink_metadata(path))
    }

    pub(crate) fn is_file(&self, path: &[u8]) -> Result<bool> {
        Ok(self.metadata(path)?.is_some_and(|m| m.is_file()))
    }

    pub(crate) fn is_dir(&self, path: &[u8]) -> Result<bool> {
        Ok(self.metadata(path)?.is_some_and(|m| m.is_dir()))
    }

    /// The contents of a file; `None` where there is no regular file.
    pub(crate) fn read_if_file(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if self.is_file(path)? {
            Ok(Some(self.tree.read_limited(path, MAX_TEXT)?))
        } else {
            Ok(None)
        }
    }

    /// The contents of a regular file that must be there.
    pub(crate) fn read(&self, path: &[u8]) -> Result<Vec<u8>> {
        match self.metadata(path)? {
            None => Err(FileError::NotFound { path: text(path) }.into()),
            Some(metadata) if !metadata.is_file() => Err(Error::guest_path(path, "is not a regular file")),
            Some(metadata) if metadata.size > MAX_TEXT => {
                let reason = format!(
                    "holds {} bytes: a text of more than {} MiB is not edited",
                    metadata.size,
                    MAX_TEXT >> 20
                );
                Err(Error::guest_path(path, reason))
            }
            Some(_) => Ok(self.tree.read_limited(path, MAX_TEXT)?),
        }
    }

    /// The paths that match a shell pattern.
    ///
    /// # Errors
    /// Where the pattern leads into a filesystem that could not be opened: to find nothing there would be a lie.
    pub(crate) fn glob(&self, pattern: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut plain = Vec::new();
        let names = pattern.split(|b| *b == b'/').filter(|n| !n.is_empty());
        for name in names.take_while(|n| !n.iter().any(|b| b"*?[{\\".contains(b))) {
            plain = join(&plain, name);
            let metadata = match self.metadata(&plain) {
                Ok(Some(metadata)) => metadata,
                // Nothing can lie behind a link that goes round.
                Ok(None) | Err(Error::Files(FileError::SymlinkLoop { .. })) => break,
                Err(error) => return Err(error),
            };
            let (fs, inode) = self.tree.open_node(self.tree.resolve(&plain)?);
            if metadata.is_dir() && fs.kind() == UNREACHABLE {
                fs.read_dir(inode, 0, &mut |_| false)
                    .map_err(|e| e.at_path(&plain))?;
            }
        }
        Ok(self.tree.glob(pattern)?)
    }

    pub(crate) fn users(&self) -> Result<Vec<User>> {
        Ok(self
            .read_if_file(b"/etc/passwd")?
            .map(|t| parse_passwd(&t))
            .unwrap_or_default())
    }

    pub(crate) fn user(&self, name: &str) -> Result<User> {
        let database = b"/etc/passwd";
        if self.metadata(database)?.is_some_and(|m| !m.is_file()) {
            return Err(Error::guest_path(
                database,
                "is not a regular file: the guest's users are not known",
            ));
        }
        let found = self.users()?.into_iter().find(|u| u.name == name);
        found.ok_or_else(|| Error::NoSuchUser {
            user: name.to_owned(),
        })
    }

    pub(crate) fn groups(&self) -> Result<Vec<Group>> {
        Ok(self
            .read_if_file(b"/etc/group")?
            .map(|t| parse_group(&t))
            .unwrap_or_default())
    }

    // Changing

    /// Sets a file's contents. One that exists keeps everything else; what it holds already is not written again.
    pub(crate) fn write(&mut self, path: &[u8], data: &[u8], new: NewFile) -> Result<()> {
        let Some(metadata) = self.metadata(path)? else {
            self.tree.write(path, data, new.owner, new.permissions)?;
            let path = self.real_path(path)?;
            return self.created(&path, FileType::Regular, Some(data.len() as u64), Some(new), None);
        };
        if metadata.is_file()
            && metadata.size == data.len() as u64
            && self.tree.read_limited(path, MAX_TEXT)? == data
        {
            return Ok(());
        }
        self.tree.write(path, data, new.owner, new.permissions)?;
        let mut change = Change::new(Action::Modified, path, FileType::Regular);
        change.bytes_before = Some(metadata.size);
        change.bytes_after = Some(data.len() as u64);
        self.step.push(change);
        Ok(())
    }

    /// Sets a file's contents, made as root's with mode 0644 where it does not exist.
    pub(crate) fn write_text(&mut self, path: &[u8], data: &[u8]) -> Result<()> {
        self.write(path, data, NewFile::root(0o644))
    }

    /// Puts bytes behind what a file holds; one that does not exist is made, as root's with mode 0644.
    pub(crate) fn append(&mut self, path: &[u8], data: &[u8]) -> Result<()> {
        let Some(metadata) = self.metadata(path)? else {
            return self.write_text(path, data);
        };
        if !metadata.is_file() {
            return Err(Error::guest_path(path, "is not a regular file"));
        }
        let new = NewFile::root(0o644);
        self.tree.append(path, data, new.owner, new.permissions)?;
        let mut change = Change::new(Action::Modified, path, FileType::Regular);
        change.bytes_before = Some(metadata.size);
        change.bytes_after = Some(metadata.size.saturating_add(data.len() as u64));
        self.step.push(change);
        Ok(())
    }

    /// Bytes of a regular file from an offset on: fewer at its end.
    pub(crate) fn read_at(&self, path: &[u8], offset: u64, len: usize) -> Result<Vec<u8>> {
        let (fs, inode) = self.tree.open_node(self.tree.resolve(path)?);
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
            match fs
                .read(inode, offset + filled as u64, space)
                .map_err(|e| e.at_path(path))?
            {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Makes a directory and those above it that are missing.
    pub(crate) fn create_dir_all(&mut self, path: &[u8], new: NewFile) -> Result<()> {
        let mut end = 0;
        while end < path.len() {
            let rest = path.get(end..).unwrap_or_default();
            let slashes = rest.iter().take_while(|b| **b == b'/').count();
            end += slashes + rest.iter().skip(slashes).take_while(|b| **b != b'/').count();
            let so_far = path.get(..end).unwrap_or_default();
            match self.metadata(so_far)? {
                Some(metadata) if metadata.is_dir() => {}
                Some(_) => return Err(FileError::NotADirectory { path: text(so_far) }.into()),
                None => self.create_dir(so_far, new)?,
            }
        }
        Ok(())
    }

    pub(crate) fn create_dir(&mut self, path: &[u8], new: NewFile) -> Result<()> {
        self.tree.create_dir(path, new.owner, new.permissions)?;
        self.created(path, FileType::Directory, None, Some(new), None)
    }

    /// Makes a symbolic link, in the place of a file or link of that name. A directory of that name is an error.
    pub(crate) fn symlink(&mut self, target: &[u8], path: &[u8]) -> Result<()> {
        if let Some(metadata) = self.link_metadata(path)? {
            if metadata.is_symlink() && self.tree.read_link(path)? == target {
                return Ok(());
            }
            if metadata.is_dir() {
                return Err(FileError::IsADirectory { path: text(path) }.into());
            }
            self.tree.remove_file(path)?;
            let mut change = Change::new(Action::Deleted, path, metadata.file_type);
            change.bytes_before = metadata.is_file().then_some(metadata.size);
            self.step.push(change);
        }
        self.tree.symlink(target, path, Owner::ROOT)?;
        self.created(path, FileType::Symlink, None, None, Some(text(target)))
    }

    /// Removes a file, or a directory with everything in it, that is there.
    pub(crate) fn remove(&mut self, path: &[u8]) -> Result<()> {
        let metadata = self.tree.symlink_metadata(path)?;
        let (mut files, mut bytes) = (1u64, if metadata.is_file() { metadata.size } else { 0 });
        if metadata.is_dir() {
            files = 0;
            self.tree.walk(path, |entry| {
                files += 1;
                if entry.metadata.is_file() {
                    bytes = bytes.saturating_add(entry.metadata.size);
                }
                Ok::<_, Error>(disksmith_vfs::WalkStep::Continue)
            })?;
        }
        self.tree.remove_all(path)?;
        let mut change = Change::new(Action::Deleted, path, metadata.file_type);
        change.bytes_before = Some(bytes);
        change.files = metadata.is_dir().then_some(files);
        self.step.push(change);
        Ok(())
    }

    /// Removes what is at a path, if anything is.
    pub(crate) fn remove_if_there(&mut self, path: &[u8]) -> Result<()> {
        match self.link_metadata(path)? {
            Some(_) => self.remove(path),
            None => Ok(()),
        }
    }

    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let metadata = self.tree.symlink_metadata(from)?;
        let same = self.tree.resolve_no_follow(to).ok() == Some(self.tree.resolve_no_follow(from)?);
        if same {
            return Err(Error::guest_path(
                from,
                format!("is the same file as {}", text(to)),
            ));
        }
        self.tree.rename(from, to)?;
        let mut change = Change::new(Action::Renamed, to, metadata.file_type);
        change.from = Some(text(from));
        self.step.push(change);
        Ok(())
    }

    pub(crate) fn set_permissions(&mut self, path: &[u8], permissions: u16) -> Result<()> {
        let metadata = self.tree.metadata(path)?;
        if metadata.permissions == permissions {
            return Ok(());
        }
        self.tree.set_permissions(path, permissions)?;
        let mut change = Change::new(Action::Mode, path, metadata.file_type);
        change.mode_before = Some(metadata.permissions);
        change.mode_after = Some(permissions);
        self.step.push(change);
        Ok(())
    }

    pub(crate) fn chown(&mut self, path: &[u8], owner: Owner) -> Result<()> {
        let metadata = self.tree.metadata(path)?;
        if (metadata.uid, metadata.gid) == (owner.uid, owner.gid) {
            return Ok(());
        }
        self.tree.chown(path, owner)?;
        let mut change = Change::new(Action::Owner, path, metadata.file_type);
        change.owner_before = Some((metadata.uid, metadata.gid));
        change.owner_after = Some((owner.uid, owner.gid));
        self.step.push(change);
        Ok(())
    }

    /// Makes an empty file, or sets the times of what is there.
    pub(crate) fn touch(&mut self, path: &[u8]) -> Result<()> {
        let new = NewFile::root(0o644);
        let Some(metadata) = self.metadata(path)? else {
            self.tree.touch(path, new.owner, new.permissions)?;
            let path = self.real_path(path)?;
            return self.created(&path, FileType::Regular, Some(0), Some(new), None);
        };
        self.tree.touch(path, new.owner, new.permissions)?;
        self.step
            .push(Change::new(Action::Times, path, metadata.file_type));
        Ok(())
    }

    /// Empties a regular file that must be there.
    pub(crate) fn truncate(&mut self, path: &[u8]) -> Result<()> {
        let metadata = self.tree.metadata(path)?;
        if !metadata.is_file() {
            return Err(Error::guest_path(path, "is not a regular file"));
        }
        if metadata.size == 0 {
            return Ok(());
        }
        self.tree.truncate(path, 0)?;
        let mut change = Change::new(Action::Modified, path, FileType::Regular);
        change.bytes_before = Some(metadata.size);
        change.bytes_after = Some(0);
        self.step.push(change);
        Ok(())
    }

    /// Writes a new file down, and labels it.
    fn created(
        &mut self,
        path: &[u8],
        file_type: FileType,
        bytes: Option<u64>,
        new: Option<NewFile>,
        target: Option<String>,
    ) -> Result<()> {
        let mut change = Change::new(Action::Created, path, file_type);
        change.bytes_after = bytes;
        change.mode_after = new.map(|n| n.permissions);
        change.owner_after = new.map(|n| (n.owner.uid, n.owner.gid));
        change.target = target;
        if self.labels.in_use {
            let node = self.tree.resolve_no_follow(path)?;
            let (dir, name) = split(path);
            let dir: Node = self.tree.resolve(dir)?;
            change.label = self.labels.label_new(self.tree, dir, node, file_type, name)?;
        }
        self.step.push(change);
        Ok(())
    }

    /// Where a path ends once links in its last place are followed; for files that were made through a dangling link.
    pub(crate) fn real_path(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut path = path.to_vec();
        for _ in 0..40 {
            if !self.tree.is_symlink(&path) {
                return Ok(path);
            }
            let target = self.tree.read_link(&path)?;
            path = if target.starts_with(b"/") {
                target
            } else {
                join(split(&path).0, &target)
            };
        }
        Ok(path)
    }
}

/// The directory and the name of a path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    match trimmed.iter().rposition(|b| *b == b'/') {
        Some(0) => (b"/", trimmed.get(1..).unwrap_or_default()),
        Some(at) => (
            trimmed.get(..at).unwrap_or_default(),
            trimmed.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"/", trimmed),
    }
}

/// A directory and a name as one path.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = dir.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn absent_is_none(result: disksmith_vfs::Result<Metadata>) -> Result<Option<Metadata>> {
    match result {
        Ok(metadata) => Ok(Some(metadata)),
        Err(FileError::NotFound { .. } | FileError::NotADirectory { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
