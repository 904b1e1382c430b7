//! Volume descriptors (ECMA-119 8): primary, supplementary (Joliet), enhanced (ISO 9660:1999), terminator.

use crate::date;
use crate::directory_record::{DIRECTORY, DirectoryRecord, SELF};
use crate::endian::{both16, both32, either32, read16, read32};
use crate::error::{Error, Result};
use crate::joliet_names;
use crate::options::VolumeTexts;
use byteorder::{BigEndian, ByteOrder, LittleEndian};
use disksmith_vfs::Timestamp;

/// Bytes of a descriptor, and of every logical block that is written.
pub(crate) const BLOCK: usize = 2048;
/// The block of the first descriptor.
pub(crate) const FIRST_BLOCK: u32 = 16;
/// Standard identifier of every descriptor.
pub(crate) const IDENTIFIER: &[u8; 5] = b"CD001";
const ESCAPE_OFFSET: usize = 88;
/// Escape sequence of Joliet level 3: UCS-2.
const JOLIET_LEVEL_3: &[u8; 3] = b"%/E";

/// The kind of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boot,
    Primary,
    /// Supplementary with a Joliet escape sequence.
    Joliet,
    /// Version 2 of the supplementary: ISO 9660:1999.
    Enhanced,
    Terminator,
    Other,
}

/// Where the parts of a hierarchy lie, and what its descriptor says.
#[derive(Debug, Clone)]
pub(crate) struct VolumeDescriptor<'a> {
    pub(crate) kind: Kind,
    pub(crate) texts: &'a VolumeTexts,
    pub(crate) blocks: u32,
    pub(crate) path_table_len: u32,
    pub(crate) path_table_little: u32,
    pub(crate) path_table_big: u32,
    pub(crate) root_extent: u32,
    pub(crate) root_len: u32,
    pub(crate) root_date: [u8; 7],
    pub(crate) time: Timestamp,
    /// Volumes in the set, and number of this one.
    pub(crate) volume_set: (u16, u16),
}

impl VolumeDescriptor<'_> {
    /// The descriptor as one block.
    ///
    /// # Errors
    /// A text that is too long or holds control characters.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = vec![0; BLOCK];
        let joliet = self.kind == Kind::Joliet;
        let (code, version) = match self.kind {
            Kind::Primary => (1, 1),
            Kind::Joliet => (2, 1),
            Kind::Enhanced => (2, 2),
            Kind::Boot => (0, 1),
            Kind::Terminator | Kind::Other => (255, 1),
        };
        put(&mut out, 0, &[code]);
        put(&mut out, 1, IDENTIFIER);
        put(&mut out, 6, &[version]);
        let texts = self.texts;
        let fields: [(usize, usize, &'static str, &str); 9] = [
            (8, 32, "system id", &texts.system_id),
            (40, 32, "volume id", &texts.volume_id),
            (190, 128, "volume set id", &texts.volume_set_id),
            (318, 128, "publisher", &texts.publisher),
            (446, 128, "preparer", &texts.preparer),
            (574, 128, "application", &texts.application),
            (702, 37, "copyright file", &texts.copyright_file),
            (739, 37, "abstract file", &texts.abstract_file),
            (776, 37, "bibliographic file", &texts.bibliographic_file),
        ];
        for (offset, len, field, value) in fields {
            if joliet {
                put(&mut out, offset, &joliet_names::descriptor_text(value, len));
            } else {
                put(&mut out, offset, &plain_text(field, value, len)?);
            }
        }
        if joliet {
            put(&mut out, ESCAPE_OFFSET, JOLIET_LEVEL_3);
        }
        put(&mut out, 80, &both32(self.blocks));
        put(&mut out, 120, &both16(self.volume_set.0));
        put(&mut out, 124, &both16(self.volume_set.1));
        put(&mut out, 128, &both16(BLOCK as u16));
        put(&mut out, 132, &both32(self.path_table_len));
        let mut location = [0; 4];
        LittleEndian::write_u32(&mut location, self.path_table_little);
        put(&mut out, 140, &location);
        BigEndian::write_u32(&mut location, self.path_table_big);
        put(&mut out, 148, &location);
        let mut root = Vec::with_capacity(34);
        DirectoryRecord {
            extent: self.root_extent,
            len: self.root_len,
            date: self.root_date,
            flags: DIRECTORY,
            identifier: SELF,
        }
        .encode(&[], &mut root);
        put(&mut out, 156, &root);
        put(&mut out, 813, &date::encode_volume(Some(self.time)));
        put(&mut out, 830, &date::encode_volume(Some(self.time)));
        put(&mut out, 847, &date::encode_volume(None));
        put(&mut out, 864, &date::encode_volume(Some(self.time)));
        put(&mut out, 881, &[if self.kind == Kind::Enhanced { 2 } else { 1 }]);
        if !joliet {
            // The application use field; genisoimage fills it so.
            put(&mut out, 883, &[b' '; 512]);
        }
        Ok(out)
    }

    /// The terminator of the descriptors (ECMA-119 8.3).
    pub(crate) fn terminator() -> Vec<u8> {
        let mut out = vec![0; BLOCK];
        put(&mut out, 0, &[255]);
        put(&mut out, 1, IDENTIFIER);
        put(&mut out, 6, &[1]);
        out
    }
}

