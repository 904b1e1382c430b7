//! An open image, and its face as a storage.

use crate::bitmap_directory::BitmapEntry;
use crate::check::{Repair, check};
use crate::compression::compress_cluster;
use crate::core::Core;
use crate::encryption::{Encryption, Unlock};
use crate::engine::Engine;
use crate::entry::{Held, OFFSET_MASK};
use crate::error::{Error, Result};
use crate::feature::Incompatible;
use crate::header::{CompressionType, Header};
use crate::snapshot_table::Snapshot;
use crate::state::State;
use crate::types::{Geometry, GuestCluster};
use disksmith_storage::{
    self as storage, Alignment, Extent, HostLocation, HostSpan, Storage, StorageRef, ZeroMode,
};
use std::sync::Arc;

/// How to open an image.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The backing file's contents, in whatever format it is; its size may differ from the image's. `None` makes
    /// what the image does not hold read as zeroes.
    pub backing: Option<StorageRef>,
    /// The external data file, for an image that has one.
    pub data_file: Option<StorageRef>,
    /// Whether the image may be changed.
    pub writable: bool,
    /// Whether metadata writes are ordered by flushes, so that the image is sound at every instant. Only a file
    /// that is discarded when its making fails can do without.
    pub ordered: bool,
    /// What opens an encrypted image.
    pub unlock: Unlock,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            backing: None,
            data_file: None,
            writable: false,
            ordered: true,
            unlock: Unlock::default(),
        }
    }
}

/// An open qcow2 image.
///
/// As a [`Storage`] it reads and writes guest bytes. Writes go directly into the image, in an order that keeps it
/// sound at every instant; they are complete after [`Storage::flush`], which must be called before the image is dropped.
/// A change that must be whole or not at all goes through [`Qcow2::shadow`].
#[derive(Debug)]
pub struct Qcow2 {
    pub(crate) engine: Engine,
    writable: bool,
    opened: Header,
}

impl Qcow2 {
    /// Opens the image in `file`. An image with the dirty bit is repaired when it is opened for writing.
    ///
    /// # Errors
    /// When the header is damaged or needs what is not supported; for writing also when a table's own clusters are
    /// not counted as used, or the image is marked corrupt.
    pub fn open(file: StorageRef, options: OpenOptions) -> Result<Self> {
        let mut header = Header::load(&*file)?;
        let flags = header.incompatible;
        if options.writable
            && file.is_writable()
            && flags.contains(Incompatible::DIRTY)
            && !flags.contains(Incompatible::CORRUPT)
        {
            let report = check(&file, Repair::All)?;
            if report.check_errors > 0 || report.corruptions > 0 {
                return Err(Error::MarkedCorrupt { image: file.name() });
            }
            header = Header::load(&*file)?;
        }
        Self::open_with(file, header, options)
    }

    pub(crate) fn open_with(file: StorageRef, header: Header, options: OpenOptions) -> Result<Self> {
        let name = file.name();
        let wants_data = header.incompatible.contains(Incompatible::DATA_FILE);
        if wants_data != options.data_file.is_some() {
            let what = if wants_data {
                "its external data file is missing"
            } else {
                "it has no external data file"
            };
            return Err(Error::request(format!("{name}: {what}")));
        }
        if options.writable {
            if !file.is_writable() {
                return Err(storage::Error::ReadOnly { object: name }.into());
            }
            if header.incompatible.contains(Incompatible::CORRUPT) {
                return Err(Error::MarkedCorrupt { image: name });
            }
        }
        let encryption = Encryption::open(&file, &header, &options.unlock)?;
        let mut core = Self::core(file, &header, options.clone());
        core.encryption = encryption;
        let state = State::load(Arc::new(core), header.clone())?;
        let mut image = Self {
            engine: Engine::new(state),
            writable: options.writable,
            opened: header,
        };
        if options.writable {
            image.engine.lock().verify()?;
            image.opened = image.engine.lock().header.clone();
        }
        Ok(image)
    }

    /// The image as it is now, opened for writing with the same files and keys.
    pub(crate) fn opened_anew(&self) -> Result<Self> {
        let old = &self.engine.core;
        let header = Header::load(&*old.file)?;
        let core = Core {
            geometry: header.geometry,
            version: header.version,
            compression: header.compression,
            ..Core::clone(old)
        };
        let state = State::load(Arc::new(core), header.clone())?;
        let image = Self {
            engine: Engine::new(state),
            writable: self.writable,
            opened: header,
        };
        image.engine.lock().verify()?;
        Ok(image)
    }

    pub(crate) fn read_only(engine: Engine, opened: Header) -> Self {
        Self {
            engine,
            writable: false,
            opened,
        }
    }

