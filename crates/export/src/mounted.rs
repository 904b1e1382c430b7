//! A mounted guest: what every request needs, and the gate between requests and commits.

use crate::attributes::attributes;
use crate::committer::Committer;
use crate::error::errno_of;
use crate::joined::{File, Joined};
use crate::listings::Listings;
use crate::lookups::Lookups;
use crate::owners::Owners;
use disksmith_vfs::{FileSystem, FileSystemRef, Metadata};
use fuser::FileAttr;
use std::sync::Arc;
use std::time::Duration;

/// The result of a request: the error is an `errno`.
pub(crate) type Answer<T> = Result<T, i32>;

pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOENT: i32 = 2;
pub(crate) const ENXIO: i32 = 6;
pub(crate) const EBUSY: i32 = 16;
pub(crate) const EXDEV: i32 = 18;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const EROFS: i32 = 30;
pub(crate) const ERANGE: i32 = 34;
pub(crate) const ENAMETOOLONG: i32 = 36;
pub(crate) const ENODATA: i32 = 61;
pub(crate) const EOPNOTSUPP: i32 = 95;

/// How long the kernel may believe what it was told. Nobody else changes the guest, so: as long as it likes.
pub(crate) const FOREVER: Duration = Duration::from_secs(1 << 30);

/// A mounted guest.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) joined: Arc<Joined>,
    pub(crate) owners: Owners,
    pub(crate) lookups: Lookups,
    pub(crate) listings: Listings,
    pub(crate) committer: Arc<Committer>,
    /// Whether the kernel opens files, and directories, without asking.
    pub(crate) opens_itself: (bool, bool),
    /// Told when the kernel has ended the mount.
    pub(crate) ended: std::sync::mpsc::Sender<crate::mount::Event>,
}

/// Makes an error a number, and says of those that tell of damage what they say.
pub(crate) fn errno(error: disksmith_vfs::Error) -> i32 {
    let number = errno_of(&error);
    if matches!(number, 5 | 28 | 117) {
        log::warn!("{error}");
    }
    number
}

impl Mounted {
    pub(crate) fn file(&self, number: u64) -> Answer<(FileSystemRef, File)> {
        let file = self.joined.file(number);
        match self.joined.fs(file.mount) {
            Some(fs) => Ok((fs, file)),
            None => Err(ENOENT),
        }
    }

    pub(crate) fn attributes_of(&self, file: File, number: u64, metadata: &Metadata) -> FileAttr {
        attributes(metadata, number, self.joined.block_size(file.mount), self.owners)
    }

    /// Attributes of a file that the kernel knows.
    pub(crate) fn stat(&self, number: u64) -> Answer<FileAttr> {
        let (fs, file) = self.file(number)?;
        let metadata = fs.metadata(file.inode).map_err(errno)?;
        Ok(self.attributes_of(file, number, &metadata))
    }

    /// Tells the kernel of a file: attributes, and one lookup more.
    pub(crate) fn introduce(&self, file: File) -> Answer<FileAttr> {
        let file = self.joined.uncover(file);
        let number = self.joined.number(file);
        let attributes = self.stat(number)?;
        self.lookups.add(number);
        Ok(attributes)
    }

    /// Runs a change of one filesystem, apart from commits.
    pub(crate) fn change<T>(
        &self,
        number: u64,
        work: impl FnOnce(&dyn FileSystem, File) -> Answer<T>,
    ) -> Answer<T> {
        if !self.committer.accepts_changes() {
            return Err(EROFS);
        }
        let _inside = self.committer.enter();
        let (fs, file) = self.file(number)?;
        let result = work(&*fs, file);
        self.committer.note_change();
        result
    }

    /// The kernel forgets a file.
    pub(crate) fn forgotten(&self, number: u64, times: u64) {
        if number == crate::joined::ROOT {
            return;
        }
        // First the gate, then the lock inside: as every change does.
        let _inside = self.committer.enter();
        self.lookups.forget(number, times, || {
            if let Ok((fs, file)) = self.file(number) {
                if let Err(error) = fs.release(file.inode) {
                    log::warn!("{error}");
                }
                self.committer.note_change();
            }
        });
    }

    /// Lets an inode that is about to lose a name live on while the kernel knows it; tells whether it does.
    pub(crate) fn keep_alive(&self, fs: &dyn FileSystem, file: File) -> Answer<bool> {
        let number = self.joined.number(file);
        self.lookups
            .hold_with(number, || fs.hold(file.inode))
            .map_err(errno)
    }

    /// A file has lost a name; `kept` is what [`keep_alive`](Self::keep_alive) said.
    pub(crate) fn has_lost_name(&self, file: File, kept: bool) {
        if !kept {
            self.lookups.renew(self.joined.number(file));
        }
    }
}
