//! ISO 9660 (ECMA-119) and UDF (ECMA-167).

use super::{is_at, le16, le32, read};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::Storage;

const SECTOR: u64 = 2048;
/// Volume descriptors begin in sector 16; this many are looked at.
const FIRST: u64 = 16;
const MAX_DESCRIPTORS: u64 = 16;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    let at = |n: u64| (FIRST + n) * SECTOR;
    // Type 1 is the primary volume descriptor; volume identifier at 40, times of creation and of change at 813 and 830.
    let primary = (0..MAX_DESCRIPTORS).find(|n| is_at(storage, at(*n), b"\x01CD001"));
    if let Some(primary) = primary.map(at) {
        let name = read::<32>(storage, primary + 40)?;
        let len = name
            .iter()
            .rposition(|b| !matches!(b, b' ' | 0))
            .map_or(0, |last| last + 1);
        let label = name
            .get(..len)
            .filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec);
        let changed = read::<17>(storage, primary + 830).and_then(|time| time_text(&time));
        let created = read::<17>(storage, primary + 813).and_then(|time| time_text(&time));
        return Some(Probed {
            kind: Kind::Iso9660,
            label,
            uuid: changed.or(created),
        });
    }
    let is_udf = (0..MAX_DESCRIPTORS)
        .any(|n| is_at(storage, at(n) + 1, b"NSR02") || is_at(storage, at(n) + 1, b"NSR03"));
    is_udf.then(|| Probed {
        label: udf_label(storage),
        ..Probed::new(Kind::Udf)
    })
}

/// The logical volume's name (ECMA-167, part 3, 10.6, at 84) in the volume descriptors that the anchor in sector 256 points to.
fn udf_label(storage: &dyn Storage) -> Option<Vec<u8>> {
    const ANCHOR: u64 = 256;
    const LOGICAL_VOLUME: u16 = 6;
    const MAX_LENGTH: u64 = 64;
    // tag 2; length and first sector of the descriptors at 16
    (le16(storage, ANCHOR * SECTOR)? == 2).then_some(())?;
    let sectors = u64::from(le32(storage, ANCHOR * SECTOR + 16)?) / SECTOR;
    let first = u64::from(le32(storage, ANCHOR * SECTOR + 20)?);
    let at = (first..first + sectors.min(MAX_LENGTH))
        .map(|sector| sector * SECTOR)
        .find(|at| le16(storage, *at) == Some(LOGICAL_VOLUME))?;
    // the first byte says how many bits a character has, the last how many bytes are used
    let name = read::<128>(storage, at + 84)?;
    let used = usize::from(*name.last()?);
    let characters = name.get(1..used.min(127))?;
    let text = match name.first() {
        Some(8) => characters.iter().map(|byte| char::from(*byte)).collect(),
        Some(16) => {
            let units = characters.chunks_exact(2);
            let units = units.filter_map(|pair| pair.first_chunk().copied().map(u16::from_be_bytes));
            String::from_utf16_lossy(&units.collect::<Vec<_>>())
        }
        _ => return None,
    };
    (!text.is_empty()).then(|| text.into_bytes())
}

/// Sixteen digits as `YYYY-MM-DD-HH-MM-SS-CC`; `None` where they are none, or all zero.
fn time_text(time: &[u8; 17]) -> Option<String> {
    let digits = std::str::from_utf8(time.get(..16)?).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.bytes().all(|b| b == b'0') {
        return None;
    }
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at >= 4 && at % 2 == 0 {
            text.push('-');
        }
        text.push(digit);
    }
    Some(text)
}
