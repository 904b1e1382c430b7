//! Creating, removing and renaming.

use crate::boot_sector::corrupt;
use crate::chain::Chain;
use crate::directory::DirectoryPlace;
use crate::directory_entry::{ENTRY_LEN, RawEntry, Slot};
use crate::file_system::{Fat, KIND, ROOT};
use crate::fragments::Fragments;
use crate::listing::{Item, Listing, fold};
use crate::long_name;
use crate::operation::Operation;
use crate::short_name::ShortName;
use disksmith_storage::ZeroMode;
use disksmith_vfs::{Error, FileType, InodeNo, NewNode, RenameMode, Result};
use std::collections::HashSet;

/// The entry of a directory that means itself, and the one that means its parent.
pub(crate) const DOT: &[u8; 11] = b".          ";
pub(crate) const DOT_DOT: &[u8; 11] = b"..         ";

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn not_found(name: &[u8]) -> Error {
    Error::NotFound { path: text(name) }
}

impl Fat {
    pub(crate) fn create_node(
        &self,
        operation: &mut Operation,
        dir: InodeNo,
        name: &[u8],
        node: &NewNode<'_>,
    ) -> Result<u64> {
        let mut listing = self.take_listing(dir)?;
        if listing.find(name).is_some() {
            return Err(Error::Exists { path: text(name) });
        }
        let is_dir = match node.file_type {
            FileType::Regular => false,
            FileType::Directory => true,
            other => return Err(self.cannot(&format!("a {other:?}"))),
        };
        self.check_owner(Some(node.uid), Some(node.gid))?;
        crate::file_writing::check_permissions(name, Some(node.permissions))?;
        let mut entry = RawEntry::new(is_dir, node.time);
        entry.set_read_only(node.permissions & 0o222 == 0);
        if is_dir {
            let cluster = self.new_directory_cluster(operation, None)?;
            entry.set_first_cluster(cluster, self.boot.kind);
            let parent = match listing.place {
                DirectoryPlace::Chain(first) if dir != ROOT => first,
                _ => 0,
            };
            let at = self.boot.cluster_offset(cluster);
            for (number, raw_name, first) in [(0, DOT, cluster), (1, DOT_DOT, parent)] {
                let mut dot = RawEntry::new(true, node.time);
                dot.set_name(raw_name, 0);
                dot.set_first_cluster(first, self.boot.kind);
                self.storage.write_at(at + number * ENTRY_LEN, &dot.0)?;
            }
        }
        let offset = self.insert(operation, &mut listing, name, entry, is_dir)?;
        self.touch(dir, node.time)?;
        self.put_listing(dir, listing);
        Ok(offset)
    }

    pub(crate) fn remove_node(
        &self,
        operation: &mut Operation,
        dir: InodeNo,
        name: &[u8],
        want_dir: bool,
    ) -> Result<()> {
        let mut listing = self.take_listing(dir)?;
        let (slot, item) = listing.find(name).ok_or_else(|| not_found(name))?;
        let is_dir = item.is_dir;
        let offset = listing.offset(&self.boot, slot)?;
        match (want_dir, is_dir) {
            (false, true) => return Err(Error::IsADirectory { path: text(name) }),
            (true, false) => return Err(Error::NotADirectory { path: text(name) }),
            _ => {}
        }
        self.drop_node(operation, offset, is_dir, name)?;
        self.erase(&mut listing, slot)?;
        self.touch(dir, (self.clock)())?;
        self.put_listing(dir, listing);
        Ok(())
    }

    /// Frees what an entry holds. A directory must be empty.
    fn drop_node(&self, operation: &mut Operation, offset: u64, is_dir: bool, name: &[u8]) -> Result<()> {
        let inode = self.number(offset);
        if is_dir {
            let listing = self.take_listing(inode)?;
            if !listing.is_empty() {
                return Err(Error::NotEmpty { path: text(name) });
            }
        }
        let first = self.first_cluster(offset)?;
        if first != 0 {
            let fragments = Fragments::gather(Chain::new(&self.table, &self.boot, first)?)?;
            self.table.check_alone(first, fragments.from(0))?;
            self.free(operation, fragments.from(0))?;
        }
        self.forget(inode);
        operation.removed.push(offset);
        Ok(())
    }

