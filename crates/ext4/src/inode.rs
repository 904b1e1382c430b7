//! The inode record.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.4 (index nodes).

use crate::record::{le16, record};
use bitflags::bitflags;
use disksmith_vfs::{FileType, Timestamp};

bitflags! {
    /// `i_flags`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct InodeFlags: u32 {
        /// Secure deletion (unused).
        const SECRM = 0x1;
        /// Undelete (unused).
        const UNRM = 0x2;
        /// Compressed (unused).
        const COMPR = 0x4;
        /// Synchronous writes.
        const SYNC = 0x8;
        /// May not be changed.
        const IMMUTABLE = 0x10;
        /// May only be appended to.
        const APPEND = 0x20;
        /// Not dumped.
        const NODUMP = 0x40;
        /// No access times.
        const NOATIME = 0x80;
        /// Encrypted.
        const ENCRYPT = 0x800;
        /// Hashed directory.
        const INDEX = 0x1000;
        /// AFS magic directory.
        const IMAGIC = 0x2000;
        /// Data through the journal.
        const JOURNAL_DATA = 0x4000;
        /// Tail not merged.
        const NOTAIL = 0x8000;
        /// Synchronous directory changes.
        const DIRSYNC = 0x1_0000;
        /// Top of a directory hierarchy, for spreading.
        const TOPDIR = 0x2_0000;
        /// Block count is in filesystem blocks.
        const HUGE_FILE = 0x4_0000;
        /// Extents.
        const EXTENTS = 0x8_0000;
        /// Verity protected.
        const VERITY = 0x10_0000;
        /// Holds the value of an extended attribute.
        const EA_INODE = 0x20_0000;
        /// Blocks beyond the end of the file (obsolete).
        const EOFBLOCKS = 0x40_0000;
        /// Direct access.
        const DAX = 0x200_0000;
        /// Contents in the inode.
        const INLINE_DATA = 0x1000_0000;
        /// Project id is inherited.
        const PROJINHERIT = 0x2000_0000;
        /// Case-insensitive directory.
        const CASEFOLD = 0x4000_0000;
    }
}

/// Size in bytes of the part that every inode has.
pub(crate) const INODE_BASE_SIZE: usize = 128;
/// Size in bytes of `i_block`.
pub(crate) const INODE_BLOCK_SIZE: usize = 60;

record! {
    /// The inode as stored; numbers in parts have methods that join them. Extra fields beyond `i_extra_isize` are
    /// not valid: see [`Inode::from_raw`].
    pub struct Inode {
        /// File type and permissions.
        mode: u16 = 0x00,
        /// Owner, lower half.
        uid_lo: u16 = 0x02,
        /// Size in bytes, lower half.
        size_lo: u32 = 0x04,
        /// Last access, seconds.
        access_time: u32 = 0x08,
        /// Last change of metadata, seconds.
        change_time: u32 = 0x0c,
        /// Last change of contents, seconds.
        modify_time: u32 = 0x10,
        /// Deletion, seconds; or the next orphan.
        deletion_time: u32 = 0x14,
        /// Group, lower half.
        gid_lo: u16 = 0x18,
        /// Number of names.
        links: u16 = 0x1a,
        /// Space taken, lower half.
        blocks_lo: u32 = 0x1c,
        /// [`InodeFlags`].
        flags: u32 = 0x20,
        /// Version, lower half.
        version_lo: u32 = 0x24,
        /// Block map, extent tree root, inline data or link target.
        block: [u8; 60] = 0x28,
        /// Generation.
        generation: u32 = 0x64,
        /// Block of extended attributes, lower half.
        xattr_block_lo: u32 = 0x68,
        /// Size in bytes, upper half.
        size_hi: u32 = 0x6c,
        /// Space taken, upper half.
        blocks_hi: u16 = 0x74,
        /// Block of extended attributes, upper half.
        xattr_block_hi: u16 = 0x76,
        /// Owner, upper half.
        uid_hi: u16 = 0x78,
        /// Group, upper half.
        gid_hi: u16 = 0x7a,
        /// Checksum, lower half.
        checksum_lo: u16 = 0x7c,
        /// Extra bytes behind the first 128.
        extra_isize: u16 = 0x80,
        /// Checksum, upper half.
        checksum_hi: u16 = 0x82,
        /// Extra bits of `change_time`.
        change_time_extra: u32 = 0x84,
        /// Extra bits of `modify_time`.
        modify_time_extra: u32 = 0x88,
        /// Extra bits of `access_time`.
        access_time_extra: u32 = 0x8c,
        /// Creation, seconds.
        create_time: u32 = 0x90,
        /// Extra bits of `create_time`.
        create_time_extra: u32 = 0x94,
        /// Version, upper half.
        version_hi: u32 = 0x98,
        /// Project id.
        project_id: u32 = 0x9c,
    }
}

/// File type bits of `i_mode`.
const TYPE_MASK: u16 = 0xf000;

