//! Looking at an image record by record, as it is written: for programs that show what stands there rather than what is
//! meant. Nothing is joined, hidden or renamed.

use crate::directory_record::{DIRECTORY, PARENT, ParsedRecord, SELF};
use crate::endian::{read16, read32};
use crate::options::VolumeTexts;
use crate::susp_area;
use crate::volume_descriptor::{BLOCK, FIRST_BLOCK, Kind, ParsedDescriptor};
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::{Error, Result};

/// The most descriptors that are looked at.
const MAX_DESCRIPTORS: u64 = 64;
/// The longest directory or path table that is read.
const MAX_LEN: u32 = 64 << 20;

/// Which hierarchy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Plain names.
    Plain,
    /// Plain names, with what Rock Ridge says of each record.
    RockRidge,
    /// Joliet.
    Joliet,
}

/// A directory record as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// The identifier, or the name that Rock Ridge gives; in Joliet big-endian UCS-2.
    pub name: Vec<u8>,
    /// First block.
    pub extent: u32,
    /// Bytes of the extent.
    pub len: u32,
    /// Year since 1900, month, day, hour, minute, second, quarters of an hour from Greenwich.
    pub date: [u8; 7],
    /// File flags (ECMA-119 9.1.6).
    pub flags: u8,
    /// What Rock Ridge says: mode with type bits, links, user, group.
    pub posix: Option<(u32, u32, u32, u32)>,
    /// The target of a symbolic link.
    pub target: Option<Vec<u8>>,
}

impl RawRecord {
    /// Whether the record is of a directory.
    pub fn is_directory(&self) -> bool {
        self.flags & DIRECTORY != 0
    }

    /// Whether it is the record of the directory itself, or of the one above.
    pub fn is_dot(&self) -> bool {
        self.name == SELF || self.name == PARENT
    }
}

/// An entry of the path table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPath {
    /// Number of the directory above, from 1.
    pub parent: u16,
    /// First block.
    pub extent: u32,
    /// The identifier.
    pub name: Vec<u8>,
}

/// The first entries of a boot catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBoot {
    /// Block of the catalogue.
    pub block: u32,
    /// The validation entry and the default entry, 32 bytes each.
    pub entries: [u8; 64],
}

/// An image that is looked at record by record.
#[derive(Debug)]
pub struct Inspection {
    storage: StorageRef,
    /// How many blocks are taken off every block number.
    shift: u32,
    primary: ParsedDescriptor,
    primary_block: Vec<u8>,
    joliet: Option<(ParsedDescriptor, Vec<u8>)>,
    boot_catalog: Option<u32>,
    is_1999: bool,
}

impl Inspection {
    /// Opens an image. `session` is the block at which its session starts in `storage`; block numbers in the image are
    /// counted from `origin`.
    ///
    /// # Errors
    /// Where there is no primary volume descriptor.
    pub fn open(storage: StorageRef, session: u32, origin: u32) -> Result<Self> {
        let mut primary = None;
        let mut joliet = None;
        let mut boot_catalog = None;
        let mut is_1999 = false;
        for index in 0..MAX_DESCRIPTORS {
            let offset = (u64::from(FIRST_BLOCK) + u64::from(session) + index) * BLOCK as u64;
            let Ok(bytes) = read_vec(storage.as_ref(), offset, BLOCK) else {
                break;
            };
            let Some(descriptor) = ParsedDescriptor::parse(&bytes) else {
                break;
            };
            match descriptor.kind {
                Kind::Primary if primary.is_none() => primary = Some((descriptor, bytes)),
                Kind::Joliet if joliet.is_none() => joliet = Some((descriptor, bytes)),
                Kind::Enhanced => is_1999 = true,
                Kind::Boot if bytes.get(7..30) == Some(b"EL TORITO SPECIFICATION") => {
                    boot_catalog = bytes.get(71..75).map(LittleEndian::read_u32);
                }
                Kind::Terminator => break,
                _ => {}
            }
        }
        let Some((primary, primary_block)) = primary else {
            return Err(Error::Corrupt {
                filesystem: format!("iso9660 on {}", storage.name()),
                detail: "no primary volume descriptor (CD001)".into(),
            });
        };
        Ok(Self {
            storage,
            shift: origin,
            primary,
            primary_block,
            joliet,
            boot_catalog,
            is_1999,
        })
    }

    /// The texts of the primary volume descriptor.
    pub fn texts(&self) -> &VolumeTexts {
        &self.primary.texts
    }

    /// Volumes in the set, number of this one, size of a block, blocks of the volume.
    pub fn numbers(&self) -> (u16, u16, u16, u32) {
        let small = |offset| read16(&self.primary_block, offset).unwrap_or(0);
        (
            small(120),
            small(124),
            self.primary.block_size,
            self.primary.blocks,
        )
    }

    /// The level of UCS-2 that Joliet says, from 1 to 3.
    pub fn joliet_level(&self) -> Option<u8> {
        let (_, block) = self.joliet.as_ref()?;
        match block.get(90)? {
            b'@' => Some(1),
            b'C' => Some(2),
            _ => Some(3),
        }
    }

    /// Whether there is an enhanced volume descriptor (ISO 9660:1999).
    pub fn is_1999(&self) -> bool {
        self.is_1999
    }

    /// Whether the root directory begins as Rock Ridge says.
    pub fn has_rock_ridge(&self) -> bool {
        self.skip().is_some()
    }

