//! What dumpe2fs says about every group.

use disksmith_ext4::{GroupDescriptor, Incompat, Superblock};
use disksmith_storage::{Storage, read_vec};
use std::io::Write;

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const INODE_ZEROED: u16 = 4;

/// Where things lie, and how numbers are written.
struct Groups<'a> {
    storage: &'a dyn Storage,
    sb: &'a Superblock,
    hex: bool,
    /// Blocks of the table of descriptors.
    table_blocks: u64,
    meta_bg: bool,
    flex_bg: bool,
}

/// Writes all groups.
pub(super) fn write(
    out: &mut dyn Write,
    storage: &dyn Storage,
    sb: &Superblock,
    hex: bool,
) -> Result<(), String> {
    let features = sb.features();
    let per_block = u64::from(sb.block_size()) / u64::from(sb.descriptor_bytes()).max(1);
    let groups = Groups {
        storage,
        sb,
        hex,
        table_blocks: sb.group_count().div_ceil(per_block.max(1)),
        meta_bg: features.incompat.contains(Incompat::META_BG),
        flex_bg: features.incompat.contains(Incompat::FLEX_BG),
    };
    for group in 0..sb.group_count() {
        let text = groups.text(group, per_block.max(1))?;
        if out.write_all(text.as_bytes()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Groups<'_> {
    fn number(&self, n: u64) -> String {
        if self.hex {
            format!("0x{n:04x}")
        } else {
            n.to_string()
        }
    }

    fn range(&self, from: u64, to: u64) -> String {
        format!("{}-{}", self.number(from), self.number(to))
    }

    fn start(&self, group: u64) -> u64 {
        u64::from(self.sb.first_data_block)
            .saturating_add(group.saturating_mul(self.sb.blocks_per_group.into()))
    }

    fn end(&self, group: u64) -> u64 {
        self.start(group + 1).min(self.sb.blocks_count())
    }

    fn has_super(&self, group: u64) -> bool {
        u32::try_from(group).is_ok_and(|group| self.sb.group_has_superblock(group))
    }

    fn super_block(&self, group: u64) -> u64 {
        let behind = group == 0 && self.sb.block_size() == 1024 && self.sb.first_data_block == 0;
        self.start(group) + u64::from(behind)
    }

    fn read(&self, block: u64, offset: u64, len: usize) -> Result<Vec<u8>, String> {
        if block >= self.sb.blocks_count() {
            return Err(format!("block {block} is outside of the filesystem"));
        }
        let at = block
            .saturating_mul(self.sb.block_size().into())
            .saturating_add(offset);
        read_vec(self.storage, at, len).map_err(|error| error.to_string())
    }

    /// The block of descriptors of the meta group of a group, or the table's.
    fn descriptor(&self, group: u64, per_block: u64) -> Result<GroupDescriptor, String> {
        let (index, within) = (group / per_block, group % per_block);
        let block = if self.meta_bg && index >= u64::from(self.sb.first_meta_bg) {
            let first = index * per_block;
            if self.has_super(first) {
                self.super_block(first) + 1
            } else {
                self.start(first)
            }
        } else {
            self.super_block(0) + 1 + index
        };
        let width = usize::from(self.sb.descriptor_bytes());
        let raw = self.read(block, within * width as u64, width)?;
        Ok(GroupDescriptor::parse(&raw))
    }

    /// Where a structure is, seen from its group.
    fn relative(&self, group: u64, block: u64) -> String {
        if (self.start(group)..self.end(group)).contains(&block) {
            return format!(" (+{})", block - self.start(group));
        }
        if !self.flex_bg {
            return String::new();
        }
        let first = u64::from(self.sb.first_data_block);
        let other = block.saturating_sub(first) / u64::from(self.sb.blocks_per_group).max(1);
        format!(" (bg #{other} + {})", block.saturating_sub(self.start(other)))
    }

    fn text(&self, group: u64, per_block: u64) -> Result<String, String> {
        let sb = self.sb;
        let features = sb.features();
        let d = self.descriptor(group, per_block)?;
        let mut out = format!(
            "Group {group}: (Blocks {})",
            self.range(self.start(group), self.end(group) - 1)
        );
        let checked = features.has_group_checksums();
        if checked {
            out += &format!(" csum 0x{:04x}", d.checksum);
            let flags: Vec<&str> = [
                (INODE_UNINIT, "INODE_UNINIT"),
                (BLOCK_UNINIT, "BLOCK_UNINIT"),
                (INODE_ZEROED, "ITABLE_ZEROED"),
            ]
            .iter()
            .filter(|(bit, _)| d.has(*bit))
            .map(|(_, name)| *name)
            .collect();
            if !flags.is_empty() {
                out += &format!(" [{}]", flags.join(", "));
            }
        }
        out.push('\n');
        let mut own = self.place_of_copies(group, per_block, &mut out);
        let csum = |sum: u32| {
            if features.has_metadata_csum() {
                format!(", csum 0x{sum:08x}")
            } else {
                String::new()
            }
        };
        let table = u64::from(sb.inodes_per_group)
            .saturating_mul(sb.inode_bytes().into())
            .div_ceil(u64::from(sb.block_size()).max(1));
        let first = d.inode_table();
        let last = first.saturating_add(table).saturating_sub(1);
        out += &format!(
            "  Block bitmap at {}{}{}\n  Inode bitmap at {}{}{}\n  Inode table at {}{}\n",
            self.number(d.block_bitmap()),
            self.relative(group, d.block_bitmap()),
            csum(d.block_bitmap_csum()),
            self.number(d.inode_bitmap()),
            self.relative(group, d.inode_bitmap()),
            csum(d.inode_bitmap_csum()),
            self.range(first, last),
            self.relative(group, first),
        );
        let clusters = sb.cluster_shift() > 0;
        out += &format!(
            "  {} free {}, {} free inodes, {} directories",
            d.free_clusters(),
            if clusters { "clusters" } else { "blocks" },
            d.free_inodes(),
            d.used_dirs(),
        );
        if checked && d.itable_unused() > 0 {
            out += &format!(", {} unused inodes", d.itable_unused());
        }
        own.push((d.block_bitmap(), 1));
        own.push((d.inode_bitmap(), 1));
        own.push((first, table));
        let start = self.start(group);
        let ratio = 1u64 << sb.cluster_shift().min(32);
        let count = (self.end(group) - start).div_ceil(ratio);
        let blocks = if checked && d.has(BLOCK_UNINIT) {
            let taken = |cluster: u64| {
                let (from, to) = (start + cluster * ratio, start + (cluster + 1) * ratio);
                own.iter()
                    .any(|(at, len)| *at < to && at.saturating_add(*len) > from)
            };
            self.free(count, start, ratio, taken)
        } else {
            let bits = self.read(d.block_bitmap(), 0, sb.block_size() as usize)?;
            self.free(count, start, ratio, |cluster| bit(&bits, cluster))
        };
        let before = group.saturating_mul(sb.inodes_per_group.into()) + 1;
        let inodes = if checked && d.has(INODE_UNINIT) {
            self.free(sb.inodes_per_group.into(), before, 1, |_| false)
        } else {
            let bits = self.read(d.inode_bitmap(), 0, sb.block_size() as usize)?;
            self.free(sb.inodes_per_group.into(), before, 1, |inode| bit(&bits, inode))
        };
        out += &format!("\n  Free blocks: {blocks}\n  Free inodes: {inodes}\n");
        Ok(out)
    }

    /// The lines about copies of superblock and descriptors; gives what they take.
    fn place_of_copies(&self, group: u64, per_block: u64, out: &mut String) -> Vec<(u64, u64)> {
        let sb = self.sb;
        let has_super = self.has_super(group);
        let mut own = Vec::new();
        let mut at = self.start(group);
        if has_super {
            at = self.super_block(group);
            own.push((self.start(group), at + 1 - self.start(group)));
            let kind = if group == 0 { "Primary" } else { "Backup" };
            *out += &format!("  {kind} superblock at {}", self.number(at));
            at += 1;
        }
        let index = group / per_block;
        let old = !self.meta_bg || index < u64::from(sb.first_meta_bg);
        if old && has_super {
            let count = if self.meta_bg {
                u64::from(sb.first_meta_bg)
            } else {
                self.table_blocks
            };
            *out += &format!(
                ", Group descriptors at {}",
                self.range(at, at + count.saturating_sub(1))
            );
            let reserved = u64::from(sb.reserved_gdt_blocks);
            if reserved > 0 {
                let from = at + count;
                *out += &format!(
                    "\n  Reserved GDT blocks at {}",
                    self.range(from, from + reserved - 1)
                );
            }
            own.push((at, count + reserved));
            out.push('\n');
            return own;
        }
        let within = group % per_block;
        let new = !old && (within < 2 || within == per_block - 1);
        if new {
            own.push((at, 1));
            out.push(if has_super { ',' } else { ' ' });
            *out += &format!(" Group descriptor at {}", self.number(at));
        }
        if has_super || new {
            out.push('\n');
        }
        own
    }

    /// The free ones of `count` as ranges: each stands for `ratio` numbers from `first` on.
    fn free(&self, count: u64, first: u64, ratio: u64, taken: impl Fn(u64) -> bool) -> String {
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < count {
            if taken(at) {
                at += 1;
                continue;
            }
            let from = at;
            while at < count && !taken(at) {
                at += 1;
            }
            let (low, high) = (first + from * ratio, first + (at - 1) * ratio);
            ranges.push(if low == high {
                self.number(low)
            } else {
                self.range(low, high)
            });
        }
        ranges.join(", ")
    }
}

fn bit(bits: &[u8], index: u64) -> bool {
    bits.get((index / 8) as usize)
        .is_none_or(|byte| byte >> (index % 8) & 1 != 0)
}
