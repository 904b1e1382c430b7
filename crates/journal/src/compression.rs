//! Compressed payloads of data objects ("Journal File Format", "Data Objects").

use std::io::Read;

/// Flags of a data object.
const XZ: u8 = 1;
const LZ4: u8 = 1 << 1;
const ZSTD: u8 = 1 << 2;

/// The most bytes that a field may have once it is decompressed; journald itself takes up to 768 MiB.
pub(crate) const MAX_FIELD: usize = 16 << 20;

/// The most memory, in bytes, that a payload may ask for; journald compresses with the smallest preset.
const XZ_MEMORY: u64 = 32 << 20;

/// Whether a payload is compressed.
pub(crate) fn is_compressed(flags: u8) -> bool {
    flags & (XZ | LZ4 | ZSTD) != 0
}

/// The bytes of a payload, up to `limit`: what follows is not looked at. The error says what is wrong.
pub(crate) fn decompress(flags: u8, payload: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let limit = limit.min(MAX_FIELD);
    match flags & (XZ | LZ4 | ZSTD) {
        0 => Ok(payload.get(..limit).unwrap_or(payload).to_vec()),
        XZ => {
            let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(|e| e.to_string())?;
            up_to(xz2::bufread::XzDecoder::new_stream(payload, stream), limit)
        }
        ZSTD => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(payload).map_err(|e| e.to_string())?;
            // frames with larger windows are none that journald writes
            reader.window_log_max(25).map_err(|e| e.to_string())?;
            up_to(reader, limit)
        }
        LZ4 => {
            // the size, then a block without a frame
            let size = payload
                .get(..8)
                .and_then(|size| size.try_into().ok())
                .map(u64::from_le_bytes)
                .and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size <= MAX_FIELD)
                .ok_or("the size of the LZ4 data is missing, or too large")?;
            let block = payload.get(8..).unwrap_or_default();
            if limit < size {
                return lz4_beginning(block, limit).ok_or_else(|| "the LZ4 data is damaged".into());
            }
            lz4_flex::block::decompress(block, size).map_err(|e| e.to_string())
        }
        flags => Err(format!("several kinds of compression at once ({flags:#x})")),
    }
}

/// The first bytes of an LZ4 block (LZ4 Block Format Description): sequences of literals and of copies of what came before.
fn lz4_beginning(block: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit.min(4096));
    let mut rest = block;
    let length = |rest: &mut &[u8], start: u8| -> Option<usize> {
        let mut length = usize::from(start);
        if start == 15 {
            loop {
                let (byte, after) = rest.split_first()?;
                *rest = after;
                length = length.checked_add(usize::from(*byte))?;
                if *byte != 255 {
                    break;
                }
            }
        }
        Some(length)
    };
    while out.len() < limit {
        let Some((token, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        let literals = length(&mut rest, token >> 4)?;
        let wanted = literals.min(limit - out.len());
        out.extend_from_slice(rest.get(..wanted)?);
        if wanted < literals || out.len() == limit {
            break;
        }
        rest = rest.get(literals..)?;
        // the last sequence has literals only
        let Some((offset, after)) = rest.split_first_chunk::<2>() else {
            break;
        };
        rest = after;
        let distance = usize::from(u16::from_le_bytes(*offset));
        let copy = length(&mut rest, token & 15)?.checked_add(4)?;
        let from = out.len().checked_sub(distance).filter(|_| distance > 0)?;
        for at in from..from + copy.min(limit - out.len()) {
            out.push(*out.get(at)?);
        }
    }
    Some(out)
}

fn up_to(reader: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    reader
        .take(limit as u64)
        .read_to_end(&mut out)
        .map_err(|e| e.to_string())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_that_of_the_whole() {
        let plain: Vec<u8> = (0..5000u32)
            .flat_map(|n| [(n / 100) as u8, b'x', (n % 7) as u8])
            .collect();
        let block = lz4_flex::block::compress(&plain);
        for limit in [0, 1, 2, 15, 16, 17, 300, 4000, plain.len()] {
            assert_eq!(lz4_beginning(&block, limit).unwrap(), &plain[..limit]);
        }
        assert!(lz4_beginning(&[0xf0, 255], 100).is_none());
        assert!(lz4_beginning(&[0x10, b'a', 9, 9], 100).is_none());
        assert!(lz4_beginning(&[0x10, b'a', 0, 0], 100).is_none());
    }
}
