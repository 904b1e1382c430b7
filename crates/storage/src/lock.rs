//! QEMU's locks on image files.
//!
//! QEMU tells other processes what it does with an image file through byte-range locks on single bytes, which
//! need not lie inside the file (QEMU's `block/file-posix.c`; `docs/system/images` speaks of "image locking").
//! For each permission *n* a process takes a shared lock on byte 100 + *n* when it uses that permission, and on
//! byte 200 + *n* when it does not share it with others. Then it looks whether anybody else holds the opposite
//! byte. All locks are shared ones, so taking them never fails; and as everybody takes before looking, of two
//! that come at the same time at least one sees the other.

mod byte;
mod holders;

use crate::error::{Error, Result};
use crate::host_file::{FileId, OpenMode};
use std::fs::File;
use std::io;
use std::path::Path;

/// How an image file is locked against others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// As QEMU does: a reader excludes writers, a writer excludes readers and writers.
    Lock,
    /// A reader that bears with writers, as `qemu-img -U`: what it reads may change under its hands.
    ForceShare,
    /// No lock is taken or looked at.
    None,
}

/// How often a lock is tried that nobody seems to hold, and how long the pause in between is.
const ATTEMPTS: u32 = 20;
/// The same, where it is known to be a process that is being started.
const ATTEMPTS_STARTING: u32 = 1000;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// Byte at which the locks of used permissions start.
const USED_BASE: u64 = 100;
/// Byte at which the locks of permissions that are not shared start.
const UNSHARED_BASE: u64 = 200;

/// A permission, by its number in QEMU (`BLK_PERM_*`, the bit's position).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    /// To read, and see a consistent state.
    ConsistentRead = 0,
    /// To write.
    Write = 1,
    /// To change the size.
    Resize = 3,
}

impl Permission {
    fn used(self) -> u64 {
        USED_BASE + self as u64
    }

    fn unshared(self) -> u64 {
        UNSHARED_BASE + self as u64
    }
}

/// Takes the locks for `mode` on a file that was just opened. They last until the last descriptor of this opening
/// is closed.
pub(crate) fn take(file: &File, path: &Path, mode: OpenMode, lock: LockMode) -> Result<()> {
    use Permission::{ConsistentRead, Resize, Write};
    let used: &[Permission] = match mode {
        OpenMode::Read => &[ConsistentRead],
        OpenMode::Write => &[ConsistentRead, Write, Resize],
    };
    let unshared: &[Permission] = match lock {
        LockMode::None => return Ok(()),
        LockMode::ForceShare => &[],
        LockMode::Lock => &[Write, Resize],
    };
    let fail = |source| Error::io(path.display().to_string(), "lock", None, source);
    let opposite: Vec<u64> = used
        .iter()
        .map(|p| p.unshared())
        .chain(unshared.iter().map(|p| p.used()))
        .collect();
    for attempt in 1.. {
        let mine = used
            .iter()
            .map(|p| p.used())
            .chain(unshared.iter().map(|p| p.unshared()));
        for at in mine {
            match byte::lock(file, at) {
                Ok(()) => {}
                Err(error) if is_unsupported(&error) => {
                    log::warn!(
                        "{}: this filesystem has no byte-range locks ({error}); not locked",
                        path.display()
                    );
                    return Ok(());
                }
                Err(error) => return Err(fail(error)),
            }
        }
        let mut refused = false;
        for at in &opposite {
            refused |= byte::is_held_by_other(file, *at).map_err(fail)?;
        }
        if !refused {
            return Ok(());
        }
        byte::unlock_all(file).map_err(fail)?;
        let id = FileId::of(&file.metadata().map_err(fail)?);
        let holders = holders::find(file, id, &opposite);
        // A process that another thread of this one is starting holds our own old descriptors until it runs its
        // program; it may be gone before it can be named.
        let passing = holders.iter().all(|holder| holders::is_starting(holder.pid));
        let most = if holders.is_empty() {
            ATTEMPTS
        } else {
            ATTEMPTS_STARTING
        };
        if passing && attempt < most {
            std::thread::sleep(PAUSE);
            continue;
        }
        return Err(Error::Locked {
            path: path.into(),
            holders,
        });
    }
    Ok(())
}

/// Whether the error says that locks of this kind do not exist here (some network filesystems, old kernels).
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP)
    )
}
