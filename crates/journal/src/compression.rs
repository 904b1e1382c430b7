//! Compressed payloads of data objects ("Journal File Format", "Data Objects").

use std::io::Read;

/// Flags of a data object.
const XZ: u8 = 1;
const LZ4: u8 = 1 << 1;
const ZSTD: u8 = 1 << 2;

/// The most bytes that a field may have once it is decompressed; journald itself takes up to 768 MiB.
pub(crate) const MAX_FIELD: usize = 16 << 20;

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
            let reader = lzma_rust2::XzReader::new_mem_limit(payload, false, 32 << 10);
            up_to(reader, limit)
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
            let mut whole = lz4_flex::block::decompress(block, size).map_err(|e| e.to_string())?;
            whole.truncate(limit);
            Ok(whole)
        }
        flags => Err(format!("several kinds of compression at once ({flags:#x})")),
    }
}

fn up_to(reader: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    reader
        .take(limit as u64)
        .read_to_end(&mut out)
        .map_err(|e| e.to_string())?;
    Ok(out)
}
