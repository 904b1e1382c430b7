//! LVM2 physical volumes and LUKS containers.

use super::{is_at, label, read};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::{Storage, read_vec};

const SECTOR: u64 = 512;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    luks(storage).or_else(|| lvm2(storage))
}

/// LUKS1 and LUKS2 headers: version (big-endian) at 6, UUID as text at 168; LUKS2 has a label at 24.
fn luks(storage: &dyn Storage) -> Option<Probed> {
    is_at(storage, 0, b"LUKS\xba\xbe").then_some(())?;
    let version = u16::from_be_bytes(read(storage, 6)?);
    let text = label(&read::<40>(storage, 168)?);
    Some(Probed {
        kind: Kind::Luks,
        label: match version {
            2 => label(&read::<48>(storage, 24)?),
            _ => None,
        },
        uuid: text.and_then(|text| String::from_utf8(text).ok()),
    })
}

/// The label of a physical volume lies in one of the first four sectors: `LABELONE` at 0, offset of the rest at 20, `LVM2 001`
/// at 24. The rest begins with 32 characters of identifier, printed in groups of 6, 4, 4, 4, 4, 4, 6.
fn lvm2(storage: &dyn Storage) -> Option<Probed> {
    (0..4).map(|sector| sector * SECTOR).find_map(|at| {
        let header = read::<32>(storage, at)?;
        if !header.starts_with(b"LABELONE") || !header.ends_with(b"LVM2 001") {
            return None;
        }
        let offset = u64::from(u32::from_le_bytes(read(storage, at + 20)?));
        let id = read_vec(storage, at.checked_add(offset)?, 32).ok();
        let id = id
            .and_then(|id| String::from_utf8(id).ok())
            .filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric()));
        Some(Probed {
            uuid: id.map(|id| group(&id)),
            ..Probed::new(Kind::Lvm2Member)
        })
    })
}

fn group(id: &str) -> String {
    let mut grouped = String::new();
    for (at, c) in id.chars().enumerate() {
        if (6..=26).contains(&at) && (at - 6) % 4 == 0 {
            grouped.push('-');
        }
        grouped.push(c);
    }
    grouped
}
