//! A directory in memory.

use crate::metadata::InodeNo;
use std::collections::BTreeMap;

/// Entries by name, and in the order in which they were made: a cookie stays good whatever happens to other entries.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) parent: InodeNo,
    by_name: BTreeMap<Vec<u8>, (u64, InodeNo)>,
    by_cookie: BTreeMap<u64, Vec<u8>>,
    next_cookie: u64,
}

impl Directory {
    /// An empty directory.
    pub(super) fn new(parent: InodeNo) -> Self {
        Self {
            parent,
            by_name: BTreeMap::new(),
            by_cookie: BTreeMap::new(),
            next_cookie: 1,
        }
    }

    /// Whether it has no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The inode that a name means.
    pub(super) fn get(&self, name: &[u8]) -> Option<InodeNo> {
        self.by_name.get(name).map(|(_, inode)| *inode)
    }

    /// Sets a name, replacing what it meant.
    pub(super) fn set(&mut self, name: &[u8], inode: InodeNo) {
        if let Some((_, place)) = self.by_name.get_mut(name) {
            *place = inode;
            return;
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.by_cookie.insert(cookie, name.to_vec());
        self.by_name.insert(name.to_vec(), (cookie, inode));
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some((cookie, _)) = self.by_name.remove(name) {
            self.by_cookie.remove(&cookie);
        }
    }

    /// Entries after a cookie: (cookie, name, inode).
    pub(super) fn entries_after(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], InodeNo)> {
        self.by_cookie
            .range(cookie.saturating_add(1)..)
            .filter_map(|(cookie, name)| Some((*cookie, name.as_slice(), self.get(name)?)))
    }
}
