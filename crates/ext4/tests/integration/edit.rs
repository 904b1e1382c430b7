//! Random edits of images that mke2fs made, against a model, judged by e2fsck after every stretch and by the kernel at the end.

use crate::judges::{assert_clean, have, long, mke2fs, run};
use crate::kernel::{Mount, can_mount};
use disksmith_ext4::{Ext4, OpenOptions};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use disksmith_vfs::{
    Error, FileSystem, FileType, InodeNo, MetadataChange, NewNode, RenameMode, Timestamp, XattrMode,
};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// Size and options.
const TABLE: &[(u64, &str)] = &[
    (16 * MIB, "-t ext2"),
    (16 * MIB, "-t ext2 -b 1024 -I 128"),
    (16 * MIB, "-t ext2 -b 4096 -O ^dir_index"),
    (24 * MIB, "-t ext3"),
    (24 * MIB, "-t ext3 -b 1024"),
    (32 * MIB, "-t ext4"),
    (64 * MIB, "-t ext4 -b 4096"),
    (32 * MIB, "-t ext4 -b 2048"),
    (32 * MIB, "-t ext4 -b 1024"),
    (32 * MIB, "-t ext4 -b 1024 -g 1024"),
    (32 * MIB, "-t ext4 -b 1024 -g 2048 -O ^flex_bg"),
    (64 * MIB, "-t ext4 -b 8192"),
    (128 * MIB, "-t ext4 -b 65536"),
    (32 * MIB, "-t ext4 -O ^64bit"),
    (32 * MIB, "-t ext4 -O ^metadata_csum,uninit_bg"),
    (32 * MIB, "-t ext4 -O ^metadata_csum,^uninit_bg"),
    (32 * MIB, "-t ext4 -O ^metadata_csum,uninit_bg,^64bit -b 1024"),
    (32 * MIB, "-t ext4 -O inline_data"),
    (32 * MIB, "-t ext4 -O inline_data -I 512 -b 1024"),
    (32 * MIB, "-t ext4 -O meta_bg,^resize_inode"),
    (64 * MIB, "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode"),
    (64 * MIB, "-t ext4 -O bigalloc -C 65536"),
    (64 * MIB, "-t ext4 -b 1024 -O bigalloc -C 8192"),
    (32 * MIB, "-t ext4 -O orphan_file"),
    (32 * MIB, "-t ext4 -O metadata_csum_seed"),
    (32 * MIB, "-t ext4 -O large_dir -b 1024"),
    (32 * MIB, "-t ext4 -O ea_inode"),
    (32 * MIB, "-t ext4 -I 128"),
    (32 * MIB, "-t ext4 -I 1024 -b 4096"),
    (32 * MIB, "-t ext4 -O ^flex_bg"),
    (32 * MIB, "-t ext4 -O ^extents,^64bit"),
    (32 * MIB, "-t ext4 -O ^extents,^metadata_csum,^64bit -b 1024"),
    (32 * MIB, "-t ext4 -O ^dir_index"),
    (32 * MIB, "-t ext4 -O sparse_super2"),
    (32 * MIB, "-t ext4 -O sparse_super2 -E num_backup_sb=0"),
    (32 * MIB, "-t ext4 -O ^has_journal"),
    (32 * MIB, "-t ext4 -O ^filetype"),
    (32 * MIB, "-t ext4 -O mmp"),
    (
        32 * MIB,
        "-t ext4 -O ^huge_file,^dir_nlink,^extra_isize,^large_file",
    ),
    (32 * MIB, "-t ext4 -O fast_commit"),
    (32 * MIB, "-t ext4 -O verity"),
    (
        32 * MIB,
        "-t ext4 -O stable_inodes,metadata_csum_seed,orphan_file,large_dir,ea_inode,inline_data",
    ),
    (32 * MIB, "-t ext4 -E packed_meta_blocks=1"),
    (32 * MIB, "-t ext4 -E lazy_itable_init=1,nodiscard"),
    (32 * MIB, "-t ext4 -N 40"),
    (32 * MIB, "-t ext4 -r 0 -O none"),
    (32 * MIB, "-t ext4 -O quota"),
    (
        32 * MIB,
        "-t ext4 -O quota,project,ea_inode -E quotatype=usrquota:grpquota:prjquota",
    ),
    (32 * MIB, "-t ext4 -b 1024 -O quota,^extents,^64bit"),
    (64 * MIB, "-t ext4 -O quota,bigalloc -C 16384"),
    (
        32 * MIB,
        "-t ext4 -O quota,project,ea_inode,inline_data,orphan_file -I 512",
    ),
    (32 * MIB, "-t ext2 -O quota"),
    (32 * MIB, "-t ext4 -O ea_inode,^metadata_csum,^uninit_bg -b 1024"),
    (32 * MIB, "-t ext4 -O inline_data,^dir_index,^metadata_csum"),
    (32 * MIB, "-t ext4 -O inline_data,^has_journal -b 1024 -I 1024"),
    (32 * MIB, "-t ext4 -O casefold,encrypt,verity"),
    (64 * MIB, "-t ext4 -b 16384"),
    (64 * MIB, "-t ext4 -b 32768"),
];

