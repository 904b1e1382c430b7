//! Refcounts in a refcount block, of any width (specification: "Host cluster management").

/// Reads refcount `index` of `block`. Widths below 8 bits start at the least significant bit of each byte;
/// wider ones are big-endian. An index beyond the block reads as 0.
pub(crate) fn get(block: &[u8], order: u32, index: usize) -> u64 {
    if order < 3 {
        let per_byte = 8usize >> order;
        let Some(byte) = block.get(index / per_byte) else {
            return 0;
        };
        let shift = (index % per_byte) << order;
        return u64::from(*byte >> shift) & ((1 << (1u32 << order)) - 1);
    }
    let width = 1usize << (order - 3);
    let Some(bytes) = index
        .checked_mul(width)
        .and_then(|at| block.get(at..at.checked_add(width)?))
    else {
        return 0;
    };
    bytes.iter().fold(0, |acc, b| acc << 8 | u64::from(*b))
}

/// Sets refcount `index` of `block`; an index beyond the block does nothing. The value must fit.
pub(crate) fn set(block: &mut [u8], order: u32, index: usize, value: u64) {
    if order < 3 {
        let per_byte = 8usize >> order;
        let Some(byte) = block.get_mut(index / per_byte) else {
            return;
        };
        let shift = (index % per_byte) << order;
        let mask = ((1u32 << (1u32 << order)) - 1) as u8;
        *byte = (*byte & !(mask << shift)) | ((value as u8 & mask) << shift);
        return;
    }
    let width = 1usize << (order - 3);
    let Some(bytes) = index
        .checked_mul(width)
        .and_then(|at| block.get_mut(at..at.checked_add(width)?))
    else {
        return;
    };
    for (i, b) in bytes.iter_mut().rev().enumerate() {
        *b = (value >> (8 * i)) as u8;
    }
}

/// Byte offset, inside its block, of refcount `index`.
pub(crate) fn byte_offset(order: u32, index: u64) -> u64 {
    (index << order) >> 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_widths_round_trip_without_touching_neighbours() {
        for order in 0..=6u32 {
            let max = if order == 6 {
                u64::MAX
            } else {
                (1u64 << (1 << order)) - 1
            };
            let mut block = vec![0u8; 64];
            let n = (64 * 8) >> order;
            for i in 0..n {
                set(&mut block, order, i, max);
            }
            assert!(block.iter().all(|b| *b == 0xff));
            set(&mut block, order, 3.min(n - 1), max / 2);
            for i in 0..n {
                let want = if i == 3.min(n - 1) { max / 2 } else { max };
                assert_eq!(get(&block, order, i), want, "order {order} index {i}");
            }
        }
        let mut block = [0u8; 8];
        set(&mut block, 4, 1, 0x1234);
        assert_eq!(block, [0, 0, 0x12, 0x34, 0, 0, 0, 0]);
        set(&mut block, 0, 9, 1);
        assert_eq!(block[1], 2);
    }
}
