//! Locks on single bytes that belong to an open file description (`F_OFD_SETLK`, fcntl(2) "Open file description
//! locks"). The only module of the project with `unsafe` code: neither std nor rustix offers these calls.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes a shared lock on one byte. Never waits, and cannot collide with other shared locks.
pub(super) fn lock(file: &File, at: u64) -> io::Result<()> {
    call(file, libc::F_OFD_SETLK, libc::F_RDLCK, at, 1).map(drop)
}

/// Gives all locks of this open file description back.
pub(super) fn unlock_all(file: &File) -> io::Result<()> {
    call(file, libc::F_OFD_SETLK, libc::F_UNLCK, 0, 0).map(drop)
}

/// Whether another open file description holds a lock, shared or exclusive, on the byte.
pub(super) fn is_held_by_other(file: &File, at: u64) -> io::Result<bool> {
    let answer = call(file, libc::F_OFD_GETLK, libc::F_WRLCK, at, 1)?;
    Ok(i32::from(answer.l_type) != libc::F_UNLCK)
}

/// One `fcntl` call over `len` bytes (0: to the end of all offsets); returns the structure as the kernel left it.
fn call(
    file: &File,
    command: libc::c_int,
    kind: libc::c_int,
    start: u64,
    len: u64,
) -> io::Result<libc::flock> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    // SAFETY: `flock` is a plain C structure of integers, for which all zeroes is a valid value.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = libc::c_short::try_from(kind).map_err(out_of_range)?;
    request.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(out_of_range)?;
    request.l_start = libc::off_t::try_from(start).map_err(out_of_range)?;
    request.l_len = libc::off_t::try_from(len).map_err(out_of_range)?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; both commands used here take a
        // pointer to a `flock`, which they read and write within its bounds, and do not keep.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut request) };
        if result != -1 {
            return Ok(request);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