fn clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(|| Timestamp {
        seconds: 1_700_000_123,
        nanoseconds: 456_000_000,
    })
}

pub fn open(image: &Path, writable: bool) -> Result<Ext4, disksmith_ext4::Error> {
    let mode = if writable { OpenMode::Write } else { OpenMode::Read };
    let storage = HostFile::open(image, mode, LockMode::None).unwrap();
    Ext4::open(Arc::new(storage), OpenOptions::new(clock()).writable(writable))
}

/// A small generator of numbers, the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

#[derive(Debug, Clone)]
enum Content {
    File(Vec<u8>),
    Link(Vec<u8>),
    Dir(BTreeMap<Vec<u8>, u64>),
    Other,
}

#[derive(Debug, Clone)]
struct ModelNode {
    content: Content,
    permissions: u16,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    links: u64,
    parent: u64,
}

/// The model: what the filesystem should hold, by inode number.
struct Model {
    nodes: BTreeMap<u64, ModelNode>,
}

impl Model {
    fn dirs(&self) -> Vec<u64> {
        self.of(|c| matches!(c, Content::Dir(_)))
    }
    fn files(&self) -> Vec<u64> {
        self.of(|c| matches!(c, Content::File(_)))
    }
    fn of(&self, f: impl Fn(&Content) -> bool) -> Vec<u64> {
        self.nodes
            .iter()
            .filter(|(_, n)| f(&n.content))
            .map(|(i, _)| *i)
            .collect()
    }
    fn entries(&self, dir: u64) -> &BTreeMap<Vec<u8>, u64> {
        match &self.nodes[&dir].content {
            Content::Dir(entries) => entries,
            _ => panic!("no directory"),
        }
    }
    fn entries_mut(&mut self, dir: u64) -> &mut BTreeMap<Vec<u8>, u64> {
        match &mut self.nodes.get_mut(&dir).unwrap().content {
            Content::Dir(entries) => entries,
            _ => panic!("no directory"),
        }
    }
    fn is_dir(&self, ino: u64) -> bool {
        matches!(self.nodes[&ino].content, Content::Dir(_))
    }
    fn below(&self, mut at: u64, dir: u64) -> bool {
        loop {
            if at == dir {
                return true;
            }
            if at == 2 {
                return false;
            }
            at = self.nodes[&at].parent;
        }
    }
    fn drop_link(&mut self, ino: u64) {
        let node = self.nodes.get_mut(&ino).unwrap();
        node.links -= 1;
        if node.links == 0 || matches!(node.content, Content::Dir(_)) {
            self.nodes.remove(&ino);
        }
    }
    fn subdirs(&self, dir: u64) -> u64 {
        self.entries(dir).values().filter(|i| self.is_dir(**i)).count() as u64
    }
}

fn new_node(file_type: FileType, target: &[u8]) -> NewNode<'_> {
    NewNode {
        file_type,
        permissions: 0o640,
        uid: 70_000,
        gid: 5,
        time: Timestamp {
            seconds: 5_000_000_000,
            nanoseconds: 7,
        },
        target,
        device: if file_type == FileType::CharDevice {
            (300, 70_000)
        } else {
            (0, 0)
        },
    }
}

