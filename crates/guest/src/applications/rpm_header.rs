//! Package headers as rpm's databases hold them (rpm's manual, "RPM v4 Header", without its magic number): the number of index
//! entries and the length of the data store, then the entries (tag, type, offset, count), then the data. All big-endian.

use super::database_file::be32;
use super::{Application, text};

/// Tags (rpm's manual, "RPM tags").
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const SUMMARY: u32 = 1004;
const DESCRIPTION: u32 = 1005;
const URL: u32 = 1020;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;

const INTRO_LEN: usize = 8;
const ENTRY_LEN: usize = 16;

/// Types of values.
const TYPE_INT32: u32 = 4;
const TYPE_STRING: u32 = 6;
const TYPE_STRING_ARRAY: u32 = 8;
const TYPE_I18N_STRING: u32 = 9;

/// How many entries a header can have: rpm refuses more.
const MAX_ENTRIES: usize = 0xffff;

/// The longest value that is looked at, in bytes.
const MAX_VALUE: usize = 1 << 20;

/// What came of the beginning of a header.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The package.
    Package(Box<Application>),
    /// More bytes are needed: so many in all.
    Needs(usize),
    /// What is wrong with it.
    Damaged(String),
}

/// Reads the package of a header of which the first bytes are at hand; `whole` is the header's length.
pub(super) fn parse(bytes: &[u8], whole: usize) -> Parsed {
    let (Some(entries), Some(store)) = (be32(bytes, 0), be32(bytes, 4)) else {
        return Parsed::Damaged(format!("a header of {} bytes", bytes.len()));
    };
    let (entries, store) = (entries as usize, store as usize);
    let data = match entries
        .checked_mul(ENTRY_LEN)
        .and_then(|n| n.checked_add(INTRO_LEN))
    {
        Some(data) if entries <= MAX_ENTRIES => data,
        _ => return Parsed::Damaged(format!("a header of {entries} entries")),
    };
    if data.checked_add(store).is_none_or(|end| end > whole) {
        return Parsed::Damaged(format!(
            "a header of {entries} entries and {store} bytes of data in {whole} bytes"
        ));
    }
    if bytes.len() < data {
        return Parsed::Needs(data);
    }
    let mut package = Application::default();
    let mut needed = 0;
    let index = bytes.get(INTRO_LEN..data).unwrap_or_default();
    for entry in index.chunks_exact(ENTRY_LEN) {
        let [Some(tag), Some(kind), Some(offset), Some(count)] = [0, 4, 8, 12].map(|at| be32(entry, at))
        else {
            continue;
        };
        let wanted = matches!(
            tag,
            NAME | VERSION | RELEASE | EPOCH | SUMMARY | DESCRIPTION | URL | ARCH | SOURCE_RPM
        );
        if !wanted || count == 0 {
            continue;
        }
        let offset = offset as usize;
        if offset >= store {
            return Parsed::Damaged(format!("tag {tag} at {offset} of {store} bytes of data"));
        }
        let value = bytes.get(data.saturating_add(offset)..).unwrap_or_default();
        let value = value.get(..store - offset).unwrap_or(value);
        match (tag, kind) {
            (EPOCH, TYPE_INT32) => match be32(value, 0) {
                Some(epoch) => package.epoch = epoch.cast_signed(),
                None => needed = needed.max(data + offset + 4),
            },
            (_, TYPE_STRING | TYPE_STRING_ARRAY | TYPE_I18N_STRING) => {
                match value.iter().take(MAX_VALUE).position(|b| *b == 0) {
                    Some(end) => set(&mut package, tag, value.get(..end).unwrap_or_default()),
                    None if bytes.len() < whole && value.len() < MAX_VALUE => {
                        // how long it is shows only when it is there
                        needed = needed.max(bytes.len().saturating_mul(2).max(data + offset + 4096));
                    }
                    None => return Parsed::Damaged(format!("tag {tag} has no end")),
                }
            }
            _ => return Parsed::Damaged(format!("tag {tag} is of type {kind}")),
        }
    }
    if needed > 0 && bytes.len() < whole {
        return Parsed::Needs(needed.min(whole));
    }
    if package.name.is_empty() {
        return Parsed::Damaged("a header without name".into());
    }
    Parsed::Package(Box::new(package))
}

fn set(package: &mut Application, tag: u32, value: &[u8]) {
    let field = match tag {
        NAME => &mut package.name,
        VERSION => &mut package.version,
        RELEASE => &mut package.release,
        SUMMARY => &mut package.summary,
        DESCRIPTION => &mut package.description,
        URL => &mut package.url,
        ARCH => &mut package.arch,
        SOURCE_RPM => &mut package.source_package,
        _ => return,
    };
    *field = text(value);
}
