//! Making a whole volume with its files in one pass: the layout is planned first, then everything is written in the order in which it lies.

use crate::boot_sector::{FIRST_CLUSTER, FatKind};
use crate::directory_entry::ENTRY_LEN;
use crate::format::{FormatOptions, encode_label, invalid};
use crate::format_layout::Layout;
use crate::partition_table::{PARTITION_START, SECTOR_LEN};
use crate::volume_tree::{Content, VolumeTree};
use disksmith_vfs::{Error, Result, Timestamp};

/// The smallest volume that is made where no size is given.
const MIN_SIZE: u64 = 1 << 20;
/// Sizes that are chosen are multiples of this.
const SIZE_STEP: u64 = 64 << 10;
/// From here on entries of a root directory do not fit the fixed area of a FAT12 or FAT16.
const MAX_FIXED_ROOT: u64 = 32_768;
/// A FAT32 has more clusters than a FAT16 can.
const MIN_FAT32_CLUSTERS: u32 = 65_525;
const MIN_FAT32_SIZE: u64 = 34 << 20;
/// How often a size is tried before it is said that none fits.
const MAX_TRIES: u32 = 256;

/// Gathers files, and makes a FAT volume that holds them.
///
/// Nothing is random and no clock is read: the same calls give the same bytes.
///
/// ```
/// use disksmith_fat::{Content, FormatOptions, VolumeBuilder};
/// use disksmith_vfs::Timestamp;
///
/// let time = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
/// let mut options = FormatOptions::new(0x1234_abcd, time);
/// options.label = Some("cidata".into());
/// let mut volume = VolumeBuilder::new(options);
/// volume.add_file(b"meta-data", Content::Bytes(b"instance-id: i-1\n".to_vec()))?;
/// volume.add_file(b"openstack/latest/user_data", Content::Bytes(b"#cloud-config\n".to_vec()))?;
/// let mut image = Vec::new();
/// volume.plan()?.stream(&mut image)?;
/// # Ok::<(), disksmith_vfs::Error>(())
/// ```
#[derive(Debug)]
pub struct VolumeBuilder {
    options: FormatOptions,
    size: Option<u64>,
    min_size: u64,
    free: u64,
    partitioned: bool,
    tree: VolumeTree,
}

impl VolumeBuilder {
    /// A volume without files, whose times are those of the options.
    pub fn new(options: FormatOptions) -> Self {
        Self {
            tree: VolumeTree::new(options.time, options.code_page),
            options,
            size: None,
            min_size: MIN_SIZE,
            free: 0,
            partitioned: false,
        }
    }

    /// Makes the image exactly this many bytes long, instead of as long as the files need.
    pub fn size(&mut self, bytes: u64) -> &mut Self {
        self.size = Some(bytes);
        self
    }

    /// Where the size is chosen: at least this many bytes.
    pub fn min_size(&mut self, bytes: u64) -> &mut Self {
        self.min_size = bytes;
        self
    }

    /// Where the size is chosen: leaves so many bytes free for further files.
    pub fn free_space(&mut self, bytes: u64) -> &mut Self {
        self.free = bytes;
        self
    }

    /// Whether the image begins with a partition table (MBR), and the volume is its only partition, at 1 MiB.
    pub fn partitioned(&mut self, partitioned: bool) -> &mut Self {
        self.partitioned = partitioned;
        self
    }

    /// Adds a file; directories on the way to it are made. Parts of a path are separated by `/`.
    ///
    /// # Errors
    /// [`Error::Exists`] where the name is taken in any case of letters, [`Error::InvalidName`] and [`Error::NameTooLong`] for a name
    /// that FAT cannot carry, [`Error::FileTooLarge`] from 4 GiB on.
    pub fn add_file(&mut self, path: &[u8], content: Content) -> Result<&mut Self> {
        let time = self.options.time;
        self.add_file_with(path, content, time, 0)
    }

    /// Adds a file with a time of its own, and attribute bits (read-only 1, hidden 2, system 4) besides the archive bit.
    ///
    /// # Errors
    /// As [`add_file`](Self::add_file).
    pub fn add_file_with(
        &mut self,
        path: &[u8],
        content: Content,
        modified: Timestamp,
        attributes: u8,
    ) -> Result<&mut Self> {
        self.tree
            .add_file(path, content, attributes, modified)
            .map_err(|error| error.at_path(path))?;
        Ok(self)
    }

    /// Adds a directory, and those on the way to it. One that is there already is no error.
    ///
    /// # Errors
    /// As [`add_file`](Self::add_file).
    pub fn add_directory(&mut self, path: &[u8], modified: Timestamp) -> Result<&mut Self> {
        self.tree
            .add_directory(path, modified)
            .map_err(|error| error.at_path(path))?;
        Ok(self)
    }