struct Run {
    fs: Ext4,
    model: Model,
    dice: Dice,
    log: Vec<String>,
    max_file: u64,
    /// Values of attributes may be larger than a block.
    large_values: bool,
}

impl Run {
    fn name(&mut self) -> Vec<u8> {
        let n = self.dice.below(60);
        let long = match self.dice.below(10) {
            0 => 200,
            1..4 => 60,
            _ => 1,
        };
        let mut name = format!("n{n}-").into_bytes();
        name.extend(std::iter::repeat_n(b'\xc3', long));
        name
    }

    fn pick(&mut self, list: &[u64]) -> Option<u64> {
        if list.is_empty() {
            return None;
        }
        let i = self.dice.below(list.len() as u64) as usize;
        Some(list[i])
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut x = self.dice.next() | 1;
        (0..len)
            .map(|_| {
                x = x
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (x >> 56) as u8
            })
            .collect()
    }

    /// `true`: the error is one of a full filesystem, and the model stays as it is.
    fn full(&self, error: &Error) -> bool {
        // Filesystems of revision 0 have no extended attributes.
        matches!(error, Error::NoSpace { .. })
            || matches!(error, Error::Unsupported { operation, .. } if operation.contains("revision 0"))
    }

    fn check<T>(&mut self, what: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) if self.full(&error) => None,
            Err(error) => panic!(
                "{what}: {error}\nlast: {:#?}",
                self.log.iter().rev().take(8).collect::<Vec<_>>()
            ),
        }
    }

    fn create(&mut self) {
        let dirs = self.model.dirs();
        let dir = self.pick(&dirs).unwrap();
        let name = self.name();
        let (file_type, target): (FileType, Vec<u8>) = match self.dice.below(12) {
            0..3 => (FileType::Directory, vec![]),
            3 => {
                let len = [5, 59, 60, 61, 300, 900][self.dice.below(6) as usize];
                (FileType::Symlink, vec![b't'; len])
            }
            4 => (FileType::Fifo, vec![]),
            5 => (FileType::CharDevice, vec![]),
            _ => (FileType::Regular, vec![]),
        };
        self.log
            .push(format!("create {file_type:?} {dir} {}", name.len()));
        let result = self.fs.create(InodeNo(dir), &name, &new_node(file_type, &target));
        if self.model.entries(dir).contains_key(&name) {
            assert!(matches!(result, Err(Error::Exists { .. })), "{result:?}");
            return;
        }
        let Some(ino) = self.check("create", result) else {
            return;
        };
        let content = match file_type {
            FileType::Directory => Content::Dir(BTreeMap::new()),
            FileType::Regular => Content::File(vec![]),
            FileType::Symlink => Content::Link(target),
            _ => Content::Other,
        };
        let old = self.model.nodes.insert(
            ino.0,
            ModelNode {
                content,
                permissions: 0o640,
                xattrs: BTreeMap::new(),
                links: 1,
                parent: dir,
            },
        );
        assert!(old.is_none(), "inode {ino} given twice");
        self.model.entries_mut(dir).insert(name, ino.0);
    }

    fn write(&mut self) {
        let files = self.model.files();
        let Some(ino) = self.pick(&files) else { return };
        let Content::File(data) = &self.model.nodes[&ino].content else {
            return;
        };
        let size = data.len() as u64;
        let offset = match self.dice.below(4) {
            0 => size,
            1 => self.dice.below(size + 1),
            2 => 0,
            _ => self.dice.below(self.max_file),
        };
        let len = match self.dice.below(6) {
            0 => 1 + self.dice.below(60),
            1 => 1 + self.dice.below(100_000),
            2 => 4096,
            _ => 1 + self.dice.below(9000),
        } as usize;
        self.log.push(format!("write {ino} {offset} {len}"));
        let bytes = self.bytes(len);
        let result = self.fs.write(InodeNo(ino), offset, &bytes);
        if self.check("write", result).is_none() {
            return;
        }
        let Content::File(data) = &mut self.model.nodes.get_mut(&ino).unwrap().content else {
            return;
        };
        let end = offset as usize + len;
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset as usize..end].copy_from_slice(&bytes);
    }

    fn resize(&mut self) {
        let files = self.model.files();
        let Some(ino) = self.pick(&files) else { return };
        let Content::File(data) = &self.model.nodes[&ino].content else {
            return;
        };
        let size = data.len() as u64;
        let kind = self.dice.below(4);
        let at = self.dice.below(size + 5000);
        let len = self.dice.below(60_000) + 1;
        self.log.push(format!("resize {kind} {ino} {at} {len}"));
        let result = match kind {
            0 => self.fs.set_size(InodeNo(ino), at),
            1 => self.fs.punch_hole(InodeNo(ino), at, len),
            2 => self.fs.allocate(InodeNo(ino), at, len, false),
            _ => self.fs.allocate(InodeNo(ino), at, len, true),
        };
        if matches!(result, Err(Error::Unsupported { .. })) && kind == 3 {
            return;
        }
        if self.check("resize", result).is_none() {
            return;
        }
        let Content::File(data) = &mut self.model.nodes.get_mut(&ino).unwrap().content else {
            return;
        };
        match kind {
            0 => data.resize(at as usize, 0),
            1 => {
                let end = data.len().min((at + len) as usize);
                if (at as usize) < end {
                    data[at as usize..end].fill(0);
                }
            }
            2 => {
                let end = (at + len) as usize;
                if data.len() < end {
                    data.resize(end, 0);
                }
            }
            _ => {}
        }
    }

    fn remove(&mut self) {
        let dirs = self.model.dirs();
        let dir = self.pick(&dirs).unwrap();
        let names: Vec<Vec<u8>> = self.model.entries(dir).keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = names[self.dice.below(names.len() as u64) as usize].clone();
        let ino = self.model.entries(dir)[&name];
        self.log.push(format!("remove {dir} {ino}"));
        if self.model.is_dir(ino) {
            let result = self.fs.remove_dir(InodeNo(dir), &name);
            if !self.model.entries(ino).is_empty() {
                assert!(matches!(result, Err(Error::NotEmpty { .. })), "{result:?}");
                return;
            }
            if self.check("rmdir", result).is_none() {
                return;
            }
        } else {
            let result = self.fs.unlink(InodeNo(dir), &name);
            if self.check("unlink", result).is_none() {
                return;
            }
        }
        self.model.entries_mut(dir).remove(&name);
        self.model.drop_link(ino);
    }

    fn rename(&mut self) {
        let dirs = self.model.dirs();
        let (dir, to) = (self.pick(&dirs).unwrap(), self.pick(&dirs).unwrap());
        let names: Vec<Vec<u8>> = self.model.entries(dir).keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = names[self.dice.below(names.len() as u64) as usize].clone();
        let new_name = self.name();
        let mode =
            [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange][self.dice.below(3) as usize];
        let ino = self.model.entries(dir)[&name];
        let target = self.model.entries(to).get(&new_name).copied();
        self.log
            .push(format!("rename {dir} {ino} -> {to} {target:?} {mode:?}"));
        let result = self.fs.rename(InodeNo(dir), &name, InodeNo(to), &new_name, mode);
        let moved_below = |m: &Model, a: u64, b: u64| m.is_dir(a) && m.below(b, a);
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => {
                assert!(matches!(result, Err(Error::Exists { .. })), "{result:?}");
                return;
            }
            (RenameMode::Exchange, None) => {
                assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
                return;
            }
            _ => {}
        }
        if dir != to && moved_below(&self.model, ino, to) {
            assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{result:?}");
            return;
        }
        if target == Some(ino) {
            assert!(result.is_ok());
            return;
        }
        if let Some(target) = target {
            if mode == RenameMode::Exchange {
                if dir != to && moved_below(&self.model, target, dir) {
                    assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{result:?}");
                    return;
                }
                if self.check("exchange", result).is_none() {
                    return;
                }
                self.model.entries_mut(dir).insert(name, target);
                self.model.entries_mut(to).insert(new_name, ino);
                self.model.nodes.get_mut(&ino).unwrap().parent = to;
                self.model.nodes.get_mut(&target).unwrap().parent = dir;
                return;
            }
            match (self.model.is_dir(ino), self.model.is_dir(target)) {
                (true, false) => return assert!(matches!(result, Err(Error::NotADirectory { .. }))),
                // A directory above the file is told first that it is not empty, as the kernel does.
                (false, true) if moved_below(&self.model, target, dir) => {
                    return assert!(matches!(result, Err(Error::NotEmpty { .. })), "{result:?}");
                }
                (false, true) => {
                    return assert!(matches!(result, Err(Error::IsADirectory { .. })), "{result:?}");
                }
                (true, true) if !self.model.entries(target).is_empty() => {
                    return assert!(matches!(result, Err(Error::NotEmpty { .. })));
                }
                _ => {}
            }
        }
        if self.check("rename", result).is_none() {
            return;
        }
        self.model.entries_mut(dir).remove(&name);
        self.model.entries_mut(to).insert(new_name, ino);
        if let Some(target) = target {
            self.model.drop_link(target);
        }
        self.model.nodes.get_mut(&ino).unwrap().parent = to;
    }

    fn link(&mut self) {
        let dirs = self.model.dirs();
        let files = self.model.of(|c| !matches!(c, Content::Dir(_)));
        let (Some(ino), Some(dir)) = (self.pick(&files), self.pick(&dirs)) else {
            return;
        };
        let name = self.name();
        self.log.push(format!("link {ino} {dir}"));
        let result = self.fs.link(InodeNo(ino), InodeNo(dir), &name);
        if self.model.entries(dir).contains_key(&name) {
            assert!(matches!(result, Err(Error::Exists { .. })));
            return;
        }
        if self.check("link", result).is_none() {
            return;
        }
        self.model.entries_mut(dir).insert(name, ino);
        self.model.nodes.get_mut(&ino).unwrap().links += 1;
    }

    fn attributes(&mut self) {
        let all = self.model.of(|c| matches!(c, Content::Dir(_) | Content::File(_)));
        let Some(ino) = self.pick(&all) else { return };
        let n = self.dice.below(6);
        let name = [
            &b"user.a"[..],
            b"user.bcd",
            b"security.selinux",
            b"trusted.x",
            b"user.long-long-name",
            b"user.z",
        ][n as usize]
            .to_vec();
        if self.dice.below(4) == 0 {
            self.log.push(format!("remove_xattr {ino} {n}"));
            let result = self.fs.remove_xattr(InodeNo(ino), &name);
            if !self.model.nodes[&ino].xattrs.contains_key(&name) {
                assert!(matches!(result, Err(Error::NoXattr { .. })), "{result:?}");
                return;
            }
            if self.check("remove_xattr", result).is_some() {
                self.model.nodes.get_mut(&ino).unwrap().xattrs.remove(&name);
            }
            return;
        }
        let mut len = [0, 1, 30, 33, 100, 500][self.dice.below(6) as usize];
        if self.large_values && self.dice.below(3) == 0 {
            len = [900, 2000, 4000, 5000, 30_000, 65_536][self.dice.below(6) as usize];
        }
        let value = self.bytes(len);
        self.log.push(format!("set_xattr {ino} {n} {len}"));
        let result = self.fs.set_xattr(InodeNo(ino), &name, &value, XattrMode::Set);
        if self.check("set_xattr", result).is_some() {
            self.model.nodes.get_mut(&ino).unwrap().xattrs.insert(name, value);
        }
    }

    fn chmod(&mut self) {
        let all = self.model.of(|_| true);
        let Some(ino) = self.pick(&all) else { return };
        let permissions = self.dice.below(0o7777) as u16;
        self.log.push(format!("chmod {ino}"));
        let change = MetadataChange {
            permissions: Some(permissions),
            uid: Some(self.dice.below(300) as u32 * 77),
            gid: Some(self.dice.below(20) as u32 * 70_000),
            modified: Some(Timestamp {
                seconds: -5,
                nanoseconds: 9,
            }),
            ..MetadataChange::default()
        };
        let result = self.fs.set_metadata(InodeNo(ino), &change);
        if self.check("chmod", result).is_some() {
            self.model.nodes.get_mut(&ino).unwrap().permissions = permissions;
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..6 => self.create(),
            6..11 => self.write(),
            11..13 => self.resize(),
            13..15 => self.remove(),
            15..17 => self.rename(),
            17 => self.link(),
            18 => self.attributes(),
            _ => self.chmod(),
        }
    }
}

