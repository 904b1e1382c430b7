//! Changes of persistent dirty bitmaps, each as part of a change set (specification: "Bitmaps").

use crate::bitmap_directory::{AUTO, BitmapEntry, IN_USE, MAX_BITMAPS, MAX_DIRECTORY};
use crate::bitmap_table::{
    BitmapTable, MAX_BITMAP_BYTES, MAX_GRANULARITY_BITS, MIN_GRANULARITY_BITS, Ranges, entry_count,
};
use crate::error::{Error, Result};
use crate::extension::{BitmapsExtension, Extension};
use crate::feature::Autoclear;
use crate::header::Header;
use crate::image::Qcow2;
use crate::shadow::Qcow2Shadow;
use crate::state::{Mode, State, table_bytes};
use disksmith_storage::Shadow;
use std::sync::Arc;

/// The longest name of a bitmap in bytes.
pub const MAX_BITMAP_NAME: usize = 1023;

/// The sort of a bitmap that records changes.
const DIRTY_TRACKING: u8 = 1;

/// A bitmap that shall be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewBitmap {
    /// Its name, 1 to [`MAX_BITMAP_NAME`] bytes.
    pub name: Vec<u8>,
    /// How many bytes of the disk one bit stands for: a power of two from 512 to 2 GiB. By default the cluster size,
    /// but at least 4 KiB and at most 64 KiB.
    pub granularity: Option<u64>,
    /// Whether it does not record changes from now on.
    pub disabled: bool,
}

/// What shall be done to a bitmap that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitmapAction {
    /// It goes.
    Remove,
    /// It forgets what it recorded.
    Clear,
    /// It records changes from now on.
    Enable,
    /// It records none any more.
    Disable,
}

/// Why a bitmap cannot be changed as asked. The image is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitmapRefusal {
    /// There is none of that name.
    #[error("Dirty bitmap '{0}' not found")]
    NotFound(String),
    /// There is one already.
    #[error("Bitmap already exists: {0}")]
    Exists(String),
    /// A name must not be empty.
    #[error("Bitmap name cannot be empty")]
    EmptyName,
    /// A name has a limit.
    #[error("Name length exceeds maximum (1023 characters)")]
    LongName,
    /// No such granularity.
    #[error("Granularity must be power of 2 and at least 512")]
    Granularity,
    /// The bits would take too much space.
    #[error("Too much space will be occupied by the bitmap. Use larger granularity")]
    TooLarge,
    /// The directory is full.
    #[error("Maximum number of persistent bitmaps is already reached")]
    TooMany,
    /// The directory is full.
    #[error("Not enough space in the bitmap directory")]
    DirectoryFull,
    /// Version 2 of the format has none.
    #[error("Cannot store dirty bitmaps in qcow2 v2 files")]
    Version2,
    /// It was not saved properly: nobody knows what it should hold.
    #[error(
        "Bitmap '{0}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk"
    )]
    Inconsistent(String),
    /// Bitmaps of different disks.
    #[error(
        "Bitmaps are of different sizes (destination size is {target}, source size is {source_size}) and can't be merged"
    )]
    Sizes {
        /// Size of the disk whose bitmap is to change.
        target: u64,
        /// Size of the other one.
        source_size: u64,
    },
}

fn refuse<T>(refusal: BitmapRefusal) -> Result<T> {
    Err(Error::Bitmap(refusal))
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// What a bitmap has recorded: the ranges of the disk whose bits are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirtyRanges {
    ranges: Ranges,
    /// Size in bytes of the disk that it is of.
    size: u64,
}

impl DirtyRanges {
    /// The ranges in their order: first byte, and one past the last.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter()
    }
}

impl Qcow2 {
    /// What a bitmap has recorded, to be given to another image's change set.
    ///
    /// # Errors
    /// [`BitmapRefusal::NotFound`], [`BitmapRefusal::Inconsistent`], and when the bitmap is damaged.
    pub fn dirty_ranges(&self, name: &[u8]) -> Result<DirtyRanges> {
        self.engine.lock().dirty_ranges(name)
    }

