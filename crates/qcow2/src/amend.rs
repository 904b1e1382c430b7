//! Changing the form of an image that exists: version, refcount width, lazy refcounts, data file's name, size.

use crate::error::{Error, Result};
use crate::extension::Extension;
use crate::feature::{Autoclear, Compatible, FeatureName, Incompatible};
use crate::header::Header;
use crate::image::Qcow2;
use crate::refcount_width::MAX_REFCOUNT_BITS;
use crate::shadow::Qcow2Shadow;
use crate::state::State;
use disksmith_storage::Shadow;
use std::sync::Arc;

/// What shall be different; whatever is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AmendOptions {
    /// 2 (`compat=0.10`) or 3 (`compat=1.1`).
    pub version: Option<u32>,
    /// Width of a refcount in bits: 1, 2, 4, … 64.
    pub refcount_bits: Option<u64>,
    /// Whether programs may put refcount updates off.
    pub lazy_refcounts: Option<bool>,
    /// Another name for the external data file; an empty one takes the name out.
    pub data_file: Option<Vec<u8>>,
    /// Whether the external data file must always be a raw image by itself: it can only be taken back.
    pub data_file_raw: Option<bool>,
    /// Size of the disk in bytes.
    pub size: Option<u64>,
}

/// Why an image cannot be amended as asked. The image is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmendRefusal {
    /// No such version.
    #[error("there is no version {0} of the format")]
    UnknownVersion(u32),
    /// No such refcount width.
    #[error("Refcount width must be a power of two and may not exceed 64 bits")]
    RefcountBits,
    /// Version 2 has refcounts of 16 bits.
    #[error(
        "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)"
    )]
    RefcountBitsNeedVersion3,
    /// The image that is to become version 2 has other refcounts.
    #[error("compat=0.10 requires refcount_bits=16")]
    DowngradeNeeds16Bits,
    /// Version 2 has no lazy refcounts.
    #[error(
        "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)"
    )]
    LazyNeedsVersion3,
    /// The image holds its data itself.
    #[error("data-file can only be set for images that use an external data file")]
    NoDataFile,
    /// What the data file holds may not be the disk.
    #[error("data-file-raw cannot be set on existing images")]
    DataFileRaw,
    /// Version 2 has no external data files.
    #[error("Cannot downgrade an image with a data file")]
    DowngradeWithDataFile,
    /// Version 2 has none of these features.
    #[error("Cannot downgrade an image with incompatible features {0:#x} set")]
    DowngradeWithFeatures(u64),
    /// Version 2 cannot say what the snapshots need to say.
    #[error("Internal snapshots prevent downgrade of image")]
    DowngradeWithSnapshots,
    /// Version 2 knows only zlib.
    #[error("Cannot downgrade an image with zstd compression type and existing compressed clusters")]
    DowngradeWithZstd,
    /// The disk must be whole sectors.
    #[error("The new size must be a multiple of 512")]
    Size,
    /// A cluster has more references than the new width can count.
    #[error(
        "Cannot decrease refcount entry width to {bits} bits: Cluster at offset {offset:#x} has a refcount of {count}"
    )]
    RefcountTooLarge {
        /// The width.
        bits: u64,
        /// Byte offset of the cluster.
        offset: u64,
        /// Its refcount.
        count: u64,
    },
}

impl AmendOptions {
    /// Checks what can be said against the change before anything is done.
    fn check(&self, image: &Qcow2) -> Result<()> {
        let mut state = image.engine.lock();
        if let Some(bits) = self
            .refcount_bits
            .filter(|bits| bits.is_power_of_two() && *bits <= MAX_REFCOUNT_BITS)
        {
            state.check_refcount_bits(bits)?;
        }
        let header = &state.header;
        let has_data_file = header.incompatible.contains(Incompatible::DATA_FILE);
        let version = self.version.unwrap_or(header.version);
        let refuse = |refusal| Err(Error::Amend(refusal));
        if !(2..=3).contains(&version) {
            return refuse(AmendRefusal::UnknownVersion(version));
        }
        let bits = 1u64 << header.geometry.refcount_order;
        let new_bits = self.refcount_bits.unwrap_or(bits);
        if !new_bits.is_power_of_two() || new_bits > MAX_REFCOUNT_BITS {
            return refuse(AmendRefusal::RefcountBits);
        }
        if self.data_file.is_some() && !has_data_file {
            return refuse(AmendRefusal::NoDataFile);
        }
        if self.data_file_raw == Some(true) && !header.autoclear.contains(Autoclear::DATA_FILE_RAW) {
            return refuse(AmendRefusal::DataFileRaw);
        }
        if version < 3 && new_bits != bits && new_bits != 16 {
            return refuse(AmendRefusal::RefcountBitsNeedVersion3);
        }
        if version < 3 && self.lazy_refcounts == Some(true) {
            return refuse(AmendRefusal::LazyNeedsVersion3);
        }
        if self.size.is_some_and(|size| !size.is_multiple_of(512)) {
            return refuse(AmendRefusal::Size);
        }
        if version < 3 && header.version >= 3 {
            if has_data_file {
                return refuse(AmendRefusal::DowngradeWithDataFile);
            }
            let size = self.size.filter(|size| *size != 0).unwrap_or(header.size);
            let (snapshots, _) = state.load_snapshots()?;
            if snapshots
                .iter()
                .any(|s| s.vm_state_size > u64::from(u32::MAX) || s.disk_size.is_some_and(|s| s != size))
            {
                return refuse(AmendRefusal::DowngradeWithSnapshots);
            }
            if new_bits != 16 {
                return refuse(AmendRefusal::DowngradeNeeds16Bits);
            }
            let features = header
                .incompatible
                .difference(Incompatible::DIRTY.union(Incompatible::COMPRESSION));
            if !features.is_empty() {
                return refuse(AmendRefusal::DowngradeWithFeatures(features.bits()));
            }
        }
        Ok(())
    }
}

