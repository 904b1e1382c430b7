//! `bench`: many requests of one size, to see how fast an image is.

use crate::error::{Error, Result};
use crate::worker::{self, Progress, check_cancelled};
use disksmith_storage::Storage;

/// A request is carried out in steps of so many bytes at most, which bounds memory.
const STEP: u64 = 1 << 20;

/// Which requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchOptions {
    /// How many requests.
    pub count: u64,
    /// How many are under way at a time; more threads than the machine bears are not started.
    pub depth: usize,
    /// Size of a request in bytes.
    pub size: u64,
    /// Where the first request starts, in bytes.
    pub offset: u64,
    /// How far each request starts behind the one before, in bytes; behind the end it goes on from the start.
    pub step: u64,
    /// Writes bytes of this value instead of reading.
    pub write: Option<u8>,
    /// Flushes after so many requests; 0 never does.
    pub flush_interval: u64,
}

/// Sends the requests to a disk, one thread a request up to the depth.
///
/// # Errors
/// [`disksmith_storage::Error::OutOfBounds`] where a request reaches behind the end of the disk; those of reading and writing.
pub fn bench(disk: &dyn Storage, options: &BenchOptions, progress: &dyn Progress) -> Result<()> {
    let size = disk.size();
    let (mut sent, mut at) = (0, options.offset);
    let plan = || {
        check_cancelled(progress)?;
        if sent == options.count {
            return Ok(None);
        }
        sent += 1;
        let offset = at;
        at = at.saturating_add(options.step).checked_rem(size).unwrap_or(0);
        let flush = options.flush_interval > 0 && sent.is_multiple_of(options.flush_interval);
        Ok(Some((offset, flush)))
    };
    worker::run(options.depth, plan, |(offset, flush), buffer: &mut Vec<u8>| {
        request(disk, options, offset, buffer)?;
        if flush {
            disk.flush()?;
        }
        Ok(())
    })?;
    if options.write.is_some() {
        disk.flush()?;
    }
    Ok(())
}

fn request(disk: &dyn Storage, options: &BenchOptions, offset: u64, buffer: &mut Vec<u8>) -> Result<()> {
    disk.check_range(offset, options.size).map_err(Error::from)?;
    let mut done = 0;
    while done < options.size {
        let n = (options.size - done).min(STEP);
        buffer.resize(n as usize, options.write.unwrap_or(0));
        match options.write {
            Some(_) => disk.write_at(offset + done, buffer)?,
            None => disk.read_at(offset + done, buffer)?,
        }
        done += n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::NoProgress;
    use disksmith_storage::{Memory, read_vec};

    #[test]
    fn requests_go_round_the_disk() {
        let disk = Memory::new(10_000);
        let options = BenchOptions {
            count: 4,
            depth: 2,
            size: 1000,
            offset: 6000,
            step: 3000,
            write: Some(7),
            flush_interval: 2,
        };
        bench(&disk, &options, &NoProgress).unwrap();
        let bytes = read_vec(&disk, 0, 10_000).unwrap();
        let written: Vec<usize> = (0..10).filter(|k| bytes[k * 1000] == 7).collect();
        assert_eq!(written, [2, 5, 6, 9]);
        let beyond = BenchOptions {
            offset: 9500,
            ..options
        };
        assert!(bench(&disk, &beyond, &NoProgress).is_err());
    }
}
