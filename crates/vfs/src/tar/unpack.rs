//! Unpacking an archive into a tree.

use super::acl_text::AclNames;
use super::entry::{TarEntry, TarKind};
use super::error::TarError;
use super::reader::TarReader;
use crate::error::{Error, Result};
use crate::filesystem::{NewNode, XattrMode};
use crate::host_copy::CopyReport;
use crate::made_file::MadeFile;
use crate::metadata::{FileType, MetadataChange};
use crate::tree::{Node, Tree};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::Read;

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;

/// As many symbolic links are followed on the way to a member.
const MAX_LINKS: usize = 40;

/// How an archive is unpacked. Modes, numeric owners, times of contents, holes, links and devices are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TarInOptions {
    /// Extended attributes, but labels and access control lists.
    pub xattrs: bool,
    /// SELinux labels.
    pub selinux: bool,
    /// Access control lists.
    pub acls: bool,
}

/// What a directory gets when everything is in it: its mode and times, and its access control lists, of which what is unpacked into it
/// must not inherit any.
struct LateDirectory {
    node: Node,
    change: MetadataChange,
    acl: Option<Vec<u8>>,
    default_acl: Option<Vec<u8>>,
}

struct Unpack<'t, 'w> {
    tree: &'t Tree,
    destination: Node,
    options: TarInOptions,
    watch: &'w mut dyn FnMut(MadeFile<'_>) -> Result<()>,
    report: CopyReport,
    /// Symbolic links that the archive made: they are not to be trusted with the way of its other members.
    links: HashSet<Node>,
    /// Directories that are finished at the end.
    directories: Vec<LateDirectory>,
    /// The directory of the member before, by its name in the archive.
    last_dir: Option<(Vec<u8>, Node)>,
    buf: Vec<u8>,
    /// Read when a list asks for it.
    names: OnceCell<AclNames>,
}

impl Tree {
    /// Unpacks an archive into a directory that exists.
    ///
    /// Names are taken below that directory: a leading slash counts for nothing, and a member whose name or hard link holds `..` is
    /// refused, and so is one whose way leads out of the directory through a symbolic link of the same archive. Links that
    /// were there before are followed, inside the tree. A directory that is there takes the member's mode, owner and time; a link to a
    /// directory that was there before stays; any other file that is there is replaced. `watch` is told of each file made that
    /// got no label from the archive.
    ///
    /// # Errors
    /// [`TarError`]; the members before the one that failed are in the tree then, which its owner must not commit.
    pub fn tar_in<R: Read>(
        &self,
        input: R,
        dir: impl AsRef<[u8]>,
        options: TarInOptions,
        watch: &mut dyn FnMut(MadeFile<'_>) -> Result<()>,
    ) -> std::result::Result<CopyReport, TarError> {
        let destination = self.resolve_dir(dir.as_ref())?;
        let mut reader = TarReader::new(input);
        let mut unpack = Unpack {
            tree: self,
            destination,
            options,
            watch,
            report: CopyReport::default(),
            links: HashSet::new(),
            directories: Vec::new(),
            last_dir: None,
            buf: vec![0; CHUNK],
            names: OnceCell::new(),
        };
        while let Some(entry) = reader.next_entry()? {
            unpack.member(&entry, &mut reader)?;
        }
        unpack.finish()
    }
}

/// The parts of a name below the destination; an error says what is wrong with it.
fn parts(name: &[u8]) -> std::result::Result<Vec<&[u8]>, &'static str> {
    let parts: Vec<&[u8]> = name
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err("has `..` in its name, which could lead anywhere");
    }
    if name.contains(&0) {
        return Err("has a NUL byte in its name");
    }
    Ok(parts)
}

fn refused(name: &[u8], reason: impl Into<String>) -> TarError {
    TarError::Refused {
        member: String::from_utf8_lossy(name).into_owned(),
        reason: reason.into(),
    }
}

