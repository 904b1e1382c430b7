//! A tree of files as a value, taken through the trait or through the kernel.

use disksmith_vfs::{FileSystem, FileType, InodeNo, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: FileType,
    pub permissions: u16,
    pub owner: (u32, u32),
    /// 0 for directories.
    pub size: u64,
    pub links: u64,
    pub device: (u32, u32),
    /// Hash of the contents, or of the target.
    pub contents: u64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of the same inode.
    pub same_as: String,
    /// Access, contents, metadata.
    pub times: Option<[Timestamp; 3]>,
    /// Space taken, in units of 512 bytes.
    pub blocks: Option<u64>,
}

/// All files by path; the root is "".
pub type Snapshot = BTreeMap<String, Entry>;

/// Hashes contents that come in pieces, each at its offset; holes and zeroes are the same.
#[derive(Default)]
struct ContentHash(u64);

impl ContentHash {
    fn add(&mut self, offset: u64, data: &[u8]) {
        for (i, piece) in data.chunks(512).enumerate() {
            if piece.iter().any(|b| *b != 0) {
                let mut hasher = DefaultHasher::new();
                (offset + 512 * i as u64, piece).hash(&mut hasher);
                self.0 = self.0.wrapping_add(hasher.finish());
            }
        }
    }
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Takes a snapshot through the trait.
pub fn of(fs: &dyn FileSystem) -> Snapshot {
    let mut all = Snapshot::new();
    let mut first = HashMap::new();
    visit(fs, fs.root(), String::new(), &mut all, &mut first);
    all
}

fn visit(
    fs: &dyn FileSystem,
    inode: InodeNo,
    path: String,
    all: &mut Snapshot,
    first: &mut HashMap<InodeNo, String>,
) {
    let meta = fs
        .metadata(inode)
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let same_as = first.entry(inode).or_insert_with(|| path.clone()).clone();
    let mut contents = 0;
    let mut names = Vec::new();
    match meta.file_type {
        FileType::Directory => {
            fs.read_dir(inode, 0, &mut |entry| {
                names.push((entry.name, entry.inode, entry.file_type));
                true
            })
            .unwrap_or_else(|error| panic!("{path}: {error}"));
            names.sort_by(|a, b| a.0.cmp(&b.0));
        }
        FileType::Symlink => contents = hash_bytes(&fs.read_link(inode).unwrap()),
        FileType::Regular => {
            let mut hash = ContentHash::default();
            let mut at = 0;
            while let Some((start, len)) = fs.next_data(inode, at).unwrap() {
                assert!(
                    start >= at && len > 0,
                    "{path}: next_data({at}) gave {start}+{len}"
                );
                let mut start = start / 512 * 512;
                let end = (start + len).next_multiple_of(512).min(meta.size);
                let mut buf = vec![0; 1 << 20];
                while start < end {
                    let n = (end - start).min(buf.len() as u64) as usize;
                    assert_eq!(
                        fs.read(inode, start, &mut buf[..n]).unwrap(),
                        n,
                        "{path}: short read"
                    );
                    hash.add(start, &buf[..n]);
                    start += n as u64;
                }
                at = start.max(at + 1);
            }
            contents = hash.0;
        }
        _ => {}
    }
    let xattrs = fs
        .list_xattrs(inode)
        .unwrap()
        .into_iter()
        .map(|name| {
            let value = fs.xattr(inode, &name).unwrap().unwrap();
            (name, value)
        })
        .collect();
    all.insert(
        path.clone(),
        Entry {
            kind: meta.file_type,
            permissions: meta.permissions,
            owner: (meta.uid, meta.gid),
            size: if meta.is_dir() { 0 } else { meta.size },
            links: meta.links,
            device: meta.device,
            contents,
            xattrs,
            same_as,
            times: Some([meta.accessed, meta.modified, meta.changed]),
            blocks: Some(meta.blocks),
        },
    );
    for (name, child, kind) in names {
        let path = format!("{path}/{}", String::from_utf8_lossy(&name));
        assert_eq!(
            fs.metadata(child).unwrap().file_type,
            kind,
            "{path}: type in the directory entry"
        );
        visit(fs, child, path, all, first);
    }
}

/// Takes a snapshot through the kernel.
pub fn of_mounted(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut first = HashMap::new();
    visit_mounted(root, String::new(), &mut all, &mut first);
    all
}

fn visit_mounted(place: &Path, path: String, all: &mut Snapshot, first: &mut HashMap<u64, String>) {
    let meta = std::fs::symlink_metadata(place).unwrap_or_else(|error| panic!("{path}: {error}"));
    let same_as = first.entry(meta.ino()).or_insert_with(|| path.clone()).clone();
    let kind = meta.file_type();
    let mut contents = 0;
    let mut names = Vec::new();
    let kind = if kind.is_dir() {
        names.extend(
            std::fs::read_dir(place)
                .unwrap()
                .map(|entry| entry.unwrap().file_name()),
        );
        names.sort();
        FileType::Directory
    } else if kind.is_symlink() {
        contents = hash_bytes(std::fs::read_link(place).unwrap().as_os_str().as_bytes());
        FileType::Symlink
    } else if kind.is_file() {
        contents = hash_mounted(place, meta.size());
        FileType::Regular
    } else if kind.is_fifo() {
        FileType::Fifo
    } else if kind.is_socket() {
        FileType::Socket
    } else if kind.is_char_device() {
        FileType::CharDevice
    } else {
        FileType::BlockDevice
    };
    let time = |seconds: i64, nanoseconds: i64| Timestamp {
        seconds,
        nanoseconds: nanoseconds as u32,
    };
    let device = match kind {
        FileType::CharDevice | FileType::BlockDevice => {
            (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()))
        }
        _ => (0, 0),
    };
    all.insert(
        path.clone(),
        Entry {
            kind,
            permissions: (meta.mode() & 0o7777) as u16,
            owner: (meta.uid(), meta.gid()),
            size: if meta.is_dir() { 0 } else { meta.size() },
            links: meta.nlink(),
            device,
            contents,
            xattrs: xattrs_mounted(place),
            same_as,
            times: Some([
                time(meta.atime(), meta.atime_nsec()),
                time(meta.mtime(), meta.mtime_nsec()),
                time(meta.ctime(), meta.ctime_nsec()),
            ]),
            blocks: Some(meta.blocks()),
        },
    );
    for name in names {
        let path = format!("{path}/{}", name.to_string_lossy());
        visit_mounted(&place.join(&name), path, all, first);
    }
}

