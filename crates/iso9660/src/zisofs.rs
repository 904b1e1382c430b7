//! Files that are compressed block by block (zisofs version 1, by mkzftree): a header, a table of pointers, and one zlib
//! stream for each block; an empty one stands for zeroes.

use byteorder::{ByteOrder, LittleEndian};
use disksmith_vfs::Result;
use flate2::{Decompress, FlushDecompress, Status};

const MAGIC: [u8; 8] = [0x37, 0xE4, 0x53, 0x96, 0xC9, 0xDB, 0xD6, 0x07];
/// Bytes of the header that are defined.
const HEADER: usize = 16;
/// Block sizes from 32 KiB to 128 KiB are made; a little more is taken.
const BLOCK_BITS: std::ops::RangeInclusive<u8> = 12..=20;

/// The header of a file that is compressed block by block (zisofs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZisofsHeader {
    /// Length of the header in units of 4 bytes.
    pub header_words: u8,
    /// Binary logarithm of the block size.
    pub block_bits: u8,
    /// Size of the contents when decompressed, in bytes.
    pub size: u32,
}

impl ZisofsHeader {
    /// How many bytes [`parse`](Self::parse) looks at.
    pub const LEN: usize = HEADER;

    /// Reads the header at the start of a file; `None` where there is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let found = Self {
            header_words: *header.get(12)?,
            block_bits: *header.get(13)?,
            size: LittleEndian::read_u32(header.get(8..12)?),
        };
        let sane = header.starts_with(&MAGIC)
            && usize::from(found.header_words) * 4 >= HEADER
            && BLOCK_BITS.contains(&found.block_bits);
        sane.then_some(found)
    }
}

/// Reads the recorded bytes of the file: offset and where to.
type Fetch<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<()>;

/// Reads decompressed bytes; the inner error says what is wrong with the file.
pub(crate) fn read(
    recorded: u64,
    size: u64,
    offset: u64,
    buf: &mut [u8],
    fetch: Fetch<'_>,
) -> Result<std::result::Result<usize, String>> {
    let end = size.min(offset.saturating_add(buf.len() as u64));
    if offset >= end {
        return Ok(Ok(0));
    }
    let mut header = [0; HEADER];
    if recorded < HEADER as u64 {
        return Ok(Err(format!("{recorded} bytes are too few for a header")));
    }
    fetch(0, &mut header)?;
    let Some(ZisofsHeader {
        header_words,
        block_bits: bits,
        size: declared,
    }) = ZisofsHeader::parse(&header)
    else {
        return Ok(Err("its header is not one of zisofs".into()));
    };
    if u64::from(declared) != size {
        return Ok(Err(
            "its header gives another size than its directory record".into()
        ));
    }
    let block_size = 1u64 << bits;
    let mut done = 0;
    let mut at = offset;
    while at < end {
        let index = at / block_size;
        let mut pointers = [0; 8];
        let place = u64::from(header_words) * 4 + index * 4;
        if place + 8 > recorded {
            return Ok(Err(format!("the pointer of block {index} lies beyond its end")));
        }
        fetch(place, &mut pointers)?;
        let (from, to) = pointers.split_at(4);
        let (from, to) = (
            u64::from(LittleEndian::read_u32(from)),
            u64::from(LittleEndian::read_u32(to)),
        );
        let plain = block_size.min(size - index * block_size);
        if from > to || to > recorded || to - from > 2 * block_size + 1024 {
            return Ok(Err(format!("block {index} from {from} to {to} cannot be")));
        }
        let mut block = vec![0; plain as usize];
        if to > from {
            let mut packed = vec![0; (to - from) as usize];
            fetch(from, &mut packed)?;
            let mut inflate = Decompress::new(true);
            let status = inflate.decompress(&packed, &mut block, FlushDecompress::Finish);
            if !matches!(status, Ok(Status::StreamEnd)) || inflate.total_out() != plain {
                return Ok(Err(format!("block {index} cannot be decompressed")));
            }
        }
        let skip = (at % block_size) as usize;
        let n = (plain - skip as u64).min(end - at) as usize;
        if let (Some(to), Some(from)) = (buf.get_mut(done..done + n), block.get(skip..skip + n)) {
            to.copy_from_slice(from);
        }
        done += n;
        at += n as u64;
    }
    Ok(Ok(done))
}
