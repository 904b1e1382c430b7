//! Sparse members of tar archives, as GNU tar writes them: which parts of the file the archive holds, one behind the other.
//!
//! GNU tar manual, appendix "Storing Sparse Files": the old format in the header and extension headers, and the pax formats
//! 0.0 (`GNU.sparse.offset`, `GNU.sparse.numbytes`), 0.1 (`GNU.sparse.map`) and 1.0 (a map before the data).

use std::io::{self, Read};

/// A member with more parts than this is refused.
const MAX_PARTS: usize = 1 << 20;
const BLOCK: usize = 512;

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// Checks that parts ascend inside a file of `size` bytes, and that the `held` bytes of the archive are enough for them; empty ones, which mark its end, are left out.
pub(crate) fn checked(parts: Vec<(u64, u64)>, size: u64, held: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut end = 0;
    let mut left = held;
    let mut kept = Vec::with_capacity(parts.len());
    for (offset, len) in parts {
        let limit = offset
            .checked_add(len)
            .filter(|limit| *limit <= size && offset >= end);
        end = limit.ok_or_else(|| bad("its map of data makes no sense"))?;
        left = left
            .checked_sub(len)
            .ok_or_else(|| bad("its map tells of more data than it holds"))?;
        if len > 0 {
            kept.push((offset, len));
        }
    }
    Ok(kept)
}

/// Numbers that are offset and length by turns.
pub(crate) fn pairs(numbers: &[u64]) -> Vec<(u64, u64)> {
    let (pairs, _) = numbers.as_chunks::<2>();
    pairs.iter().map(|[offset, len]| (*offset, *len)).collect()
}

/// The map of format 0.1: numbers with commas between them.
pub(crate) fn from_text(text: &str) -> io::Result<Vec<(u64, u64)>> {
    let numbers: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
    let numbers = numbers.map_err(|_| bad("its map of data is no list of numbers"))?;
    Ok(pairs(&numbers))
}

/// The map of format 1.0, which stands before the data: how many parts, then offset and length of each, every number in a line of
/// its own, filled up to whole blocks. Gives the number of bytes that it takes too.
pub(crate) fn from_data(reader: &mut dyn Read) -> io::Result<(Vec<(u64, u64)>, u64)> {
    let mut block = [0u8; BLOCK];
    let mut at = BLOCK;
    let mut taken = 0u64;
    let mut number = || -> io::Result<u64> {
        let mut value = 0u64;
        loop {
            if at == BLOCK {
                reader.read_exact(&mut block)?;
                taken += BLOCK as u64;
                at = 0;
            }
            let byte = block.get(at).copied().unwrap_or(0);
            at += 1;
            match byte {
                b'0'..=b'9' => {
                    value = value
                        .checked_mul(10)
                        .and_then(|v| v.checked_add(u64::from(byte - b'0')))
                        .ok_or_else(|| bad("its map of data holds a number that is too large"))?;
                }
                b'\n' => return Ok(value),
                _ => return Err(bad("its map of data is no list of numbers")),
            }
        }
    };
    let count = usize::try_from(number()?)
        .ok()
        .filter(|count| *count <= MAX_PARTS);
    let count = count.ok_or_else(|| bad("its map of data is too long"))?;
    let mut parts = Vec::new();
    for _ in 0..count {
        parts.push((number()?, number()?));
    }
    Ok((parts, taken))
}

/// The extension headers of the old format: 21 parts each, and whether another follows. Gives the number of bytes that they take too.
pub(crate) fn from_extensions(reader: &mut dyn Read, parts: &mut Vec<(u64, u64)>) -> io::Result<u64> {
    let mut taken = 0;
    loop {
        let mut block = [0u8; BLOCK];
        reader.read_exact(&mut block)?;
        taken += BLOCK as u64;
        for pair in block.chunks_exact(24).take(21) {
            let (offset, len) = pair.split_at(12);
            if offset.first().is_none_or(|byte| *byte == 0) {
                break;
            }
            parts.push((header_number(offset)?, header_number(len)?));
        }
        if parts.len() > MAX_PARTS {
            return Err(bad("its map of data is too long"));
        }
        if block.get(504) != Some(&1) {
            return Ok(taken);
        }
    }
}

/// A number of a header: octal digits, or, where the highest bit is set, big-endian bytes.
pub(crate) fn header_number(field: &[u8]) -> io::Result<u64> {
    let wrong = || bad("its map of data holds no number");
    match field.first() {
        Some(byte) if byte & 0x80 != 0 => field
            .iter()
            .enumerate()
            .try_fold(0u64, |value, (i, byte)| {
                let byte = if i == 0 { byte & 0x7f } else { *byte };
                value.checked_mul(256)?.checked_add(byte.into())
            })
            .ok_or_else(wrong),
        _ => {
            let text = std::str::from_utf8(field).map_err(|_| wrong())?;
            let text = text.trim_matches(['\0', ' ']);
            u64::from_str_radix(text, 8).map_err(|_| wrong())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_all_formats() {
        assert_eq!(from_text("0,512,4096,100").unwrap(), [(0, 512), (4096, 100)]);
        let mut data = b"2\n0\n512\n4096\n100\n".to_vec();
        data.resize(512, 0);
        assert_eq!(
            from_data(&mut data.as_slice()).unwrap(),
            (vec![(0, 512), (4096, 100)], 512)
        );
        assert!(from_data(&mut &b"99999999999999999999\n"[..]).is_err());
        assert_eq!(header_number(b"00000001000\0").unwrap(), 512);
        assert_eq!(
            header_number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]).unwrap(),
            2 << 32
        );
        assert_eq!(checked(vec![(0, 5), (10, 0)], 10, 5).unwrap(), [(0, 5)]);
        assert!(checked(vec![(5, 5), (0, 2)], 10, 99).is_err());
        assert!(checked(vec![(5, u64::MAX)], 10, 99).is_err());
        assert!(checked(vec![(0, 5)], 10, 4).is_err());
    }
}
