//! What FAT knows of a file besides what every filesystem knows: short names, attribute bits, the label, the serial number.

use crate::boot_sector::{FatKind, NO_NAME};
use crate::directory::DirectoryPlace;
use crate::directory_entry::{ENTRY_LEN, LOWER_BASE, LOWER_EXTENSION, RawEntry, ShortEntry, Slot};
use crate::file_system::{Fat, Inode, ROOT};
use crate::format::encode_label;
use disksmith_vfs::{Error, InodeNo, Result, Timestamp};

/// The attribute bits of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub u8);

impl Attributes {
    /// It may only be read.
    pub const READ_ONLY: Self = Self(0x01);
    /// It is not shown.
    pub const HIDDEN: Self = Self(0x02);
    /// It belongs to the system.
    pub const SYSTEM: Self = Self(0x04);
    /// It is a directory.
    pub const DIRECTORY: Self = Self(0x10);
    /// It was changed since the last backup.
    pub const ARCHIVE: Self = Self(0x20);

    /// Whether it has all bits of another.
    pub fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryDetails {
    /// The number of the file; that of `.` and `..` is of no use.
    pub inode: InodeNo,
    /// The name: the long one, or the short one where there is no long one.
    pub name: Vec<u8>,
    /// Whether it has a long name.
    pub has_long_name: bool,
    /// What the short name has before its dot, in the case that the entry asks for.
    pub short_base: String,
    /// What the short name has behind its dot.
    pub short_extension: String,
    /// Its attribute bits.
    pub attributes: Attributes,
    /// Size in bytes; 0 for a directory.
    pub size: u32,
    /// When it was made, as UTC.
    pub created: Timestamp,
    /// When it was changed last, as UTC.
    pub modified: Timestamp,
    /// The first cluster; 0 where there is none.
    pub first_cluster: u32,
}

impl EntryDetails {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.attributes.has(Attributes::DIRECTORY)
    }

    /// The short name with its dot.
    pub fn short_name(&self) -> String {
        match self.short_extension.is_empty() {
            true => self.short_base.clone(),
            false => format!("{}.{}", self.short_base, self.short_extension),
        }
    }
}

impl Fat {
    /// Everything in a directory, in the order in which it lies; without label, `.` and `..`.
    ///
    /// # Errors
    /// [`Error::NotADirectory`]; those of reading.
    pub fn details(&self, dir: InodeNo) -> Result<Vec<EntryDetails>> {
        let _reading = self.reading();
        self.with_listing(dir, |listing| {
            let mut all = Vec::new();
            for (slot, item) in listing.items() {
                let offset = listing.offset(&self.boot, slot)?;
                let Some(short) = self.short_entry(offset)? else {
                    continue;
                };
                let inode = self.number(offset);
                if item.is_dir {
                    self.note_parent(inode, dir);
                }
                all.push(self.describe_entry(inode, item.name.clone(), item.long_slots > 0, &short));
            }
            Ok(all)
        })
    }

    /// What a directory says of itself and of its parent; nothing in the root directory.
    ///
    /// # Errors
    /// As [`details`](Self::details).
    pub fn dot_details(&self, dir: InodeNo) -> Result<Vec<EntryDetails>> {
        let _reading = self.reading();
        let DirectoryPlace::Chain(first) = self.directory(dir)? else {
            return Ok(Vec::new());
        };
        if dir == ROOT || !self.boot.has_cluster(first) {
            return Ok(Vec::new());
        }
        let start = self.boot.cluster_offset(first);
        let mut all = Vec::new();
        for (at, name) in [(start, "."), (start + ENTRY_LEN, "..")] {
            if let Some(short) = self.short_entry(at)?.filter(ShortEntry::is_dot) {
                all.push(self.describe_entry(dir, name.into(), false, &short));
            }
        }
        Ok(all)
    }

