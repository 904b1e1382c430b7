//! Maps of sparse files: which ranges of a file an archive holds (GNU tar manual, "Storing Sparse Files").

/// The most ranges that a map may have.
pub(super) const MAX_RANGES: usize = 1 << 20;

/// Offset and length of ranges, as an archive says them.
pub(super) type Pairs = Vec<(u64, u64)>;

/// What extended headers say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// The format: with 1 the map stands before the contents.
    pub(super) major: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) pairs: Pairs,
    /// An offset that waits for its length.
    offset: Option<u64>,
}

impl Sparse {
    /// Takes an offset (format 0.0).
    pub(super) fn offset(&mut self, offset: u64) {
        self.offset = Some(offset);
    }

    /// Takes the length that belongs to the offset before it.
    pub(super) fn length(&mut self, len: u64) -> Result<(), String> {
        if self.pairs.len() >= MAX_RANGES {
            return Err("a sparse file's map is too long".into());
        }
        let offset = self.offset.take();
        let offset = offset.ok_or("a sparse file's map has a length without offset")?;
        self.pairs.push((offset, len));
        Ok(())
    }

    /// Takes a whole map: numbers between commas (format 0.1).
    pub(super) fn list(&mut self, value: &[u8]) -> Result<(), String> {
        let wrong = || "a sparse file's map is no list of numbers".to_owned();
        let text = std::str::from_utf8(value).map_err(|_| wrong())?;
        let mut numbers = Vec::new();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            numbers.push(word.parse::<u64>().map_err(|_| wrong())?);
            if numbers.len() > 2 * MAX_RANGES {
                return Err("a sparse file's map is too long".into());
            }
        }
        if !numbers.len().is_multiple_of(2) {
            return Err(wrong());
        }
        self.pairs = pairs(&numbers);
        Ok(())
    }
}

fn pairs(numbers: &[u64]) -> Pairs {
    let (pairs, _) = numbers.as_chunks::<2>();
    pairs.iter().map(|[offset, len]| (*offset, *len)).collect()
}

/// The map at the beginning of the contents (format 1.0): decimal numbers, a line each; how many pairs there are first.
#[derive(Debug, Default)]
pub(super) struct MapText {
    wanted: Option<usize>,
    numbers: Vec<u64>,
    digits: Vec<u8>,
}

impl MapText {
    /// Takes a block of it; the map where that was the last one.
    pub(super) fn take(&mut self, block: &[u8]) -> Result<Option<Pairs>, String> {
        for byte in block {
            if *byte != b'\n' {
                self.digits.push(*byte);
                if self.digits.len() > 20 {
                    return Err("a sparse file's map holds no numbers".into());
                }
                continue;
            }
            let text = std::str::from_utf8(&self.digits).ok();
            let number: Option<u64> = text.and_then(|text| text.parse().ok());
            let number = number.ok_or("a sparse file's map holds no numbers")?;
            self.digits.clear();
            if self.wanted.is_none() {
                let count = usize::try_from(number).ok().filter(|count| *count <= MAX_RANGES);
                self.wanted = Some(count.ok_or("a sparse file's map is too long")? * 2);
            } else {
                self.numbers.push(number);
            }
            if self.wanted == Some(self.numbers.len()) {
                return Ok(Some(pairs(&self.numbers)));
            }
        }
        Ok(None)
    }
}

/// Checks a map against the file's size, and against how many bytes the archive holds. Gives the ranges that are not empty: ascending, and apart.
pub(super) fn check(pairs: &[(u64, u64)], size: u64, stored: u64) -> Result<Pairs, String> {
    let mut map = Vec::with_capacity(pairs.len());
    let mut end = 0u64;
    let mut sum = 0u64;
    for (offset, len) in pairs {
        let after = offset
            .checked_add(*len)
            .filter(|after| *after <= size && *offset >= end);
        end =
            after.ok_or_else(|| format!("a sparse file's range at {offset} is out of order or too long"))?;
        sum = sum.saturating_add(*len);
        if *len > 0 {
            map.push((*offset, *len));
        }
    }
    if sum != stored {
        return Err(format!(
            "a sparse file's map holds {sum} bytes, the archive {stored}"
        ));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_all_formats() {
        let mut sparse = Sparse::default();
        sparse.list(b"0,512,4096,100").unwrap();
        assert_eq!(sparse.pairs, [(0, 512), (4096, 100)]);
        assert!(sparse.list(b"1").is_err() && sparse.list(b"1,x").is_err());
        assert!(sparse.length(5).is_err());
        let text = b"2\n0\n512\n4096\n100\n";
        for cut in 1..text.len() {
            let mut map = MapText::default();
            assert_eq!(map.take(&text[..cut]), Ok(None));
            let padded = [&text[cut..], &[0; 50]].concat();
            assert_eq!(map.take(&padded), Ok(Some(vec![(0, 512), (4096, 100)])));
        }
        assert_eq!(MapText::default().take(b"0\n"), Ok(Some(vec![])));
        for wrong in [&b"99999999999999999999\n"[..], b"x\n", &[0; 30]] {
            assert!(MapText::default().take(wrong).is_err());
        }
        assert_eq!(check(&[(0, 5), (10, 0)], 10, 5), Ok(vec![(0, 5)]));
        assert!(check(&[(5, 5), (0, 2)], 10, 7).is_err());
        assert!(check(&[(5, u64::MAX)], 10, 99).is_err());
        assert!(check(&[(0, 5)], 10, 4).is_err());
    }
}
