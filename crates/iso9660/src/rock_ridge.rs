//! The entries of the Rock Ridge Interchange Protocol 1.12 (IEEE P1282): POSIX names and attributes.

use crate::date;
use crate::endian::both32;
use crate::susp::{HEADER_LEN, MAX_ENTRY, SystemUse};
use crate::tree::Attributes;
use crate::zisofs::ZisofsHeader;
use disksmith_vfs::FileType;

/// Type bits of `st_mode`.
pub(crate) const S_IFMT: u32 = 0o170_000;
const S_IFSOCK: u32 = 0o140_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFREG: u32 = 0o100_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFIFO: u32 = 0o010_000;

/// Flag of `NM` and `SL` entries and of `SL` components: goes on in the next.
pub(crate) const CONTINUES: u8 = 0x01;
/// Flag of an `SL` component: the directory itself.
pub(crate) const CURRENT: u8 = 0x02;
/// Flag of an `SL` component: the directory above.
pub(crate) const PARENT: u8 = 0x04;
/// Flag of an `SL` component: the root.
pub(crate) const ROOT: u8 = 0x08;

/// The type bits of a kind of file.
pub(crate) fn type_bits(file_type: FileType) -> u32 {
    match file_type {
        FileType::Regular => S_IFREG,
        FileType::Directory => S_IFDIR,
        FileType::Symlink => S_IFLNK,
        FileType::CharDevice => S_IFCHR,
        FileType::BlockDevice => S_IFBLK,
        FileType::Fifo => S_IFIFO,
        FileType::Socket => S_IFSOCK,
    }
}

/// The kind of file that type bits say.
pub(crate) fn file_type(mode: u32) -> Option<FileType> {
    Some(match mode & S_IFMT {
        S_IFREG => FileType::Regular,
        S_IFDIR => FileType::Directory,
        S_IFLNK => FileType::Symlink,
        S_IFCHR => FileType::CharDevice,
        S_IFBLK => FileType::BlockDevice,
        S_IFIFO => FileType::Fifo,
        S_IFSOCK => FileType::Socket,
        _ => return None,
    })
}

/// `ER` of Rock Ridge, with the texts that P1282 4.3 prescribes.
pub(crate) fn push_er(out: &mut SystemUse) {
    out.push_er(
        "IEEE_P1282",
        "THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
        "PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, NJ, USA FOR THE P1282 SPECIFICATION.",
        1,
    );
}

/// `PX`: mode, links, owner, and the file's serial number (P1282 4.1.1).
pub(crate) fn push_px(
    out: &mut SystemUse,
    file_type: FileType,
    attributes: &Attributes,
    links: u32,
    serial: u32,
) {
    let mut data = [0; 40];
    let mode = type_bits(file_type) | u32::from(attributes.permissions & 0o7777);
    for (to, value) in data
        .chunks_exact_mut(8)
        .zip([mode, links, attributes.uid, attributes.gid, serial])
    {
        to.copy_from_slice(&both32(value));
    }
    out.push(*b"PX", &data);
}

/// `TF`: times of change of contents, access, change of metadata (P1282 4.1.6); in the long form where a year needs it.
pub(crate) fn push_tf(out: &mut SystemUse, attributes: &Attributes) {
    const MODIFY: u8 = 0x02;
    const ACCESS: u8 = 0x04;
    const ATTRIBUTES: u8 = 0x08;
    const LONG_FORM: u8 = 0x80;
    let times = [attributes.modified, attributes.accessed, attributes.changed];
    let mut data = vec![MODIFY | ACCESS | ATTRIBUTES];
    if times.iter().all(|t| date::fits_record(*t)) {
        data.extend(times.iter().flat_map(|t| date::encode_record(*t)));
    } else {
        data[0] |= LONG_FORM;
        data.extend(times.iter().flat_map(|t| date::encode_volume(Some(*t))));
    }
    out.push(*b"TF", &data);
}

/// `NM`: the name, in as many entries as it takes (P1282 4.1.4).
pub(crate) fn push_nm(out: &mut SystemUse, name: &[u8]) {
    const ROOM: usize = MAX_ENTRY - HEADER_LEN - 1;
    let mut pieces = name.chunks(ROOM).peekable();
    while let Some(piece) = pieces.next() {
        let mut data = vec![if pieces.peek().is_some() { CONTINUES } else { 0 }];
        data.extend_from_slice(piece);
        out.push(*b"NM", &data);
    }
}

