//! Requests about the contents of files.

use crate::caller::Caller;
use crate::joined::File;
use crate::mounted::{Answer, EINVAL, ENXIO, EOPNOTSUPP, Mounted, errno};
use disksmith_vfs::{Error, FileSystem, MetadataChange};
use std::cell::RefCell;

/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: i32 = 1;
/// `FALLOC_FL_PUNCH_HOLE`.
const PUNCH_HOLE: i32 = 2;
/// `FALLOC_FL_ZERO_RANGE`.
const ZERO_RANGE: i32 = 0x10;
/// `SEEK_DATA`.
const SEEK_DATA: i32 = 3;
/// `SEEK_HOLE`.
const SEEK_HOLE: i32 = 4;
/// How much one request copies at most, and in which pieces.
const COPY_MOST: u64 = 64 << 20;
const COPY_PIECE: usize = 1 << 20;

/// The attribute that gives a program powers, which it loses when it is changed.
const CAPABILITIES: &[u8] = b"security.capability";

thread_local! {
    /// Each thread reads into a buffer of its own.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn with_buffer<T>(len: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        work(buffer.get_mut(..len).unwrap_or_default())
    })
}

impl Mounted {
    /// Reads, and gives what was read to `reply`.
    pub(crate) fn read(&self, number: u64, offset: u64, size: u32, reply: impl FnOnce(Answer<&[u8]>)) {
        with_buffer(size as usize, |buffer| {
            let read = self
                .file(number)
                .and_then(|(fs, file)| fs.read(file.inode, offset, buffer).map_err(errno));
            reply(read.map(|len| buffer.get(..len).unwrap_or_default()));
        });
    }

    /// Writes; with `kill` the file loses powers that whoever writes cannot keep.
    pub(crate) fn write(&self, number: u64, offset: u64, data: &[u8], kill: Option<Caller>) -> Answer<()> {
        self.change(number, |fs, file| {
            fs.write(file.inode, offset, data).map_err(errno)?;
            let Some(caller) = kill else { return Ok(()) };
            let metadata = fs.metadata(file.inode).map_err(errno)?;
            let left = caller.without_privileges(&metadata);
            if left == metadata.permissions {
                return Ok(());
            }
            let change = MetadataChange {
                permissions: Some(left),
                ..MetadataChange::default()
            };
            fs.set_metadata(file.inode, &change).map_err(errno)
        })
    }

    /// Takes a program's own powers away, where it has some.
    pub(crate) fn strip_capabilities(&self, fs: &dyn FileSystem, file: File) -> Answer<()> {
        match fs.remove_xattr(file.inode, CAPABILITIES) {
            Ok(()) | Err(Error::NoXattr { .. } | Error::Unsupported { .. }) => Ok(()),
            Err(error) => Err(errno(error)),
        }
    }

    /// `fallocate`.
    pub(crate) fn allocate(&self, number: u64, offset: u64, len: u64, mode: i32) -> Answer<()> {
        if len == 0 {
            return Err(EINVAL);
        }
        self.change(number, |fs, file| {
            let keep = mode & KEEP_SIZE != 0;
            match mode & !KEEP_SIZE {
                0 => fs.allocate(file.inode, offset, len, keep).map_err(errno),
                PUNCH_HOLE if keep => fs.punch_hole(file.inode, offset, len).map_err(errno),
                ZERO_RANGE => {
                    // First what can fail: nothing is zero then.
                    fs.allocate(file.inode, offset, len, keep).map_err(errno)?;
                    fs.punch_hole(file.inode, offset, len).map_err(errno)?;
                    fs.allocate(file.inode, offset, len, keep).map_err(errno)
                }
                _ => Err(EOPNOTSUPP),
            }
        })
    }

    /// `lseek` to data or to a hole.
    pub(crate) fn seek(&self, number: u64, offset: i64, whence: i32) -> Answer<i64> {
        let (fs, file) = self.file(number)?;
        let size = fs.metadata(file.inode).map_err(errno)?.size;
        let offset = u64::try_from(offset).map_err(|_| ENXIO)?;
        if offset >= size {
            return Err(ENXIO);
        }
        let found = match whence {
            SEEK_DATA => match fs.next_data(file.inode, offset).map_err(errno)? {
                Some((start, _)) => start.max(offset),
                None => return Err(ENXIO),
            },
            SEEK_HOLE => {
                let mut at = offset;
                // Data is told in pieces, each longer than nothing.
                loop {
                    match fs.next_data(file.inode, at).map_err(errno)? {
                        Some((start, len)) if start <= at && len > 0 => at = start.saturating_add(len),
                        _ => break at.min(size),
                    }
                    if at >= size {
                        break size;
                    }
                }
            }
            _ => return Err(EINVAL),
        };
        i64::try_from(found).map_err(|_| EINVAL)
    }

    /// `copy_file_range`: how much was copied.
    pub(crate) fn copy(&self, from: u64, offset: u64, to: u64, to_offset: u64, len: u64) -> Answer<u32> {
        let (source, source_file) = self.file(from)?;
        let len = len.min(COPY_MOST);
        self.change(to, |fs, file| {
            let mut done = 0u64;
            let mut piece = vec![0; COPY_PIECE.min(len as usize)];
            while done < len {
                let want = (len - done).min(piece.len() as u64) as usize;
                let Some(buffer) = piece.get_mut(..want) else {
                    break;
                };
                let read = source.read(source_file.inode, offset.saturating_add(done), buffer);
                let got = match read.map_err(errno) {
                    Ok(0) => break,
                    Ok(got) => got,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(error),
                };
                let data = buffer.get(..got).unwrap_or_default();
                match fs.write(file.inode, to_offset.saturating_add(done), data) {
                    Ok(()) => done += got as u64,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(errno(error)),
                }
            }
            Ok(done as u32)
        })
    }
}
