//! Header extensions (specification: "Header extensions").

use byteorder::{BigEndian, ByteOrder};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::be_u32;

/// Ends the list.
const END: u32 = 0;
/// Backing file format name.
const BACKING_FORMAT: u32 = 0xE279_2ACA;
/// Feature name table.
pub(crate) const FEATURE_NAMES: u32 = 0x6803_F857;
/// Bitmaps.
const BITMAPS: u32 = 0x2385_2875;
/// Full disk encryption header pointer.
const ENCRYPTION: u32 = 0x0537_BE77;
/// External data file name.
const DATA_FILE: u32 = 0x4441_5441;

/// One header extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    /// The format of the backing file (`raw`, `qcow2`).
    BackingFormat(Vec<u8>),
    /// The feature name table, as bytes.
    FeatureNames(Vec<u8>),
    /// Where the bitmap directory lies.
    Bitmaps(BitmapsExtension),
    /// Where the encryption header lies: offset and length in bytes.
    Encryption {
        /// Byte offset in the file.
        offset: u64,
        /// Length in bytes.
        length: u64,
    },
    /// Name of the external data file.
    DataFile(Vec<u8>),
    /// Anything else, kept as it is.
    Unknown {
        /// The extension's type.
        magic: u32,
        /// Its data.
        data: Vec<u8>,
    },
}

/// The bitmaps extension (specification: "Bitmaps extension").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitmapsExtension {
    /// Number of bitmaps.
    pub count: u32,
    /// Size of the bitmap directory in bytes.
    pub directory_size: u64,
    /// Byte offset of the bitmap directory.
    pub directory_offset: u64,
}

fn record(input: &[u8]) -> IResult<&[u8], (u32, &[u8])> {
    let (input, (magic, len)) = (be_u32, be_u32).parse(input)?;
    let (input, data) = take(len)(input)?;
    let padding = (len as usize).next_multiple_of(8) - len as usize;
    // The list may end right behind the data of its last record.
    let (input, _) = take(padding.min(input.len()))(input)?;
    Ok((input, (magic, data)))
}

impl Extension {
    /// Reads the list in `bytes`, which reaches from the end of the header to the backing file name or the end of
    /// the header cluster. `Err` gives the offset in `bytes` of the record that does not fit.
    pub fn parse_list(bytes: &[u8]) -> Result<Vec<Self>, usize> {
        let mut list = Vec::new();
        let mut rest = bytes;
        while rest.len() >= 8 {
            let at = bytes.len() - rest.len();
            if BigEndian::read_u32(rest) == END {
                break;
            }
            let (tail, (magic, data)) = record(rest).map_err(|_| at)?;
            list.push(Self::decode(magic, data).ok_or(at)?);
            rest = tail;
        }
        Ok(list)
    }

    fn decode(magic: u32, data: &[u8]) -> Option<Self> {
        Some(match magic {
            BACKING_FORMAT => Self::BackingFormat(data.to_vec()),
            FEATURE_NAMES => Self::FeatureNames(data.to_vec()),
            BITMAPS => {
                let data = data.get(..24)?;
                Self::Bitmaps(BitmapsExtension {
                    count: BigEndian::read_u32(data),
                    directory_size: BigEndian::read_u64(data.get(8..)?),
                    directory_offset: BigEndian::read_u64(data.get(16..)?),
                })
            }
            ENCRYPTION => {
                let data = data.get(..16)?;
                Self::Encryption {
                    offset: BigEndian::read_u64(data),
                    length: BigEndian::read_u64(data.get(8..)?),
                }
            }
            DATA_FILE => Self::DataFile(data.to_vec()),
            magic => Self::Unknown {
                magic,
                data: data.to_vec(),
            },
        })
    }

    /// Appends the record, padded to 8 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut fixed = [0u8; 24];
        let (magic, data): (u32, &[u8]) = match self {
            Self::BackingFormat(data) => (BACKING_FORMAT, data),
            Self::FeatureNames(data) => (FEATURE_NAMES, data),
            Self::Bitmaps(b) => {
                BigEndian::write_u32(&mut fixed[..4], b.count);
                BigEndian::write_u64(&mut fixed[8..16], b.directory_size);
                BigEndian::write_u64(&mut fixed[16..], b.directory_offset);
                (BITMAPS, &fixed)
            }
            Self::Encryption { offset, length } => {
                BigEndian::write_u64(&mut fixed[..8], *offset);
                BigEndian::write_u64(&mut fixed[8..16], *length);
                (ENCRYPTION, &fixed[..16])
            }
            Self::DataFile(data) => (DATA_FILE, data),
            Self::Unknown { magic, data } => (*magic, data),
        };
        out.extend_from_slice(&magic.to_be_bytes());
        out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(8), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_keeps_unknown_records() {
        let list = vec![
            Extension::BackingFormat(b"qcow2".to_vec()),
            Extension::Unknown {
                magic: 0x1234_5678,
                data: vec![1, 2, 3],
            },
            Extension::Bitmaps(BitmapsExtension {
                count: 2,
                directory_size: 64,
                directory_offset: 65536,
            }),
            Extension::DataFile(b"x.raw".to_vec()),
        ];
        let mut bytes = Vec::new();
        for e in &list {
            e.encode(&mut bytes);
        }
        bytes.extend_from_slice(&[0; 8]);
        assert_eq!(Extension::parse_list(&bytes).unwrap(), list);
    }

    #[test]
    fn record_longer_than_its_space_is_refused() {
        let mut bytes = vec![0xE2, 0x79, 0x2A, 0xCA, 0, 0, 0, 200];
        bytes.resize(64, 1);
        assert_eq!(Extension::parse_list(&bytes), Err(0));
    }
}