/// A descriptor as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedDescriptor {
    pub(crate) kind: Kind,
    pub(crate) block_size: u16,
    pub(crate) blocks: u32,
    pub(crate) root_extent: u32,
    pub(crate) root_len: u32,
    /// Texts as they are recorded (big-endian UCS-2 in Joliet), decoded, without the spaces at the end.
    pub(crate) texts: VolumeTexts,
    pub(crate) created: Option<Timestamp>,
    pub(crate) modified: Option<Timestamp>,
    /// The modification date's digits, from which `blkid` makes the volume's UUID.
    pub(crate) date_digits: Option<[[u8; 16]; 2]>,
}

impl ParsedDescriptor {
    /// Reads a descriptor block; `None` where it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(1..6)? != IDENTIFIER {
            return None;
        }
        let escape = bytes.get(ESCAPE_OFFSET..ESCAPE_OFFSET + 3)?;
        let kind = match (*bytes.first()?, *bytes.get(6)?) {
            (0, _) => Kind::Boot,
            (1, _) => Kind::Primary,
            (2, 2) => Kind::Enhanced,
            (2, _) if matches!(escape, b"%/@" | b"%/C" | b"%/E") => Kind::Joliet,
            (255, _) => Kind::Terminator,
            _ => Kind::Other,
        };
        let text = |offset: usize, len: usize| -> String {
            let field = bytes.get(offset..offset + len).unwrap_or(&[]);
            let decoded = if kind == Kind::Joliet {
                let units: Vec<u16> = field.chunks_exact(2).map(BigEndian::read_u16).collect();
                String::from_utf16_lossy(&units)
            } else {
                String::from_utf8_lossy(field).into_owned()
            };
            decoded.trim_end_matches([' ', '\0']).into()
        };
        let digits = |offset: usize| -> Option<[u8; 16]> { bytes.get(offset..offset + 16)?.try_into().ok() };
        Some(Self {
            kind,
            block_size: read16(bytes, 128)?,
            blocks: either32(bytes, 80)?,
            root_extent: either32(bytes, 156 + 2)?,
            root_len: read32(bytes, 156 + 10)?,
            texts: VolumeTexts {
                system_id: text(8, 32),
                volume_id: text(40, 32),
                volume_set_id: text(190, 128),
                publisher: text(318, 128),
                preparer: text(446, 128),
                application: text(574, 128),
                copyright_file: text(702, 37),
                abstract_file: text(739, 37),
                bibliographic_file: text(776, 37),
            },
            created: bytes.get(813..830).and_then(date::decode_volume),
            modified: bytes.get(830..847).and_then(date::decode_volume),
            date_digits: digits(813).zip(digits(830)).map(|(c, m)| [c, m]),
        })
    }
}

/// Copies bytes to an offset of a block; all callers stay inside of it.
pub(crate) fn put(out: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(offset..offset + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

fn plain_text(field: &'static str, value: &str, len: usize) -> Result<Vec<u8>> {
    let fault = |reason: String| Error::VolumeText {
        field,
        value: value.into(),
        reason,
    };
    if value.len() > len {
        return Err(fault(format!(
            "{} bytes are more than the {len} that fit",
            value.len()
        )));
    }
    if value.chars().any(char::is_control) {
        return Err(fault("control characters cannot stand there".into()));
    }
    let mut out = value.as_bytes().to_vec();
    out.resize(len, b' ');
    Ok(out)
}
