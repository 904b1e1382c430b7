//! One journal file: its entries in order, and their fields.

use crate::blocks::{Blocks, JournalSource};
use crate::compression::{MAX_FIELD, decompress, is_compressed};
use crate::entry::{Entry, FIXED, MAX_ITEMS};
use crate::error::{Result, damaged};
use crate::header::{Header, SIZE};
use crate::object::{DATA, ENTRY, ENTRY_ARRAY, HEADER, ObjectHeader, u32_at, u64_at};
use std::collections::HashMap;

/// Bytes of an array of entries before its items: the header, and where the next array is.
const ARRAY_FIXED: u64 = 24;

/// Items of an array that are read at once.
const ITEMS_AT_ONCE: u64 = 1024;

/// The most bytes of a compressed payload.
const MAX_PAYLOAD: u64 = 16 << 20;

/// Bytes of a compressed payload that are read to see whose it is.
const MAX_BEGINNING: u64 = 256 << 10;

/// How many data objects are kept in mind.
const MAX_KNOWN: usize = 1 << 16;

/// Values of fields, in the order in which they were asked for; `None` for a field that is not there.
pub type Values = Vec<Option<Vec<u8>>>;

/// A journal file. Entries come one by one, the oldest first.
#[derive(Debug)]
pub struct JournalFile<S> {
    blocks: Blocks<S>,
    header: Header,
    /// The array of entries that is being read, and how many of its items were taken.
    array: u64,
    taken: u64,
    /// Offsets of the next entries, the next one last.
    ready: Vec<u64>,
    /// Entries still to come, as the header counts them.
    left: u64,
    /// Where the last entry ended.
    end: u64,
    /// Which of the names in `asked` the field of a data object has: entries share objects.
    known: HashMap<u64, Option<usize>>,
    asked: Vec<Vec<u8>>,
    damaged: u64,
}

