//! Making new images.

use crate::encryption::{NewEncryption, Unlock};
use crate::error::{Error, Result};
use crate::extension::Extension;
use crate::feature::{Autoclear, Compatible, FeatureName, Incompatible};
use crate::header::{CompressionType, Header, MAX_BACKING_NAME, V2_LENGTH, V3_LENGTH};
use crate::image::{OpenOptions, Qcow2};
use crate::refcount;
use crate::state::table_bytes;
use crate::types::{Geometry, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_REFCOUNT_TABLE_BYTES, MIN_CLUSTER_BITS};
use disksmith_storage::{StorageRef, fill_first_block};

/// The backing file that a new image names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// The name as it stands in the image: a path, relative to the folder of the image if it is relative.
    pub name: Vec<u8>,
    /// Its format: `raw`, `qcow2`.
    pub format: Option<String>,
}

/// How much of a new image is allocated beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// All tables; the clusters have their places but the host file is sparse.
    Metadata,
    /// Also the host's space, without writing it.
    Falloc,
    /// Also the host's space, written with zeroes.
    Full,
}

/// What a new image shall be. The defaults are those of `qemu-img create`.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Size of the disk in bytes; rounded up to a multiple of 512.
    pub size: u64,
    /// 2 (`compat=0.10`) or 3 (`compat=1.1`).
    pub version: u32,
    /// Log2 of the cluster size: 9 to 21.
    pub cluster_bits: u32,
    /// Width of a refcount in bits: 1, 2, 4, … 64; 16 with version 2.
    pub refcount_bits: u32,
    /// The backing file.
    pub backing: Option<Backing>,
    /// How clusters that are compressed later will be compressed.
    pub compression: CompressionType,
    /// Whether programs may put refcount updates off.
    pub lazy_refcounts: bool,
    /// Whether L2 entries have subclusters.
    pub extended_l2: bool,
    /// Name of the external data file as it stands in the image.
    pub data_file: Option<Vec<u8>>,
    /// Whether the external data file must always be a valid raw image by itself.
    pub data_file_raw: bool,
    /// How much is allocated beforehand.
    pub preallocation: Preallocation,
    /// How guest data is encrypted.
    pub encryption: Option<NewEncryption>,
}

impl CreateOptions {
    /// The defaults for a disk of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            version: 3,
            cluster_bits: 16,
            refcount_bits: 16,
            backing: None,
            compression: CompressionType::Zlib,
            lazy_refcounts: false,
            extended_l2: false,
            data_file: None,
            data_file_raw: false,
            preallocation: Preallocation::Off,
            encryption: None,
        }
    }

    /// Checks that the options go together.
    ///
    /// # Errors
    /// [`Error::Request`] says which do not.
    pub fn check(&self) -> Result<Geometry> {
        let refuse = |what: &str| Err(Error::request(what));
        if !(2..=3).contains(&self.version) {
            return refuse("the version of a qcow2 image is 2 (compat=0.10) or 3 (compat=1.1)");
        }
        if !(MIN_CLUSTER_BITS..=MAX_CLUSTER_BITS).contains(&self.cluster_bits) {
            return refuse("the cluster size must be a power of two between 512 bytes and 2 MiB");
        }
        if !self.refcount_bits.is_power_of_two() || self.refcount_bits > 64 {
            return refuse("the refcount width must be a power of two and may not exceed 64 bits");
        }
        if self.version < 3 {
            if self.refcount_bits != 16 {
                return refuse("refcount widths other than 16 bits need version 3 (compat=1.1)");
            }
            if self.lazy_refcounts {
                return refuse("lazy refcounts need version 3 (compat=1.1)");
            }
            if self.compression != CompressionType::Zlib {
                return refuse("compression other than zlib needs version 3 (compat=1.1)");
            }
            if self.extended_l2 || self.data_file.is_some() {
                return refuse("extended L2 entries and external data files need version 3 (compat=1.1)");
            }
        }
        if self.extended_l2 && self.cluster_bits < 14 {
            return refuse("extended L2 entries need a cluster size of at least 16 KiB");
        }
        if self.data_file_raw && (self.data_file.is_none() || self.backing.is_some()) {
            return refuse("a raw external data file needs a data file, and cannot go with a backing file");
        }
        if let Some(backing) = &self.backing {
            if backing.name.is_empty() || backing.name.len() as u64 > MAX_BACKING_NAME {
                return refuse("the backing file's name must have 1 to 1023 bytes");
            }
            if self.preallocation != Preallocation::Off && !self.extended_l2 {
                return refuse(
                    "Backing file and preallocation can only be used at the same time if extended_l2 is on",
                );
            }
        }
        let geometry = Geometry {
            cluster_bits: self.cluster_bits,
            refcount_order: self.refcount_bits.trailing_zeros(),
            extended_l2: self.extended_l2,
        };
        if self.size > 1 << 62 || geometry.l1_entries(self.disk_size()) * 8 > MAX_L1_BYTES {
            return refuse("the image is too large for this cluster size");
        }
        Ok(geometry)
    }

    fn disk_size(&self) -> u64 {
        self.size.next_multiple_of(512)
    }
}