/// `i_mode` type bits of a kind of file.
pub(crate) fn mode_of(file_type: FileType) -> u16 {
    match file_type {
        FileType::Fifo => 0x1000,
        FileType::CharDevice => 0x2000,
        FileType::Directory => 0x4000,
        FileType::BlockDevice => 0x6000,
        FileType::Regular => 0x8000,
        FileType::Symlink => 0xa000,
        FileType::Socket => 0xc000,
    }
}

/// The kind of file that `i_mode` says, `None` where it says none.
pub(crate) fn type_of(mode: u16) -> Option<FileType> {
    Some(match mode & TYPE_MASK {
        0x1000 => FileType::Fifo,
        0x2000 => FileType::CharDevice,
        0x4000 => FileType::Directory,
        0x6000 => FileType::BlockDevice,
        0x8000 => FileType::Regular,
        0xa000 => FileType::Symlink,
        0xc000 => FileType::Socket,
        _ => return None,
    })
}

fn decode_time(seconds: u32, extra: u32) -> Timestamp {
    Timestamp {
        seconds: i64::from(seconds as i32) + (i64::from(extra & 3) << 32),
        nanoseconds: (extra >> 2).min(999_999_999),
    }
}

/// Seconds (32 bits) and the extra word: 2 bits of epoch, 30 of nanoseconds. Out of range is clamped, as the kernel does.
fn encode_time(time: Timestamp, has_extra: bool) -> (u32, u32) {
    let max = if has_extra {
        i64::from(i32::MAX) + (3i64 << 32)
    } else {
        i64::from(i32::MAX)
    };
    let seconds = time.seconds.clamp(i64::from(i32::MIN), max);
    let low = seconds as i32;
    let epoch = ((seconds - i64::from(low)) >> 32) as u32 & 3;
    (low as u32, epoch | time.nanoseconds.min(999_999_999) << 2)
}

impl Inode {
    /// Decodes an inode as stored in the inode table. Extra fields that `i_extra_isize` does not cover are zero.
    pub fn from_raw(raw: &[u8]) -> Self {
        Self::parse(raw.get(..Self::valid_len(raw)).unwrap_or(raw))
    }

    /// Encodes over an inode as stored; fields that the stored `i_extra_isize` does not cover are left alone.
    /// Does not change `i_extra_isize` itself, nor the checksum.
    pub fn store_into(&self, raw: &mut [u8]) {
        let len = Self::valid_len(raw);
        let extra = le16(raw, 0x80);
        if let Some(part) = raw.get_mut(..len) {
            self.encode_into(part);
            if len > INODE_BASE_SIZE {
                crate::record::put16(part, 0x80, extra);
            }
        }
    }

    fn valid_len(raw: &[u8]) -> usize {
        if raw.len() <= INODE_BASE_SIZE {
            return raw.len();
        }
        INODE_BASE_SIZE + usize::from(le16(raw, 0x80)).clamp(4, raw.len() - INODE_BASE_SIZE)
    }

