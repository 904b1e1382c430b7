//! Packing a directory of a tree into an archive.

use super::error::TarError;
use super::header::Header;
use super::{BLOCK, acl_text, pax};
use crate::error::{Error, Result};
use crate::glob_pattern::GlobPattern;
use crate::host_copy::{CopyReport, Skipped};
use crate::metadata::{FileType, Metadata};
use crate::tree::{Node, Tree, WalkEntry, WalkStep};
use std::collections::HashMap;
use std::io::Write;

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;

/// Holes shorter than this are not worth their place in a map.
const LEAST_HOLE: u64 = 4096;

/// How a directory is packed. Modes, numeric owners, links and devices are always kept.
#[derive(Debug, Clone, Default)]
pub struct TarOutOptions {
    /// Extended attributes, but labels and access control lists (`SCHILY.xattr.…`).
    pub xattrs: bool,
    /// SELinux labels (`RHT.security.selinux`).
    pub selinux: bool,
    /// Access control lists (`SCHILY.acl.access`, `SCHILY.acl.default`).
    pub acls: bool,
    /// Holes are left out (GNU's sparse format 1.0); otherwise they are written as zeroes.
    pub sparse: bool,
    /// Times with their nanoseconds; otherwise in whole seconds, which needs a third of the space for small files.
    pub nanoseconds: bool,
    /// Shell patterns of names that are left out, with everything below.
    pub exclude: Vec<Vec<u8>>,
}

struct Pack<'a> {
    tree: &'a Tree,
    out: &'a mut dyn Write,
    options: &'a TarOutOptions,
    exclude: Vec<GlobPattern>,
    report: CopyReport,
    /// Files with several names: the first one in the archive.
    linked: HashMap<Node, Vec<u8>>,
    buf: Vec<u8>,
    written: u64,
}

impl Tree {
    /// Packs everything in a directory into an archive whose names begin with `./`; the directory itself is the first member. Sockets, which no
    /// archive can hold, are left out, and the report says so.
    ///
    /// Headers and contents are written piece by piece: `out` should gather them.
    ///
    /// # Errors
    /// [`TarError`]: what cannot be read, and what writing says.
    pub fn tar_out(
        &self,
        dir: impl AsRef<[u8]>,
        out: &mut dyn Write,
        options: &TarOutOptions,
    ) -> std::result::Result<CopyReport, TarError> {
        let dir = dir.as_ref();
        self.resolve_dir(dir)?;
        let mut pack = Pack {
            tree: self,
            out,
            options,
            exclude: options.exclude.iter().map(|p| GlobPattern::new(p)).collect(),
            report: CopyReport::default(),
            linked: HashMap::new(),
            buf: vec![0; CHUNK],
            written: 0,
        };
        self.walk(dir, |entry| pack.member(dir, entry))?;
        // Two blocks of zeroes, and as many as make a record of twenty.
        let end = (pack.written + 2 * BLOCK as u64).next_multiple_of(20 * BLOCK as u64);
        pack.zeroes(end - pack.written)?;
        pack.out.flush().map_err(TarError::Write)?;
        Ok(pack.report)
    }
}

