//! The trait that every filesystem implements.

use crate::error::{Error, Result};
use crate::metadata::{FileType, InodeNo, Metadata, MetadataChange, StatFs, Timestamp};
use std::fmt::Debug;
use std::sync::Arc;

/// A filesystem that several owners share.
pub type FileSystemRef = Arc<dyn FileSystem>;

/// Takes directory entries one by one; returns `false` to stop.
pub type DirSink<'a> = &'a mut dyn FnMut(DirEntry) -> bool;

/// Takes free ranges (byte offset and byte length in the filesystem's storage) one by one.
pub type FreeSink<'a> = &'a mut dyn FnMut(u64, u64) -> Result<()>;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// The inode that it names.
    pub inode: InodeNo,
    /// The kind of that inode.
    pub file_type: FileType,
    /// Where to go on reading after this entry: pass it to [`FileSystem::read_dir`]. Opaque, never 0. It holds while names are
    /// added and removed in between: those that are there all the time are listed once, whichever others come and
    /// go (the one that the cookie came with may be gone too).
    pub cookie: u64,
}

/// What a new file shall be. Times all become `time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode<'a> {
    /// Kind of file.
    pub file_type: FileType,
    /// Permission bits, 0o7777 at most; no umask is applied. Where the directory has a default access control list
    /// (`system.posix_acl_default`), the new inode inherits it and its permissions are those that the list allows, as in the
    /// kernel; who applies a umask leaves it out then. A set-gid parent directory is honoured as in the kernel only
    /// if the caller asks for it by giving its gid here.
    pub permissions: u16,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// All times of the new inode, and the parent's times of change.
    pub time: Timestamp,
    /// The target of a symbolic link; empty otherwise.
    pub target: &'a [u8],
    /// Major and minor number of a device; (0, 0) otherwise.
    pub device: (u32, u32),
}

/// What a rename does where the new name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace it, as `rename(2)` does.
    Replace,
    /// Fail with [`Error::Exists`] (`RENAME_NOREPLACE`).
    NoReplace,
    /// Swap the two (`RENAME_EXCHANGE`).
    Exchange,
}

/// What setting an extended attribute does where it is, or is not, there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrMode {
    /// Create or replace.
    Set,
    /// Fail with [`Error::Exists`] where it exists.
    Create,
    /// Fail with [`Error::NoXattr`] where it does not.
    Replace,
}

/// A filesystem: inodes, directories, metadata, extended attributes.
///
/// Names are single components as bytes; `.` and `..` are never listed and never passed. Names of extended
/// attributes are full (`security.selinux`, `user.x`). Every mutating call is whole towards a commit: it enters
/// [`crate::OperationGate`], and either does everything or leaves the filesystem as it was. What a filesystem cannot do is
/// [`Error::Unsupported`], never silence. Times that a call must set itself come from the clock given at
/// opening.
pub trait FileSystem: Send + Sync + Debug {
    /// The kind as `blkid` says it: `ext4`, `vfat`, `iso9660`.
    fn kind(&self) -> &'static str;

    /// The label, where there is one.
    fn label(&self) -> Option<Vec<u8>>;

    /// The identifier as `blkid` prints it (`1234-ABCD` for FAT), where there is one.
    fn uuid(&self) -> Option<String>;

    /// Whether it was opened for writing and can be written.
    fn is_writable(&self) -> bool;

    /// Why it cannot be written although it was opened for writing, where it knows.
    fn why_read_only(&self) -> Option<String> {
        None
    }

    /// The root directory.
    fn root(&self) -> InodeNo;

    /// Sizes and what is free.
    fn stat_fs(&self) -> Result<StatFs>;

    /// Finds a name in a directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`].
    fn lookup(&self, dir: InodeNo, name: &[u8]) -> Result<InodeNo>;

    /// Metadata of an inode.
    fn metadata(&self, inode: InodeNo) -> Result<Metadata>;