impl Unpack<'_, '_> {
    fn member<R: Read>(
        &mut self,
        entry: &TarEntry,
        reader: &mut TarReader<R>,
    ) -> std::result::Result<(), TarError> {
        let at = |error: Error| TarError::from(error.at_path(&entry.name));
        let parts = parts(&entry.name).map_err(|reason| refused(&entry.name, reason))?;
        let Some((name, above)) = parts.split_last() else {
            // the destination itself
            if entry.kind == TarKind::Directory {
                self.attributes(self.destination, entry).map_err(at)?;
                self.finish_later(self.destination, entry).map_err(at)?;
            }
            return Ok(());
        };
        let dir = self.directory(above, &entry.name)?;
        let existing = match self.tree.child(dir, name) {
            Ok(node) => Some(node),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(at(error)),
        };
        match entry.kind {
            TarKind::Directory => self.make_directory(entry, dir, name, existing).map_err(at),
            TarKind::HardLink => self.make_link(entry, dir, name, existing),
            _ => {
                if let Some(existing) = existing {
                    self.remove(dir, name, existing).map_err(at)?;
                }
                let node = self.tree.make(dir, name, &self.new_node(entry)).map_err(at)?;
                if entry.kind == TarKind::File {
                    self.write(node, entry, reader)?;
                } else {
                    self.report.others += 1;
                }
                if entry.kind == TarKind::Symlink {
                    self.links.insert(node);
                }
                self.made(entry, dir, name, node).map_err(at)?;
                let (fs, inode) = self.tree.open_node(node);
                fs.set_metadata(inode, &self.change(entry)).map_err(at)
            }
        }
    }

    fn write<R: Read>(
        &mut self,
        node: Node,
        entry: &TarEntry,
        reader: &mut TarReader<R>,
    ) -> std::result::Result<(), TarError> {
        let (fs, inode) = self.tree.open_node(node);
        let at_path = |error: Error| TarError::from(error.at_path(&entry.name));
        let mut end = 0;
        while let Some((at, n)) = reader.read_contents(&mut self.buf)? {
            let piece = self.buf.get(..n).unwrap_or_default();
            fs.write(inode, at, piece).map_err(at_path)?;
            self.report.bytes += n as u64;
            end = at + n as u64;
        }
        if end != entry.size {
            fs.set_size(inode, entry.size).map_err(at_path)?;
        }
        self.report.files += 1;
        Ok(())
    }

    fn make_directory(
        &mut self,
        entry: &TarEntry,
        dir: Node,
        name: &[u8],
        existing: Option<Node>,
    ) -> Result<()> {
        if let Some(existing) = existing {
            let metadata = self.tree.node_metadata(existing)?;
            let trusted = metadata.is_symlink() && !self.links.contains(&existing);
            let there = match metadata.file_type {
                FileType::Directory => Some(existing),
                FileType::Symlink if trusted => self
                    .follow(dir, name)
                    .ok()
                    .filter(|(node, _)| self.tree.node_metadata(*node).is_ok_and(|m| m.is_dir()))
                    .filter(|(node, through_new)| !through_new || self.is_within(*node).unwrap_or(false))
                    .map(|(node, _)| node),
                _ => None,
            };
            if let Some(there) = there {
                self.attributes(there, entry)?;
                return self.finish_later(there, entry);
            }
            self.remove(dir, name, existing)?;
        }
        let mut new = self.new_node(entry);
        // closed until everything is in it
        new.permissions &= 0o700;
        let node = self.tree.make(dir, name, &new)?;
        self.report.directories += 1;
        self.made(entry, dir, name, node)?;
        self.finish_later(node, entry)
    }

    fn make_link(
        &mut self,
        entry: &TarEntry,
        dir: Node,
        name: &[u8],
        existing: Option<Node>,
    ) -> std::result::Result<(), TarError> {
        let at = |error: Error| TarError::from(error.at_path(&entry.name));
        let target = parts(&entry.link)
            .map_err(|_| refused(&entry.name, "is a hard link to a name with `..` in it"))?;
        let Some((target_name, above)) = target.split_last() else {
            return Err(refused(&entry.name, "is a hard link to a directory"));
        };
        let target_dir = self.directory(above, &entry.name)?;
        let original = self
            .tree
            .child(target_dir, target_name)
            .map_err(|error| TarError::from(error.at_path(&entry.link)))?;
        if existing == Some(original) {
            return Ok(());
        }
        if self.tree.node_metadata(original).map_err(at)?.is_dir() {
            return Err(refused(&entry.name, "is a hard link to a directory"));
        }
        if original.mount != dir.mount {
            return Err(at(Error::CrossesFilesystems { path: String::new() }));
        }
        if let Some(existing) = existing {
            self.remove(dir, name, existing).map_err(at)?;
        }
        let (fs, inode) = self.tree.open_node(original);
        fs.link(inode, dir.inode, name).map_err(at)?;
        self.report.links += 1;
        Ok(())
    }