/// A new image as the few pieces of its file that are not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBytes {
    /// Length of the file in bytes.
    pub len: u64,
    /// Byte offset and bytes of each piece, ascending.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

/// Builds an empty image, in memory. Everything but the pieces is zero and need not be written: the file can be
/// sparse. `preallocation` is not looked at.
///
/// Clusters lie as `qemu-img create` lays them: header, refcount table, refcount blocks, L1 table.
pub fn build_image_bytes(options: &CreateOptions) -> Result<ImageBytes> {
    let geometry = options.check()?;
    let size = options.disk_size();
    let l1_entries = geometry.l1_entries(size);
    let l1_clusters = geometry.clusters(l1_entries * 8);
    let luks_len = options.encryption.as_ref().map_or(0, NewEncryption::header_len);
    let luks_clusters = geometry.clusters(luks_len);
    let (mut table_clusters, mut blocks) = (1, 1);
    loop {
        let total = 1 + table_clusters + blocks + l1_clusters + luks_clusters;
        let needed = total.div_ceil(geometry.block_entries());
        let table = geometry.clusters(needed * 8);
        if needed <= blocks && table <= table_clusters {
            break;
        }
        (blocks, table_clusters) = (needed.max(blocks), table.max(table_clusters));
    }
    if table_clusters << geometry.cluster_bits > MAX_REFCOUNT_TABLE_BYTES {
        return Err(Error::request("the image is too large for this cluster size"));
    }
    let at = |cluster: u64| cluster << geometry.cluster_bits;
    let first_block = 1 + table_clusters;
    let l1_first = first_block + blocks;
    let luks_first = l1_first + l1_clusters;
    let total = luks_first + luks_clusters;

    let header = new_header(
        options,
        geometry,
        size,
        l1_entries,
        (at(1), table_clusters),
        at(l1_first),
        (at(luks_first), luks_len),
    );
    let header = header.encode().ok_or_else(|| {
        Error::request("the names of the backing file and data file do not fit into the header cluster")
    })?;
    let mut pieces = vec![(0, header)];
    pieces.push((
        at(1),
        table_bytes(&(0..blocks).map(|i| at(first_block + i)).collect::<Vec<_>>()),
    ));
    for index in 0..blocks {
        let counted = (total - index * geometry.block_entries()).min(geometry.block_entries());
        let len = refcount::byte_offset(geometry.refcount_order, counted - 1) + 8;
        let mut block = vec![0u8; (len as usize).next_multiple_of(8)];
        for i in 0..counted {
            refcount::set(&mut block, geometry.refcount_order, i as usize, 1);
        }
        block.truncate(geometry.cluster_size() as usize);
        pieces.push((at(first_block + index), block));
    }
    let luks = options.encryption.as_ref().map_or(&[][..], NewEncryption::pieces);
    pieces.extend(
        luks.iter()
            .map(|(offset, bytes)| (at(luks_first) + offset, bytes.clone())),
    );
    // The last table is as long as its entries; its cluster need not be there whole.
    let len = match luks_clusters {
        0 => at(l1_first) + l1_entries * 8,
        _ => at(total),
    };
    Ok(ImageBytes { len, pieces })
}

