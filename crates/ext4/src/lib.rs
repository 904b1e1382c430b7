//! The ext2, ext3 and ext4 filesystems, read and written.