    /// Changes the image's bitmaps in one step that happens wholly or not at all.
    ///
    /// # Errors
    /// Those of `change` and of a change set.
    pub fn change_bitmaps<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Qcow2Shadow) -> Result<T>,
    ) -> Result<T> {
        let mut edit = Box::new(self.metadata_change_set()?);
        let done = change(&mut edit)?;
        edit.prepare()?.switch()?;
        Ok(done)
    }

    /// Copies the bitmaps of `from` that can be used into this image, which is of the same size: with their granularity, and
    /// recording where they record there. Gives the names of the inconsistent ones, which are left out.
    ///
    /// # Errors
    /// [`BitmapRefusal::Inconsistent`] for the first such one unless `skip_broken`; [`BitmapRefusal::Exists`];
    /// those of a change set.
    pub fn copy_bitmaps(self: &Arc<Self>, from: &Self, skip_broken: bool) -> Result<Vec<Vec<u8>>> {
        let list = from.bitmaps()?;
        let mut skipped = Vec::new();
        if list.is_empty() {
            return Ok(skipped);
        }
        self.change_bitmaps(|edit| {
            for entry in &list {
                if !entry.is_consistent() {
                    if !skip_broken {
                        return refuse(BitmapRefusal::Inconsistent(text(&entry.name)));
                    }
                    skipped.push(entry.name.clone());
                    continue;
                }
                let new = NewBitmap {
                    name: entry.name.clone(),
                    granularity: Some(1u64 << entry.granularity_bits.min(63)),
                    disabled: !entry.is_enabled(),
                };
                edit.add_bitmap(&new)?;
                edit.merge_ranges(&from.dirty_ranges(&entry.name)?, &entry.name)?;
            }
            Ok(())
        })?;
        Ok(skipped)
    }
}

impl Qcow2Shadow {
    /// The persistent dirty bitmaps as they will be after the change set, but for what its own writes add.
    ///
    /// # Errors
    /// When the directory cannot be read or is damaged.
    pub fn bitmaps(&self) -> Result<Vec<BitmapEntry>> {
        self.engine.lock().load_bitmaps()
    }

    /// Makes a new bitmap without a bit set.
    ///
    /// # Errors
    /// [`Error::Bitmap`] where it cannot be; the change set is as it was then.
    pub fn add_bitmap(&mut self, new: &NewBitmap) -> Result<()> {
        let granularity_bits = self.check_new(new)?;
        self.change(|state| state.add_bitmap(new, granularity_bits))
    }

    /// Removes, clears, enables or disables a bitmap.
    ///
    /// # Errors
    /// [`BitmapRefusal::NotFound`] and, unless it is removed, [`BitmapRefusal::Inconsistent`].
    pub fn change_bitmap(&mut self, name: &[u8], action: BitmapAction) -> Result<()> {
        let (mut list, index) = self.find_bitmap(name)?;
        if action != BitmapAction::Remove {
            self.usable(&list, index)?;
        }
        self.change(|state| {
            let Some(entry) = list.get_mut(index) else {
                return Ok(());
            };
            match action {
                BitmapAction::Remove => {
                    state.release_bitmap(entry)?;
                    list.remove(index);
                }
                BitmapAction::Clear => {
                    let size = state.header.size;
                    *entry = state.rewrite_bitmap(entry, size, &Ranges::default(), true)?;
                    state.dirtied.forget(&entry.name);
                }
                BitmapAction::Enable => entry.flags |= AUTO,
                BitmapAction::Disable => {
                    state.settle_dirtied(entry)?;
                    entry.flags &= !AUTO;
                }
            }
            state.replace_directory(&list)
        })
    }

    /// Fails where there is no bitmap of that name that can be used.
    ///
    /// # Errors
    /// [`BitmapRefusal::NotFound`] and [`BitmapRefusal::Inconsistent`].
    pub fn check_bitmap(&self, name: &[u8]) -> Result<()> {
        let (list, index) = self.find_bitmap(name)?;
        self.usable(&list, index)
    }

    /// Sets the bits of `target` that are set in `source`.
    ///
    /// # Errors
    /// [`BitmapRefusal::NotFound`] and [`BitmapRefusal::Inconsistent`], for either.
    pub fn merge_bitmap(&mut self, source: &[u8], target: &[u8]) -> Result<()> {
        let (list, index) = self.find_bitmap(target)?;
        let ranges = self.engine.lock().dirty_ranges(source)?;
        self.usable(&list, index)?;
        self.merge_ranges(&ranges, target)
    }

