//! Access control lists as text (POSIX 1003.1e draft 17, 23.3.3, and acl(5)), as archives hold them, and as the kernel's attribute.

use crate::tree::Tree;
use std::collections::HashMap;

/// Tags of the kernel's form (`linux/posix_acl_xattr.h`).
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

/// The version of the kernel's form.
const VERSION: u32 = 2;

/// What stands for no identifier.
const NO_ID: u32 = u32::MAX;

/// The numbers of users and groups by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclNames {
    users: HashMap<Vec<u8>, u32>,
    groups: HashMap<Vec<u8>, u32>,
}

impl AclNames {
    /// Those of the texts of a passwd and a group file; lines that are none are passed over.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let read = |text: &[u8]| {
            let lines = text.split(|b| *b == b'\n').filter_map(|line| {
                let mut fields = line.split(|b| *b == b':');
                let name = fields.next()?.to_vec();
                let number = std::str::from_utf8(fields.nth(1)?).ok()?;
                Some((name, number.parse().ok()?))
            });
            lines.collect()
        };
        Self {
            users: read(passwd),
            groups: read(group),
        }
    }

    /// Those of a tree's own files; none where they cannot be read.
    pub(super) fn of(tree: &Tree) -> Self {
        let read = |path: &str| tree.read(path).unwrap_or_default();
        Self::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// The attribute (`system.posix_acl_access` or `system.posix_acl_default`) of a list as text: entries between commas or line ends, a
    /// number of a fourth field before a name. `None` for what is none, or holds names that are not known.
    pub fn attribute(&self, text: &[u8]) -> Option<Vec<u8>> {
        to_attribute(text, self)
    }
}

/// The text of an attribute: a line each, with numbers for users and groups. `None` for what is no list.
pub(super) fn from_attribute(value: &[u8]) -> Option<String> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let mut text = String::new();
    for entry in entries.chunks_exact(8) {
        let [t0, t1, p0, p1, i0, i1, i2, i3] = *entry else {
            return None;
        };
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let (tag, named) = match u16::from_le_bytes([t0, t1]) {
            USER_OBJ => ("user", false),
            USER => ("user", true),
            GROUP_OBJ => ("group", false),
            GROUP => ("group", true),
            MASK => ("mask", false),
            OTHER => ("other", false),
            _ => return None,
        };
        let bits = u16::from_le_bytes([p0, p1]);
        let letter = |bit: u16, letter: char| if bits & bit != 0 { letter } else { '-' };
        let id = if named { id.to_string() } else { String::new() };
        let permissions: String = [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')].iter().collect();
        text.push_str(&format!("{tag}:{id}:{permissions}\n"));
    }
    Some(text)
}

fn to_attribute(text: &[u8], names: &AclNames) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut entries = Vec::new();
    for line in text.split([',', '\n', '\0']) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let line = line.strip_prefix("default:").unwrap_or(line);
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        let (tag, name, permissions, id) = match fields.as_slice() {
            // mask and other may leave their empty field out
            [tag, permissions] => (*tag, "", *permissions, None),
            [tag, name, permissions] => (*tag, *name, *permissions, None),
            [tag, name, permissions, id, ..] => (*tag, *name, *permissions, Some(*id)),
            _ => return None,
        };
        let named = !name.is_empty();
        let tag = match (tag, named) {
            ("user" | "u", false) => USER_OBJ,
            ("user" | "u", true) => USER,
            ("group" | "g", false) => GROUP_OBJ,
            ("group" | "g", true) => GROUP,
            ("mask" | "m", _) => MASK,
            ("other" | "o", _) => OTHER,
            _ => return None,
        };
        let id: u32 = match tag {
            USER | GROUP => {
                let known = if tag == USER { &names.users } else { &names.groups };
                let number = id.and_then(|id| id.parse().ok()).or_else(|| name.parse().ok());
                number.or_else(|| known.get(name.as_bytes()).copied())?
            }
            _ => NO_ID,
        };
        let mut bits = 0u16;
        for letter in permissions.chars() {
            bits |= match letter {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                '-' => 0,
                _ => return None,
            };
        }
        entries.push((tag, id, bits));
    }
    if entries.is_empty() {
        return None;
    }
    // the order that the kernel asks for
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, bits) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&bits.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back() {
        let names = AclNames::parse(b"bob:x:1000:7::/:\nwrong", b"");
        let text = "user::rw-\nuser:1000:rwx\ngroup::r--\ngroup:7:--x\nmask::rwx\nother::---\n";
        let value = to_attribute(text.as_bytes(), &names).unwrap();
        assert_eq!(from_attribute(&value).unwrap(), text);
        // as bsdtar writes it, with the number behind the name
        let comma = "user::rw-,group::r--,mask::rwx,other::---,user:alice:rwx:1000,group:x:--x:7";
        assert_eq!(to_attribute(comma.as_bytes(), &names).unwrap(), value);
        let by_name = text.replace("1000", "bob");
        assert_eq!(to_attribute(by_name.as_bytes(), &names).unwrap(), value);
        for wrong in ["", "user:alice:rwx", "x::r--", "user::q", "user"] {
            assert!(to_attribute(wrong.as_bytes(), &names).is_none(), "{wrong}");
        }
        assert!(from_attribute(b"\x02\0\0\0\x03").is_none() && from_attribute(b"").is_none());
    }
}