    /// Removes what a member replaces.
    fn remove(&mut self, dir: Node, name: &[u8], existing: Node) -> Result<()> {
        if self.tree.is_mountpoint(existing) {
            return Err(Error::NotPermitted {
                path: String::new(),
                reason: "a filesystem is mounted there",
            });
        }
        self.last_dir = None;
        let (fs, _) = self.tree.open_node(dir);
        if self.tree.node_metadata(existing)?.is_dir() {
            fs.remove_dir(dir.inode, name)?;
            self.directories.retain(|late| late.node != existing);
        } else {
            fs.unlink(dir.inode, name)?;
            self.links.remove(&existing);
        }
        Ok(())
    }

    fn new_node<'e>(&self, entry: &'e TarEntry) -> NewNode<'e> {
        let file_type = match entry.kind {
            TarKind::File | TarKind::HardLink => FileType::Regular,
            TarKind::Symlink => FileType::Symlink,
            TarKind::CharDevice => FileType::CharDevice,
            TarKind::BlockDevice => FileType::BlockDevice,
            TarKind::Directory => FileType::Directory,
            TarKind::Fifo => FileType::Fifo,
        };
        NewNode {
            file_type,
            permissions: match file_type {
                FileType::Symlink => 0o777,
                _ => entry.permissions,
            },
            uid: entry.uid,
            gid: entry.gid,
            time: self.tree.clock(),
            target: match file_type {
                FileType::Symlink => &entry.link,
                _ => b"",
            },
            device: match file_type {
                FileType::CharDevice | FileType::BlockDevice => entry.device,
                _ => (0, 0),
            },
        }
    }

    /// What a member's metadata become when its contents are there.
    fn change(&self, entry: &TarEntry) -> MetadataChange {
        let is_link = entry.kind == TarKind::Symlink;
        // A list that a file has by then holds its permissions: the mode says less.
        let has_list = entry.kind != TarKind::Directory && self.options.acls && entry.acl.is_some();
        MetadataChange {
            permissions: (!is_link && !has_list).then_some(entry.permissions),
            uid: Some(entry.uid),
            gid: Some(entry.gid),
            accessed: Some(entry.accessed.unwrap_or(self.tree.clock())),
            modified: Some(entry.modified),
            changed: Some(self.tree.clock()),
        }
    }

    /// Gives a new file its attributes, and tells of it.
    fn made(&mut self, entry: &TarEntry, dir: Node, name: &[u8], node: Node) -> Result<()> {
        if !self.attributes(node, entry)? {
            let file_type = self.new_node(entry).file_type;
            (self.watch)(MadeFile {
                dir,
                name,
                node,
                file_type,
            })?;
        }
        Ok(())
    }

    /// The attribute of an access control list, where such are asked for.
    fn list(&self, text: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let Some(text) = text.filter(|_| self.options.acls) else {
            return Ok(None);
        };
        let names = self.names.get_or_init(|| AclNames::of(self.tree));
        let value = names.attribute(text).ok_or(Error::InvalidArgument {
            path: String::new(),
            reason: "its access control list cannot be read, or names users or groups that /etc/passwd and /etc/group do not have",
        })?;
        Ok(Some(value))
    }

    /// Has a directory get its mode, times and list for new files at the end.
    fn finish_later(&mut self, node: Node, entry: &TarEntry) -> Result<()> {
        let late = LateDirectory {
            node,
            change: self.change(entry),
            acl: self.list(entry.acl.as_deref())?,
            default_acl: self.list(entry.default_acl.as_deref())?,
        };
        self.directories.push(late);
        Ok(())
    }

    /// Sets the attributes that are asked for; whether a label was among them.
    fn attributes(&self, node: Node, entry: &TarEntry) -> Result<bool> {
        let (fs, inode) = self.tree.open_node(node);
        let mut labelled = false;
        for (name, value) in &entry.xattrs {
            let wanted = match name.as_slice() {
                b"security.selinux" => {
                    labelled |= self.options.selinux;
                    self.options.selinux
                }
                _ => self.options.xattrs,
            };
            if wanted {
                fs.set_xattr(inode, name, value, XattrMode::Set)?;
            }
        }
        if entry.kind != TarKind::Directory
            && let Some(value) = self.list(entry.acl.as_deref())?
        {
            fs.set_xattr(inode, b"system.posix_acl_access", &value, XattrMode::Set)?;
        }
        Ok(labelled)
    }

    /// The directory with these names below the destination; those that are missing are made.
    fn directory(&mut self, above: &[&[u8]], member: &[u8]) -> std::result::Result<Node, TarError> {
        if above.is_empty() {
            return Ok(self.destination);
        }
        let key = above.join(&b'/');
        if let Some((known, node)) = &self.last_dir
            && *known == key
        {
            return Ok(*node);
        }
        let at = |error: Error| TarError::from(error.at_path(member));
        let mut dir = self.destination;
        let mut through_new = false;
        for part in above {
            let (next, new) = match self.follow(dir, part) {
                Ok(found) => found,
                Err(Error::NotFound { .. }) if self.is_free(dir, part) => {
                    let node = self
                        .tree
                        .new_node(FileType::Directory, crate::tree::Owner::ROOT, 0o755, b"");
                    let node = self.tree.make(dir, part, &node).map_err(at)?;
                    self.report.directories += 1;
                    (self.watch)(MadeFile {
                        dir,
                        name: part,
                        node,
                        file_type: FileType::Directory,
                    })
                    .map_err(at)?;
                    (node, false)
                }
                Err(error) => return Err(at(error)),
            };
            through_new |= new;
            if !self.tree.node_metadata(next).map_err(at)?.is_dir() {
                return Err(at(Error::NotADirectory { path: String::new() }));
            }
            dir = next;
        }
        if through_new && !self.is_within(dir).map_err(at)? {
            return Err(refused(
                member,
                "goes through a symbolic link of the same archive out of the directory that it is unpacked into",
            ));
        }
        self.last_dir = Some((key, dir));
        Ok(dir)
    }

    fn is_free(&self, dir: Node, name: &[u8]) -> bool {
        matches!(self.tree.child(dir, name), Err(Error::NotFound { .. }))
    }

    /// What a name leads to through any symbolic links, and whether one of them is the archive's own.
    fn follow(&self, dir: Node, name: &[u8]) -> Result<(Node, bool)> {
        let mut steps: Vec<Vec<u8>> = vec![name.to_vec()];
        let (mut at, mut through_new, mut links) = (dir, false, 0);
        while let Some(step) = steps.pop() {
            match step.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at = self.tree.parent(at)?;
                    continue;
                }
                _ => {}
            }
            let next = self.tree.child(at, &step)?;
            if !self.tree.node_metadata(next)?.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Error::SymlinkLoop { path: String::new() });
            }
            through_new |= self.links.contains(&next);
            let (fs, inode) = self.tree.open_node(next);
            let target = fs.read_link(inode)?;
            if target.starts_with(b"/") {
                at = self.tree.root();
            }
            steps.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
            if steps.len() > 1 << 16 {
                return Err(Error::SymlinkLoop { path: String::new() });
            }
        }
        Ok((at, through_new))
    }

    /// Whether a directory is the destination, or below it.
    fn is_within(&self, mut dir: Node) -> Result<bool> {
        for _ in 0..1 << 16 {
            if dir == self.destination {
                return Ok(true);
            }
            let above = self.tree.parent(dir)?;
            if above == dir {
                return Ok(false);
            }
            dir = above;
        }
        Ok(false)
    }

    /// Modes and times of directories, the deepest first.
    fn finish(self) -> std::result::Result<CopyReport, TarError> {
        for late in self.directories.iter().rev() {
            let (fs, inode) = self.tree.open_node(late.node);
            fs.set_metadata(inode, &late.change)?;
            let lists = [
                (&b"system.posix_acl_access"[..], &late.acl),
                (b"system.posix_acl_default", &late.default_acl),
            ];
            for (name, list) in lists {
                if let Some(list) = list {
                    fs.set_xattr(inode, name, list, XattrMode::Set)?;
                }
            }
        }
        Ok(self.report)
    }
}