    /// Sets the bits of `target` that stand for what another image's bitmap has recorded.
    ///
    /// # Errors
    /// [`BitmapRefusal::NotFound`], [`BitmapRefusal::Inconsistent`], [`BitmapRefusal::Sizes`].
    pub fn merge_ranges(&mut self, ranges: &DirtyRanges, target: &[u8]) -> Result<()> {
        let (mut list, index) = self.find_bitmap(target)?;
        self.usable(&list, index)?;
        let size = self.engine.lock().header.size;
        if ranges.size != size {
            return refuse(BitmapRefusal::Sizes {
                target: size,
                source_size: ranges.size,
            });
        }
        self.change(|state| {
            if let Some(entry) = list.get_mut(index) {
                *entry = state.rewrite_bitmap(entry, size, &ranges.ranges, false)?;
            }
            state.replace_directory(&list)
        })
    }

    fn find_bitmap(&self, name: &[u8]) -> Result<(Vec<BitmapEntry>, usize)> {
        let list = self.bitmaps()?;
        match list.iter().position(|entry| entry.name == name) {
            Some(index) => Ok((list, index)),
            None => refuse(BitmapRefusal::NotFound(text(name))),
        }
    }

    fn usable(&self, list: &[BitmapEntry], index: usize) -> Result<()> {
        match list.get(index) {
            Some(entry) if entry.flags & IN_USE != 0 => {
                refuse(BitmapRefusal::Inconsistent(text(&entry.name)))
            }
            _ => Ok(()),
        }
    }

    /// Checks what can be said against a new bitmap. Gives its granularity.
    fn check_new(&self, new: &NewBitmap) -> Result<u8> {
        let state = self.engine.lock();
        let geometry = state.core.geometry;
        if new.name.is_empty() {
            return refuse(BitmapRefusal::EmptyName);
        }
        let granularity = match new.granularity {
            None => geometry.cluster_size().clamp(4096, 65536),
            Some(bytes) => bytes,
        };
        let granularity_bits = granularity.trailing_zeros() as u8;
        if !granularity.is_power_of_two()
            || !(MIN_GRANULARITY_BITS..=MAX_GRANULARITY_BITS).contains(&granularity_bits)
        {
            return refuse(BitmapRefusal::Granularity);
        }
        let list = state.load_bitmaps()?;
        if list.iter().any(|entry| entry.name == new.name) {
            return refuse(BitmapRefusal::Exists(text(&new.name)));
        }
        if state.header.version < 3 {
            return refuse(BitmapRefusal::Version2);
        }
        if new.name.len() > MAX_BITMAP_NAME {
            return refuse(BitmapRefusal::LongName);
        }
        let entries = entry_count(&state.core, state.header.size, granularity_bits);
        if entries.saturating_mul(geometry.cluster_size()) > MAX_BITMAP_BYTES {
            return refuse(BitmapRefusal::TooLarge);
        }
        if list.len() as u64 >= u64::from(MAX_BITMAPS) {
            return refuse(BitmapRefusal::TooMany);
        }
        let length: u64 = list.iter().map(BitmapEntry::encoded_len).sum();
        if length + 24 + new.name.len() as u64 + 8 > MAX_DIRECTORY {
            return refuse(BitmapRefusal::DirectoryFull);
        }
        Ok(granularity_bits)
    }
}

impl State {
    /// The bitmaps, where the image says that they are valid.
    pub(crate) fn load_bitmaps(&self) -> Result<Vec<BitmapEntry>> {
        match self.header.bitmaps() {
            Some(place) => BitmapEntry::load_directory(&*self.core.file, place),
            None => Ok(Vec::new()),
        }
    }

    fn dirty_ranges(&self, name: &[u8]) -> Result<DirtyRanges> {
        let list = self.load_bitmaps()?;
        let Some(entry) = list.iter().find(|entry| entry.name == name) else {
            return refuse(BitmapRefusal::NotFound(text(name)));
        };
        if entry.flags & IN_USE != 0 {
            return refuse(BitmapRefusal::Inconsistent(text(name)));
        }
        let size = self.header.size;
        let mut ranges = Ranges::default();
        BitmapTable::load(&self.core, entry)?
            .dirty(&self.core, size, |first, end| ranges.insert(first, end))?;
        Ok(DirtyRanges { ranges, size })
    }

