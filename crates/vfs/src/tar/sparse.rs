//! Maps of sparse files: which ranges of a file an archive holds (GNU tar manual, "Storing Sparse Files").

/// The most ranges that a map may have.
pub(super) const MAX_RANGES: usize = 1 << 20;

/// Ranges of a file, ascending and apart: offset and length.
pub(super) type Map = Vec<(u64, u64)>;

/// Checks a map against the file's size, and against how many bytes the archive holds.
pub(super) fn check(pairs: &[(i64, i64)], size: u64, stored: u64) -> Result<Map, String> {
    let mut map = Vec::with_capacity(pairs.len());
    let mut end = 0u64;
    let mut sum = 0u64;
    for (offset, len) in pairs {
        let (Ok(offset), Ok(len)) = (u64::try_from(*offset), u64::try_from(*len)) else {
            return Err("a sparse file's map has a negative number".into());
        };
        let after = offset
            .checked_add(len)
            .filter(|after| *after <= size && offset >= end);
        end =
            after.ok_or_else(|| format!("a sparse file's range at {offset} is out of order or too long"))?;
        sum = sum.saturating_add(len);
        if len > 0 {
            map.push((offset, len));
        }
    }
    if sum != stored {
        return Err(format!(
            "a sparse file's map holds {sum} bytes, the archive {stored}"
        ));
    }
    Ok(map)
}

/// The map of format 0.1: numbers between commas.
pub(super) fn parse_list(value: &[u8]) -> Result<Vec<(i64, i64)>, String> {
    let wrong = || "a sparse file's map is no list of numbers".to_owned();
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let mut numbers = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        numbers.push(word.parse::<i64>().map_err(|_| wrong())?);
        if numbers.len() > 2 * MAX_RANGES {
            return Err("a sparse file's map is too long".into());
        }
    }
    let pairs = numbers.chunks(2).map(|pair| match pair {
        [offset, len] => Ok((*offset, *len)),
        _ => Err(wrong()),
    });
    pairs.collect()
}
