//! After a switch: the host gets back what only the old state used.

use crate::error::Result;
use crate::io::read_padded;
use crate::refcount;
use crate::types::Geometry;
use disksmith_storage::Storage;
use std::collections::BTreeSet;

/// Punches the clusters that the refcounts of the table `old` counted and those of the table `new`, which is in force,
/// call free. What the host cannot give back it keeps: that is no error.
pub(crate) fn give_back(file: &dyn Storage, geometry: &Geometry, old: &[u64], new: &[u64]) -> Result<()> {
    let size = geometry.cluster_size() as usize;
    let (mut was, mut is) = (vec![0u8; size], vec![0u8; size]);
    // Still needed here, for what comes after.
    let blocks: BTreeSet<u64> = old
        .iter()
        .zip(new)
        .filter(|(old, new)| old != new && **old != 0 && geometry.within(**old) == 0)
        .map(|(old, _)| *old >> geometry.cluster_bits)
        .collect();
    for (index, (old, new)) in old.iter().zip(new).enumerate() {
        if *old == 0 || *new == 0 || old == new || geometry.within(*old) != 0 {
            continue;
        }
        read_padded(file, *old, &mut was)?;
        read_padded(file, *new, &mut is)?;
        let first = (index as u64) << geometry.block_bits();
        let mut run = (0, 0);
        for i in 0..geometry.block_entries() {
            let cluster = first + i;
            let count = |block: &[u8]| refcount::get(block, geometry.refcount_order, i as usize);
            if count(&is) != 0 || count(&was) == 0 || blocks.contains(&cluster) {
                continue;
            }
            if run.0 + run.1 == cluster {
                run.1 += 1;
            } else {
                punch(file, geometry, run);
                run = (cluster, 1);
            }
        }
        punch(file, geometry, run);
    }
    for cluster in blocks {
        if is_free(file, geometry, new, cluster)? {
            punch(file, geometry, (cluster, 1));
        }
    }
    Ok(())
}

fn is_free(file: &dyn Storage, geometry: &Geometry, table: &[u64], cluster: u64) -> Result<bool> {
    let index = cluster >> geometry.block_bits();
    let Some(block) = table.get(index as usize).filter(|block| **block != 0) else {
        return Ok(true);
    };
    let at = cluster & (geometry.block_entries() - 1);
    let byte = refcount::byte_offset(geometry.refcount_order, at);
    let word = byte & !7;
    let mut bytes = [0u8; 8];
    read_padded(file, block.saturating_add(word), &mut bytes)?;
    let first = (word << 3) >> geometry.refcount_order;
    Ok(refcount::get(&bytes, geometry.refcount_order, (at - first) as usize) == 0)
}

fn punch(file: &dyn Storage, geometry: &Geometry, (first, count): (u64, u64)) {
    let offset = first << geometry.cluster_bits;
    let len = (count << geometry.cluster_bits).min(file.size().saturating_sub(offset));
    if len > 0
        && let Err(error) = file.discard(offset, len)
    {
        log::debug!("{error}");
    }
}