    /// `i_flags`.
    pub fn flags(&self) -> InodeFlags {
        InodeFlags::from_bits_retain(self.flags)
    }

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: InodeFlags) -> bool {
        self.flags().contains(flags)
    }

    /// Sets or clears flags.
    pub fn set_flag(&mut self, flags: InodeFlags, on: bool) {
        if on {
            self.flags |= flags.bits();
        } else {
            self.flags &= !flags.bits();
        }
    }

    /// The kind of file, `None` where `i_mode` says none.
    pub fn file_type(&self) -> Option<FileType> {
        type_of(self.mode)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == Some(FileType::Directory)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type() == Some(FileType::Regular)
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type() == Some(FileType::Symlink)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        u64::from(self.size_hi) << 32 | u64::from(self.size_lo)
    }

    /// Sets the size in bytes.
    pub fn set_size(&mut self, size: u64) {
        self.size_lo = size as u32;
        self.size_hi = (size >> 32) as u32;
    }

    /// Owner's user id.
    pub fn uid(&self) -> u32 {
        u32::from(self.uid_hi) << 16 | u32::from(self.uid_lo)
    }

    /// Sets the owner's user id.
    pub fn set_uid(&mut self, uid: u32) {
        self.uid_lo = uid as u16;
        self.uid_hi = (uid >> 16) as u16;
    }

    /// Owner's group id.
    pub fn gid(&self) -> u32 {
        u32::from(self.gid_hi) << 16 | u32::from(self.gid_lo)
    }

    /// Sets the owner's group id.
    pub fn set_gid(&mut self, gid: u32) {
        self.gid_lo = gid as u16;
        self.gid_hi = (gid >> 16) as u16;
    }

    /// Block number of the block of extended attributes, 0 where there is none.
    pub fn xattr_block(&self) -> u64 {
        u64::from(self.xattr_block_hi) << 32 | u64::from(self.xattr_block_lo)
    }

    /// Sets the block number of the block of extended attributes.
    pub fn set_xattr_block(&mut self, block: u64) {
        self.xattr_block_lo = block as u32;
        self.xattr_block_hi = (block >> 32) as u16;
    }

    /// Space taken in units of 512 bytes. `huge_file` says whether the filesystem has that feature.
    pub fn sectors(&self, huge_file: bool, block_size: u32) -> u64 {
        if !huge_file {
            return u64::from(self.blocks_lo);
        }
        let stored = u64::from(self.blocks_hi) << 32 | u64::from(self.blocks_lo);
        if self.has(InodeFlags::HUGE_FILE) {
            stored.saturating_mul(u64::from(block_size / 512))
        } else {
            stored
        }
    }

    /// Sets the space taken in units of 512 bytes; `false` where it cannot be told.
    pub fn set_sectors(&mut self, sectors: u64, huge_file: bool, block_size: u32) -> bool {
        let mut stored = sectors;
        let mut huge = false;
        if sectors > u64::from(u32::MAX) {
            if !huge_file {
                return false;
            }
            if sectors >= 1 << 48 {
                huge = true;
                stored = sectors / u64::from(block_size / 512).max(1);
                if stored >= 1 << 48 {
                    return false;
                }
            }
        }
        self.set_flag(InodeFlags::HUGE_FILE, huge);
        self.blocks_lo = stored as u32;
        self.blocks_hi = (stored >> 32) as u16;
        true
    }

    fn has_extra_up_to(&self, end: usize) -> bool {
        INODE_BASE_SIZE + usize::from(self.extra_isize) >= end
    }

    /// Last access.
    pub fn accessed(&self) -> Timestamp {
        decode_time(self.access_time, self.access_time_extra)
    }

    /// Last change of contents.
    pub fn modified(&self) -> Timestamp {
        decode_time(self.modify_time, self.modify_time_extra)
    }

    /// Last change of metadata.
    pub fn changed(&self) -> Timestamp {
        decode_time(self.change_time, self.change_time_extra)
    }

    /// Creation, where the inode has room for it.
    pub fn created(&self) -> Option<Timestamp> {
        self.has_extra_up_to(0x98)
            .then(|| decode_time(self.create_time, self.create_time_extra))
    }

    /// Sets the last access.
    pub fn set_accessed(&mut self, time: Timestamp) {
        (self.access_time, self.access_time_extra) = encode_time(time, self.has_extra_up_to(0x90));
    }

    /// Sets the last change of contents.
    pub fn set_modified(&mut self, time: Timestamp) {
        (self.modify_time, self.modify_time_extra) = encode_time(time, self.has_extra_up_to(0x8c));
    }

    /// Sets the last change of metadata.
    pub fn set_changed(&mut self, time: Timestamp) {
        (self.change_time, self.change_time_extra) = encode_time(time, self.has_extra_up_to(0x88));
    }

    /// Sets the creation; nothing where the inode has no room for it.
    pub fn set_created(&mut self, time: Timestamp) {
        if self.has_extra_up_to(0x98) {
            (self.create_time, self.create_time_extra) = encode_time(time, true);
        }
    }

    /// Major and minor number of a device, stored in the old form (first word) or the new one (second).
    pub fn device(&self) -> (u32, u32) {
        let old = crate::record::le32(&self.block, 0);
        let new = crate::record::le32(&self.block, 4);
        if old != 0 {
            ((old >> 8) & 0xff, old & 0xff)
        } else {
            ((new >> 8) & 0xfff, (new & 0xff) | ((new >> 12) & 0xfff00))
        }
    }

    /// Stores a device number: in the old form where it fits.
    pub fn set_device(&mut self, major: u32, minor: u32) {
        self.block = [0; 60];
        if major < 256 && minor < 256 {
            crate::record::put32(&mut self.block, 0, major << 8 | minor);
        } else {
            let new = (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12;
            crate::record::put32(&mut self.block, 4, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_2038() {
        for seconds in [0, -1, i64::from(i32::MIN), 1 << 31, (1 << 32) + 5, 15_032_385_535] {
            let time = Timestamp {
                seconds,
                nanoseconds: 123_456_789,
            };
            let (low, extra) = encode_time(time, true);
            assert_eq!(decode_time(low, extra), time);
        }
        let late = Timestamp {
            seconds: 1 << 40,
            nanoseconds: 0,
        };
        assert_eq!(encode_time(late, false).0, i32::MAX as u32);
    }

    #[test]
    fn devices() {
        let mut inode = Inode::default();
        for device in [(8, 1), (259, 3), (4000, 1_000_000)] {
            inode.set_device(device.0, device.1);
            assert_eq!(inode.device(), device);
        }
    }

    #[test]
    fn small_extra_area_is_left_alone() {
        let mut raw = vec![0xaau8; 256];
        crate::record::put16(&mut raw, 0x80, 4);
        let mut inode = Inode::from_raw(&raw);
        assert_eq!(inode.create_time, 0);
        inode.create_time = 7;
        inode.extra_isize = 32;
        inode.store_into(&mut raw);
        assert_eq!(le16(&raw, 0x80), 4);
        assert_eq!(raw[0x90], 0xaa);
    }
}
