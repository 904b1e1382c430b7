//! Reading no faster than a given rate.

use disksmith_storage::{Alignment, Error, Extent, Result, Storage, StorageRef};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much may be read at once before waiting begins: what comes in this time.
const BURST: Duration = Duration::from_millis(100);

/// A storage whose reads wait so that in the long run no more than a number of bytes is read in a second. Read-only.
#[derive(Debug)]
pub(super) struct Throttled {
    inner: StorageRef,
    bytes_per_second: u64,
    /// When everything that was read so far would have been read at that rate.
    due: Mutex<Instant>,
}

impl Throttled {
    /// `bytes_per_second` is not 0.
    pub(super) fn new(inner: StorageRef, bytes_per_second: u64) -> Self {
        Self {
            inner,
            bytes_per_second: bytes_per_second.max(1),
            due: Mutex::new(Instant::now()),
        }
    }

    fn wait_for(&self, bytes: u64) {
        let now = Instant::now();
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*due).max(now);
            *due = start.checked_add(time).unwrap_or(start);
            start
        };
        std::thread::sleep(due.saturating_duration_since(now).saturating_sub(BURST));
    }
}

impl Storage for Throttled {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.wait_for(buf.len() as u64);
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.inner.extent_at(offset, limit)
    }

    fn alignment(&self) -> Alignment {
        self.inner.alignment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_storage::Memory;
    use std::sync::Arc;

    #[test]
    fn reading_takes_its_time() {
        let slow = Throttled::new(Arc::new(Memory::new(4096)), 10_000);
        let start = Instant::now();
        for at in 0..4 {
            slow.read_at(at * 1024, &mut [0; 1024]).unwrap();
        }
        // the last of four reads may start once three are paid for, less what may be in advance
        assert!(start.elapsed() >= Duration::from_millis(200));
    }
}