impl Qcow2 {
    /// Changes the form of the image. Everything but the refcount width becomes so in one switch; another refcount width is a
    /// switch of its own. After a change of version or width the image must be opened anew: this one cannot be written any
    /// more.
    ///
    /// # Errors
    /// [`Error::Amend`] where the change cannot be, before anything is done; those of a change set.
    pub fn amend(self: &Arc<Self>, options: &AmendOptions) -> Result<()> {
        options.check(self)?;
        let (old_version, old_bits) = {
            let header = &self.engine.lock().header;
            (header.version, 1u64 << header.geometry.refcount_order)
        };
        let version = options.version.unwrap_or(old_version);
        let bits = options.refcount_bits.filter(|bits| *bits != old_bits);
        let mut image = Arc::clone(self);
        // Version 2 has 16 bits: before the image becomes one, and after it was one.
        if let Some(bits) = bits
            && version < old_version
        {
            image.set_refcount_bits(bits)?;
            image = Arc::new(image.opened_anew()?);
        }
        let mut edit = Box::new(image.metadata_change_set()?);
        edit.amend(options)?;
        if edit.is_dirty() {
            edit.prepare()?.switch()?;
        } else {
            edit.abandon()?;
        }
        if version != old_version {
            image.engine.lock().shadowed = true;
        }
        if let Some(bits) = bits
            && version >= old_version
        {
            let image = if version == old_version {
                image
            } else {
                Arc::new(image.opened_anew()?)
            };
            image.set_refcount_bits(bits)?;
        }
        if version != old_version || bits.is_some() {
            self.engine.lock().shadowed = true;
        }
        Ok(())
    }
}

impl Qcow2Shadow {
    /// Everything of the change that is no refcount width.
    fn amend(&mut self, options: &AmendOptions) -> Result<()> {
        let old = self.engine.lock().header.clone();
        if let Some(size) = options.size.filter(|size| *size != 0 && *size != old.size) {
            self.engine.set_size(size)?;
        }
        let mut wanted = old.clone();
        options.apply(&mut wanted);
        if wanted == old {
            return Ok(());
        }
        self.change(|state| {
            if wanted.version < old.version {
                state.refuse_zstd()?;
                state.drop_bitmaps()?;
                state.expand_zeroes()?;
            }
            options.apply(&mut state.header);
            Ok(())
        })
    }
}

impl AmendOptions {
    /// Changes the header's own fields.
    fn apply(&self, header: &mut Header) {
        if let Some(lazy) = self.lazy_refcounts {
            header.compatible.set(Compatible::LAZY_REFCOUNTS, lazy);
        }
        let list = &mut header.extensions;
        if let Some(name) = &self.data_file {
            let is_name = |e: &Extension| matches!(e, Extension::DataFile(_));
            let at = list.iter().position(is_name).unwrap_or(0);
            list.retain(|e| !is_name(e));
            if !name.is_empty() {
                list.insert(at.min(list.len()), Extension::DataFile(name.clone()));
            }
        }
        if self.data_file_raw == Some(false) {
            header.autoclear.remove(Autoclear::DATA_FILE_RAW);
        }
        let is_table = |e: &Extension| matches!(e, Extension::FeatureNames(_));
        match self.version {
            Some(2) if header.version > 2 => header.become_version_2(),
            Some(3) if header.version < 3 => {
                header.version = 3;
                if !list.iter().any(is_table) {
                    list.push(Extension::FeatureNames(FeatureName::default_table()));
                }
            }
            _ => {}
        }
    }
}

impl Header {
    /// Takes out what version 2 has no place for.
    fn become_version_2(&mut self) {
        self.version = 2;
        self.incompatible = Incompatible::empty();
        self.compatible = Compatible::empty();
        self.autoclear = Autoclear::empty();
        self.compression = crate::header::CompressionType::Zlib;
        self.extensions
            .retain(|e| !matches!(e, Extension::FeatureNames(_)));
    }
}

impl State {
    /// Fails where clusters are compressed in a way that version 2 does not know.
    fn refuse_zstd(&mut self) -> Result<()> {
        if self.header.compression == crate::header::CompressionType::Zlib {
            return Ok(());
        }
        let mut tables = vec![self.l1.clone()];
        for snapshot in self.load_snapshots()?.0 {
            tables.push(self.snapshot_l1(&snapshot)?);
        }
        let mut compressed = false;
        for l1 in tables {
            for table in self.distinct_tables(&l1, self.header.l1_offset)? {
                self.each_entry(table, |_, _, entry| {
                    compressed |= entry.is_compressed();
                    Ok(())
                })?;
            }
        }
        if compressed {
            return Err(Error::Amend(AmendRefusal::DowngradeWithZstd));
        }
        Ok(())
    }
}
