//! Bit operations over a bitmap block: bit 0 is the lowest bit of byte 0.

/// Reads the 64 bits from bit `word * 64`; bits beyond the end read as set.
fn word_at(bitmap: &[u8], word: usize) -> u64 {
    let start = word * 8;
    match bitmap.get(start..start + 8) {
        Some(bytes) => u64::from_le_bytes(crate::record::get_array(bytes, 0)),
        None => {
            let mut bytes = [0xffu8; 8];
            for (to, from) in bytes.iter_mut().zip(bitmap.get(start..).unwrap_or(&[])) {
                *to = *from;
            }
            u64::from_le_bytes(bytes)
        }
    }
}

/// Whether a bit is set; bits beyond the end are.
pub(crate) fn is_set(bitmap: &[u8], bit: u32) -> bool {
    bitmap
        .get((bit / 8) as usize)
        .is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
}

fn find(bitmap: &[u8], from: u32, end: u32, invert: u64) -> u32 {
    let mut bit = from;
    while bit < end {
        let shift = bit % 64;
        let word = (word_at(bitmap, (bit / 64) as usize) ^ invert) >> shift;
        if word != 0 {
            return bit.saturating_add(word.trailing_zeros()).min(end);
        }
        bit += 64 - shift;
    }
    end
}

/// The first clear bit in `from..end`; `end` where there is none.
pub(crate) fn next_clear(bitmap: &[u8], from: u32, end: u32) -> u32 {
    find(bitmap, from, end, u64::MAX)
}

/// The first set bit in `from..end`; `end` where there is none.
pub(crate) fn next_set(bitmap: &[u8], from: u32, end: u32) -> u32 {
    find(bitmap, from, end, 0)
}

/// Sets (`on`) or clears the bits `from..end`; bits beyond the end of the bitmap are ignored.
pub(crate) fn fill(bitmap: &mut [u8], from: u32, end: u32, on: bool) {
    let mut bit = from;
    while bit < end {
        if bit.is_multiple_of(8) && end - bit >= 8 {
            let (a, b) = ((bit / 8) as usize, (end / 8) as usize);
            let b = b.min(bitmap.len());
            if let Some(bytes) = bitmap.get_mut(a..b) {
                bytes.fill(if on { 0xff } else { 0 });
            }
            bit = end / 8 * 8;
            continue;
        }
        if let Some(byte) = bitmap.get_mut((bit / 8) as usize) {
            if on {
                *byte |= 1 << (bit % 8);
            } else {
                *byte &= !(1 << (bit % 8));
            }
        }
        bit += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_array(ops in prop::collection::vec((0u32..700, 0u32..700, any::<bool>()), 1..40)) {
            let mut bitmap = vec![0u8; 80];
            let mut model = vec![false; 640];
            for (a, b, on) in ops {
                let (from, end) = (a.min(b), a.max(b).min(640));
                fill(&mut bitmap, from, end, on);
                for bit in from..end {
                    model[bit as usize] = on;
                }
                for start in [0, from, end.saturating_sub(1), 5] {
                    let clear = (start..640).find(|i| !model[*i as usize]).unwrap_or(640);
                    let set = (start..640).find(|i| model[*i as usize]).unwrap_or(640);
                    prop_assert_eq!(next_clear(&bitmap, start, 640.max(start)), clear.max(start));
                    prop_assert_eq!(next_set(&bitmap, start, 640.max(start)), set.max(start));
                }
            }
            for bit in 0..640 {
                prop_assert_eq!(is_set(&bitmap, bit), model[bit as usize]);
            }
        }
    }
}
