//! The changes of one operation, held back until all of it is known to work.

use disksmith_storage::{Alignment, Result, Storage, StorageRef, ZeroMode};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of a piece that is held.
const PIECE: u64 = 512;
/// Bytes that are written at a time.
const MAX_RUN: usize = 1 << 20;

type Pieces = BTreeMap<u64, Vec<u8>>;

/// A storage whose writes stay in memory until [`commit`](Self::commit) hands them on, or [`abandon`](Self::abandon) drops them.
#[derive(Debug)]
pub(crate) struct Overlay {
    base: StorageRef,
    pieces: RwLock<Pieces>,
}

impl Overlay {
    pub(crate) fn new(base: StorageRef) -> Self {
        Self {
            base,
            pieces: RwLock::default(),
        }
    }

    /// What lies below: for contents of files, which are written at once.
    pub(crate) fn base(&self) -> &StorageRef {
        &self.base
    }

    /// Writes everything that was held back. Where that fails, what was written already is put back as it was.
    pub(crate) fn commit(&self) -> Result<()> {
        let pieces = std::mem::take(&mut *self.pieces_mut());
        let mut undo: Vec<(u64, Vec<u8>)> = Vec::new();
        for (offset, bytes) in runs(pieces) {
            let mut old = vec![0; bytes.len()];
            let written = match self.base.read_at(offset, &mut old) {
                Ok(()) => {
                    undo.push((offset, old));
                    self.base.write_at(offset, &bytes)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                for (offset, old) in undo.iter().rev() {
                    if let Err(error) = self.base.write_at(*offset, old) {
                        log::error!("{}: putting back {offset}: {error}", self.base.name());
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Forgets everything that was held back.
    pub(crate) fn abandon(&self) {
        self.pieces_mut().clear();
    }

    fn pieces(&self) -> RwLockReadGuard<'_, Pieces> {
        self.pieces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces_mut(&self) -> RwLockWriteGuard<'_, Pieces> {
        self.pieces.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins pieces that follow each other.
fn runs(pieces: Pieces) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (number, bytes) in pieces {
        let offset = number * PIECE;
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() as u64 == offset && run.len() < MAX_RUN => {
                run.extend_from_slice(&bytes);
            }
            _ => runs.push((offset, bytes)),
        }
    }
    runs
}

impl Storage for Overlay {
    fn size(&self) -> u64 {
        self.base.size()
    }

    fn name(&self) -> String {
        self.base.name()
    }

    fn is_writable(&self) -> bool {
        self.base.is_writable()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.base.read_at(offset, buf)?;
        let pieces = self.pieces();
        if pieces.is_empty() || buf.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(buf.len() as u64);
        for (number, bytes) in pieces.range(offset / PIECE..=(end - 1) / PIECE) {
            let start = number * PIECE;
            let from = offset.max(start);
            let to = end.min(start + bytes.len() as u64);
            let target = buf.get_mut((from - offset) as usize..to.saturating_sub(offset) as usize);
            let source = bytes.get((from - start) as usize..to.saturating_sub(start) as usize);
            if let (Some(target), Some(source)) = (target, source) {
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut pieces = self.pieces_mut();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let number = at / PIECE;
            let start = number * PIECE;
            let within = (at - start) as usize;
            let (part, tail) = rest.split_at(rest.len().min(PIECE as usize - within));
            let piece = match pieces.entry(number) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(place) => {
                    let mut bytes = vec![0; self.size().saturating_sub(start).min(PIECE) as usize];
                    self.base.read_at(start, &mut bytes)?;
                    place.insert(bytes)
                }
            };
            if let Some(place) = piece.get_mut(within..within + part.len()) {
                place.copy_from_slice(part);
            }
            at += part.len() as u64;
            rest = tail;
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.base.write_zeroes(offset, len, mode)
    }

    fn flush(&self) -> Result<()> {
        self.base.flush()
    }

    fn alignment(&self) -> Alignment {
        self.base.alignment()
    }
}