    pub(crate) fn core(file: StorageRef, header: &Header, options: OpenOptions) -> Core {
        let data = options.data_file.as_ref().unwrap_or(&file);
        let len = data.size();
        let host = data
            .host_span(0, len)
            // Never through encryption.
            .filter(|span| span.len == len && header.encryption.is_none())
            .map(|span| (Arc::clone(span.file.path()), span.offset));
        Core {
            name: file.name(),
            host,
            file,
            data_file: options.data_file,
            backing: options.backing,
            geometry: header.geometry,
            version: header.version,
            compression: header.compression,
            encryption: match header.encryption {
                None => Encryption::None,
                Some(_) => Encryption::Locked,
            },
            ordered: options.ordered,
        }
    }

    /// The header as it was when the image was opened, with all that the image says of itself.
    pub fn header(&self) -> &Header {
        &self.opened
    }

    /// The internal snapshots, in the order of the table.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let (offset, count) = {
            let state = self.engine.lock();
            (state.header.snapshots_offset, state.header.snapshots)
        };
        Ok(Snapshot::load_table(&*self.engine.core.file, offset, count)?.0)
    }

    /// The persistent dirty bitmaps, where the image says that they are valid.
    pub fn bitmaps(&self) -> Result<Vec<BitmapEntry>> {
        self.engine.lock().load_bitmaps()
    }

    /// Cluster size, refcount width, size of L2 entries.
    pub fn geometry(&self) -> Geometry {
        self.engine.core.geometry
    }

    /// How clusters are compressed in this image.
    pub fn compression(&self) -> CompressionType {
        self.engine.core.compression
    }

    /// The file that holds the image.
    pub fn file(&self) -> &StorageRef {
        &self.engine.core.file
    }

    /// The backing file's contents, as given on opening.
    pub fn backing(&self) -> Option<&StorageRef> {
        self.engine.core.backing.as_ref()
    }

    /// Writes one guest cluster compressed: `data` is a whole cluster (the last one of the disk may be shorter).
    /// Where compression does not pay, it is written plainly.
    pub fn write_compressed(&self, cluster: GuestCluster, data: &[u8], level: Option<u32>) -> Result<()> {
        let size = self.geometry().cluster_size();
        let pos = self.cluster_start(cluster, data.len() as u64)?;
        let mut padded;
        let mut whole = data;
        if (data.len() as u64) < size {
            padded = data.to_vec();
            padded.resize(size as usize, 0);
            whole = &padded;
        }
        match compress_cluster(self.compression(), level, whole) {
            Some(packed) => self.write_compressed_cluster(cluster, &packed),
            None => self.engine.write(pos, data),
        }
    }

    /// Stores a cluster that [`compress_cluster`] compressed with this image's [`compression`](Self::compression).
    pub fn write_compressed_cluster(&self, cluster: GuestCluster, packed: &[u8]) -> Result<()> {
        self.cluster_start(cluster, 1)?;
        if packed.is_empty() || packed.len() as u64 >= self.geometry().cluster_size() {
            return Err(Error::request(
                "a compressed cluster must be shorter than a cluster, and not empty",
            ));
        }
        if self.engine.core.has_data_file() {
            return Err(Error::unsupported(
                &self.engine.core.name,
                "compression with an external data file",
            ));
        }
        if self.engine.core.encryption.is_on() {
            return Err(Error::unsupported(
                &self.engine.core.name,
                "compression in an encrypted image",
            ));
        }
        self.engine.write_compressed(cluster.0, packed)
    }

    fn cluster_start(&self, cluster: GuestCluster, len: u64) -> Result<u64> {
        if !self.writable {
            return Err(storage::Error::ReadOnly { object: self.name() }.into());
        }
        let start = cluster.offset(&self.geometry()).map_or(u64::MAX, |o| o.0);
        let len = len.min(self.size().saturating_sub(start)).max(1);
        self.check_range(start, len)?;
        Ok(start)
    }

    /// Writes all metadata that is still in memory, without making it durable: for a new image whose maker syncs
    /// many files at once, or none.
    pub fn write_back(&self) -> Result<()> {
        let _io = self.engine.exclusive();
        let mut state = self.engine.lock();
        if state.modified {
            state.write_back()?;
            while !state.releases.is_empty() {
                state.settle()?;
                state.write_back()?;
            }
            state.trim()?;
        }
        Ok(())
    }

    fn check_writable(&self, offset: u64, len: u64) -> storage::Result<()> {
        if !self.writable {
            return Err(storage::Error::ReadOnly { object: self.name() });
        }
        self.check_range(offset, len)
    }
}

