//! POSIX ACLs: ext4's form on disk, and the form that `getxattr` and `setxattr` speak.
//!
//! Both are a version and entries of tag and permissions. On disk (version 1) only named users and groups have an id; in the other
//! form (version 2) every entry has one.

use crate::record::{le16, le32};

const DISK_VERSION: u32 = 1;
const WIRE_VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An entry of an access control list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// An access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl {
    entries: Vec<AclEntry>,
}

impl Acl {
    /// From the form on disk; `None` where it is damaged.
    pub(crate) fn from_disk(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 4 || le32(bytes, 0) != DISK_VERSION {
            return None;
        }
        let mut entries = Vec::new();
        let mut at = 4;
        while at < bytes.len() {
            let tag = le16(bytes, at);
            let named = matches!(tag, USER | GROUP);
            if !named && !matches!(tag, USER_OBJ | GROUP_OBJ | MASK | OTHER) {
                return None;
            }
            let len = if named { 8 } else { 4 };
            if at + len > bytes.len() {
                return None;
            }
            entries.push(AclEntry {
                tag,
                permissions: le16(bytes, at + 2),
                id: if named { le32(bytes, at + 4) } else { NO_ID },
            });
            at += len;
        }
        Some(Self { entries })
    }

    /// From the form of `setxattr`; `None` where it is no valid list.
    pub(crate) fn from_wire(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 4 || !(bytes.len() - 4).is_multiple_of(8) || le32(bytes, 0) != WIRE_VERSION {
            return None;
        }
        let entries: Vec<AclEntry> = bytes
            .get(4..)?
            .chunks_exact(8)
            .map(|e| AclEntry {
                tag: le16(e, 0),
                permissions: le16(e, 2),
                id: if matches!(le16(e, 0), USER | GROUP) {
                    le32(e, 4)
                } else {
                    NO_ID
                },
            })
            .collect();
        let acl = Self { entries };
        acl.is_valid().then_some(acl)
    }

    /// One owner, one group, one rest, in order; a mask where anybody is named.
    fn is_valid(&self) -> bool {
        let count = |tag| self.entries.iter().filter(|e| e.tag == tag).count();
        let named = count(USER) + count(GROUP) > 0;
        self.entries.is_sorted_by_key(|e| e.tag)
            && self.entries.iter().all(|e| {
                e.permissions & !7 == 0 && matches!(e.tag, USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER)
            })
            && count(USER_OBJ) == 1
            && count(GROUP_OBJ) == 1
            && count(OTHER) == 1
            && (count(MASK) == 1 || count(MASK) == 0 && !named)
    }

    /// To the form on disk.
    pub(crate) fn to_disk(&self) -> Vec<u8> {
        let mut bytes = DISK_VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            if matches!(entry.tag, USER | GROUP) {
                bytes.extend_from_slice(&entry.id.to_le_bytes());
            }
        }
        bytes
    }

    /// To the form of `getxattr`.
    pub(crate) fn to_wire(&self) -> Vec<u8> {
        let mut bytes = WIRE_VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    fn permissions(&self, tag: u16) -> Option<u16> {
        self.entries
            .iter()
            .find(|e| e.tag == tag)
            .map(|e| e.permissions & 7)
    }

    /// The nine permission bits that the list stands for, and whether they say all of it.
    pub(crate) fn mode(&self) -> (u16, bool) {
        let of = |tag| self.permissions(tag).unwrap_or(0);
        let group = self.permissions(MASK).unwrap_or_else(|| of(GROUP_OBJ));
        let plain = !self.entries.iter().any(|e| matches!(e.tag, USER | GROUP | MASK));
        (of(USER_OBJ) << 6 | group << 3 | of(OTHER), plain)
    }

    /// What a new file gets of its directory's default list, as POSIX.1e and the kernel have it: `mode` is what was asked
    /// for, without umask. Tells the mode that it has, and the list that it gets if permission bits do not say all of it.
    pub(crate) fn inherited(&self, mode: u16) -> (u16, Option<Self>) {
        let mut acl = self.clone();
        let group_tag = if acl.permissions(MASK).is_some() {
            MASK
        } else {
            GROUP_OBJ
        };
        for entry in &mut acl.entries {
            let asked = match entry.tag {
                USER_OBJ => mode >> 6 & 7,
                OTHER => mode & 7,
                tag if tag == group_tag => mode >> 3 & 7,
                _ => continue,
            };
            entry.permissions &= asked;
        }
        let (bits, plain) = acl.mode();
        (mode & !0o777 | bits, (!plain).then_some(acl))
    }

    /// Follows a change of the nine permission bits.
    pub(crate) fn set_mode(&mut self, mode: u16) {
        let group_tag = if self.permissions(MASK).is_some() {
            MASK
        } else {
            GROUP_OBJ
        };
        for entry in &mut self.entries {
            if entry.tag == USER_OBJ {
                entry.permissions = mode >> 6 & 7;
            } else if entry.tag == group_tag {
                entry.permissions = mode >> 3 & 7;
            } else if entry.tag == OTHER {
                entry.permissions = mode & 7;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let wire: Vec<u8> = [
            &2u32.to_le_bytes()[..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0, 255, 255, 255, 255],
            &[16, 0, 7, 0, 255, 255, 255, 255],
            &[32, 0, 0, 0, 255, 255, 255, 255],
        ]
        .concat();
        let acl = Acl::from_wire(&wire).unwrap();
        assert_eq!(acl.to_disk().len(), 4 + 4 * 4 + 8);
        let mut again = Acl::from_disk(&acl.to_disk()).unwrap();
        assert_eq!(again.to_wire(), wire);
        assert_eq!(again.mode(), (0o670, false));
        again.set_mode(0o751);
        assert_eq!(again.mode(), (0o751, false));
        assert_eq!(again.permissions(GROUP_OBJ), Some(4));
        assert!(Acl::from_wire(&wire[..12]).is_none());
        let (mode, list) = acl.inherited(0o1640);
        assert_eq!((mode, list.unwrap().mode()), (0o1640, (0o640, false)));
    }
}
