//! Reading a directory.

use crate::boot_sector::{BootSector, FatKind};
use crate::chain::Chain;
use crate::code_page::CodePage;
use crate::directory_entry::{ENTRY_LEN, ShortEntry, Slot};
use crate::fat_table::FatTable;
use crate::long_name::LongName;
use disksmith_storage::{Storage, read_vec};
use disksmith_vfs::{Result, check_name};

/// Bytes that a directory can have, as the specification says.
pub(crate) const MAX_LEN: u64 = 65_536 * ENTRY_LEN;

/// Where a directory's entries lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectoryPlace {
    /// The fixed area of a FAT12 or FAT16.
    FixedRoot,
    /// A chain of clusters.
    Chain(u32),
}

/// A file or directory in a directory.
#[derive(Debug, Clone)]
pub(crate) struct NamedEntry {
    /// The long name, or the short one where there is no long one.
    pub(crate) name: Vec<u8>,
    /// Which entry of the directory the short entry is.
    pub(crate) slot: u32,
    /// How many entries before it hold its long name.
    pub(crate) long_slots: u32,
    pub(crate) short: ShortEntry,
}

/// What a reader of a directory is given.
pub(crate) enum Found {
    /// 32 bytes before the end of the directory, and whether they are free. Comes before what they hold.
    Slot {
        free: bool,
    },
    /// An entry that cannot be shown.
    Unnamed,
    Label([u8; 11]),
    Entry(NamedEntry),
}

/// Gives all entries of a directory to `sink`, but `.` and `..`, until it says `false`. An entry whose name cannot be one is left out.
pub(crate) fn read_entries(
    storage: &dyn Storage,
    boot: &BootSector,
    table: &FatTable,
    (place, page): (DirectoryPlace, CodePage),
    sink: &mut dyn FnMut(Found) -> Result<bool>,
) -> Result<()> {
    let mut long = LongName::default();
    let mut first = 0;
    let mut scan = |offset: u64, len: u64| -> Result<bool> {
        let go_on = scan(storage, (boot.kind, page), (offset, len), first, &mut long, sink)?;
        first += u32::try_from(len / ENTRY_LEN).unwrap_or(u32::MAX);
        Ok(go_on)
    };
    match place {
        DirectoryPlace::FixedRoot => {
            scan(boot.root_offset, boot.root_len)?;
        }
        DirectoryPlace::Chain(first) => {
            let mut chain = Chain::new(table, boot, first)?;
            let mut len = 0;
            while let Some(cluster) = chain.next_cluster()? {
                len += u64::from(boot.cluster_len);
                if len > MAX_LEN.max(u64::from(boot.cluster_len)) {
                    return Err(crate::boot_sector::corrupt(format!(
                        "the directory at cluster {first} is larger than {MAX_LEN} bytes"
                    )));
                }
                if !scan(boot.cluster_offset(cluster), u64::from(boot.cluster_len))? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Reads one contiguous piece of a directory; `false` where the reading ends.
fn scan(
    storage: &dyn Storage,
    (kind, page): (FatKind, CodePage),
    (offset, len): (u64, u64),
    first: u32,
    long: &mut LongName,
    sink: &mut dyn FnMut(Found) -> Result<bool>,
) -> Result<bool> {
    // At most 512 KiB: a cluster, or 65,535 entries of a fixed root, which is 2 MiB.
    let bytes = read_vec(storage, offset, len as usize)?;
    for ((bytes, at), slot) in bytes
        .chunks_exact(ENTRY_LEN as usize)
        .zip((offset..).step_by(ENTRY_LEN as usize))
        .zip(first..)
    {
        let Some(bytes) = bytes.first_chunk::<32>() else {
            continue;
        };
        let parsed = Slot::parse(bytes, kind);
        if parsed != Slot::End {
            let free = parsed == Slot::Deleted;
            if !sink(Found::Slot { free })? {
                return Ok(false);
            }
        }
        let go_on = match parsed {
            Slot::End => false,
            Slot::LongName => {
                long.push(bytes);
                continue;
            }
            Slot::Deleted => true,
            Slot::Label(label) => sink(Found::Label(label))?,
            Slot::Entry(short) if short.is_dot() => true,
            Slot::Entry(short) => {
                let parts = long.parts();
                let long_name = long.take(&short.raw_name);
                let long_slots = if long_name.is_some() { parts } else { 0 };
                let long_name = long_name.filter(|name| check_name(name).is_ok());
                let name = long_name.unwrap_or_else(|| short.name(page));
                match check_name(&name) {
                    Ok(()) => sink(Found::Entry(NamedEntry {
                        name,
                        slot,
                        long_slots,
                        short,
                    }))?,
                    Err(error) => {
                        log::warn!(
                            "{}: directory entry at offset {at} left out: {error}",
                            storage.name()
                        );
                        sink(Found::Unnamed)?
                    }
                }
            }
        };
        long.clear();
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}
