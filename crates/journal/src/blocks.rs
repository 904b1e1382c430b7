//! Reading small pieces of a file through a few blocks that are kept.

use crate::error::{Result, damaged};
use std::fmt::Debug;
use std::io;

/// Bytes of a block.
const BLOCK: usize = 32 << 10;

/// Blocks kept of one file: the journal's structures of one entry lie in a few places.
const KEPT: usize = 8;

/// A file that holds a journal.
pub trait JournalSource: Debug {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads at a byte offset; returns how many bytes, fewer than asked only at the end.
    ///
    /// # Errors
    /// What reading says.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// A source with its blocks.
#[derive(Debug)]
pub(crate) struct Blocks<S> {
    source: S,
    /// Block number and contents, the one used last at the end.
    kept: Vec<(u64, Vec<u8>)>,
}

impl<S: JournalSource> Blocks<S> {
    pub(crate) fn new(source: S) -> Self {
        Self {
            source,
            kept: Vec::new(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.source.size()
    }

    /// Gives the memory of the blocks back.
    pub(crate) fn forget(&mut self) {
        self.kept = Vec::new();
    }

    /// Reads exactly `len` bytes of a structure.
    pub(crate) fn read(&mut self, structure: &'static str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.size());
        if end.is_none() {
            return Err(damaged(
                structure,
                offset,
                "it reaches beyond the end of the file",
            ));
        }
        let mut out = Vec::with_capacity(len);
        if len >= 2 * BLOCK {
            out.resize(len, 0);
            let n = self.source.read_at(offset, &mut out)?;
            if n < len {
                return Err(damaged(structure, offset, "the file is cut off"));
            }
            return Ok(out);
        }
        let mut at = offset;
        while out.len() < len {
            let block = self.block(at / BLOCK as u64)?;
            let start = (at % BLOCK as u64) as usize;
            let piece = block.get(start..).unwrap_or_default();
            let piece = piece.get(..len - out.len()).unwrap_or(piece);
            if piece.is_empty() {
                return Err(damaged(structure, offset, "the file is cut off"));
            }
            out.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        Ok(out)
    }

    fn block(&mut self, number: u64) -> Result<&[u8]> {
        if let Some(at) = self.kept.iter().position(|(n, _)| *n == number) {
            let block = self.kept.remove(at);
            self.kept.push(block);
        } else {
            let mut bytes = if self.kept.len() >= KEPT {
                self.kept.remove(0).1
            } else {
                Vec::new()
            };
            bytes.resize(BLOCK, 0);
            let n = self.source.read_at(number * BLOCK as u64, &mut bytes)?;
            bytes.truncate(n);
            self.kept.push((number, bytes));
        }
        Ok(self
            .kept
            .last()
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default())
    }
}
