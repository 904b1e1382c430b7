//! What dumpe2fs says about the journal inside of a filesystem, and about its multi-mount protection block.

use super::super::ext_superblock_text::{date, padded};
use disksmith_ext4::{
    Compat, ExtentHeader, ExtentIndex, ExtentLeaf, GroupDescriptor, Incompat, Inode, InodeFlags, Superblock,
};
use disksmith_storage::{Storage, read_vec};
use std::fmt::Write;

/// No extent tree is deeper.
const MAX_DEPTH: u16 = 5;
const RECORD: usize = 12;

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

/// The lines behind those of the superblock.
pub(super) fn text(storage: &dyn Storage, sb: &Superblock) -> Result<String, String> {
    let mut out = String::new();
    if sb.features().compat.contains(Compat::HAS_JOURNAL) && sb.journal_inode != 0 {
        journal(&mut out, storage, sb)?;
    }
    if sb.features().incompat.contains(Incompat::MMP) {
        mmp(&mut out, storage, sb)?;
    }
    Ok(out)
}

fn read_block(storage: &dyn Storage, sb: &Superblock, block: u64) -> Result<Vec<u8>, String> {
    if block == 0 || block >= sb.blocks_count() {
        return Err(format!("block {block} is outside of the filesystem"));
    }
    let size = u64::from(sb.block_size());
    read_vec(storage, block.saturating_mul(size), size as usize).map_err(|error| error.to_string())
}

/// The first block of the journal's file.
fn first_block(storage: &dyn Storage, sb: &Superblock) -> Result<u64, String> {
    let at = u64::from(sb.block_size()) * (u64::from(sb.first_data_block) + 1);
    let table = if sb.block_size() == 1024 && sb.first_data_block == 0 {
        at + 1024
    } else {
        at
    };
    let raw = read_vec(storage, table, 64).map_err(|error| error.to_string())?;
    let width = usize::from(sb.descriptor_bytes()).min(64);
    let group = GroupDescriptor::parse(raw.get(..width).unwrap_or(&raw));
    let offset = group
        .inode_table()
        .saturating_mul(sb.block_size().into())
        .saturating_add(u64::from(sb.journal_inode.saturating_sub(1)) * u64::from(sb.inode_bytes()));
    if sb.journal_inode > sb.inodes_per_group {
        return Err("the journal's inode is not in the first group".into());
    }
    let raw = read_vec(storage, offset, usize::from(sb.inode_bytes())).map_err(|error| error.to_string())?;
    let inode = Inode::from_raw(&raw);
    if !inode.has(InodeFlags::EXTENTS) {
        let word = inode.block.first_chunk::<4>().copied().unwrap_or_default();
        return Ok(u32::from_le_bytes(word).into());
    }
    let mut node = inode.block.to_vec();
    for _ in 0..=MAX_DEPTH {
        let header = ExtentHeader::parse(&node);
        let record = node.get(RECORD..2 * RECORD).unwrap_or(&[]).to_vec();
        if header.depth == 0 {
            return Ok(ExtentLeaf::parse(&record).physical);
        }
        node = read_block(storage, sb, ExtentIndex::parse(&record).child)?;
    }
    Err("the journal's extent tree is too deep".into())
}

fn journal(out: &mut String, storage: &dyn Storage, sb: &Superblock) -> Result<(), String> {
    let bytes = read_block(storage, sb, first_block(storage, sb)?)?;
    if be32(&bytes, 0) != 0xc03b_3998 {
        return Err("Journal superblock magic number invalid!".into());
    }
    let version2 = be32(&bytes, 4) == 4;
    let mut names = Vec::new();
    let (compat, incompat) = if version2 {
        (be32(&bytes, 0x24), be32(&bytes, 0x28))
    } else {
        (0, 0)
    };
    if compat & 1 != 0 {
        names.push("journal_checksum");
    }
    for (bit, name) in [
        (0x1, "journal_incompat_revoke"),
        (0x2, "journal_64bit"),
        (0x4, "journal_async_commit"),
        (0x8, "journal_checksum_v2"),
        (0x10, "journal_checksum_v3"),
        (0x20, "fast_commit"),
    ] {
        if incompat & bit != 0 {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push("(none)");
    }
    let blocks = be32(&bytes, 0x10);
    let fast_commits = if version2 { be32(&bytes, 0x54) } else { 0 };
    let kib = u64::from(blocks) * u64::from(sb.block_size() / 1024);
    let size = if kib < 8192 {
        format!("{kib}k")
    } else {
        format!("{}M", kib >> 10)
    };
    let _ = write!(
        out,
        "Journal features:         {}\nTotal journal size:       {size}\nTotal journal blocks:     {blocks}\nMax transaction length:   {}\nFast commit length:       {fast_commits}\nJournal sequence:         0x{:08x}\nJournal start:            {}\n",
        names.join(" "),
        blocks.saturating_sub(fast_commits),
        be32(&bytes, 0x18),
        be32(&bytes, 0x1c),
    );
    if incompat & 0x18 != 0 {
        let kind = if bytes.get(0x50) == Some(&4) {
            "crc32c"
        } else {
            "unknown"
        };
        let _ = write!(
            out,
            "Journal checksum type:    {kind}\nJournal checksum:         0x{:08x}\n",
            be32(&bytes, 0xfc)
        );
    }
    let error = be32(&bytes, 0x20) as i32;
    if error != 0 {
        let _ = writeln!(out, "Journal errno:            {error}");
    }
    Ok(())
}

fn mmp(out: &mut String, storage: &dyn Storage, sb: &Superblock) -> Result<(), String> {
    let bytes = read_block(storage, sb, sb.mmp_block)?;
    let word = |at: usize| {
        let raw = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        raw.map_or(0, u32::from_le_bytes)
    };
    let time = u64::from(word(12)) << 32 | u64::from(word(8));
    let _ = write!(
        out,
        "MMP_block:\n    mmp_magic: 0x{:x}\n    mmp_check_interval: {}\n    mmp_sequence: 0x{:08x}\n    mmp_update_date: {}\n    mmp_update_time: {time}\n    mmp_node_name: {}\n    mmp_device_name: {}\n",
        word(0),
        word(0x70) & 0xffff,
        word(4),
        date(i64::try_from(time).unwrap_or(i64::MAX)),
        padded(bytes.get(0x10..0x50).unwrap_or(&[])),
        padded(bytes.get(0x50..0x70).unwrap_or(&[])),
    );
    Ok(())
}