impl Pack<'_> {
    fn put(&mut self, bytes: &[u8]) -> std::result::Result<(), TarError> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(TarError::Write)
    }

    fn zeroes(&mut self, mut count: u64) -> std::result::Result<(), TarError> {
        let zeroes = [0; 1 << 14];
        while count > 0 {
            let n = usize::try_from(count).unwrap_or(zeroes.len()).min(zeroes.len());
            self.put(zeroes.get(..n).unwrap_or_default())?;
            count -= n as u64;
        }
        Ok(())
    }

    /// Fills up to a block.
    fn fill_up(&mut self) -> std::result::Result<(), TarError> {
        self.zeroes(self.written.next_multiple_of(BLOCK as u64) - self.written)
    }

    fn member(&mut self, top: &[u8], entry: &WalkEntry) -> std::result::Result<WalkStep, TarError> {
        let relative = entry.path.strip_prefix(top).unwrap_or(&entry.path);
        let relative = relative.strip_prefix(b"/").unwrap_or(relative);
        let last = relative.rsplit(|b| *b == b'/').next().unwrap_or_default();
        if !relative.is_empty()
            && self
                .exclude
                .iter()
                .any(|p| p.matches(last) || p.matches(relative))
        {
            return Ok(WalkStep::Skip);
        }
        let metadata = &entry.metadata;
        let mut name = [b"./", relative].concat();
        if metadata.is_dir() && !relative.is_empty() {
            name.push(b'/');
        }
        let at = |error: Error| TarError::from(error.at_path(&entry.path));
        let (fs, inode) = self.tree.open_node(entry.node);
        let mut header = Header {
            mode: u32::from(metadata.permissions),
            uid: u64::from(metadata.uid),
            gid: u64::from(metadata.gid),
            modified: metadata.modified.seconds,
            ..Header::default()
        };
        header.kind = match metadata.file_type {
            FileType::Regular => b'0',
            FileType::Directory => b'5',
            FileType::Symlink => b'2',
            FileType::CharDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            FileType::Socket => {
                self.report.skipped.push(Skipped {
                    path: entry.path.clone(),
                    file_type: metadata.file_type,
                });
                return Ok(WalkStep::Continue);
            }
        };
        if metadata.is_symlink() {
            header.link = fs.read_link(inode).map_err(at)?;
        }
        if matches!(metadata.file_type, FileType::CharDevice | FileType::BlockDevice) {
            header.device = metadata.device;
        }
        let mut records = Vec::new();
        if metadata.links > 1 && !metadata.is_dir() {
            if let Some(first) = self.linked.get(&entry.node) {
                header.kind = b'1';
                header.link.clone_from(first);
                self.report.links += 1;
                self.headers(header, &name, records, metadata)?;
                return Ok(WalkStep::Continue);
            }
            self.linked.insert(entry.node, name.clone());
        }
        self.attributes(entry.node, &mut records).map_err(at)?;
        match metadata.file_type {
            FileType::Directory => self.report.directories += 1,
            FileType::Regular => self.report.files += 1,
            _ => self.report.others += 1,
        }
        if metadata.is_file() {
            self.file(entry, header, &name, records)?;
        } else {
            self.headers(header, &name, records, metadata)?;
        }
        Ok(WalkStep::Continue)
    }

    /// Adds the records of the attributes that are asked for.
    fn attributes(&self, node: Node, records: &mut Vec<u8>) -> Result<()> {
        let options = self.options;
        if !(options.xattrs || options.selinux || options.acls) {
            return Ok(());
        }
        let (fs, inode) = self.tree.open_node(node);
        for name in fs.list_xattrs(inode)? {
            let (wanted, acl) = match name.as_slice() {
                b"security.selinux" => (options.selinux, None),
                b"system.posix_acl_access" => (options.acls, Some(&b"SCHILY.acl.access"[..])),
                b"system.posix_acl_default" => (options.acls, Some(&b"SCHILY.acl.default"[..])),
                _ => (options.xattrs, None),
            };
            let Some(value) = (if wanted { fs.xattr(inode, &name)? } else { None }) else {
                continue;
            };
            if let Some(keyword) = acl {
                if let Some(text) = acl_text::from_attribute(&value) {
                    pax::put(records, keyword, text.as_bytes());
                }
            } else if name == b"security.selinux" {
                let label = value.strip_suffix(b"\0").unwrap_or(&value);
                pax::put(records, b"RHT.security.selinux", label);
            } else {
                let mut keyword = b"SCHILY.xattr.".to_vec();
                for byte in &name {
                    match byte {
                        b'%' => keyword.extend_from_slice(b"%25"),
                        b'=' => keyword.extend_from_slice(b"%3D"),
                        other => keyword.push(*other),
                    }
                }
                pax::put(records, &keyword, &value);
            }
        }
        Ok(())
    }

    /// Writes the headers of a member: an extended one where the plain one does not suffice.
    fn headers(
        &mut self,
        mut header: Header,
        name: &[u8],
        mut records: Vec<u8>,
        metadata: &Metadata,
    ) -> std::result::Result<(), TarError> {
        if name.len() > 100 {
            pax::put(&mut records, b"path", name);
        }
        if header.link.len() > 100 {
            pax::put(&mut records, b"linkpath", &header.link);
        }
        for (keyword, value, limit) in [
            (&b"uid"[..], header.uid, 0o7777777),
            (b"gid", header.gid, 0o7777777),
            (b"size", header.size, 0o77777777777),
        ] {
            if value > limit {
                pax::put(&mut records, keyword, value.to_string().as_bytes());
            }
        }
        let time = metadata.modified;
        let fraction = self.options.nanoseconds && time.nanoseconds > 0;
        if fraction || !(0..=0o77777777777).contains(&time.seconds) {
            let nanoseconds = if self.options.nanoseconds {
                time.nanoseconds
            } else {
                0
            };
            pax::put(
                &mut records,
                b"mtime",
                pax::time_text(time.seconds, nanoseconds).as_bytes(),
            );
        }
        if !records.is_empty() {
            let mut extended = Header {
                name: b"./PaxHeaders/".to_vec(),
                mode: 0o644,
                size: records.len() as u64,
                modified: header.modified.max(0),
                kind: b'x',
                ..Header::default()
            };
            let last = name.strip_suffix(b"/").unwrap_or(name);
            let last = last.rsplit(|b| *b == b'/').next().unwrap_or_default();
            extended.name.extend_from_slice(last.get(..80).unwrap_or(last));
            self.put(&extended.encode())?;
            self.put(&records)?;
            self.fill_up()?;
        }
        header.name = name.to_vec();
        self.put(&header.encode())
    }

    fn file(
        &mut self,
        entry: &WalkEntry,
        mut header: Header,
        name: &[u8],
        mut records: Vec<u8>,
    ) -> std::result::Result<(), TarError> {
        let metadata = &entry.metadata;
        let at = |error: Error| TarError::from(error.at_path(&entry.path));
        let size = metadata.size;
        let ranges = if metadata.blocks.saturating_mul(512) < size {
            self.ranges(entry.node, size).map_err(at)?
        } else {
            vec![(0, size)]
        };
        let stored: u64 = ranges.iter().map(|(_, len)| len).sum();
        if self.options.sparse && stored < size {
            // the last range tells where the file ends
            let mut map = format!("{}\n", ranges.len() + 1);
            for (offset, len) in ranges.iter().chain([&(size, 0)]) {
                map.push_str(&format!("{offset}\n{len}\n"));
            }
            let map_size = map.len().next_multiple_of(BLOCK) as u64;
            pax::put(&mut records, b"GNU.sparse.major", b"1");
            pax::put(&mut records, b"GNU.sparse.minor", b"0");
            pax::put(&mut records, b"GNU.sparse.name", name);
            pax::put(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
            header.size = stored.saturating_add(map_size);
            let (dir, last) = name.split_at(name.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
            let mut placeholder = [dir, b"GNUSparseFile.0/", last].concat();
            placeholder.truncate(100);
            self.headers(header, &placeholder, records, metadata)?;
            self.put(map.as_bytes())?;
            self.fill_up()?;
            for (offset, len) in ranges {
                self.range(entry, offset, len)?;
            }
        } else {
            header.size = size;
            self.headers(header, name, records, metadata)?;
            let mut end = 0;
            for (offset, len) in ranges {
                self.zeroes(offset - end)?;
                self.range(entry, offset, len)?;
                end = offset + len;
            }
            self.zeroes(size - end)?;
        }
        self.fill_up()
    }

    /// The ranges of a file that are no holes.
    fn ranges(&self, node: Node, size: u64) -> Result<Vec<(u64, u64)>> {
        let (fs, inode) = self.tree.open_node(node);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut at = 0;
        while let Some((start, len)) = fs.next_data(inode, at)? {
            let start = start.max(at);
            let end = start.saturating_add(len).min(size);
            if end <= start {
                break;
            }
            match ranges.last_mut() {
                Some((before, len)) if start - (*before + *len) < LEAST_HOLE => *len = end - *before,
                _ => ranges.push((start, end - start)),
            }
            at = end;
        }
        Ok(ranges)
    }

    fn range(&mut self, entry: &WalkEntry, offset: u64, len: u64) -> std::result::Result<(), TarError> {
        let (fs, inode) = self.tree.open_node(entry.node);
        let mut at = offset;
        let mut buf = std::mem::take(&mut self.buf);
        while at < offset + len {
            let want = usize::try_from(offset + len - at).unwrap_or(CHUNK).min(buf.len());
            let piece = buf.get_mut(..want).unwrap_or_default();
            let n = fs
                .read(inode, at, piece)
                .map_err(|e| TarError::from(e.at_path(&entry.path)))?;
            if n == 0 {
                break;
            }
            self.put(piece.get(..n).unwrap_or_default())?;
            self.report.bytes += n as u64;
            at += n as u64;
        }
        self.buf = buf;
        // the header has promised so many
        self.zeroes(offset + len - at)
    }
}