    pub(crate) fn rename_node(
        &self,
        operation: &mut Operation,
        (dir, name): (InodeNo, &[u8]),
        (new_dir, new_name): (InodeNo, &[u8]),
        mode: RenameMode,
    ) -> Result<()> {
        if mode == RenameMode::Exchange {
            return self.exchange(operation, (dir, name), (new_dir, new_name));
        }
        let mut source = self.take_listing(dir)?;
        let (slot, item) = source.find(name).ok_or_else(|| not_found(name))?;
        let (is_dir, old_name) = (item.is_dir, item.name.clone());
        let from = source.offset(&self.boot, slot)?;
        let moved = self.number(from);
        long_name::check_carried(new_name)?;
        let other = match dir == new_dir {
            true => None,
            false => Some(self.take_listing(new_dir)?),
        };
        let found = other.as_ref().unwrap_or(&source).find(new_name);
        let existing = found.map(|(slot, item)| (slot, item.is_dir));
        let same = other.is_none() && existing.is_some_and(|(found, _)| found == slot);
        if existing.is_some() && mode == RenameMode::NoReplace && !(same && old_name != new_name) {
            return Err(Error::Exists { path: text(new_name) });
        }
        if same && old_name == new_name {
            return Ok(());
        }
        if is_dir && self.is_within(new_dir, moved)? {
            return Err(Error::InvalidArgument {
                path: text(name),
                reason: "a directory cannot be moved into itself",
            });
        }
        let mut other = other;
        if let Some((slot, existing_is_dir)) = existing.filter(|_| !same) {
            let target = other.as_mut().unwrap_or(&mut source);
            let offset = target.offset(&self.boot, slot)?;
            let path = text(new_name);
            if existing_is_dir && self.is_within(dir, self.number(offset))? {
                return Err(Error::NotEmpty { path });
            }
            match (is_dir, existing_is_dir) {
                (true, false) => return Err(Error::NotADirectory { path }),
                (false, true) => return Err(Error::IsADirectory { path }),
                _ => {}
            }
            self.drop_node(operation, offset, existing_is_dir, new_name)?;
            self.erase(target, slot)?;
        }
        let mut entry = RawEntry([0; 32]);
        self.storage.read_at(from, &mut entry.0)?;
        self.erase(&mut source, slot)?;
        let target = other.as_mut().unwrap_or(&mut source);
        let to = self.insert(operation, target, new_name, entry, is_dir)?;
        if is_dir && dir != new_dir {
            let parent = match target.place {
                DirectoryPlace::Chain(first) if new_dir != ROOT => first,
                _ => 0,
            };
            self.set_parent(to, parent)?;
            operation.reparented.push((moved, new_dir));
        }
        let now = (self.clock)();
        self.touch(dir, now)?;
        if let Some(other) = other {
            self.touch(new_dir, now)?;
            self.put_listing(new_dir, other);
        }
        self.put_listing(dir, source);
        operation.moved.push((from, to));
        Ok(())
    }

    /// Swaps what two names stand for: the entries change places, the names stay.
    fn exchange(
        &self,
        operation: &mut Operation,
        (dir, name): (InodeNo, &[u8]),
        (new_dir, new_name): (InodeNo, &[u8]),
    ) -> Result<()> {
        let mut source = self.take_listing(dir)?;
        let mut other = match dir == new_dir {
            true => None,
            false => Some(self.take_listing(new_dir)?),
        };
        let (slot, item) = source.find(name).ok_or_else(|| not_found(name))?;
        let is_dir = item.is_dir;
        let target = other.as_ref().unwrap_or(&source);
        let (new_slot, item) = target.find(new_name).ok_or_else(|| not_found(new_name))?;
        let new_is_dir = item.is_dir;
        let from = source.offset(&self.boot, slot)?;
        let to = target.offset(&self.boot, new_slot)?;
        if from != to {
            let within = is_dir && self.is_within(new_dir, self.number(from))?
                || new_is_dir && self.is_within(dir, self.number(to))?;
            if within {
                return Err(Error::InvalidArgument {
                    path: text(name),
                    reason: "a directory cannot be moved into itself",
                });
            }
            let (mut first, mut second) = (RawEntry([0; 32]), RawEntry([0; 32]));
            self.storage.read_at(from, &mut first.0)?;
            self.storage.read_at(to, &mut second.0)?;
            first.swap_names(&mut second);
            self.storage.write_at(from, &second.0)?;
            self.storage.write_at(to, &first.0)?;
            source.set_is_dir(slot, new_is_dir);
            other.as_mut().unwrap_or(&mut source).set_is_dir(new_slot, is_dir);
            if let Some(other) = &other {
                let first_of = |listing: &Listing, dir| match listing.place {
                    DirectoryPlace::Chain(first) if dir != ROOT => first,
                    _ => 0,
                };
                if new_is_dir {
                    self.set_parent(from, first_of(&source, dir))?;
                    operation.reparented.push((self.number(to), dir));
                }
                if is_dir {
                    self.set_parent(to, first_of(other, new_dir))?;
                    operation.reparented.push((self.number(from), new_dir));
                }
            }
            operation.swapped.push((from, to));
        }
        let now = (self.clock)();
        self.touch(dir, now)?;
        if let Some(other) = other {
            self.touch(new_dir, now)?;
            self.put_listing(new_dir, other);
        }
        self.put_listing(dir, source);
        Ok(())
    }