fn new_header(
    options: &CreateOptions,
    geometry: Geometry,
    size: u64,
    l1_entries: u64,
    table: (u64, u64),
    l1_offset: u64,
    luks: (u64, u64),
) -> Header {
    let v3 = options.version >= 3;
    let mut incompatible = Incompatible::empty();
    incompatible.set(
        Incompatible::COMPRESSION,
        options.compression != CompressionType::Zlib,
    );
    incompatible.set(Incompatible::EXTENDED_L2, options.extended_l2);
    incompatible.set(Incompatible::DATA_FILE, options.data_file.is_some());
    let mut compatible = Compatible::empty();
    compatible.set(Compatible::LAZY_REFCOUNTS, options.lazy_refcounts);
    let mut autoclear = Autoclear::empty();
    autoclear.set(Autoclear::DATA_FILE_RAW, options.data_file_raw);
    let mut extensions = Vec::new();
    if let Some(format) = options.backing.as_ref().and_then(|b| b.format.as_ref()) {
        extensions.push(Extension::BackingFormat(format.as_bytes().to_vec()));
    }
    if let Some(name) = &options.data_file {
        extensions.push(Extension::DataFile(name.clone()));
    }
    if luks.1 > 0 {
        let (offset, length) = luks;
        extensions.push(Extension::Encryption { offset, length });
    }
    if v3 {
        extensions.push(Extension::FeatureNames(FeatureName::default_table()));
    }
    let mut header = Header {
        version: options.version,
        geometry,
        size,
        l1_entries: l1_entries as u32,
        l1_offset,
        refcount_table_offset: table.0,
        refcount_table_clusters: table.1 as u32,
        snapshots: 0,
        snapshots_offset: 0,
        incompatible,
        compatible,
        autoclear,
        header_length: if v3 { V3_LENGTH } else { V2_LENGTH },
        compression: options.compression,
        encryption: options.encryption.as_ref().map(NewEncryption::method),
        backing_offset: 0,
        backing_name: options.backing.as_ref().map(|b| b.name.clone()),
        extensions,
    };
    // The names of features are a courtesy: they go where the header cluster is too small for them.
    if header.encode().is_none() {
        header
            .extensions
            .retain(|e| !matches!(e, Extension::FeatureNames(_)));
    }
    header
}

/// Makes an image in `file`, which must be writable and may hold anything: it is emptied first. The external data
/// file, if any, is `data_file`, and must be made by the caller. Nothing is flushed.
///
/// With preallocation every guest cluster gets its place.
pub fn create(file: &StorageRef, data_file: Option<&StorageRef>, options: &CreateOptions) -> Result<()> {
    let image = build_image_bytes(options)?;
    file.set_size(0)?;
    file.set_size(image.len)?;
    for (offset, bytes) in &image.pieces {
        file.write_at(*offset, bytes)?;
    }
    if let Some(data) = data_file
        && data.size() < options.disk_size()
    {
        let is_new = data.size() == 0;
        data.set_size(options.disk_size())?;
        if is_new {
            fill_first_block(&**data)?;
        }
    }
    let preallocation = match options.preallocation {
        // A program that knows nothing of this image may fill the data file.
        Preallocation::Off if options.data_file_raw => Preallocation::Metadata,
        other => other,
    };
    if preallocation != Preallocation::Off {
        let open = OpenOptions {
            data_file: data_file.cloned(),
            writable: true,
            ordered: false,
            unlock: Unlock::metadata_only(),
            ..OpenOptions::default()
        };
        let image = Qcow2::open(file.clone(), open)?;
        image.preallocate(0, options.disk_size(), preallocation)?;
        image.write_back()?;
    }
    Ok(())
}
