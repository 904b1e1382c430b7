//! A template that has clones is not edited: changing a base corrupts every overlay, and stopped clones hold no lock.

use crate::error::{CLONES_LISTED, Error, Result};
use crate::file_name::{FileName, resolve_beside};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much of each neighbour is read. The backing name lies behind the header and its extensions, well inside.
const PEEK: usize = 4096;

/// In the folders below the image's own, only files whose names end like this are looked into.
const IMAGE_ENDINGS: [&str; 7] = ["qcow2", "qcow", "qc2", "img", "disk", "overlay", "snap"];

/// The overlays found that stand on an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clones {
    /// The first of them, at most [`CLONES_LISTED`].
    pub listed: Vec<PathBuf>,
    /// How many there are.
    pub total: usize,
}

/// Finds the qcow2 images in the folder of `base`, and directly below it, whose backing file is `base`.
///
/// # Errors
/// Those of reading the folder; a neighbour that cannot be read is passed over.
pub fn find_clones(base: &Path) -> Result<Clones> {
    find(base, HashSet::new())
}

fn find(base: &Path, known_clones: HashSet<(u64, u64)>) -> Result<Clones> {
    let real = base.canonicalize().map_err(|e| Error::file("find", base, e))?;
    let metadata = real.metadata().map_err(|e| Error::file("examine", base, e))?;
    let mut search = Search {
        base: (metadata.dev(), metadata.ino()),
        known: HashMap::new(),
        known_clones,
        found: Clones::default(),
    };
    // The folder as named, too: the image may be a link in a folder of links.
    let mut folders: Vec<PathBuf> = vec![folder_of(base)];
    let real_folder = folder_of(&real);
    if folders.first().and_then(|f| f.canonicalize().ok()).as_ref() != Some(&real_folder) {
        folders.push(real_folder);
    }
    for folder in folders {
        let below = search.folder(&folder, true)?;
        for folder in below {
            // A folder that cannot be read holds nothing that its owner could expect to be seen.
            if let Err(error) = search.folder(&folder, false) {
                log::debug!("not searched for clones: {error}");
            }
        }
    }
    Ok(search.found)
}

/// Refuses to go on when `base` has clones.
///
/// # Errors
/// [`Error::HasClones`], and those of [`find_clones`].
pub fn refuse_if_cloned(base: &Path) -> Result<()> {
    let clones = find_clones(base)?;
    if clones.total == 0 {
        return Ok(());
    }
    Err(Error::HasClones {
        base: base.into(),
        clones: clones.listed,
        total: clones.total,
    })
}

/// Refuses to go on when `base` has other clones than those `known`.
///
/// # Errors
/// [`Error::HasClones`], and those of [`find_clones`].
pub(crate) fn refuse_other_clones(base: &Path, known: &[PathBuf]) -> Result<()> {
    let known = known.iter().filter_map(|path| identity(path).ok()).collect();
    let clones = find(base, known)?;
    if clones.total == 0 {
        return Ok(());
    }
    Err(Error::HasClones {
        base: base.into(),
        clones: clones.listed,
        total: clones.total,
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|m| (m.dev(), m.ino()))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

struct Search {
    base: (u64, u64),
    /// Whether a path, as an overlay's name leads to it, is the base. Clones of one base mostly name it alike.
    known: HashMap<Vec<u8>, bool>,
    /// Clones that do not count.
    known_clones: HashSet<(u64, u64)>,
    found: Clones,
}

impl Search {
    /// Looks at the files of one folder; returns the folders in it when `all`, and is choosy otherwise.
    fn folder(&mut self, folder: &Path, all: bool) -> Result<Vec<PathBuf>> {
        let fail = |e| Error::file("read", folder, e);
        let mut below = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let path = if folder == Path::new(".") {
                PathBuf::from(&name)
            } else {
                folder.join(&name)
            };
            if kind.is_dir() {
                if all {
                    below.push(path);
                }
            } else if (all || has_image_ending(&name))
                // A link may lead to a device that does something when it is opened.
                && (kind.is_file() || kind.is_symlink() && path.is_file())
                && self.stands_on_base(&path).unwrap_or(false)
            {
                self.found.total += 1;
                // The first by name, so that the same folder always gives the same list.
                let listed = &mut self.found.listed;
                let place = listed.partition_point(|known| *known < path);
                listed.insert(place, path);
                listed.truncate(CLONES_LISTED);
            }
        }
        Ok(below)
    }

    fn stands_on_base(&mut self, path: &Path) -> io::Result<bool> {
        // A pipe behind a link would block.
        let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
        let mut head = [0u8; PEEK];
        let len = read_start(&file, &mut head)?;
        let Some(name) = peek_backing_name(head.get(..len).unwrap_or_default(), &file) else {
            return Ok(false);
        };
        let mut any = false;
        for name in candidate_names(&name) {
            any |= self.is_base(resolve_beside(path, &name));
        }
        // A symbolic link to an overlay is that overlay once more.
        Ok(any
            && !path.symlink_metadata()?.is_symlink()
            && (self.known_clones.is_empty() || !self.known_clones.contains(&identity(path)?)))
    }

    fn is_base(&mut self, full: Vec<u8>) -> bool {
        if let Some(known) = self.known.get(&full) {
            return *known;
        }
        let is_base = match FileName::parse(&full) {
            FileName::Path(path) => path.metadata().is_ok_and(|m| (m.dev(), m.ino()) == self.base),
            FileName::Protocol(_) => false,
        };
        self.known.insert(full, is_base);
        is_base
    }
}

/// `O_NONBLOCK` of Linux.
const O_NONBLOCK: i32 = 0o4000;

fn has_image_ending(name: &OsStr) -> bool {
    Path::new(name)
        .extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| {
            IMAGE_ENDINGS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(ending))
        })
}

fn read_start(file: &File, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buf.get_mut(len..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, len as u64)? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

/// The backing file's name in a qcow2 (or qcow) header, whatever its features: an image that disksmith cannot open is a clone
/// nevertheless. Specification: "Header", bytes 0 to 19.
fn peek_backing_name(head: &[u8], file: &File) -> Option<Vec<u8>> {
    if head.get(..4)? != b"QFI\xfb" {
        return None;
    }
    let offset = u64::from_be_bytes(head.get(8..16)?.try_into().ok()?);
    let len = u32::from_be_bytes(head.get(16..20)?.try_into().ok()?) as usize;
    if offset == 0 || len == 0 || len > crate::file_name::MAX_BACKING_NAME {
        return None;
    }
    let end = offset.checked_add(len as u64)?;
    if end <= head.len() as u64 {
        return head.get(offset as usize..end as usize).map(<[u8]>::to_vec);
    }
    let mut name = vec![0; len];
    file.read_exact_at(&mut name, offset).ok()?;
    Some(name)
}

/// The file names in a backing name: the name itself, or each `filename` of a `json:` description.
fn candidate_names(name: &[u8]) -> Vec<Vec<u8>> {
    let Some(json) = name.strip_prefix(b"json:") else {
        return vec![name.to_vec()];
    };
    let mut names = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(json) {
        collect_file_names(&value, &mut names);
    }
    names
}

fn collect_file_names(value: &Value, names: &mut Vec<Vec<u8>>) {
    // serde_json bounds the depth of what it parses, so this recursion is bounded too.
    if let Value::Object(members) = value {
        for (key, member) in members {
            match member {
                Value::String(name) if key == "filename" || key.ends_with(".filename") => {
                    names.push(name.as_bytes().to_vec());
                }
                other => collect_file_names(other, names),
            }
        }
    }
}