/// Compares a filesystem with the model, as this crate reads it.
fn compare(fs: &Ext4, model: &Model) {
    for (ino, node) in &model.nodes {
        let ino = InodeNo(*ino);
        let metadata = fs.metadata(ino).unwrap();
        assert_eq!(metadata.permissions, node.permissions, "mode of {ino}");
        match &node.content {
            Content::File(data) => {
                assert_eq!(metadata.size, data.len() as u64, "size of {ino}");
                assert_eq!(metadata.links, node.links, "links of {ino}");
                let mut got = vec![0xee; data.len() + 10];
                assert_eq!(fs.read(ino, 0, &mut got).unwrap(), data.len());
                got.truncate(data.len());
                if got != *data {
                    let at = got.iter().zip(data).position(|(a, b)| a != b);
                    panic!("contents of {ino} differ at {at:?} of {}", data.len());
                }
                let mut at = 0;
                let mut end_of_last = 0usize;
                while let Some((from, len)) = fs.next_data(ino, at).unwrap() {
                    assert!(data[end_of_last..from as usize].iter().all(|b| *b == 0));
                    at = from + len;
                    end_of_last = at as usize;
                }
                assert!(data[end_of_last..].iter().all(|b| *b == 0));
            }
            Content::Link(target) => assert_eq!(fs.read_link(ino).unwrap(), *target),
            Content::Dir(entries) => {
                assert_eq!(
                    metadata.links,
                    2 + model.subdirs(ino.0),
                    "links of directory {ino}"
                );
                let mut got = BTreeMap::new();
                fs.read_dir(ino, 0, &mut |e| {
                    if e.name != b"lost+found" {
                        assert!(got.insert(e.name.clone(), e.inode.0).is_none());
                        let kind = fs.metadata(e.inode).unwrap().file_type;
                        assert_eq!(kind, e.file_type);
                    }
                    true
                })
                .unwrap();
                let want: BTreeMap<_, _> = entries
                    .clone()
                    .into_iter()
                    .filter(|(n, _)| n != b"lost+found")
                    .collect();
                assert_eq!(got, want, "entries of {ino}");
                for (name, child) in entries {
                    assert_eq!(fs.lookup(ino, name).unwrap().0, *child);
                }
                if ino.0 != 2 {
                    assert_eq!(fs.parent(ino).unwrap().0, node.parent);
                }
            }
            Content::Other => {}
        }
        let names: Vec<Vec<u8>> = node.xattrs.keys().cloned().collect();
        assert_eq!(fs.list_xattrs(ino).unwrap(), names);
        for (name, value) in &node.xattrs {
            assert_eq!(fs.xattr(ino, name).unwrap().as_ref(), Some(value));
        }
    }
}