    /// The boot catalogue's first entries.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn boot(&self) -> Result<Option<RawBoot>> {
        let Some(block) = self.boot_catalog else {
            return Ok(None);
        };
        let mut entries = [0; 64];
        self.storage.read_at(self.offset(block), &mut entries)?;
        Ok(Some(RawBoot { block, entries }))
    }

    fn offset(&self, block: u32) -> u64 {
        u64::from(block.saturating_sub(self.shift)) * BLOCK as u64
    }

    fn descriptor(&self, view: View) -> Option<(&ParsedDescriptor, &[u8])> {
        match view {
            View::Joliet => self.joliet.as_ref().map(|(d, block)| (d, block.as_slice())),
            _ => Some((&self.primary, &self.primary_block)),
        }
    }

    fn skip(&self) -> Option<u8> {
        let bytes = read_vec(self.storage.as_ref(), self.offset(self.primary.root_extent), 256).ok()?;
        susp_area::skip_of(ParsedRecord::parse(&bytes)?.system_use)
    }

    /// Bytes of the file that the image is read from. All directories together cannot have more.
    pub fn file_size(&self) -> u64 {
        self.storage.size()
    }

    /// Block and length of the root directory of a hierarchy; `None` where there is no such hierarchy.
    pub fn root(&self, view: View) -> Option<(u32, u32)> {
        let (descriptor, _) = self.descriptor(view)?;
        Some((descriptor.root_extent, descriptor.root_len))
    }

    /// Block, length, and entries of a hierarchy's path table.
    ///
    /// # Errors
    /// When it cannot be read. Entries end where one is no entry.
    pub fn path_table(&self, view: View) -> Result<(u32, u32, Vec<RawPath>)> {
        let Some((_, block)) = self.descriptor(view) else {
            return Ok((0, 0, Vec::new()));
        };
        let len = read32(block, 132).unwrap_or(0);
        let start = block.get(140..144).map_or(0, LittleEndian::read_u32);
        let bytes = read_vec(
            self.storage.as_ref(),
            self.offset(start),
            self.bounded(len, start)?,
        )?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(name_len) = rest.first().filter(|len| **len > 0) {
            let name_len = usize::from(*name_len);
            let (Some(head), Some(name)) = (rest.get(..8), rest.get(8..8 + name_len)) else {
                break;
            };
            entries.push(RawPath {
                parent: LittleEndian::read_u16(head.get(6..8).unwrap_or(&[0; 2])),
                extent: LittleEndian::read_u32(head.get(2..6).unwrap_or(&[0; 4])),
                name: name.to_vec(),
            });
            rest = rest.get(8 + name_len.next_multiple_of(2)..).unwrap_or(&[]);
        }
        Ok((start, len, entries))
    }

    fn bounded(&self, len: u32, block: u32) -> Result<usize> {
        let offset = self.offset(block);
        if len > MAX_LEN || self.storage.check_range(offset, u64::from(len)).is_err() {
            return Err(Error::Corrupt {
                filesystem: format!("iso9660 on {}", self.storage.name()),
                detail: format!("{len} bytes at offset {offset} cannot be a directory or path table"),
            });
        }
        Ok(len as usize)
    }

    /// The records of a directory.
    ///
    /// # Errors
    /// When it cannot be read. Records end where one is no record.
    pub fn read_dir(&self, view: View, (extent, len): (u32, u32)) -> Result<Vec<RawRecord>> {
        let bytes = read_vec(
            self.storage.as_ref(),
            self.offset(extent),
            self.bounded(len, extent)?,
        )?;
        let skip = self.skip().filter(|_| view == View::RockRidge);
        let mut out = Vec::new();
        for sector in bytes.chunks(BLOCK) {
            let mut rest = sector;
            while let Some(found) = ParsedRecord::parse(rest).filter(|_| rest.first() != Some(&0)) {
                let record = &found.record;
                let mut raw = RawRecord {
                    name: record.identifier.to_vec(),
                    extent: record.extent,
                    len: record.len,
                    date: record.date,
                    flags: record.flags,
                    posix: None,
                    target: None,
                };
                if let Some(skip) = skip {
                    let is_root_self = out.is_empty() && Some(extent) == self.root(view).map(|r| r.0);
                    let skip = if is_root_self { 0 } else { skip };
                    let said = susp_area::read(&self.storage, BLOCK as u32, found.system_use, skip)?;
                    if let Some(name) = said.name.filter(|_| !raw.is_dot()) {
                        raw.name = name;
                    }
                    raw.posix = said.posix.map(|p| (p.mode, p.links, p.uid, p.gid));
                    raw.target = said.target;
                }
                out.push(raw);
                rest = rest.get(found.len..).unwrap_or(&[]);
            }
        }
        Ok(out)
    }

    /// Reads bytes of a record's extent, in pieces.
    ///
    /// # Errors
    /// What reading and `sink` give.
    pub fn stream(&self, record: &RawRecord, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut at = self.offset(record.extent);
        let mut left = u64::from(record.len);
        let mut buf = vec![0; 256 * 1024];
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(buf.len()).min(buf.len());
            let part = buf.get_mut(..n).unwrap_or_default();
            self.storage.read_at(at, part)?;
            sink(part)?;
            at += n as u64;
            left -= n as u64;
        }
        Ok(())
    }
}
