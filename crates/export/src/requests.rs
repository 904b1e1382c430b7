//! The kernel's requests: each is taken apart, done, and answered.

use crate::attributes::kind_of;
use crate::caller::Caller;
use crate::joined::File;
use crate::metadata::Wanted;
use crate::mount::Event;
use crate::mounted::{Answer, FOREVER, Mounted, errno};
use crate::names::New;
use disksmith_vfs::XattrMode;
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

/// Largest write that the kernel may send at once.
const MAX_WRITE: u32 = 1 << 20;
/// Cookies of `.` and `..`; those of the filesystem come after them.
const DOTS: u64 = 2;

fn error(number: i32) -> Errno {
    Errno::from_i32(number)
}

fn empty(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(number) => reply.error(error(number)),
    }
}

fn attributes(answer: Answer<FileAttr>, reply: ReplyAttr) {
    match answer {
        Ok(attributes) => reply.attr(&FOREVER, &attributes),
        Err(number) => reply.error(error(number)),
    }
}

/// An answer of bytes, or of their number where the kernel asks for no more.
fn bytes(answer: Answer<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match answer {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(number) => reply.error(error(number)),
    }
}

impl Mounted {
    fn generation(&self, number: INodeNo) -> Generation {
        Generation(self.lookups.generation(number.0))
    }

    fn entry(&self, answer: Answer<FileAttr>, reply: ReplyEntry) {
        match answer {
            Ok(attributes) => reply.entry(&FOREVER, &attributes, self.generation(attributes.ino)),
            Err(number) => reply.error(error(number)),
        }
    }

    /// Tells the entries of a directory from an offset on to `add`, which says `true` when there is no more room.
    fn list(
        &self,
        number: u64,
        offset: u64,
        mut add: impl FnMut(File, u64, u64, fuser::FileType, &[u8]) -> bool,
    ) -> Answer<()> {
        let (fs, dir) = self.file(number)?;
        if offset == 0 && add(dir, number, 1, fuser::FileType::Directory, b".") {
            return Ok(());
        }
        if offset <= 1 {
            let parent = self.joined.parent(dir).unwrap_or(dir);
            let above = self.joined.number(parent);
            if add(parent, above, DOTS, fuser::FileType::Directory, b"..") {
                return Ok(());
            }
        }
        let mut cookie = offset.saturating_sub(DOTS);
        loop {
            let mut rest = self
                .listings
                .take(number, &*fs, dir.inode, cookie)
                .map_err(errno)?;
            if rest.entries.is_empty() {
                return Ok(());
            }
            while let Some(found) = rest.entries.front() {
                let file = self.joined.uncover(File {
                    inode: found.inode,
                    ..dir
                });
                let next = found.cookie;
                let of = self.joined.number(file);
                let cookie_after = next.saturating_add(DOTS);
                if add(file, of, cookie_after, kind_of(found.file_type), &found.name) {
                    self.listings.put_back(number, cookie, rest);
                    return Ok(());
                }
                cookie = next;
                rest.entries.pop_front();
            }
        }
    }
}