/// `SL`: the target of a symbolic link, component by component (P1282 4.1.3).
///
/// Where the target takes several entries, each but the last ends in a component that goes on (an empty piece of it, if
/// need be): some readers lose the separator at the border otherwise.
pub(crate) fn push_sl(out: &mut SystemUse, target: &[u8]) {
    const ROOM: usize = MAX_ENTRY - HEADER_LEN - 1;
    const COMPONENT_HEADER: usize = 2;
    let mut entry: Vec<u8> = Vec::with_capacity(ROOM);
    let mut push = |entry: &mut Vec<u8>, continues: u8| {
        let mut data = vec![continues];
        data.append(entry);
        out.push(*b"SL", &data);
    };
    let components = target
        .split(|b| *b == b'/')
        .enumerate()
        .map(|(index, part)| match part {
            b"" if index == 0 && !target.is_empty() => (ROOT, &[][..]),
            b"." => (CURRENT, &[][..]),
            b".." => (PARENT, &[][..]),
            _ => (0, part),
        });
    // "/" alone splits in two empty parts, of which the first says it all.
    let count = if target == b"/" { 1 } else { usize::MAX };
    let mut components = components.take(count).peekable();
    while let Some((flags, mut content)) = components.next() {
        loop {
            let room = ROOM.saturating_sub(entry.len() + COMPONENT_HEADER);
            // A whole component must leave room for the header of a piece of the next, unless it is the last.
            let needed = content.len()
                + if components.peek().is_some() {
                    COMPONENT_HEADER
                } else {
                    0
                };
            if needed <= room {
                entry.extend_from_slice(&[flags, content.len() as u8]);
                entry.extend_from_slice(content);
                break;
            }
            let (now, later) = content.split_at(if flags == 0 { content.len().min(room) } else { 0 });
            entry.extend_from_slice(&[CONTINUES, now.len() as u8]);
            entry.extend_from_slice(now);
            content = later;
            push(&mut entry, CONTINUES);
        }
    }
    push(&mut entry, 0);
}

/// `PN`: a device number (P1282 4.1.2). Where 32 bits hold a Unix `dev_t` it stands in the low half, as the specification says
/// and readers expect; otherwise major and minor have a half each.
pub(crate) fn push_pn(out: &mut SystemUse, (major, minor): (u32, u32)) {
    let (high, low) = if (1..4096).contains(&major) && minor < 256 {
        (0, major << 8 | minor)
    } else {
        (major, minor)
    };
    let mut data = [0; 16];
    let (first, second) = data.split_at_mut(8);
    first.copy_from_slice(&both32(high));
    second.copy_from_slice(&both32(low));
    out.push(*b"PN", &data);
}

/// Major and minor of a `PN` entry.
pub(crate) fn device((high, low): (u32, u32)) -> (u32, u32) {
    if high == 0 && low > 0xFF {
        (low >> 8, low & 0xFF)
    } else {
        (high, low)
    }
}

/// `CL`: stands in for a directory that was relocated to `block` (P1282 4.1.5.1).
pub(crate) fn push_cl(out: &mut SystemUse, block: u32) {
    out.push(*b"CL", &both32(block));
}

/// `PL`: the real parent of a relocated directory is at `block` (P1282 4.1.5.2).
pub(crate) fn push_pl(out: &mut SystemUse, block: u32) {
    out.push(*b"PL", &both32(block));
}

/// `RE`: this directory is here only because it was relocated (P1282 4.1.5.3).
pub(crate) fn push_re(out: &mut SystemUse) {
    out.push(*b"RE", &[]);
}

/// `ZF`: the contents are compressed block by block (zisofs; no part of the standard).
pub(crate) fn push_zf(out: &mut SystemUse, header: ZisofsHeader) {
    let mut data = [0; 12];
    let (start, size) = data.split_at_mut(4);
    start.copy_from_slice(&[b'p', b'z', header.header_words, header.block_bits]);
    size.copy_from_slice(&both32(header.size));
    out.push(*b"ZF", &data);
}

#[cfg(test)]
mod tests;
