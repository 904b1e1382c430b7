//! A storage that fails when it is told to.

use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::storage::{Alignment, Storage, StorageRef, ZeroMode};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which operations a [`Plan`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Everything that changes the storage, and flushes.
    Change,
    /// Writes, zeroing and discards.
    Write,
    /// Flushes.
    Flush,
    /// Reads.
    Read,
    /// Changes of the size.
    SetSize,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With an I/O error. A write may have written: its first half arrives.
    Io,
    /// No space left. Nothing of a write arrives.
    NoSpace,
}

/// Which operation fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The operations that are counted.
    pub operation: Operation,
    /// The number of the one that fails, counted from 0.
    pub nth: u64,
    /// How it fails.
    pub failure: Failure,
    /// Whether all that come after it fail too.
    pub lasting: bool,
}

/// A storage that passes everything on but the operation its [`Plan`] names. Loop over `nth` until
/// [`triggered`](Self::triggered) says that there was no such operation any more.
#[derive(Debug)]
pub struct Faulty {
    inner: StorageRef,
    plan: Plan,
    count: AtomicU64,
}

impl Faulty {
    /// Lets `inner` fail as planned.
    pub fn new(inner: StorageRef, plan: Plan) -> Self {
        Self {
            inner,
            plan,
            count: AtomicU64::new(0),
        }
    }

    /// Whether an operation failed by plan.
    pub fn triggered(&self) -> bool {
        self.count.load(Ordering::Acquire) > self.plan.nth
    }

    fn fails(&self, operation: Operation) -> bool {
        let counted = match self.plan.operation {
            Operation::Change => operation != Operation::Read,
            other => other == operation,
        };
        if !counted {
            return false;
        }
        let number = self.count.fetch_add(1, Ordering::AcqRel);
        number == self.plan.nth || self.plan.lasting && number > self.plan.nth
    }

    fn error(&self, operation: &'static str, offset: Option<u64>) -> Error {
        let source = match self.plan.failure {
            Failure::Io => io::Error::other("injected failure"),
            Failure::NoSpace => io::ErrorKind::StorageFull.into(),
        };
        Error::io(self.name(), operation, offset, source)
    }
}

impl Storage for Faulty {
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
        if self.fails(Operation::Read) {
            return Err(self.error("read", Some(offset)));
        }
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        if self.fails(Operation::Write) {
            if self.plan.failure == Failure::Io {
                self.inner
                    .write_at(offset, buf.get(..buf.len() / 2).unwrap_or(&[]))?;
            }
            return Err(self.error("write", Some(offset)));
        }
        self.inner.write_at(offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        if self.fails(Operation::Write) {
            return Err(self.error("write", Some(offset)));
        }
        self.inner.write_zeroes(offset, len, mode)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        if self.fails(Operation::Write) {
            return Err(self.error("punch a hole in", Some(offset)));
        }
        self.inner.discard(offset, len)
    }

    fn flush(&self) -> Result<()> {
        if self.fails(Operation::Flush) {
            return Err(self.error("flush", None));
        }
        self.inner.flush()
    }

    fn set_size(&self, size: u64) -> Result<()> {
        if self.fails(Operation::SetSize) {
            return Err(self.error("change the size of", None));
        }
        self.inner.set_size(size)
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
    use crate::diagnose::{Diagnose, ErrorKind};
    use crate::memory::Memory;
    use std::sync::Arc;

    #[test]
    fn fails_when_told() {
        let memory = Arc::new(Memory::new(100));
        let plan = Plan {
            operation: Operation::Write,
            nth: 1,
            failure: Failure::NoSpace,
            lasting: false,
        };
        let faulty = Faulty::new(memory.clone(), plan);
        faulty.write_at(0, &[1; 10]).unwrap();
        faulty.flush().unwrap();
        assert!(!faulty.triggered());
        let error = faulty.write_at(10, &[1; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert!(faulty.triggered());
        faulty.write_at(20, &[1; 10]).unwrap();
        assert_eq!(memory.to_vec()[10..20], [0; 10]);
        let plan = Plan {
            operation: Operation::Change,
            nth: 0,
            failure: Failure::Io,
            lasting: true,
        };
        let faulty = Faulty::new(memory, plan);
        faulty.read_at(0, &mut [0]).unwrap();
        assert!(faulty.flush().is_err());
        assert!(faulty.set_size(1).is_err());
        assert!(faulty.write_zeroes(0, 1, ZeroMode::Keep).is_err());
    }
}