/// Compares the kernel's view with the model.
fn compare_mounted(root: &Path, model: &Model, dir: u64) {
    for (name, ino) in model.entries(dir) {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        let node = &model.nodes[ino];
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(metadata.ino(), *ino);
        assert_eq!(metadata.mode() & 0o7777, u32::from(node.permissions));
        match &node.content {
            Content::File(data) => {
                assert_eq!(std::fs::read(&path).unwrap(), *data, "{}", path.display());
                assert_eq!(metadata.nlink(), node.links);
            }
            Content::Link(target) => {
                assert_eq!(
                    std::fs::read_link(&path).unwrap().as_os_str().as_bytes(),
                    &target[..]
                );
            }
            Content::Dir(_) => {
                assert_eq!(metadata.nlink(), 2 + model.subdirs(*ino));
                compare_mounted(&path, model, *ino);
            }
            Content::Other => {}
        }
    }
    let count = std::fs::read_dir(root).unwrap().count();
    let lost = usize::from(
        dir == 2 && root.join("lost+found").exists() && !model.entries(2).contains_key(&b"lost+found"[..]),
    );
    assert_eq!(count - lost, model.entries(dir).len());
}

fn supported_by_mke2fs(image: &Path, size: u64, options: &str) -> bool {
    let file = std::fs::File::create(image).unwrap();
    file.set_len(size).unwrap();
    let mut args: Vec<&str> = vec!["-q", "-F"];
    args.extend(options.split_whitespace());
    args.push(image.to_str().unwrap());
    run("mke2fs", &args).status.success()
}

