//! A filesystem as it is after recovery, without writing to its disk.

use super::error::JournalError;
use super::recovery::{Copy, Recovery, read_copy};
use disksmith_storage::{Alignment, Error, Result, Storage, StorageRef};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// How much a view holds of what is written to it.
const MAX_WRITTEN: usize = 64 << 20;

/// Shows a dirty filesystem as recovered. The blocks that recovery gives back are read from the journal itself, so this
/// takes little memory. What is written to the view (the superblock with `needs_recovery` cleared, the journal marked
/// empty) stays in memory, up to 64 MiB; the storage below is never changed.
#[derive(Debug)]
pub struct RecoveredView {
    base: StorageRef,
    block_size: u32,
    copies: BTreeMap<u64, Copy>,
    written: RwLock<BTreeMap<u64, Box<[u8]>>>,
}

impl RecoveredView {
    /// Makes the view that `recovery`, which was planned on `base`, leads to: its blocks given back, its journal empty.
    pub fn new(base: StorageRef, recovery: &Recovery) -> std::result::Result<Self, JournalError> {
        let this = Self {
            base,
            block_size: recovery.log().block_size(),
            copies: recovery.copies().clone(),
            written: RwLock::default(),
        };
        recovery.empty_journal(&this)?;
        Ok(this)
    }

    /// The first block of a byte range, the offset in it and the number of bytes that lie in it.
    fn piece(&self, offset: u64, left: usize) -> (u64, usize, usize) {
        let size = u64::from(self.block_size);
        let within = (offset % size) as usize;
        (offset / size, within, left.min(size as usize - within))
    }

    /// The bytes of a block where they differ from those below.
    fn block(&self, block: u64) -> Result<Option<Vec<u8>>> {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = written.get(&block) {
            return Ok(Some(bytes.to_vec()));
        }
        let Some(copy) = self.copies.get(&block) else {
            return Ok(None);
        };
        let mut data = Vec::new();
        match read_copy(&*self.base, *copy, self.block_size, &mut data) {
            Ok(()) => Ok(Some(data)),
            Err(JournalError::Storage(error)) => Err(error),
            Err(error) => Err(Error::format(error)),
        }
    }

    /// Whether a block is the same here as below.
    fn is_changed(&self, block: u64) -> bool {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        self.copies.contains_key(&block) || written.contains_key(&block)
    }
}

impl Storage for RecoveredView {
    fn size(&self) -> u64 {
        self.base.size()
    }

    fn name(&self) -> String {
        self.base.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            // As many bytes as are the same below in one go.
            let mut same = 0usize;
            while same < rest.len() {
                let (block, _, len) = self.piece(at + same as u64, rest.len() - same);
                if self.is_changed(block) {
                    break;
                }
                same += len;
            }
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(same);
            self.base.read_at(at, head)?;
            at += same as u64;
            let (block, within, len) = self.piece(at, tail.len());
            let (piece, tail) = tail.split_at_mut(len);
            if let Some(bytes) = self.block(block)?
                && let Some(from) = bytes.get(within..within + len)
            {
                piece.copy_from_slice(from);
            }
            at += len as u64;
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (block, within, len) = self.piece(at, rest.len());
            let (piece, tail) = rest.split_at(len);
            let mut bytes = match self.block(block)? {
                Some(bytes) => bytes,
                None => {
                    // The last block of a storage may be short.
                    let start = block * u64::from(self.block_size);
                    let len = self.size().saturating_sub(start).min(self.block_size.into());
                    let mut bytes = vec![0; self.block_size as usize];
                    if let Some(part) = bytes.get_mut(..len as usize) {
                        self.base.read_at(start, part)?;
                    }
                    bytes
                }
            };
            if let Some(to) = bytes.get_mut(within..within + len) {
                to.copy_from_slice(piece);
            }
            let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
            if written.len() >= MAX_WRITTEN / self.block_size as usize && !written.contains_key(&block) {
                return Err(Error::ReadOnly { object: self.name() });
            }
            written.insert(block, bytes.into_boxed_slice());
            at += len as u64;
            rest = tail;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn alignment(&self) -> Alignment {
        self.base.alignment()
    }
}
