//! Numbers of files that keep their number when their directory entry moves.

use crate::directory_entry::ENTRY_LEN;
use disksmith_vfs::InodeNo;
use std::collections::HashMap;

/// Numbers from here on belong to no place of an entry.
const FIRST_FREE: u64 = 1 << 60;

/// A file is numbered after the place of its directory entry, until that moves: from then on its number is kept here.
#[derive(Debug)]
pub(crate) struct InodeMap {
    offsets: HashMap<u64, u64>,
    numbers: HashMap<u64, u64>,
    next: u64,
}

impl Default for InodeMap {
    fn default() -> Self {
        Self {
            offsets: HashMap::new(),
            numbers: HashMap::new(),
            next: FIRST_FREE,
        }
    }
}

impl InodeMap {
    /// The number of the file whose entry lies at a byte offset.
    pub(crate) fn number(&mut self, offset: u64) -> InodeNo {
        if let Some(number) = self.numbers.get(&offset) {
            return InodeNo(*number);
        }
        let natural = offset / ENTRY_LEN;
        if !self.offsets.contains_key(&natural) {
            return InodeNo(natural);
        }
        // Its number went away with the entry that was here before.
        let number = self.next;
        self.next += 1;
        self.numbers.insert(offset, number);
        self.offsets.insert(number, offset);
        InodeNo(number)
    }

    /// Where the entry of a file lies; `None` for a number that no file has.
    pub(crate) fn offset(&self, inode: InodeNo) -> Option<u64> {
        match self.offsets.get(&inode.0) {
            Some(offset) => Some(*offset),
            None if inode.0 >= FIRST_FREE => None,
            // An entry here that was given another number is not reached by that of its place.
            None => inode
                .0
                .checked_mul(ENTRY_LEN)
                .filter(|offset| !self.numbers.contains_key(offset)),
        }
    }

    /// Notes that an entry moved.
    pub(crate) fn moved(&mut self, from: u64, to: u64) {
        if from == to {
            return;
        }
        let number = self.number(from).0;
        self.numbers.remove(&from);
        self.offsets.insert(number, to);
        self.numbers.insert(to, number);
    }

    /// Notes that two entries changed places.
    pub(crate) fn swapped(&mut self, first: u64, second: u64) {
        let (one, other) = (self.number(first).0, self.number(second).0);
        self.offsets.insert(one, second);
        self.offsets.insert(other, first);
        self.numbers.insert(second, one);
        self.numbers.insert(first, other);
    }

    /// Notes that an entry was removed.
    pub(crate) fn removed(&mut self, offset: u64) {
        let number = self.number(offset).0;
        self.numbers.remove(&offset);
        self.offsets.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_their_files() {
        let mut map = InodeMap::default();
        let first = map.number(3200);
        assert_eq!(first, InodeNo(100));
        map.moved(3200, 6400);
        assert_eq!((map.number(6400), map.offset(first)), (first, Some(6400)));
        let second = map.number(3200);
        assert_ne!(second, first);
        assert_eq!(map.offset(second), Some(3200));
        map.removed(6400);
        assert_eq!(map.number(6400), InodeNo(200));
        assert_eq!(map.offset(second), Some(3200));
        map.moved(3200, 9600);
        assert_eq!(map.offset(second), Some(9600));
        assert_eq!(map.number(3200), first);
    }
}
