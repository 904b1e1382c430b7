//! What the records of extended headers say of a member: the fields of its header over again, its attributes (star, GNU tar,
//! libarchive), and where its data belong.

use super::entry::TarEntry;
use super::sparse::Sparse;
use super::{acl_text, pax};
use crate::metadata::Timestamp;

/// Adds an attribute, in the place of one of the same name.
fn put_attribute(entry: &mut TarEntry, name: Vec<u8>, value: Vec<u8>) {
    entry.xattrs.retain(|(known, _)| *known != name);
    entry.xattrs.push((name, value));
}

/// Takes one record of an extended header; the error says what is wrong with it.
pub(super) fn apply(
    entry: &mut TarEntry,
    sparse: &mut Sparse,
    stored: &mut u64,
    has_ids: &mut (bool, bool),
    keyword: &[u8],
    value: &[u8],
) -> Result<(), String> {
    let named = || String::from_utf8_lossy(keyword).into_owned();
    let wrong = || {
        format!(
            "the record {} has the value {}",
            named(),
            String::from_utf8_lossy(value)
        )
    };
    let unsigned = || {
        let text = std::str::from_utf8(value).ok();
        text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(wrong)
    };
    let id = || unsigned().and_then(|n| u32::try_from(n).map_err(|_| wrong()));
    let time = || {
        let (seconds, nanoseconds) = pax::time(value).ok_or_else(wrong)?;
        Ok::<_, String>(Timestamp { seconds, nanoseconds })
    };
    match keyword {
        b"path" => entry.name = value.to_vec(),
        b"linkpath" => entry.link = value.to_vec(),
        b"size" => {
            *stored = unsigned()?;
            entry.size = *stored;
        }
        b"uid" => {
            entry.uid = id()?;
            has_ids.0 = true;
        }
        b"gid" => {
            entry.gid = id()?;
            has_ids.1 = true;
        }
        b"mtime" => entry.modified = time()?,
        b"atime" => entry.accessed = Some(time()?),
        b"SCHILY.devmajor" => entry.device.0 = id()?,
        b"SCHILY.devminor" => entry.device.1 = id()?,
        b"GNU.sparse.major" => sparse.major = Some(id()?),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => sparse.size = Some(unsigned()?),
        b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
        b"GNU.sparse.map" => sparse.list(value)?,
        b"GNU.sparse.offset" => sparse.offset(unsigned()?),
        b"GNU.sparse.numbytes" => sparse.length(unsigned()?)?,
        b"RHT.security.selinux" => {
            // the kernel keeps the NUL; archives do not
            let mut label = value.to_vec();
            if label.last() != Some(&0) {
                label.push(0);
            }
            put_attribute(entry, b"security.selinux".to_vec(), label);
        }
        b"SCHILY.acl.access" => entry.acl = Some(value.to_vec()),
        b"SCHILY.acl.default" => entry.default_acl = Some(value.to_vec()),
        _ => {
            // lists stand there in both forms, and are kept as text
            let list = match keyword.strip_prefix(b"SCHILY.xattr.system.posix_acl_") {
                Some(b"access") => Some(&mut entry.acl),
                Some(b"default") => Some(&mut entry.default_acl),
                _ => None,
            };
            if let Some(list) = list {
                if list.is_none() {
                    let text = acl_text::from_attribute(value).ok_or_else(wrong)?;
                    *list = Some(text.into_bytes());
                }
            } else if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
                put_attribute(entry, percent_decoded(name), value.to_vec());
            } else if let Some(name) = keyword.strip_prefix(b"LIBARCHIVE.xattr.") {
                // written beside the other one, which keeps every byte
                let name = percent_decoded(name);
                let is_list = name.starts_with(b"system.posix_acl_");
                if !is_list && !entry.xattrs.iter().any(|(known, _)| *known == name) {
                    let value = base64(value).ok_or_else(wrong)?;
                    entry.xattrs.push((name, value));
                }
            }
        }
    }
    Ok(())
}

/// `%3D` stands for a byte that a keyword cannot hold.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while let Some(byte) = name.get(at) {
        let hex = name.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let code = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.iter().filter(|b| !matches!(b, b'=' | b'\n')) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 & 0xff_ffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}