impl<S: JournalSource> JournalFile<S> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`crate::Error`] where it is no journal file, or one of a kind that is not known.
    pub fn open(source: S) -> Result<Self> {
        let mut blocks = Blocks::new(source);
        let len = SIZE.min(usize::try_from(blocks.size()).unwrap_or(SIZE));
        let bytes = blocks.read("header", 0, len)?;
        let header = Header::parse(&bytes)?;
        Ok(Self {
            blocks,
            array: header.entry_array,
            taken: 0,
            ready: Vec::new(),
            left: header.entries,
            end: 0,
            known: HashMap::new(),
            asked: Vec::new(),
            header,
            damaged: 0,
        })
    }

    /// How many structures were damaged, and left out.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Which numbering the entries' sequence numbers belong to.
    pub(crate) fn seqnum_id(&self) -> &[u8; 16] {
        &self.header.seqnum_id
    }

    /// Gives back the memory that only makes reading faster.
    pub(crate) fn forget(&mut self) {
        self.blocks.forget();
        self.known = HashMap::new();
    }

    /// The next entry; `None` at the end, and where the list of entries is damaged.
    ///
    /// # Errors
    /// Those of reading the file; damage is none.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            let Some(offset) = self.next_offset()? else {
                return Ok(None);
            };
            match self.entry(offset) {
                Ok(entry) => return Ok(Some(entry)),
                Err(error) => self.count(error)?,
            }
        }
    }

    /// Counts damage; gives back what is none.
    fn count(&mut self, error: crate::Error) -> Result<()> {
        match error {
            error @ crate::Error::Io(_) => Err(error),
            _ => {
                self.damaged += 1;
                Ok(())
            }
        }
    }

    fn next_offset(&mut self) -> Result<Option<u64>> {
        while self.ready.is_empty() {
            if self.left == 0 || self.array == 0 {
                return Ok(None);
            }
            if let Err(error) = self.fill() {
                self.count(error)?;
                self.array = 0;
            }
        }
        self.left = self.left.saturating_sub(1);
        Ok(self.ready.pop())
    }

    /// Takes the next items of the array, or goes on to the array after it.
    fn fill(&mut self) -> Result<()> {
        let offset = self.array;
        let fail = |detail: &str| damaged("entry array", offset, detail);
        let object = self.header_at("entry array", offset, ENTRY_ARRAY)?;
        let item = if self.header.is_compact() { 4 } else { 8 };
        let items = object.size.saturating_sub(ARRAY_FIXED) / item;
        let count = items.saturating_sub(self.taken).min(self.left).min(ITEMS_AT_ONCE);
        if count == 0 {
            let bytes = self.blocks.read("entry array", offset + HEADER as u64, 8)?;
            let next = u64_at(&bytes, 0).unwrap_or(0);
            // Arrays are written one after another: a chain that goes back would never end.
            if next != 0 && next <= offset {
                return Err(fail("the next array lies before it"));
            }
            self.array = next;
            self.taken = 0;
            return Ok(());
        }
        let start = offset + ARRAY_FIXED + self.taken * item;
        let bytes = self.blocks.read("entry array", start, (count * item) as usize)?;
        self.taken += count;
        let items = bytes.chunks_exact(item as usize).map(|bytes| match item {
            4 => u32_at(bytes, 0).map_or(0, u64::from),
            _ => u64_at(bytes, 0).unwrap_or(0),
        });
        // an item that is zero was never used, nor any after it
        self.ready = items.take_while(|offset| *offset != 0).collect();
        if self.ready.len() < count as usize {
            self.left = self.ready.len() as u64;
        }
        self.ready.reverse();
        Ok(())
    }

    /// The header of the object at an offset, which must be of this type and lie in the file.
    fn header_at(&mut self, structure: &'static str, offset: u64, kind: u8) -> Result<ObjectHeader> {
        if !offset.is_multiple_of(8) || offset < self.header.header_size {
            return Err(damaged(structure, offset, "no object can lie there"));
        }
        let bytes = self.blocks.read(structure, offset, HEADER)?;
        let object =
            ObjectHeader::parse(&bytes).ok_or_else(|| damaged(structure, offset, "it is cut off"))?;
        if object.kind != kind {
            return Err(damaged(structure, offset, format!("its type is {}", object.kind)));
        }
        let end = offset.checked_add(object.size);
        if object.size < HEADER as u64 || end.is_none_or(|end| end > self.blocks.size()) {
            return Err(damaged(structure, offset, format!("its size is {}", object.size)));
        }
        Ok(object)
    }

    fn entry(&mut self, offset: u64) -> Result<Entry> {
        // Entries are written one after another: what is listed twice would be read without end.
        if offset < self.end {
            return Err(damaged(
                "entry",
                offset,
                "it lies before the end of the one before it",
            ));
        }
        let object = self.header_at("entry", offset, ENTRY)?;
        self.end = offset.saturating_add(object.size);
        let most = FIXED + MAX_ITEMS * 16;
        let len = usize::try_from(object.size).unwrap_or(most).min(most);
        let bytes = self.blocks.read("entry", offset, len)?;
        Entry::parse(offset, &bytes, self.header.is_compact())
    }

    /// The values of the fields `names` of an entry, in the order of the names: of a field that is there several times the
    /// first one. What is damaged counts as missing.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn fields(&mut self, entry: &Entry, names: &[&[u8]]) -> Result<Values> {
        if self.asked != names {
            self.asked = names.iter().map(|name| name.to_vec()).collect();
            self.known.clear();
        }
        let mut values = vec![None; names.len()];
        for offset in &entry.items {
            let at = match self.known.get(offset) {
                Some(known) => *known,
                None => match self.name(*offset, names) {
                    Ok(found) => found,
                    Err(error) => {
                        self.count(error)?;
                        None
                    }
                },
            };
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(*offset, at);
            let (Some(at), Some(place @ None)) = (at, at.and_then(|at| values.get_mut(at))) else {
                continue;
            };
            match self.payload(*offset, usize::MAX) {
                Ok(mut field) => {
                    let start = names.get(at).map_or(0, |name| name.len()) + 1;
                    *place = Some(field.split_off(start.min(field.len())));
                }
                Err(error) => self.count(error)?,
            }
        }
        Ok(values)
    }

    /// All fields of an entry, `NAME=value` each, in the order of the file. What is damaged is left out.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn all_fields(&mut self, entry: &Entry) -> Result<Vec<Vec<u8>>> {
        let mut fields = Vec::new();
        for offset in &entry.items {
            match self.payload(*offset, usize::MAX) {
                Ok(field) => fields.push(field),
                Err(error) => self.count(error)?,
            }
        }
        Ok(fields)
    }

    /// Which of the names the field of a data object has.
    fn name(&mut self, offset: u64, names: &[&[u8]]) -> Result<Option<usize>> {
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0) + 1;
        let start = self.payload(offset, longest)?;
        let is = |name: &&[u8]| {
            start
                .strip_prefix(*name)
                .is_some_and(|rest| rest.first() == Some(&b'='))
        };
        Ok(names.iter().position(is))
    }

    /// The first bytes of a data object's payload, decompressed; at most [`MAX_FIELD`].
    fn payload(&mut self, offset: u64, limit: usize) -> Result<Vec<u8>> {
        let object = self.header_at("data object", offset, DATA)?;
        let fixed = if self.header.is_compact() { 72 } else { 64 };
        let size = object.size.checked_sub(fixed);
        let size = size.ok_or_else(|| damaged("data object", offset, "it is too short"))?;
        let wrong = |detail| {
            damaged(
                "data object",
                offset,
                format!("it cannot be decompressed: {detail}"),
            )
        };
        if !is_compressed(object.flags) {
            let want = size.min(limit as u64).min(MAX_FIELD as u64);
            return self.blocks.read("data object", offset + fixed, want as usize);
        }
        // Its beginning lies in the first block of each kind of compression.
        if size > MAX_BEGINNING && limit < usize::MAX {
            let beginning = self
                .blocks
                .read("data object", offset + fixed, MAX_BEGINNING as usize)?;
            let found = decompress(object.flags, &beginning, limit);
            if found.as_ref().is_ok_and(|found| found.len() == limit) {
                return found.map_err(wrong);
            }
        }
        let payload = self
            .blocks
            .read("data object", offset + fixed, size.min(MAX_PAYLOAD) as usize)?;
        decompress(object.flags, &payload, limit).map_err(wrong)
    }
}
