//! Metadata as the kernel's FUSE speaks of it.

use crate::owners::Owners;
use disksmith_vfs::{FileType, Metadata, Timestamp};
use fuser::{FileAttr, INodeNo, TimeOrNow};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kind of a file.
pub(crate) fn kind_of(file_type: FileType) -> fuser::FileType {
    match file_type {
        FileType::Regular => fuser::FileType::RegularFile,
        FileType::Directory => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::CharDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Socket => fuser::FileType::Socket,
    }
}

/// The kind of a file from its mode; none for modes of no kind.
pub(crate) fn file_type_of(mode: u32) -> Option<FileType> {
    Some(match mode & 0o170_000 {
        0o100_000 | 0 => FileType::Regular,
        0o040_000 => FileType::Directory,
        0o120_000 => FileType::Symlink,
        0o020_000 => FileType::CharDevice,
        0o060_000 => FileType::BlockDevice,
        0o010_000 => FileType::Fifo,
        0o140_000 => FileType::Socket,
        _ => return None,
    })
}

/// A time as the system knows it; times out of its range become the epoch.
pub(crate) fn system_time(time: Timestamp) -> SystemTime {
    let nanoseconds = Duration::from_nanos(u64::from(time.nanoseconds.min(999_999_999)));
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|t| t.checked_add(nanoseconds))
        .unwrap_or(UNIX_EPOCH)
}

/// The time of now.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        },
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp {
                    seconds: -seconds,
                    nanoseconds: 0,
                },
                nanoseconds => Timestamp {
                    seconds: -seconds - 1,
                    nanoseconds: 1_000_000_000 - nanoseconds,
                },
            }
        }
    }
}

/// A time of a request. For times before the epoch `fuser` takes the nanoseconds off as well, where the kernel adds them.
pub(crate) fn requested_time(time: TimeOrNow) -> Timestamp {
    match time {
        TimeOrNow::Now => now(),
        TimeOrNow::SpecificTime(time) => match time.duration_since(UNIX_EPOCH) {
            Ok(_) => timestamp(time),
            Err(before) => Timestamp {
                seconds: -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
                nanoseconds: before.duration().subsec_nanos(),
            },
        },
    }
}

/// A device number as FUSE packs it.
pub(crate) fn pack_device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// A device number out of FUSE's packing.
pub(crate) fn unpack_device(packed: u32) -> (u32, u32) {
    (packed >> 8 & 0xfff, packed & 0xff | packed >> 12 & 0xf_ff00)
}

/// What `stat` shows.
pub(crate) fn attributes(metadata: &Metadata, number: u64, block_size: u32, owners: Owners) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: metadata.size,
        blocks: metadata.blocks,
        atime: system_time(metadata.accessed),
        mtime: system_time(metadata.modified),
        ctime: system_time(metadata.changed),
        crtime: system_time(metadata.created.unwrap_or_default()),
        kind: kind_of(metadata.file_type),
        perm: metadata.permissions & 0o7777,
        nlink: u32::try_from(metadata.links).unwrap_or(u32::MAX),
        uid: owners.uid_out(metadata.uid),
        gid: owners.gid_out(metadata.gid),
        rdev: pack_device(metadata.device),
        blksize: block_size,
        flags: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_come_back() {
        for device in [(0, 0), (8, 1), (0xfff, 0xf_ffff), (259, 0x1234)] {
            assert_eq!(unpack_device(pack_device(device)), device);
        }
    }

    #[test]
    fn times_come_back() {
        for (seconds, nanoseconds) in [(0, 0), (1, 5), (-1, 0), (-2, 800_000_000), (1 << 33, 999_999_999)] {
            let time = Timestamp { seconds, nanoseconds };
            assert_eq!(timestamp(system_time(time)), time);
        }
    }
}
