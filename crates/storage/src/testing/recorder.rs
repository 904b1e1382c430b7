//! Notes what is done to a storage.

use super::journal::{Event, Journal};
use crate::error::Result;
use crate::extent::Extent;
use crate::storage::{Alignment, Storage, StorageRef, ZeroMode};
use std::sync::Arc;

/// A storage that passes everything on, and notes what changes it in a [`Journal`].
#[derive(Debug)]
pub struct Recorder {
    inner: StorageRef,
    journal: Arc<Journal>,
    number: usize,
}

impl Recorder {
    /// Records what is done to `inner` through this, from its state now on.
    ///
    /// # Panics
    /// When `inner` cannot be read.
    #[track_caller]
    #[allow(clippy::expect_used)]
    pub fn new(inner: StorageRef, journal: &Arc<Journal>) -> Self {
        let number = journal
            .enrol(inner.as_ref())
            .expect("a storage to be recorded can be read");
        Self {
            inner,
            journal: Arc::clone(journal),
            number,
        }
    }

    /// Its number in the journal: how many recorders joined before it.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Does something and notes it, in one step towards other threads.
    fn note(&self, action: impl FnOnce() -> Result<()>, event: Event) -> Result<()> {
        let mut log = self.journal.log();
        action()?;
        log.events.push(event);
        Ok(())
    }
}

impl Storage for Recorder {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_writable(&self) -> bool {
        self.inner.is_writable()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let event = Event::Write {
            storage: self.number,
            offset,
            bytes: buf.into(),
        };
        self.note(|| self.inner.write_at(offset, buf), event)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        let event = Event::Zero {
            storage: self.number,
            offset,
            len,
        };
        self.note(|| self.inner.write_zeroes(offset, len, mode), event)
    }

    /// Noted as zeroing: that is the most a discard can do.
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let event = Event::Zero {
            storage: self.number,
            offset,
            len,
        };
        self.note(|| self.inner.discard(offset, len), event)
    }

    fn flush(&self) -> Result<()> {
        self.note(|| self.inner.flush(), Event::Flush { storage: self.number })
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.note(
            || self.inner.set_size(size),
            Event::SetSize {
                storage: self.number,
                size,
            },
        )
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.inner.extent_at(offset, limit)
    }

    fn alignment(&self) -> Alignment {
        self.inner.alignment()
    }
}