impl Filesystem for Mounted {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = InitFlags::FUSE_ASYNC_READ
            | InitFlags::FUSE_BIG_WRITES
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_EXPLICIT_INVAL_DATA
            | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2;
        if self.owners.are_checked() {
            wanted |= InitFlags::FUSE_POSIX_ACL;
        }
        for flag in wanted.iter() {
            if config.add_capabilities(flag).is_err() {
                log::debug!("the kernel lacks {flag:?}");
            }
        }
        let able = config.capabilities();
        self.opens_itself = (
            able.contains(InitFlags::FUSE_NO_OPEN_SUPPORT),
            able.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT),
        );
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn destroy(&mut self) {
        let _ = self.ended.send(Event::Ended);
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.look_up(parent.0, name.as_bytes()) {
            Ok(Some(attributes)) => self.entry(Ok(attributes), reply),
            // A name that is not there is remembered as well.
            Ok(None) => match self.stat(parent.0) {
                Ok(mut nothing) => {
                    nothing.ino = INodeNo(0);
                    reply.entry(&FOREVER, &nothing, Generation(0));
                }
                Err(_) => reply.error(Errno::ENOENT),
            },
            Err(number) => reply.error(error(number)),
        }
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        self.forgotten(ino.0, nlookup);
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        attributes(self.stat(ino.0), reply);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wanted = Wanted {
            mode,
            uid,
            gid,
            size,
            accessed: atime,
            modified: mtime,
            changed: ctime,
            by: Caller::of(request),
        };
        attributes(self.change_metadata(ino.0, wanted), reply);
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        let target = self
            .file(ino.0)
            .and_then(|(fs, file)| fs.read_link(file.inode).map_err(errno));
        match target {
            Ok(target) => reply.data(&target),
            Err(number) => reply.error(error(number)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let new = New {
            mode,
            umask,
            device: rdev,
            target: b"",
        };
        self.entry(self.make(request, parent.0, name.as_bytes(), new), reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let new = New {
            mode: mode & 0o7777 | 0o040_000,
            umask,
            device: 0,
            target: b"",
        };
        self.entry(self.make(request, parent.0, name.as_bytes(), new), reply);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.remove(parent.0, name.as_bytes(), false), reply);
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.remove(parent.0, name.as_bytes(), true), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = New {
            mode: 0o120_777,
            umask: 0,
            device: 0,
            target: target.as_os_str().as_bytes(),
        };
        self.entry(self.make(request, parent.0, link_name.as_bytes(), new), reply);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, new_name) = (name.as_bytes(), newname.as_bytes());
        empty(
            self.move_name(parent.0, name, newparent.0, new_name, flags),
            reply,
        );
    }

    fn link(&self, _request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        self.entry(self.add_name(ino.0, newparent.0, newname.as_bytes()), reply);
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.opens_itself.0 {
            // There is nothing to do, now and later: the kernel does not ask again.
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        }
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        Mounted::read(self, ino.0, offset, size, |read| match read {
            Ok(data) => reply.data(data),
            Err(number) => reply.error(error(number)),
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let kill = write_flags
            .contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID)
            .then(|| Caller::of(request));
        match Mounted::write(self, ino.0, offset, data, kill) {
            Ok(()) => {
                reply.written(data.len() as u32);
                self.committer.note_written(data.len() as u64);
            }
            Err(number) => reply.error(error(number)),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Every write has been answered already.
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, request: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.committer
            .sync(request.pid(), Box::new(|done| empty(done, reply)));
    }

    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.opens_itself.1 {
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::empty());
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.list(ino.0, offset, |_, number, next, kind, name| {
            reply.add(INodeNo(number), next, kind, OsStr::from_bytes(name))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(number) => reply.error(error(number)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.list(ino.0, offset, |file, number, next, _, name| {
            let found = self
                .joined
                .fs(file.mount)
                .and_then(|fs| fs.metadata(file.inode).ok());
            // What cannot be read, or is gone by now, is told by whoever asks for it.
            let Some(metadata) = found else { return false };
            let attributes = self.attributes_of(file, number, &metadata);
            let full = reply.add(
                INodeNo(number),
                next,
                OsStr::from_bytes(name),
                &FOREVER,
                &attributes,
                self.generation(INodeNo(number)),
            );
            if !full && name != b"." && name != b".." {
                self.lookups.add(number);
            }
            full
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(number) => reply.error(error(number)),
        }
    }

    fn fsyncdir(
        &self,
        request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.committer
            .sync(request.pid(), Box::new(|done| empty(done, reply)));
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let told = self.file(ino.0).and_then(|(fs, _)| fs.stat_fs().map_err(errno));
        match told {
            Ok(s) => {
                let size = s.block_size.clamp(512, 1 << 20) as u32;
                reply.statfs(
                    s.blocks,
                    s.free_blocks,
                    s.available_blocks,
                    s.inodes,
                    s.free_inodes,
                    size,
                    s.max_name_len,
                    size,
                );
            }
            Err(number) => reply.error(error(number)),
        }
    }

    fn setxattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let mode = match flags {
            0 => XattrMode::Set,
            1 => XattrMode::Create,
            2 => XattrMode::Replace,
            _ => return reply.error(Errno::EINVAL),
        };
        empty(self.set_attribute(ino.0, name.as_bytes(), value, mode), reply);
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        bytes(self.attribute(ino.0, name.as_bytes()), size, reply);
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        bytes(self.attribute_names(ino.0, request.uid() == 0), size, reply);
    }

    fn removexattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.remove_attribute(ino.0, name.as_bytes()), reply);
    }

    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // Asked only where nothing is refused.
        reply.ok();
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let new = New {
            mode: mode & 0o7777 | 0o100_000,
            umask,
            device: 0,
            target: b"",
        };
        match self.make(request, parent.0, name.as_bytes(), new) {
            Ok(attributes) => reply.created(
                &FOREVER,
                &attributes,
                self.generation(attributes.ino),
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH,
            ),
            Err(number) => reply.error(error(number)),
        }
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        empty(self.allocate(ino.0, offset, length, mode), reply);
    }

    fn lseek(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        match self.seek(ino.0, offset, whence) {
            Ok(offset) => reply.offset(offset),
            Err(number) => reply.error(error(number)),
        }
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        match self.copy(ino_in.0, offset_in, ino_out.0, offset_out, len) {
            Ok(copied) => {
                reply.written(copied);
                self.committer.note_written(u64::from(copied));
            }
            Err(number) => reply.error(error(number)),
        }
    }
}
