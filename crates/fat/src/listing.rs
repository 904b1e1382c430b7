//! A directory in memory: its names, and which of its entries are free.

use crate::boot_sector::BootSector;
use crate::chain::Chain;
use crate::code_page::CodePage;
use crate::directory::{DirectoryPlace, Found, MAX_LEN, NamedEntry, read_entries};
use crate::directory_entry::ENTRY_LEN;
use crate::fat_table::FatTable;
use crate::fragments::Fragments;
use crate::short_name::ShortNames;
use disksmith_storage::Storage;
use disksmith_vfs::Result;
use std::collections::{BTreeMap, HashMap};

/// A file or directory of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) name: Vec<u8>,
    pub(crate) raw_name: [u8; 11],
    /// The short name as it is looked up.
    pub(crate) short_key: Vec<u8>,
    pub(crate) is_dir: bool,
    /// How many entries before it hold its long name.
    pub(crate) long_slots: u32,
}

/// All that a directory holds.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) place: DirectoryPlace,
    page: CodePage,
    /// Clusters of the directory; none where it is a fixed root.
    clusters: Fragments,
    /// How many entries there is room for.
    slots: u32,
    /// Entries that are in use, up to the end of the directory.
    used: Vec<bool>,
    /// No entry before this is free.
    search_from: usize,
    items: BTreeMap<u32, Item>,
    /// Long and short names, folded.
    names: HashMap<Vec<u8>, u32>,
    pub(crate) short_names: ShortNames,
    unnamed: bool,
}

impl Listing {
    /// Reads a directory.
    pub(crate) fn load(
        storage: &dyn Storage,
        boot: &BootSector,
        table: &FatTable,
        place: DirectoryPlace,
        page: CodePage,
    ) -> Result<Self> {
        let mut listing = Self {
            place,
            page,
            clusters: Fragments::none(),
            slots: 0,
            used: Vec::new(),
            search_from: 0,
            items: BTreeMap::new(),
            names: HashMap::new(),
            short_names: ShortNames::default(),
            unnamed: false,
        };
        read_entries(storage, boot, table, (place, page), &mut |found| {
            match found {
                Found::Slot { free } => listing.used.push(!free),
                Found::Label(_) => {}
                Found::Unnamed => listing.unnamed = true,
                Found::Entry(entry) => listing.note(entry),
            }
            Ok(true)
        })?;
        listing.slots = match place {
            DirectoryPlace::FixedRoot => u32::try_from(boot.root_len / ENTRY_LEN).unwrap_or(u32::MAX),
            DirectoryPlace::Chain(first) => {
                listing.clusters = Fragments::gather(Chain::new(table, boot, first)?)?;
                let len = u64::from(listing.clusters.clusters()) * u64::from(boot.cluster_len);
                (len.min(MAX_LEN) / ENTRY_LEN) as u32
            }
        };
        Ok(listing)
    }

    fn note(&mut self, entry: NamedEntry) {
        let item = Item {
            name: entry.name,
            raw_name: entry.short.raw_name,
            short_key: fold(&entry.short.name(self.page)),
            is_dir: entry.short.is_dir(),
            long_slots: entry.long_slots,
        };
        self.add(entry.slot, item);
    }

    /// Adds an item, whose entries are in use already.
    pub(crate) fn add(&mut self, slot: u32, item: Item) {
        self.names.entry(item.short_key.clone()).or_insert(slot);
        self.names.entry(fold(&item.name)).or_insert(slot);
        self.short_names.insert(item.raw_name);
        self.items.insert(slot, item);
    }

    /// Notes that an item is now a directory, or none.
    pub(crate) fn set_is_dir(&mut self, slot: u32, is_dir: bool) {
        if let Some(item) = self.items.get_mut(&slot) {
            item.is_dir = is_dir;
        }
    }

    /// Finds a long or short name, whatever its case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<(u32, &Item)> {
        let slot = self.names.get(&fold(name))?;
        Some((*slot, self.items.get(slot)?))
    }

    /// Items in the order in which they lie.
    pub(crate) fn items(&self) -> impl Iterator<Item = (u32, &Item)> {
        self.items.iter().map(|(slot, item)| (*slot, item))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && !self.unnamed
    }

    /// Forgets an item and frees its entries, which are returned.
    pub(crate) fn remove(&mut self, slot: u32) -> std::ops::RangeInclusive<u32> {
        let Some(item) = self.items.remove(&slot) else {
            return slot..=slot;
        };
        for key in [fold(&item.name), item.short_key] {
            if self.names.get(&key) == Some(&slot) {
                self.names.remove(&key);
            }
        }
        self.short_names.remove(&item.raw_name);
        let first = slot.saturating_sub(item.long_slots);
        for at in first..=slot {
            if let Some(used) = self.used.get_mut(at as usize) {
                *used = false;
            }
        }
        self.search_from = self.search_from.min(first as usize);
        first..=slot
    }

    /// Where free entries begin that many follow; behind the last one where there is room for no more.
    pub(crate) fn find_free(&mut self, count: u32) -> u32 {
        let mut at = self.search_from;
        while self.used.get(at) == Some(&true) {
            at += 1;
        }
        self.search_from = at;
        let mut start = at;
        while at < self.used.len() && at - start < count as usize {
            at += 1;
            if self.used.get(at - 1) == Some(&true) {
                start = at;
            }
        }
        // No directory has more than 2^32 entries.
        start as u32
    }

    /// Marks entries as used. Tells whether the directory's end moved.
    pub(crate) fn take(&mut self, start: u32, count: u32) -> bool {
        let (start, end) = (start as usize, start as usize + count as usize);
        let grows = end > self.used.len();
        if grows {
            self.used.resize(end, false);
        }
        for used in self.used.iter_mut().take(end).skip(start) {
            *used = true;
        }
        grows
    }

    /// How many entries there are up to the end, free ones among them.
    pub(crate) fn used_slots(&self) -> u32 {
        u32::try_from(self.used.len()).unwrap_or(u32::MAX)
    }

    /// How many entries there is room for.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    /// The last cluster, behind which the directory grows.
    pub(crate) fn last_cluster(&self) -> Option<u32> {
        self.clusters.last()
    }

    /// Adds a cluster.
    pub(crate) fn grow(&mut self, boot: &BootSector, cluster: u32) {
        self.clusters.push(cluster);
        self.slots += boot.cluster_len / ENTRY_LEN as u32;
    }

    /// Where an entry lies in the storage.
    pub(crate) fn offset(&self, boot: &BootSector, slot: u32) -> Result<u64> {
        let at = u64::from(slot) * ENTRY_LEN;
        match self.place {
            DirectoryPlace::FixedRoot => Ok(boot.root_offset + at),
            DirectoryPlace::Chain(_) => Ok(self.clusters.locate(boot, at)?.0),
        }
    }
}

/// Names differ in more than case where this differs.
pub(crate) fn fold(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => text
            .chars()
            .flat_map(char::to_uppercase)
            .collect::<String>()
            .into_bytes(),
        Err(_) => name.to_ascii_uppercase(),
    }
}