fn edit(size: u64, options: &str, seed: u64, rounds: u64, steps: u64) {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    assert!(
        supported_by_mke2fs(&image, size, options),
        "mke2fs refuses {options}"
    );
    assert_clean(&image, &format!("{options}: as made"));
    let mut model = Model {
        nodes: BTreeMap::new(),
    };
    {
        let fs = open(&image, false).unwrap();
        let root = fs.metadata(fs.root()).unwrap();
        let lost = fs.lookup(fs.root(), b"lost+found").unwrap();
        let node = |content, parent, permissions| ModelNode {
            content,
            permissions,
            xattrs: BTreeMap::new(),
            links: 1,
            parent,
        };
        let entries = BTreeMap::from([(b"lost+found".to_vec(), lost.0)]);
        model
            .nodes
            .insert(2, node(Content::Dir(entries), 2, root.permissions));
        model
            .nodes
            .insert(lost.0, node(Content::Dir(BTreeMap::new()), 2, 0o700));
    }
    let mut dice = Dice(seed);
    for round in 0..rounds {
        let fs = open(&image, true).unwrap();
        assert!(fs.is_writable(), "{options}: {:?}", fs.read_only_reason());
        let mut run = Run {
            fs,
            model,
            dice,
            log: vec![],
            large_values: options.contains("ea_inode"),
            max_file: if round % 2 == 0 { 300_000 } else { 3_000_000 },
        };
        for step in 0..steps {
            run.step();
            if step % 97 == 96 {
                run.fs.sync().unwrap();
            }
        }
        run.fs.sync().unwrap();
        compare(&run.fs, &run.model);
        Run { model, dice, .. } = run;
        assert_clean(&image, &format!("{options}: round {round}"));
        compare(&open(&image, false).unwrap(), &model);
    }
    if can_mount()
        && let Ok(mount) = Mount::try_new(&image, "ro")
    {
        compare_mounted(mount.path(), &model, 2);
    }
}