fn hash_mounted(place: &Path, size: u64) -> u64 {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(place).unwrap();
    let mut hash = ContentHash::default();
    let mut at = 0;
    while at < size {
        let Ok(start) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) else {
            break;
        };
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(start)).unwrap();
        let mut start = start / 512 * 512;
        let end = hole.next_multiple_of(512).min(size);
        let mut buf = vec![0; 1 << 20];
        while start < end {
            let n = (end - start).min(buf.len() as u64) as usize;
            file.read_exact_at(&mut buf[..n], start).unwrap();
            hash.add(start, &buf[..n]);
            start += n as u64;
        }
        at = end.max(hole);
    }
    hash.0
}

fn xattrs_mounted(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0u8; 65536];
    let len = rustix::fs::llistxattr(place, &mut names[..]).unwrap_or(0);
    names[..len]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0u8; 65536];
            let len = rustix::fs::lgetxattr(place, name, &mut value[..]).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect()
}

/// What is compared besides names, kinds, permissions, owners, sizes, contents, links and attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compare {
    pub times: bool,
    pub blocks: bool,
}

/// How two snapshots differ; empty where they do not. `lost+found` is left out of account.
pub fn differences(a: &Snapshot, b: &Snapshot, compare: Compare) -> String {
    let mut text = String::new();
    let mut paths: Vec<&String> = a.keys().chain(b.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths.into_iter().filter(|path| *path != "/lost+found") {
        let (Some(x), Some(y)) = (a.get(path), b.get(path)) else {
            writeln!(
                text,
                "{path}: only in the {}",
                if a.contains_key(path) { "first" } else { "second" }
            )
            .unwrap();
            continue;
        };
        let (mut x, mut y) = (x.clone(), y.clone());
        for entry in [&mut x, &mut y] {
            if !compare.times {
                entry.times = None;
            }
            if !compare.blocks {
                entry.blocks = None;
            }
            if path.is_empty() {
                entry.times = None;
                // The root's links count lost+found, which a model has not.
                entry.links = 0;
            }
        }
        if x != y {
            writeln!(text, "{path}:\n  {x:?}\n  {y:?}").unwrap();
        }
        if text.len() > 4000 {
            text.push_str("…\n");
            break;
        }
    }
    text
}