    /// Whether a directory is another one or lies below it.
    fn is_within(&self, dir: InodeNo, above: InodeNo) -> Result<bool> {
        let mut seen = HashSet::new();
        let mut at = dir;
        while at != above {
            if at == ROOT {
                return Ok(false);
            }
            if !seen.insert(at) {
                return Err(corrupt(format!("directory inode {dir} is in itself")));
            }
            at = self.find_parent(at)?;
        }
        Ok(true)
    }

    /// Writes the entries of a name into a directory, which grows where needed; tells where the short one lies.
    fn insert(
        &self,
        operation: &mut Operation,
        listing: &mut Listing,
        name: &[u8],
        mut entry: RawEntry,
        is_dir: bool,
    ) -> Result<u64> {
        let name_text = long_name::check_carried(name)?;
        let (short, long) = match listing.short_names.exact(name) {
            Some(short) => (short, Vec::new()),
            None => {
                let raw = listing.short_names.alias(name_text, self.code_page);
                let raw = raw.ok_or_else(|| self.cannot("so many names that are alike"))?;
                (ShortName { raw, case: 0 }, long_name::encode(name_text, &raw))
            }
        };
        entry.set_name(&short.raw, short.case);
        let long_slots = u32::try_from(long.len()).unwrap_or(u32::MAX);
        let entries: Vec<[u8; 32]> = long.into_iter().chain([entry.0]).collect();
        let start = self.append(operation, listing, &entries)?;
        let slot = start + long_slots;
        let short_key = match Slot::parse(&entry.0, self.boot.kind) {
            Slot::Entry(parsed) => fold(&parsed.name(self.code_page)),
            _ => Vec::new(),
        };
        let item = Item {
            name: name.to_vec(),
            raw_name: short.raw,
            short_key,
            is_dir,
            long_slots,
        };
        listing.add(slot, item);
        listing.offset(&self.boot, slot)
    }

    /// Writes entries to where that many are free in a row, which the directory grows for where needed; tells where the first lies.
    pub(crate) fn append(
        &self,
        operation: &mut Operation,
        listing: &mut Listing,
        entries: &[[u8; 32]],
    ) -> Result<u32> {
        // 21 at most.
        let count = entries.len() as u32;
        let start = listing.find_free(count);
        let end = start + count;
        while end > listing.slots() {
            self.grow_directory(operation, listing)?;
        }
        for (slot, bytes) in (start..).zip(entries) {
            self.storage.write_at(listing.offset(&self.boot, slot)?, bytes)?;
        }
        if listing.take(start, count) && end < listing.slots() {
            // What lies behind the end of a directory may be anything.
            self.storage
                .write_at(listing.offset(&self.boot, end)?, &[0; ENTRY_LEN as usize])?;
        }
        Ok(start)
    }

    /// Marks the entries of a name as deleted.
    fn erase(&self, listing: &mut Listing, slot: u32) -> Result<()> {
        for slot in listing.remove(slot) {
            self.storage
                .write_at(listing.offset(&self.boot, slot)?, &[0xe5])?;
        }
        Ok(())
    }

    fn grow_directory(&self, operation: &mut Operation, listing: &mut Listing) -> Result<()> {
        let full = |what| Error::NoSpace {
            filesystem: KIND.into(),
            what,
        };
        let Some(last) = listing.last_cluster() else {
            return Err(full("entries of the root directory"));
        };
        let per_cluster = u64::from(self.boot.cluster_len) / ENTRY_LEN;
        if u64::from(listing.slots()) + per_cluster > crate::directory::MAX_LEN / ENTRY_LEN {
            return Err(full("entries of the directory"));
        }
        let cluster = self.new_directory_cluster(operation, Some(last))?;
        listing.grow(&self.boot, cluster);
        Ok(())
    }

    /// A cluster full of zeroes.
    fn new_directory_cluster(&self, operation: &mut Operation, after: Option<u32>) -> Result<u32> {
        let taken = self.allocate(operation, 1, after)?;
        let cluster = taken
            .first()
            .copied()
            .ok_or_else(|| corrupt("no cluster was allocated".into()))?;
        let len = u64::from(self.boot.cluster_len);
        self.overlay
            .base()
            .write_zeroes(self.boot.cluster_offset(cluster), len, ZeroMode::Keep)?;
        Ok(cluster)
    }

    /// Corrects what a directory that was moved says of its parent.
    fn set_parent(&self, entry_offset: u64, parent: u32) -> Result<()> {
        let first = self.first_cluster(entry_offset)?;
        if !self.boot.has_cluster(first) {
            return Err(corrupt(format!("a directory begins with cluster {first}")));
        }
        let at = self.boot.cluster_offset(first) + ENTRY_LEN;
        let mut entry = RawEntry([0; 32]);
        self.storage.read_at(at, &mut entry.0)?;
        if entry.0.starts_with(DOT_DOT) {
            entry.set_first_cluster(parent, self.boot.kind);
            self.storage.write_at(at, &entry.0)?;
        }
        Ok(())
    }
}
