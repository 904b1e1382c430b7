//! What is known of a range of a storage without reading it.

use std::path::Path;
use std::sync::Arc;

/// How a range of bytes is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtentState {
    /// Bytes are stored; they may be anything.
    Data,
    /// Known to read as zeroes, and present in some layer (a hole of a raw file, a zero cluster).
    Zero,
    /// Held by no layer of the chain; reads as zeroes.
    Absent,
}

/// Where bytes lie plainly in a host file. Never given through compression or encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLocation {
    /// The host file, as it was opened.
    pub file: Arc<Path>,
    /// Byte offset in it.
    pub offset: u64,
}

/// A run of bytes that is held in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes; never 0.
    pub len: u64,
    /// How it is held.
    pub state: ExtentState,
    /// Which layer of a backing chain holds it: 0 is the top.
    pub depth: u32,
    /// Whether it is stored compressed.
    pub compressed: bool,
    /// Where it lies in a host file; contiguous over the whole extent.
    pub host: Option<HostLocation>,
}

impl Extent {
    /// An extent of plain data at depth 0 with no known host location.
    pub fn data(len: u64) -> Self {
        Self {
            len,
            state: ExtentState::Data,
            depth: 0,
            compressed: false,
            host: None,
        }
    }

    /// An extent that reads as zeroes at depth 0.
    pub fn zero(len: u64) -> Self {
        Self {
            state: ExtentState::Zero,
            ..Self::data(len)
        }
    }

    /// An extent that no layer holds.
    pub fn absent(len: u64) -> Self {
        Self {
            state: ExtentState::Absent,
            ..Self::data(len)
        }
    }

    /// Whether it is known to read as zeroes.
    pub fn reads_as_zero(&self) -> bool {
        self.state != ExtentState::Data
    }

    /// Whether `self` and `next`, which starts where `self` ends, can be told as one extent.
    pub fn continues(&self, next: &Self) -> bool {
        self.state == next.state
            && self.depth == next.depth
            && self.compressed == next.compressed
            && match (&self.host, &next.host) {
                (None, None) => true,
                (Some(a), Some(b)) => a.file == b.file && a.offset.checked_add(self.len) == Some(b.offset),
                _ => false,
            }
    }
}
