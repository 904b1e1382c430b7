//! What an image shall hold, apart from the crate's own tree.

use disksmith_iso9660::{Attributes, ImageTree, Source};
use disksmith_vfs::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
}

/// Items by path (`a/b/c`); the root is not among them. Every parent is a directory that is there.
pub(crate) type Model = BTreeMap<Vec<u8>, Item>;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp {
        seconds,
        nanoseconds: 0,
    }
}

pub(crate) fn tree(model: &Model) -> ImageTree {
    let mut tree = ImageTree::new(Attributes::new(0o755, at(1_600_000_000)));
    let mut ids = BTreeMap::from([(Vec::new(), tree.root())]);
    for (path, item) in model {
        let (parent, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => (path[..slash].to_vec(), &path[slash + 1..]),
            None => (Vec::new(), path.as_slice()),
        };
        let dir = ids[&parent];
        let attributes = Attributes {
            uid: item.uid,
            gid: item.gid,
            ..Attributes::new(item.mode, at(item.mtime))
        };
        let id = match &item.kind {
            Kind::Directory => tree.add_directory(dir, name, attributes),
            Kind::File(bytes) => tree.add_file(dir, name, attributes, Source::bytes(bytes.clone())),
            Kind::Symlink(target) => tree.add_symlink(dir, name, attributes, target),
        };
        ids.insert(path.clone(), id.unwrap());
    }
    tree
}

/// What lies in a folder of the host.
pub(crate) fn read_host(folder: &Path) -> Model {
    let mut out = Model::new();
    walk(folder, &[], &mut out);
    out
}

fn walk(folder: &Path, prefix: &[u8], out: &mut Model) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mut path = prefix.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(entry.file_name().as_bytes());
        let metadata = entry.path().symlink_metadata().unwrap();
        let kind = if metadata.is_dir() {
            walk(&entry.path(), &path, out);
            Kind::Directory
        } else if metadata.is_symlink() {
            Kind::Symlink(
                fs::read_link(entry.path())
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
            )
        } else {
            Kind::File(fs::read(entry.path()).unwrap())
        };
        out.insert(
            path,
            Item {
                kind,
                mode: (metadata.permissions().mode() & 0o7777) as u16,
                uid: metadata.uid(),
                gid: metadata.gid(),
                mtime: metadata.mtime(),
            },
        );
    }
}

/// Compares what was extracted with what went in, and says where they differ. The mode, owner and time of links are no
/// matter; the owner only where `owners` says so.
pub(crate) fn assert_same(model: &Model, found: &Model, owners: bool, times: bool, who: &str) {
    let show = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    for path in found.keys() {
        assert!(model.contains_key(path), "{who}: unexpected {}", show(path));
    }
    for (path, item) in model {
        let Some(other) = found.get(path) else {
            panic!("{who}: missing {}", show(path))
        };
        if let (Kind::Symlink(a), Kind::Symlink(b)) = (&item.kind, &other.kind) {
            assert_eq!(show(a), show(b), "{who}: target of {}", show(path));
        }
        assert!(
            item.kind == other.kind,
            "{who}: contents or kind of {}",
            show(path)
        );
        if matches!(item.kind, Kind::Symlink(_)) {
            continue;
        }
        assert_eq!(item.mode, other.mode, "{who}: mode of {}", show(path));
        if times {
            assert_eq!(item.mtime, other.mtime, "{who}: time of {}", show(path));
        }
        if owners {
            assert_eq!(
                (item.uid, item.gid),
                (other.uid, other.gid),
                "{who}: owner of {}",
                show(path)
            );
        }
    }
}
