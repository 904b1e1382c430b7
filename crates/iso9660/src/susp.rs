//! System use areas (System Use Sharing Protocol 1.12, IEEE P1281): entries, and their continuation where a directory
//! record has no room for them.

use crate::endian::both32;

/// Bytes of a `CE` entry (SUSP 5.1).
const CE_LEN: usize = 28;
/// A continuation area lies inside one block, as readers take it.
const BLOCK: usize = 2048;
/// An entry's header: signature, length, version.
pub(crate) const HEADER_LEN: usize = 4;
/// The longest entry.
pub(crate) const MAX_ENTRY: usize = 255;

/// The entries of one directory record, not yet placed.
#[derive(Debug, Default)]
pub(crate) struct SystemUse {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl SystemUse {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds an entry. `data` is what follows the version; at most 251 bytes, which the callers see to.
    pub(crate) fn push(&mut self, signature: [u8; 2], data: &[u8]) {
        let len = (HEADER_LEN + data.len()).min(MAX_ENTRY);
        self.bytes.extend_from_slice(&signature);
        self.bytes.extend_from_slice(&[len as u8, 1]);
        self.bytes.extend_from_slice(data);
        self.ends.push(self.bytes.len());
    }

    /// `SP`: says that system use areas follow this protocol; first in the root's own record (SUSP 5.3).
    pub(crate) fn push_sp(&mut self) {
        self.push(*b"SP", &[0xBE, 0xEF, 0]);
    }

    /// `ER`: names an extension that is in use (SUSP 5.5).
    pub(crate) fn push_er(&mut self, id: &str, description: &str, source: &str, version: u8) {
        let mut data = vec![
            id.len() as u8,
            description.len() as u8,
            source.len() as u8,
            version,
        ];
        for text in [id, description, source] {
            data.extend_from_slice(text.as_bytes());
        }
        self.push(*b"ER", &data);
    }

    fn end(&self, index: usize) -> usize {
        index
            .checked_sub(1)
            .and_then(|i| self.ends.get(i))
            .copied()
            .unwrap_or(0)
    }

    /// The last index so that entries `from..index` take at most `room` bytes.
    fn fitting(&self, from: usize, room: usize) -> usize {
        let start = self.end(from);
        let more = self.ends.get(from..).unwrap_or(&[]);
        from + more
            .iter()
            .take_while(|end| end.saturating_sub(start) <= room)
            .count()
    }

    fn entries(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(self.end(from)..self.end(to)).unwrap_or(&[])
    }
}

/// The continuation areas of one directory: whole blocks that follow it.
#[derive(Debug)]
pub(crate) struct Continuations {
    first_block: u32,
    bytes: Vec<u8>,
}

impl Continuations {
    pub(crate) fn new(first_block: u32) -> Self {
        Self {
            first_block,
            bytes: Vec::new(),
        }
    }

    /// All areas, filled up to whole blocks.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self.bytes
    }

    /// Bytes that are in use so far.
    pub(crate) fn used(&self) -> usize {
        self.bytes.len()
    }

    /// Places entries: what fits goes to `out`, at most `room` bytes of it, the rest into continuation areas.
    pub(crate) fn place(&mut self, system_use: &SystemUse, room: usize, out: &mut Vec<u8>) {
        let count = system_use.ends.len();
        if system_use.bytes.len() <= room {
            out.extend_from_slice(&system_use.bytes);
            return;
        }
        let inside = system_use.fitting(0, room.saturating_sub(CE_LEN));
        out.extend_from_slice(system_use.entries(0, inside));
        // How the rest is cut: (first entry, last entry, whether a `CE` follows).
        let mut pieces = Vec::new();
        let mut at = inside;
        while at < count {
            let rest = system_use.bytes.len() - system_use.end(at);
            let to = if rest <= BLOCK {
                count
            } else {
                system_use.fitting(at, BLOCK - CE_LEN).max(at + 1)
            };
            pieces.push((at, to));
            at = to;
        }
        let mut places = Vec::with_capacity(pieces.len());
        let mut end = self.bytes.len();
        for (from, to) in &pieces {
            let more = if *to < count { CE_LEN } else { 0 };
            let len = system_use.entries(*from, *to).len() + more;
            if end % BLOCK + len > BLOCK {
                end = end.next_multiple_of(BLOCK);
            }
            places.push((end, len));
            end += len;
        }
        let mut places = places.into_iter();
        if let Some((offset, len)) = places.next() {
            self.ce(offset, len, out);
            let mut here = offset;
            for (from, to) in pieces {
                self.bytes.resize(here, 0);
                self.bytes.extend_from_slice(system_use.entries(from, to));
                if let Some((next, len)) = places.next() {
                    let mut ce = Vec::with_capacity(CE_LEN);
                    self.ce(next, len, &mut ce);
                    self.bytes.extend_from_slice(&ce);
                    here = next;
                }
            }
        }
    }

    /// `CE`: where the entries go on (SUSP 5.1).
    fn ce(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let block = self.first_block.saturating_add((offset / BLOCK) as u32);
        out.extend_from_slice(b"CE");
        out.extend_from_slice(&[CE_LEN as u8, 1]);
        out.extend_from_slice(&both32(block));
        out.extend_from_slice(&both32((offset % BLOCK) as u32));
        out.extend_from_slice(&both32(len as u32));
    }
}