    /// Lists a directory in the filesystem's own order, from `cookie` (0: from the start).
    fn read_dir(&self, dir: InodeNo, cookie: u64, sink: DirSink<'_>) -> Result<()>;

    /// The directory that holds this directory; the root's is the root.
    fn parent(&self, dir: InodeNo) -> Result<InodeNo>;

    /// Reads from a regular file; returns how many bytes, fewer than asked only at the end of the file.
    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// The target of a symbolic link.
    fn read_link(&self, inode: InodeNo) -> Result<Vec<u8>>;

    /// The next range at or after `offset` that is not a hole: (offset, length); `None` where only holes follow.
    fn next_data(&self, inode: InodeNo, offset: u64) -> Result<Option<(u64, u64)>> {
        let size = self.metadata(inode)?.size;
        Ok((offset < size).then(|| (offset, size - offset)))
    }

    /// Names of all extended attributes, sorted.
    fn list_xattrs(&self, inode: InodeNo) -> Result<Vec<Vec<u8>>> {
        let _ = inode;
        Ok(Vec::new())
    }

    /// Value of an extended attribute.
    fn xattr(&self, inode: InodeNo, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let _ = (inode, name);
        Ok(None)
    }

    /// Tells every range of the filesystem's storage that holds nothing, in ascending order.
    fn free_ranges(&self, sink: FreeSink<'_>) -> Result<()> {
        let _ = sink;
        Err(self.unsupported("listing free space"))
    }

    /// Makes a new file of any kind.
    fn create(&self, dir: InodeNo, name: &[u8], node: &NewNode<'_>) -> Result<InodeNo> {
        let _ = (dir, name, node);
        Err(self.unsupported("creating files"))
    }

    /// Gives an inode (no directory) a further name.
    fn link(&self, inode: InodeNo, dir: InodeNo, name: &[u8]) -> Result<()> {
        let _ = (inode, dir, name);
        Err(self.unsupported("hard links"))
    }

    /// Removes a name of anything but a directory; the inode goes with its last name.
    fn unlink(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        let _ = (dir, name);
        Err(self.unsupported("removing files"))
    }

    /// Removes an empty directory.
    fn remove_dir(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        let _ = (dir, name);
        Err(self.unsupported("removing directories"))
    }

    /// Renames within the filesystem.
    fn rename(
        &self,
        dir: InodeNo,
        name: &[u8],
        new_dir: InodeNo,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let _ = (dir, name, new_dir, new_name, mode);
        Err(self.unsupported("renaming"))
    }

    /// Writes to a regular file, which grows where needed. Set-uid bits are left as they are.
    fn write(&self, inode: InodeNo, offset: u64, data: &[u8]) -> Result<()> {
        let _ = (inode, offset, data);
        Err(self.unsupported("writing"))
    }

    /// Cuts or extends a regular file; a part that is new is a hole.
    fn set_size(&self, inode: InodeNo, size: u64) -> Result<()> {
        let _ = (inode, size);
        Err(self.unsupported("changing a file's size"))
    }

    /// Makes a range of a regular file a hole; the size stays.
    fn punch_hole(&self, inode: InodeNo, offset: u64, len: u64) -> Result<()> {
        let _ = (inode, offset, len);
        Err(self.unsupported("punching holes"))
    }

    /// Takes space for a range of a regular file, which reads as zeroes where nothing was; the file grows unless `keep_size`.
    fn allocate(&self, inode: InodeNo, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let _ = (inode, offset, len, keep_size);
        Err(self.unsupported("preallocation"))
    }

    /// Changes metadata.
    fn set_metadata(&self, inode: InodeNo, change: &MetadataChange) -> Result<()> {
        let _ = (inode, change);
        Err(self.unsupported("changing metadata"))
    }

    /// Sets an extended attribute.
    fn set_xattr(&self, inode: InodeNo, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        let _ = (inode, name, value, mode);
        Err(self.unsupported("extended attributes"))
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// [`Error::NoXattr`].
    fn remove_xattr(&self, inode: InodeNo, name: &[u8]) -> Result<()> {
        let _ = (inode, name);
        Err(self.unsupported("extended attributes"))
    }

    /// From now on an inode outlives its last name, and can be read and changed as before, until it is
    /// [`release`](Self::release)d as often as it was held. What [`sync`](Self::sync) writes never shows an inode without a
    /// name: there it is gone already. `false`: this filesystem frees inodes with their last name whoever uses them.
    fn hold(&self, inode: InodeNo) -> Result<bool> {
        let _ = inode;
        Ok(false)
    }

    /// Ends a [`hold`](Self::hold); with the last one an inode that has no name is freed.
    fn release(&self, inode: InodeNo) -> Result<()> {
        let _ = inode;
        Ok(())
    }

    /// Writes everything that is held in memory to the storage, which then holds a clean filesystem. Does not flush the storage.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The error for something that this filesystem does not do.
    fn unsupported(&self, operation: &str) -> Error {
        Error::Unsupported {
            filesystem: self.kind().into(),
            operation: operation.into(),
        }
    }
}
