//! Reading that may reach beyond the end of the file.

use disksmith_storage::{Result, Storage};

/// Fills `buf` from `offset`; what lies beyond the end of the file reads as zeroes, as QEMU reads it.
pub(crate) fn read_padded(file: &dyn Storage, offset: u64, buf: &mut [u8]) -> Result<()> {
    let there = file.size().saturating_sub(offset).min(buf.len() as u64) as usize;
    let (head, tail) = buf.split_at_mut(there);
    if !head.is_empty() {
        file.read_at(offset, head)?;
    }
    tail.fill(0);
    Ok(())
}