    fn add_bitmap(&mut self, new: &NewBitmap, granularity_bits: u8) -> Result<()> {
        let mut list = self.load_bitmaps()?;
        let count = entry_count(&self.core, self.header.size, granularity_bits);
        list.push(BitmapEntry {
            table_offset: self.write_beside(&table_bytes(&vec![0; count as usize]))?,
            table_entries: count as u32,
            flags: if new.disabled { 0 } else { AUTO },
            granularity_bits,
            name: new.name.clone(),
            kind: DIRTY_TRACKING,
            extra: Vec::new(),
        });
        self.replace_directory(&list)
    }

    /// Writes the directory to a new place, and releases the old one.
    pub(crate) fn replace_directory(&mut self, list: &[BitmapEntry]) -> Result<()> {
        let geometry = self.core.geometry;
        if let Some(old) = self.header.bitmaps().copied() {
            if geometry.within(old.directory_offset) != 0 {
                let problem = "it is not cluster aligned";
                return Err(self
                    .core
                    .corrupt("bitmap directory", old.directory_offset, 0, problem));
            }
            self.release(
                old.directory_offset >> geometry.cluster_bits,
                geometry.clusters(old.directory_size),
            );
        }
        let mut bytes = Vec::new();
        for entry in list {
            if entry.encode(&mut bytes).is_none() || bytes.len() as u64 > MAX_DIRECTORY {
                return refuse(BitmapRefusal::DirectoryFull);
            }
        }
        let extension = (!list.is_empty())
            .then(|| {
                Ok::<_, Error>(BitmapsExtension {
                    count: list.len() as u32,
                    directory_size: bytes.len() as u64,
                    directory_offset: self.write_beside(&bytes)?,
                })
            })
            .transpose()?;
        self.header.set_bitmaps(extension);
        self.dirtied.look_again();
        Ok(())
    }

    /// Whether the bitmaps let the disk have another size.
    pub(crate) fn check_resizable_bitmaps(&self) -> Result<()> {
        let list = self.load_bitmaps()?;
        if let Some(entry) = list.iter().find(|entry| entry.flags & IN_USE != 0) {
            return refuse(BitmapRefusal::Inconsistent(text(&entry.name)));
        }
        if !list.is_empty() && matches!(self.mode, Mode::Direct) {
            let what = "resizing an image that has persistent dirty bitmaps, but as a change set,";
            return Err(Error::unsupported(&self.core.name, what));
        }
        Ok(())
    }

    /// Gives the bitmaps the length that the disk's size demands; bits that are new are not set.
    pub(crate) fn resize_bitmaps(&mut self) -> Result<()> {
        let mut list = self.load_bitmaps()?;
        if list.is_empty() {
            return Ok(());
        }
        let size = self.header.size;
        for entry in &mut list {
            let entries = entry_count(&self.core, size, entry.granularity_bits);
            if entries.saturating_mul(self.core.geometry.cluster_size()) > MAX_BITMAP_BYTES {
                return refuse(BitmapRefusal::TooLarge);
            }
            *entry = self.rewrite_bitmap(entry, size, &Ranges::default(), false)?;
        }
        self.replace_directory(&list)
    }

    /// Takes all bitmaps out of the image.
    pub(crate) fn drop_bitmaps(&mut self) -> Result<()> {
        for entry in &self.load_bitmaps()? {
            self.release_bitmap(entry)?;
        }
        self.replace_directory(&[])
    }
}

impl Header {
    /// Has the header lead to another bitmap directory, or to none.
    pub(crate) fn set_bitmaps(&mut self, extension: Option<BitmapsExtension>) {
        let list = &mut self.extensions;
        let place = list.iter().position(|e| matches!(e, Extension::Bitmaps(_)));
        match (place.and_then(|at| list.get_mut(at)), extension) {
            (Some(old), Some(new)) => *old = Extension::Bitmaps(new),
            (None, Some(new)) => list.push(Extension::Bitmaps(new)),
            (_, None) => list.retain(|e| !matches!(e, Extension::Bitmaps(_))),
        }
        self.autoclear.set(Autoclear::BITMAPS, extension.is_some());
    }
}