    /// One file or directory, which is not the root.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn entry_details(&self, dir: InodeNo, name: &[u8]) -> Result<EntryDetails> {
        let _reading = self.reading();
        self.with_listing(dir, |listing| {
            let not_found = || Error::NotFound {
                path: String::from_utf8_lossy(name).into_owned(),
            };
            let (slot, item) = listing.find(name).ok_or_else(not_found)?;
            let offset = listing.offset(&self.boot, slot)?;
            let short = self.short_entry(offset)?.ok_or_else(not_found)?;
            let inode = self.number(offset);
            if item.is_dir {
                self.note_parent(inode, dir);
            }
            Ok(self.describe_entry(inode, item.name.clone(), item.long_slots > 0, &short))
        })
    }

    fn short_entry(&self, offset: u64) -> Result<Option<ShortEntry>> {
        let mut bytes = [0; 32];
        self.storage.read_at(offset, &mut bytes)?;
        Ok(match Slot::parse(&bytes, self.boot.kind) {
            Slot::Entry(entry) => Some(entry),
            _ => None,
        })
    }

    fn describe_entry(&self, inode: InodeNo, name: Vec<u8>, long: bool, short: &ShortEntry) -> EntryDetails {
        let (short_base, short_extension) = short.parts(self.code_page);
        EntryDetails {
            inode,
            name,
            has_long_name: long,
            short_base,
            short_extension,
            attributes: Attributes(short.attributes),
            size: short.size,
            created: short.created,
            modified: short.modified,
            first_cluster: short.first_cluster,
        }
    }

    /// How many clusters a file or directory has.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where its chain is broken.
    pub fn cluster_count(&self, inode: InodeNo) -> Result<u32> {
        let _reading = self.reading();
        let first = match self.inode(inode)? {
            Inode::Root => self.boot.root_cluster,
            Inode::Entry(entry, _) => entry.first_cluster,
        };
        Ok(self.fragments(inode, first)?.clusters())
    }

    /// Sets read-only, hidden, system and archive bits as they are given.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the root directory, which has none.
    pub fn set_attributes(&self, inode: InodeNo, attributes: Attributes) -> Result<()> {
        self.operate(|_| match self.inode(inode)? {
            Inode::Root => Err(self.cannot("attributes of the root directory")),
            Inode::Entry(_, offset) => self.change_entry(offset, |entry| entry.set_attributes(attributes.0)),
        })
    }

    /// The label of the root directory, padded with blanks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn root_label(&self) -> Result<Option<String>> {
        let _reading = self.reading();
        let found = self.find_label()?;
        let Some((_, label)) = found else {
            return Ok(None);
        };
        Ok(Some(
            label.iter().map(|byte| self.code_page.decode(*byte)).collect(),
        ))
    }

    fn find_label(&self) -> Result<Option<(u64, [u8; 11])>> {
        self.with_listing(ROOT, |listing| {
            for slot in 0..listing.used_slots() {
                let offset = listing.offset(&self.boot, slot)?;
                let mut bytes = [0; 32];
                self.storage.read_at(offset, &mut bytes)?;
                if let Slot::Label(label) = Slot::parse(&bytes, self.boot.kind) {
                    return Ok(Some((offset, label)));
                }
            }
            Ok(None)
        })
    }

    /// Sets or removes the label, in the root directory and in the boot sectors.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for what cannot be one; [`Error::NoSpace`] where the root directory is full.
    pub fn set_label(&self, label: Option<&str>, time: Timestamp) -> Result<()> {
        let padded = label
            .map(|label| encode_label(label, self.code_page))
            .transpose()?;
        self.operate(|operation| {
            match (self.find_label()?, &padded) {
                (Some((offset, _)), Some(label)) => {
                    self.storage.write_at(offset, &RawEntry::label(label, time).0)?;
                }
                (Some((offset, _)), None) => {
                    self.storage.write_at(offset, &[0xe5])?;
                    self.forget_all();
                }
                (None, Some(label)) => {
                    let entry = RawEntry::label(label, time);
                    let mut listing = self.take_listing(ROOT)?;
                    self.append(operation, &mut listing, &[entry.0])?;
                    self.put_listing(ROOT, listing);
                }
                (None, None) => {}
            }
            let extended = self.extended_fields();
            self.write_boot(extended + 7, padded.as_ref().unwrap_or(NO_NAME))
        })
    }

    /// Sets the serial number.
    ///
    /// # Errors
    /// Those of writing.
    pub fn set_serial(&self, serial: u32) -> Result<()> {
        self.operate(|_| self.write_boot(self.extended_fields() + 3, &serial.to_le_bytes()))
    }

    /// Where the extended fields of the boot sector begin.
    fn extended_fields(&self) -> u64 {
        match self.boot.kind {
            FatKind::Fat32 => 64,
            _ => 36,
        }
    }

    /// Writes bytes of the boot sector, and of the second one where there is one.
    fn write_boot(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.storage.write_at(offset, bytes)?;
        if self.boot.kind != FatKind::Fat32 {
            return Ok(());
        }
        let mut sector = [0; 2];
        self.storage.read_at(50, &mut sector)?;
        let at = u64::from(u16::from_le_bytes(sector)) * u64::from(self.boot.sector_len);
        if at == 0 || at >= self.boot.fat_offset {
            return Ok(());
        }
        // Only what is a boot sector of this filesystem is one.
        let (mut first, mut second) = ([0; 36], [0; 36]);
        self.storage.read_at(0, &mut first)?;
        self.storage.read_at(at, &mut second)?;
        if first == second {
            self.storage.write_at(at + offset, bytes)?;
        }
        Ok(())
    }
}

impl ShortEntry {
    /// The two parts of the name, in the case that the entry asks for.
    fn parts(&self, page: crate::code_page::CodePage) -> (String, String) {
        let (base, extension) = self.raw_name.split_at(8);
        (
            crate::directory_entry::decode(base, self.case & LOWER_BASE != 0, page),
            crate::directory_entry::decode(extension, self.case & LOWER_EXTENSION != 0, page),
        )
    }
}
