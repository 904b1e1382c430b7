//! Reading system use areas: the entries of a directory record and of its continuation areas, joined, and what Rock Ridge
//! says in them.

use crate::date;
use crate::endian::read32;
use crate::rock_ridge::{self, CONTINUES, CURRENT, PARENT, ROOT};
use disksmith_storage::{Result, StorageRef, read_vec};
use disksmith_vfs::{FileType, Timestamp};

/// The most continuation areas that are followed for one record; Linux follows 32.
const MAX_CONTINUATIONS: usize = 64;
/// The most bytes of all continuation areas of one record.
const MAX_AREAS: u32 = 128 * 1024;
/// The longest name or target that is put together.
const MAX_TEXT: usize = 64 * 1024;

/// What Rock Ridge says of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RockRidge {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) posix: Option<Posix>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) accessed: Option<Timestamp>,
    pub(crate) changed: Option<Timestamp>,
    /// Block of the directory that this entry stands in for (`CL`).
    pub(crate) child: Option<u32>,
    /// Block of the real parent (`PL`).
    pub(crate) parent: Option<u32>,
    /// The directory is here only because it was relocated (`RE`).
    pub(crate) relocated: bool,
    /// The file is compressed (`ZF`).
    pub(crate) zisofs: Option<Zisofs>,
}

/// A `PX` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posix {
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Posix {
    pub(crate) fn file_type(&self) -> Option<FileType> {
        rock_ridge::file_type(self.mode)
    }
}

/// A `ZF` entry with the algorithm `pz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zisofs {
    /// Size of the contents when decompressed.
    pub(crate) size: u32,
}

/// How many bytes of each system use area are to be skipped, if the root's first record has an `SP` entry (SUSP 5.3).
pub(crate) fn skip_of(system_use: &[u8]) -> Option<u8> {
    // CD-ROM XA puts 14 bytes before it.
    [0usize, 14].iter().find_map(|at| match system_use.get(*at..)? {
        [b'S', b'P', 7, 1, 0xBE, 0xEF, skip, ..] => Some(*skip),
        _ => None,
    })
}

/// Reads the entries of a record.
///
/// # Errors
/// A continuation area that lies outside the image, or cannot be read. What else is malformed ends the entries.
pub(crate) fn read(storage: &StorageRef, block_size: u32, system_use: &[u8], skip: u8) -> Result<RockRidge> {
    let mut out = RockRidge::default();
    let mut state = Texts::default();
    let mut area = system_use.get(usize::from(skip)..).unwrap_or(&[]).to_vec();
    let mut budget = MAX_CONTINUATIONS;
    let mut bytes = MAX_AREAS;
    loop {
        let next = entries(&area, &mut out, &mut state);
        let Some((block, offset, len)) = next else { break };
        if budget == 0 || len == 0 || len > bytes {
            break;
        }
        budget -= 1;
        bytes -= len;
        let start = u64::from(block) * u64::from(block_size) + u64::from(offset);
        area = read_vec(storage.as_ref(), start, len as usize)?;
    }
    if !state.name.is_empty() {
        out.name = Some(state.name);
    }
    if state.has_target {
        out.target = Some(state.target);
    }
    Ok(out)
}

/// Texts that several entries make up.
#[derive(Default)]
struct Texts {
    name: Vec<u8>,
    target: Vec<u8>,
    has_target: bool,
    /// A separator is due before the next component.
    separator: bool,
}

/// Takes in the entries of one area. Returns where they go on.
fn entries(area: &[u8], out: &mut RockRidge, texts: &mut Texts) -> Option<(u32, u32, u32)> {
    let mut rest = area;
    let mut next = None;
    while let [first, second, len, _version, ..] = rest {
        let len = usize::from(*len);
        let Some((entry, after)) = (len >= 4).then(|| rest.split_at_checked(len)).flatten() else {
            break;
        };
        let data = entry.get(4..).unwrap_or(&[]);
        match (*first, *second) {
            (b'C', b'E') => {
                if let (Some(block), Some(offset), Some(len)) =
                    (read32(data, 0), read32(data, 8), read32(data, 16))
                {
                    next = Some((block, offset, len));
                }
            }
            (b'S', b'T') => break,
            (b'N', b'M') => {
                if let [flags, name @ ..] = data
                    && flags & (CURRENT | PARENT) == 0
                    && texts.name.len() + name.len() <= MAX_TEXT
                {
                    texts.name.extend_from_slice(name);
                }
            }
            (b'P', b'X') => {
                if let (Some(mode), Some(links), Some(uid), Some(gid)) = (
                    read32(data, 0),
                    read32(data, 8),
                    read32(data, 16),
                    read32(data, 24),
                ) {
                    out.posix = Some(Posix {
                        mode,
                        links,
                        uid,
                        gid,
                    });
                }
            }
            (b'P', b'N') => out.device = read32(data, 0).zip(read32(data, 8)).map(rock_ridge::device),
            (b'T', b'F') => times(data, out),
            (b'S', b'L') => target(data, texts),
            (b'C', b'L') => out.child = read32(data, 0),
            (b'P', b'L') => out.parent = read32(data, 0),
            (b'R', b'E') => out.relocated = true,
            (b'Z', b'F') if data.starts_with(b"pz") => {
                out.zisofs = read32(data, 4).map(|size| Zisofs { size });
            }
            _ => {}
        }
        rest = after;
    }
    next
}

/// `TF` (P1282 4.1.6): the times that its flags name, in their order.
fn times(data: &[u8], out: &mut RockRidge) {
    let [flags, rest @ ..] = data else { return };
    let long = flags & 0x80 != 0;
    let mut rest = rest;
    let slots = [
        &mut out.created,
        &mut out.modified,
        &mut out.accessed,
        &mut out.changed,
    ];
    for (bit, slot) in slots.into_iter().enumerate() {
        if flags & (1 << bit) == 0 {
            continue;
        }
        let Some((time, after)) = rest.split_at_checked(if long { 17 } else { 7 }) else {
            return;
        };
        *slot = if long {
            date::decode_volume(time)
        } else {
            date::decode_record(time)
        };
        rest = after;
    }
}

/// `SL` (P1282 4.1.3): components of the target.
fn target(data: &[u8], texts: &mut Texts) {
    let [_flags, rest @ ..] = data else { return };
    texts.has_target = true;
    let mut rest = rest;
    while let [flags, len, after @ ..] = rest {
        let Some((content, after)) = after.split_at_checked(usize::from(*len)) else {
            return;
        };
        if texts.target.len() + content.len() + 3 > MAX_TEXT {
            return;
        }
        if std::mem::take(&mut texts.separator) {
            texts.target.push(b'/');
        }
        let kind = flags & (CURRENT | PARENT | ROOT);
        match kind {
            CURRENT => texts.target.push(b'.'),
            PARENT => texts.target.extend_from_slice(b".."),
            ROOT => texts.target.push(b'/'),
            _ => texts.target.extend_from_slice(content),
        }
        texts.separator = flags & CONTINUES == 0 && kind != ROOT;
        rest = after;
    }
}