    /// Decides where everything lies.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where the files do not fit the size that was asked for, [`Error::InvalidArgument`] and [`Error::InvalidName`]
    /// for options that make no filesystem.
    pub fn plan(self) -> Result<Volume> {
        let label = self
            .options
            .label
            .as_deref()
            .map(|label| encode_label(label, self.options.code_page));
        let label = label.transpose()?;
        let root_slots = self
            .tree
            .directory(0)
            .map_or(0, |root| root.slots(true, label.is_some()));
        let mut options = self.options;
        if self.partitioned {
            options.hidden_sectors = (PARTITION_START / u64::from(SECTOR_LEN)) as u32;
        }
        if options.kind.is_none() && root_slots > MAX_FIXED_ROOT {
            options.kind = Some(FatKind::Fat32);
        }
        // A fixed root directory has room for all its entries.
        if let Ok(slots) = u16::try_from(root_slots)
            && slots > options.root_entries.unwrap_or(512)
        {
            options.root_entries = Some(slots);
        }
        let before = if self.partitioned { PARTITION_START } else { 0 };
        let draft = Draft {
            tree: &self.tree,
            options: &options,
            has_label: label.is_some(),
            free: if self.size.is_some() { 0 } else { self.free },
        };
        let (size, layout) = match self.size {
            Some(size) => {
                let size = size.checked_sub(before).ok_or_else(no_space)?;
                let layout = draft.layout(size)?;
                if u64::from(layout.clusters) < draft.clusters(&layout) {
                    return Err(no_space());
                }
                (size, layout)
            }
            None => draft.choose(self.min_size.saturating_sub(before))?,
        };
        let starts = draft.place(&layout)?;
        Ok(Volume {
            before,
            size,
            layout,
            label,
            starts,
            options,
            tree: self.tree,
        })
    }
}

fn no_space() -> Error {
    Error::NoSpace {
        filesystem: "vfat".into(),
        what: "blocks",
    }
}

/// What a layout is chosen by.
struct Draft<'a> {
    tree: &'a VolumeTree,
    options: &'a FormatOptions,
    has_label: bool,
    free: u64,
}

impl Draft<'_> {
    fn layout(&self, size: u64) -> Result<Layout> {
        let layout = Layout::choose(size, self.options)?;
        let root_slots = self.tree.len_of(0, self.has_label) / ENTRY_LEN;
        if layout.kind != FatKind::Fat32 && root_slots > u64::from(layout.root_entries) {
            return Err(Error::NoSpace {
                filesystem: "vfat".into(),
                what: "entries of the root directory",
            });
        }
        Ok(layout)
    }

    /// How many clusters a node takes.
    fn clusters_of(&self, number: usize, layout: &Layout) -> u64 {
        let cluster = layout.cluster_len();
        match (number, layout.kind) {
            (0, FatKind::Fat32) => self.tree.len_of(0, self.has_label).div_ceil(cluster).max(1),
            (0, _) => 0,
            _ => self.tree.len_of(number, self.has_label).div_ceil(cluster),
        }
    }

    /// How many clusters all take.
    fn clusters(&self, layout: &Layout) -> u64 {
        let files: u64 = (0..self.tree.nodes.len())
            .map(|number| self.clusters_of(number, layout))
            .fold(0, u64::saturating_add);
        files.saturating_add(self.free.div_ceil(layout.cluster_len()))
    }

    /// The smallest size, near enough, into which all fits.
    fn choose(&self, at_least: u64) -> Result<(u64, Layout)> {
        let bytes: u64 = (0..self.tree.nodes.len())
            .map(|number| self.tree.len_of(number, self.has_label))
            .fold(self.free, u64::saturating_add);
        let mut size = at_least.max(bytes).max(1);
        if self.options.kind == Some(FatKind::Fat32) {
            size = size.max(MIN_FAT32_SIZE);
        }
        for _ in 0..MAX_TRIES {
            size = size.checked_next_multiple_of(SIZE_STEP).ok_or_else(no_space)?;
            let layout = match self.layout(size) {
                Ok(layout) => layout,
                // Too small for this kind of table.
                Err(Error::InvalidArgument { .. }) if size < 1 << 30 => {
                    size = size.saturating_add(size / 4);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let needed = self.clusters(&layout);
            let few = self.options.kind.is_none()
                && layout.kind == FatKind::Fat32
                && layout.clusters < MIN_FAT32_CLUSTERS;
            let missing = needed.saturating_sub(u64::from(layout.clusters));
            if missing == 0 && !few {
                return Ok((size, layout));
            }
            // Each cluster has an entry in each table.
            let each = layout.cluster_len() + 4 * u64::from(self.options.fats);
            size = size.saturating_add(missing.saturating_mul(each).max(SIZE_STEP));
        }
        Err(invalid("no size was found that the files fit into"))
    }

    /// The first cluster of each node, 0 where it has none; and, last, the cluster behind all.
    fn place(&self, layout: &Layout) -> Result<Vec<u32>> {
        let mut next = u64::from(FIRST_CLUSTER);
        let mut starts = Vec::with_capacity(self.tree.nodes.len() + 1);
        for number in 0..self.tree.nodes.len() {
            let clusters = self.clusters_of(number, layout);
            starts.push(match clusters {
                0 => 0,
                _ => u32::try_from(next).map_err(|_| no_space())?,
            });
            next += clusters;
        }
        starts.push(u32::try_from(next).map_err(|_| no_space())?);
        Ok(starts)
    }
}

/// A volume that is planned to the last cluster, to be written as often as wanted.
#[derive(Debug)]
pub struct Volume {
    /// Bytes before the volume, for a partition table.
    pub(crate) before: u64,
    /// Bytes of the volume itself.
    pub(crate) size: u64,
    pub(crate) layout: Layout,
    pub(crate) label: Option<[u8; 11]>,
    pub(crate) starts: Vec<u32>,
    pub(crate) options: FormatOptions,
    pub(crate) tree: VolumeTree,
}

impl Volume {
    /// How many bytes the image has, with the partition table where there is one.
    pub fn size(&self) -> u64 {
        self.before + self.size
    }

    /// Which FAT it is.
    pub fn kind(&self) -> FatKind {
        self.layout.kind
    }

    /// Bytes of a cluster.
    pub fn cluster_len(&self) -> u64 {
        self.layout.cluster_len()
    }
}