fn edit_slice(from: usize, step: usize) {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    let (rounds, steps) = if long() { (20, 1500) } else { (2, 80) };
    let only = std::env::var("DISKSMITH_EDIT").ok();
    let mut failed = vec![];
    for (i, (size, options)) in TABLE.iter().enumerate().skip(from).step_by(step) {
        if only.as_ref().is_some_and(|o| o != options) {
            continue;
        }
        let result = std::panic::catch_unwind(|| edit(*size, options, i as u64 + 1, rounds, steps));
        if result.is_err() {
            failed.push(*options);
        }
    }
    assert!(failed.is_empty(), "what failed is told above, of {failed:?}");
}

#[test]
fn edits_of_every_kind_of_image_even() {
    edit_slice(0, 2);
}

#[test]
fn edits_of_every_kind_of_image_odd() {
    edit_slice(1, 2);
}

#[test]
fn a_directory_of_many_names() {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    // Enough for trees of two levels where blocks are small.
    let count = if long() { 20_000 } else { 5_000 };
    for options in [
        "-t ext4 -b 1024 -N 30000",
        "-t ext4 -b 4096 -N 30000",
        "-t ext4 -b 1024 -N 30000 -O large_dir,^metadata_csum,uninit_bg",
        "-t ext3 -b 1024 -N 30000",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 64 * MIB, options);
        let fs = open(&image, true).unwrap();
        let names: Vec<Vec<u8>> = (0..count)
            .map(|i: u32| format!("file-{i}-\u{e9}{}", "x".repeat((i % 40) as usize)).into_bytes())
            .collect();
        for name in &names {
            fs.create(fs.root(), name, &new_node(FileType::Regular, &[]))
                .unwrap();
        }
        for name in &names {
            fs.lookup(fs.root(), name).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
        if can_mount() {
            let mount = Mount::new(&image, "ro");
            for name in names.iter().step_by(37) {
                assert!(
                    mount.path().join(std::ffi::OsStr::from_bytes(name)).exists(),
                    "{options}"
                );
            }
            assert_eq!(std::fs::read_dir(mount.path()).unwrap().count() as u32, count + 1);
        }
        for name in names.iter().step_by(2) {
            fs.unlink(fs.root(), name).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
    }
}
