//! An image read through its log.

use super::PAGE;
use super::index::{Index, Logged};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::storage::{Alignment, HostSpan, Storage, StorageRef};

/// The new state of a raw image whose sealed log is not applied yet. Read-only.
#[derive(Debug)]
pub struct LogView {
    image: StorageRef,
    log: StorageRef,
    index: Index,
    size: u64,
}

impl LogView {
    pub(super) fn new(image: StorageRef, log: StorageRef, index: Index, size: u64) -> Self {
        Self {
            image,
            log,
            index,
            size,
        }
    }

    /// How a page is held, and up to which page that goes.
    fn lookup(&self, page: u64) -> (Option<Logged>, u64) {
        match self.index.get(page) {
            Some((logged, end)) => (Some(logged), end),
            None => (None, self.index.next_start(page).unwrap_or(u64::MAX)),
        }
    }
}

impl Storage for LogView {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.image.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (logged, end) = self.lookup(at / PAGE);
            let n = end.saturating_mul(PAGE).saturating_sub(at).min(rest.len() as u64) as usize;
            let (head, tail) = rest.split_at_mut(n);
            match logged {
                Some(Logged::At(place)) => {
                    self.log
                        .read_at(place.saturating_mul(PAGE).saturating_add(at % PAGE), head)?;
                }
                Some(Logged::Zero(_)) => head.fill(0),
                None => {
                    let there = self.image.size().saturating_sub(at).min(n as u64) as usize;
                    let (there, beyond) = head.split_at_mut(there);
                    if !there.is_empty() {
                        self.image.read_at(at, there)?;
                    }
                    beyond.fill(0);
                }
            }
            at += n as u64;
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn write_zeroes(&self, _offset: u64, _len: u64, _mode: crate::ZeroMode) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn discard(&self, _offset: u64, _len: u64) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let (logged, end) = self.lookup(offset / PAGE);
        let limit = limit
            .max(1)
            .min(self.size - offset)
            .min(end.saturating_mul(PAGE).saturating_sub(offset));
        match logged {
            Some(Logged::At(_)) => Ok(Extent::data(limit)),
            Some(Logged::Zero(_)) => Ok(Extent::zero(limit)),
            None => match self.image.size().checked_sub(offset) {
                Some(there) if there > 0 => self.image.extent_at(offset, limit.min(there)),
                _ => Ok(Extent::zero(limit)),
            },
        }
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: 1,
            allocation: PAGE,
        }
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        self.check_range(offset, len).ok()?;
        match self.lookup(offset / PAGE) {
            (None, end) => {
                let len = end.saturating_mul(PAGE).saturating_sub(offset).min(len);
                self.image.host_span(offset, len)
            }
            _ => None,
        }
    }
}