impl Engine {
    /// [`Storage::extent_at`], for a range that lies inside the disk.
    pub(crate) fn extent_at(&self, offset: u64, limit: u64) -> storage::Result<Extent> {
        let _io = self.shared();
        let run = self.lock().map(offset, limit)?;
        let len = run.len;
        let host = |at: u64| {
            let (file, base) = self.core.host.as_ref()?;
            Some(HostLocation {
                file: Arc::clone(file),
                offset: base.checked_add(at)?,
            })
        };
        Ok(match run.held {
            Held::Data(at) => Extent {
                host: host(at),
                ..Extent::data(len)
            },
            Held::Zero => Extent::zero(len),
            Held::ZeroAllocated(at) => Extent {
                host: host(at),
                ..Extent::zero(len)
            },
            Held::Compressed(_) => {
                let mut len = len;
                while len < limit && offset + len < self.lock().size {
                    let next = self.lock().map(offset + len, limit - len)?;
                    if !matches!(next.held, Held::Compressed(_)) {
                        break;
                    }
                    len += next.len;
                }
                Extent {
                    compressed: true,
                    ..Extent::data(len.min(limit))
                }
            }
            Held::Nowhere => {
                let backed = self.core.backed(offset).min(len);
                match self.core.backing.as_ref().filter(|_| backed > 0) {
                    None => {
                        let (place, len) = self.lock().unused_place(offset, len)?;
                        Extent {
                            host: place.and_then(host),
                            ..Extent::absent(len)
                        }
                    }
                    Some(backing) => {
                        let extent = backing.extent_at(offset, backed)?;
                        Extent {
                            len: extent.len.min(backed),
                            depth: extent.depth.saturating_add(1),
                            ..extent
                        }
                    }
                }
            }
        })
    }
}

impl Engine {
    /// [`Storage::host_span`]: where uncompressed data lies.
    pub(crate) fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        let run = {
            let mut state = self.lock();
            if len == 0 || offset >= state.size {
                return None;
            }
            state.map(offset, len).ok()?
        };
        let len = run.len.min(len);
        match run.held {
            Held::Data(_) if self.core.encryption.is_on() => None,
            Held::Data(at) => self.core.data().host_span(at, len),
            Held::Nowhere => {
                let backed = self.core.backed(offset).min(len);
                self.core
                    .backing
                    .as_ref()
                    .filter(|_| backed > 0)?
                    .host_span(offset, backed)
            }
            _ => None,
        }
    }
}

impl Storage for Qcow2 {
    fn size(&self) -> u64 {
        self.engine.lock().size
    }

    fn name(&self) -> String {
        self.engine.core.name.clone()
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> storage::Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        Ok(self.engine.read(offset, buf)?)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> storage::Result<()> {
        self.check_writable(offset, buf.len() as u64)?;
        Ok(self.engine.write(offset, buf)?)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> storage::Result<()> {
        self.check_writable(offset, len)?;
        Ok(self.engine.write_zeroes(offset, len, mode == ZeroMode::Keep)?)
    }

    fn discard(&self, offset: u64, len: u64) -> storage::Result<()> {
        self.check_writable(offset, len)?;
        Ok(self.engine.discard(offset, len)?)
    }

    fn flush(&self) -> storage::Result<()> {
        if !self.writable {
            return Ok(());
        }
        Ok(self.engine.flush()?)
    }

    fn set_size(&self, size: u64) -> storage::Result<()> {
        self.check_writable(0, 0)?;
        Ok(self.engine.set_size(size)?)
    }

    fn extent_at(&self, offset: u64, limit: u64) -> storage::Result<Extent> {
        self.check_range(offset, 1)?;
        self.engine.extent_at(offset, limit.max(1))
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        self.engine.host_span(offset, len)
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: 1,
            allocation: self.geometry().cluster_size(),
        }
    }
}

impl State {
    /// Before the first write: every table's own clusters must be counted as used, so that none is handed out.
    pub(crate) fn verify(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        let l1 = (
            self.header.l1_offset,
            u64::from(self.header.l1_entries) * 8,
            "L1 table",
        );
        let clusters = u64::from(self.header.refcount_table_clusters);
        let table = (
            self.header.refcount_table_offset,
            clusters << geometry.cluster_bits,
            "refcount table",
        );
        if clusters == 0 {
            return Err(self.core.corrupt("header", 56, 0, "no refcount table"));
        }
        for (offset, len, what) in [(0, 1, "header"), l1, table] {
            for cluster in offset >> geometry.cluster_bits..geometry.clusters(offset + len) {
                self.must_be_counted(cluster, what)?;
            }
        }
        for index in 0..self.refcount_table.len() {
            let entry = self.refcount_table.get(index).copied().unwrap_or(0);
            if entry == 0 {
                continue;
            }
            if geometry.within(entry) != 0 || entry >= self.file_len {
                let at = self.header.refcount_table_offset + index as u64 * 8;
                return Err(self
                    .core
                    .corrupt("refcount table entry", at, entry, "no cluster of the file"));
            }
            self.must_be_counted(entry >> geometry.cluster_bits, "refcount block")?;
        }
        for index in 0..self.l1.len() {
            if self.l1.get(index).is_some_and(|e| e & OFFSET_MASK != 0)
                && let Some(table) = self.l2_table(index as u64)?
            {
                self.must_be_counted(table >> geometry.cluster_bits, "L2 table")?;
            }
        }
        Ok(())
    }

    fn must_be_counted(&mut self, cluster: u64, what: &'static str) -> Result<()> {
        if self.refcount(cluster)? == 0 {
            let at = cluster << self.core.geometry.cluster_bits;
            return Err(self
                .core
                .corrupt(what, at, 0, "its refcount says that it is free"));
        }
        Arc::make_mut(&mut self.protected).insert(cluster);
        Ok(())
    }
}
