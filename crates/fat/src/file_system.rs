//! The filesystem.

use crate::boot_sector::{BootSector, FIRST_CLUSTER, corrupt};
use crate::chain::Chain;
use crate::code_page::CodePage;
use crate::directory::DirectoryPlace;
use crate::directory_entry::{ENTRY_LEN, ShortEntry, Slot};
use crate::fat_table::{FatEntry, FatTable};
use crate::fragments::Fragments;
use crate::identity::{Identity, root_label, root_place};
use crate::inode_map::InodeMap;
use crate::listing::Listing;
use crate::operation::Space;
use crate::overlay::Overlay;
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::{
    DirEntry, DirSink, Error, FileSystem, FileType, FreeSink, InodeNo, Metadata, MetadataChange, NewNode,
    OperationGate, RenameMode, Result, StatFs, Timestamp,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// The root directory. No entry can lie at byte 32, in the boot sector.
pub(crate) const ROOT: InodeNo = InodeNo(1);
pub(crate) const KIND: &str = "vfat";
/// Bytes of the longest name: 255 UTF-16 code units of three bytes each.
const MAX_NAME_LEN: u32 = 765;
/// Files whose clusters are remembered.
const MAX_OPEN: usize = 4;

/// Directories whose names are remembered.
const MAX_LISTINGS: usize = 8;

/// Where the time comes from: called by operations that set times themselves.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a FAT filesystem is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Open for writing.
    pub writable: bool,
    /// Tells the time, which is stored as UTC.
    pub clock: Clock,
    /// The code page of short names; 437 is what Linux takes.
    pub code_page: CodePage,
    /// Whether a directory notes when it was changed, as Linux and Windows let it.
    pub touch_directories: bool,
}

impl OpenOptions {
    /// For reading or for writing, with the code page that Linux takes.
    pub fn new(writable: bool, clock: Clock) -> Self {
        Self {
            writable,
            clock,
            code_page: CodePage::CP437,
            touch_directories: true,
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("writable", &self.writable)
            .finish_non_exhaustive()
    }
}

/// An open FAT filesystem.
///
/// Every changing call is written to the storage before it returns, its metadata only after all of it is known to work. A filesystem that was
/// marked as not unmounted keeps that mark: nobody has checked it.
pub struct Fat {
    /// The storage with the changes of the operation that runs.
    pub(crate) storage: StorageRef,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) boot: BootSector,
    pub(crate) table: FatTable,
    identity: Identity,
    dirty: bool,
    writable: bool,
    pub(crate) clock: Clock,
    pub(crate) code_page: CodePage,
    pub(crate) touch_directories: bool,
    pub(crate) gate: OperationGate,
    /// Readers share it, a change has it alone.
    pub(crate) lock: RwLock<()>,
    pub(crate) inodes: Mutex<InodeMap>,
    pub(crate) space: Mutex<Space>,
    /// Names of the directories that were used last, the latest at the end.
    listings: Mutex<Vec<(InodeNo, Listing)>>,
    /// The directories that hold directories which were seen.
    pub(crate) parents: Mutex<HashMap<InodeNo, InodeNo>>,
    /// Clusters of the files that were read last, the latest at the end.
    open: Mutex<Vec<(InodeNo, Arc<Fragments>)>>,
}

/// What an inode number stands for.
pub(crate) enum Inode {
    Root,
    /// A directory entry, and where it lies.
    Entry(ShortEntry, u64),
}

impl std::fmt::Debug for Fat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fat")
            .field("storage", &self.storage)
            .field("boot", &self.boot)
            .field("writable", &self.writable)
            .finish_non_exhaustive()
    }
}

impl Fat {
    /// Opens the filesystem that fills a storage, for reading.
    ///
    /// # Errors
    /// As [`Fat::open_with`].
    pub fn open(storage: StorageRef) -> Result<Self> {
        Self::open_with(storage, OpenOptions::new(false, Arc::new(Timestamp::default)))
    }

    /// Opens the filesystem that fills a storage.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is none, or its root directory cannot be read.
    pub fn open_with(storage: StorageRef, options: OpenOptions) -> Result<Self> {
        let overlay = Arc::new(Overlay::new(storage));
        let storage: StorageRef = Arc::clone(&overlay) as StorageRef;
        let boot = BootSector::load(&*storage)?;
        let table = FatTable::new(Arc::clone(&storage), &boot);
        let label = root_label(&storage, &boot, &table)?;
        let dirty = boot.dirty || table.is_dirty()?;
        if dirty {
            log::warn!("{}: the FAT filesystem was not unmounted cleanly", storage.name());
        }
        Ok(Self {
            identity: Identity::new(&boot, label, options.code_page),
            writable: options.writable && storage.is_writable(),
            clock: options.clock,
            code_page: options.code_page,
            touch_directories: options.touch_directories,
            gate: OperationGate::default(),
            lock: RwLock::default(),
            inodes: Mutex::default(),
            space: Mutex::default(),
            listings: Mutex::default(),
            overlay,
            storage,
            boot,
            table,
            dirty,
            parents: Mutex::default(),
            open: Mutex::default(),
        })
    }

    /// The layout of the filesystem.
    pub fn boot_sector(&self) -> &BootSector {
        &self.boot
    }

    /// Whether it says that it was not unmounted cleanly.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The gate that every changing call enters.
    pub fn gate(&self) -> &OperationGate {
        &self.gate
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(Error::ReadOnly {
            filesystem: KIND.into(),
            reason: "opened for reading".into(),
        })
    }

    pub(crate) fn cannot(&self, operation: &str) -> Error {
        self.unsupported(operation)
    }

    pub(crate) fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn listings(&self) -> MutexGuard<'_, Vec<(InodeNo, Listing)>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the file whose entry lies at an offset.
    pub(crate) fn number(&self, offset: u64) -> InodeNo {
        self.inodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .number(offset)
    }

    pub(crate) fn inode(&self, inode: InodeNo) -> Result<Inode> {
        if inode == ROOT {
            return Ok(Inode::Root);
        }
        let not_found = || Error::NotFound {
            path: format!("inode {inode}"),
        };
        let inodes = self.inodes.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = inodes.offset(inode).ok_or_else(not_found)?;
        drop(inodes);
        if offset < self.boot.root_offset || self.storage.check_range(offset, ENTRY_LEN).is_err() {
            return Err(not_found());
        }
        let bytes = read_vec(&*self.storage, offset, ENTRY_LEN as usize)?;
        match bytes
            .first_chunk()
            .map(|bytes| Slot::parse(bytes, self.boot.kind))
        {
            Some(Slot::Entry(entry)) => Ok(Inode::Entry(entry, offset)),
            _ => Err(not_found()),
        }
    }

    pub(crate) fn directory(&self, inode: InodeNo) -> Result<DirectoryPlace> {
        match self.inode(inode)? {
            Inode::Root => Ok(root_place(&self.boot)),
            Inode::Entry(entry, _) if entry.is_dir() => Ok(DirectoryPlace::Chain(entry.first_cluster)),
            Inode::Entry(..) => Err(Error::NotADirectory {
                path: format!("inode {inode}"),
            }),
        }
    }

    /// The names of a directory, which are no longer remembered: whoever changes them puts them back when all went well.
    pub(crate) fn take_listing(&self, dir: InodeNo) -> Result<Listing> {
        let mut listings = self.listings();
        if let Some(at) = listings.iter().position(|(inode, _)| *inode == dir) {
            return Ok(listings.remove(at).1);
        }
        drop(listings);
        Listing::load(
            &*self.storage,
            &self.boot,
            &self.table,
            self.directory(dir)?,
            self.code_page,
        )
    }

    /// Remembers the names of a directory.
    pub(crate) fn put_listing(&self, dir: InodeNo, listing: Listing) {
        let mut listings = self.listings();
        listings.retain(|(inode, _)| *inode != dir);
        if listings.len() >= MAX_LISTINGS {
            listings.remove(0);
        }
        listings.push((dir, listing));
    }

    /// Forgets what is remembered of an inode.
    pub(crate) fn forget(&self, inode: InodeNo) {
        self.forget_fragments(inode);
        self.listings().retain(|(number, _)| *number != inode);
        let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
        parents.remove(&inode);
    }

    pub(crate) fn forget_fragments(&self, inode: InodeNo) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(number, _)| *number != inode);
    }

    /// Forgets everything but which directory holds which, and that where it may be wrong.
    pub(crate) fn forget_all(&self) {
        self.listings().clear();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.parents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Works on the names of a directory.
    pub(crate) fn with_listing<T>(
        &self,
        dir: InodeNo,
        work: impl FnOnce(&Listing) -> Result<T>,
    ) -> Result<T> {
        // A directory that is one no longer must not be found among those that are remembered.
        self.directory(dir)?;
        let listing = self.take_listing(dir)?;
        let result = work(&listing);
        self.put_listing(dir, listing);
        result
    }

    /// The entries of a directory behind a cookie; remembers which directories it holds.
    fn entries(&self, dir: InodeNo, cookie: u64) -> Result<Vec<DirEntry>> {
        self.with_listing(dir, |listing| {
            let mut entries = Vec::new();
            for (slot, item) in listing.items() {
                let here = u64::from(slot) + 1;
                if here <= cookie {
                    continue;
                }
                let inode = self.number(listing.offset(&self.boot, slot)?);
                let file_type = match item.is_dir {
                    true => FileType::Directory,
                    false => FileType::Regular,
                };
                if item.is_dir {
                    self.note_parent(inode, dir);
                }
                entries.push(DirEntry {
                    name: item.name.clone(),
                    inode,
                    file_type,
                    cookie: here,
                });
            }
            Ok(entries)
        })
    }

    pub(crate) fn note_parent(&self, inode: InodeNo, dir: InodeNo) {
        let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
        parents.insert(inode, dir);
    }

    /// The directory that holds a directory.
    pub(crate) fn find_parent(&self, dir: InodeNo) -> Result<InodeNo> {
        let known = |inode| {
            let parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
            parents.get(&inode).copied()
        };
        self.directory(dir)?;
        if dir == ROOT {
            return Ok(ROOT);
        }
        // A directory that nobody came to on the way from the root: the way is looked for.
        let mut seen = HashSet::from([ROOT]);
        let mut pending = vec![ROOT];
        loop {
            if let Some(parent) = known(dir) {
                return Ok(parent);
            }
            let Some(next) = pending.pop() else {
                return Err(corrupt(format!("directory inode {dir} is in no directory")));
            };
            for entry in self.entries(next, 0)? {
                if entry.file_type == FileType::Directory && seen.insert(entry.inode) {
                    pending.push(entry.inode);
                }
            }
        }
    }

    /// Remembers where the clusters of a file lie.
    pub(crate) fn remember(&self, inode: InodeNo, fragments: Arc<Fragments>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(number, _)| *number != inode);
        if open.len() >= MAX_OPEN {
            open.remove(0);
        }
        open.push((inode, fragments));
    }

    /// Where the clusters of a file or directory lie.
    pub(crate) fn fragments(&self, inode: InodeNo, first: u32) -> Result<Arc<Fragments>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fragments)) = open.iter().find(|(number, _)| *number == inode) {
            return Ok(Arc::clone(fragments));
        }
        drop(open);
        let fragments = match first {
            0 => Fragments::none(),
            _ => Fragments::gather(Chain::new(&self.table, &self.boot, first)?)?,
        };
        let fragments = Arc::new(fragments);
        self.remember(inode, Arc::clone(&fragments));
        Ok(fragments)
    }

    pub(crate) fn count_free(&self) -> Result<u64> {
        let mut free = 0;
        for cluster in FIRST_CLUSTER..FIRST_CLUSTER + self.boot.clusters {
            free += u64::from(self.table.get(cluster)? == FatEntry::Free);
        }
        Ok(free)
    }

    fn describe(&self, number: InodeNo, inode: &Inode) -> Result<Metadata> {
        let epoch = Timestamp::default();
        let mut metadata = Metadata {
            inode: number,
            file_type: FileType::Directory,
            permissions: 0o755,
            uid: 0,
            gid: 0,
            size: self.boot.root_len,
            blocks: self.boot.root_len / 512,
            links: 1,
            device: (0, 0),
            accessed: epoch,
            modified: epoch,
            changed: epoch,
            created: None,
        };
        let first = match inode {
            Inode::Root => self.boot.root_cluster,
            Inode::Entry(entry, _) => {
                metadata.accessed = entry.accessed;
                metadata.modified = entry.modified;
                metadata.changed = entry.modified;
                metadata.created = Some(entry.created);
                if entry.is_read_only() {
                    metadata.permissions = 0o555;
                }
                if !entry.is_dir() {
                    metadata.file_type = FileType::Regular;
                    metadata.size = u64::from(entry.size);
                    let clusters = metadata.size.div_ceil(u64::from(self.boot.cluster_len));
                    metadata.blocks = clusters * u64::from(self.boot.cluster_len) / 512;
                    return Ok(metadata);
                }
                entry.first_cluster
            }
        };
        if first != 0 {
            let clusters = u64::from(self.fragments(number, first)?.clusters());
            metadata.size = clusters * u64::from(self.boot.cluster_len);
            metadata.blocks = metadata.size / 512;
        }
        Ok(metadata)
    }
}

impl FileSystem for Fat {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn label(&self) -> Option<Vec<u8>> {
        self.identity.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.identity.uuid.clone()
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn root(&self) -> InodeNo {
        ROOT
    }

    fn stat_fs(&self) -> Result<StatFs> {
        let _reading = self.reading();
        let free = u64::from(self.counted_space()?.free.unwrap_or(0));
        Ok(StatFs {
            block_size: u64::from(self.boot.cluster_len),
            blocks: u64::from(self.boot.clusters),
            free_blocks: free,
            available_blocks: free,
            inodes: 0,
            free_inodes: 0,
            max_name_len: MAX_NAME_LEN,
        })
    }

    /// Finds a long or short name, whatever its case.
    fn lookup(&self, dir: InodeNo, name: &[u8]) -> Result<InodeNo> {
        let _reading = self.reading();
        self.with_listing(dir, |listing| {
            let (slot, item) = listing.find(name).ok_or_else(|| Error::NotFound {
                path: String::from_utf8_lossy(name).into_owned(),
            })?;
            let inode = self.number(listing.offset(&self.boot, slot)?);
            if item.is_dir {
                self.note_parent(inode, dir);
            }
            Ok(inode)
        })
    }

    fn metadata(&self, inode: InodeNo) -> Result<Metadata> {
        let _reading = self.reading();
        let found = self.inode(inode)?;
        self.describe(inode, &found)
    }

    fn read_dir(&self, dir: InodeNo, cookie: u64, sink: DirSink<'_>) -> Result<()> {
        // Gathered first: the sink may call the filesystem.
        let reading = self.reading();
        let entries = self.entries(dir, cookie)?;
        drop(reading);
        for entry in entries {
            if !sink(entry) {
                break;
            }
        }
        Ok(())
    }

    fn parent(&self, dir: InodeNo) -> Result<InodeNo> {
        let _reading = self.reading();
        self.find_parent(dir)
    }

    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let _reading = self.reading();
        let entry = match self.inode(inode)? {
            Inode::Entry(entry, _) if !entry.is_dir() => entry,
            _ => {
                return Err(Error::IsADirectory {
                    path: format!("inode {inode}"),
                });
            }
        };
        let len = u64::from(entry.size).saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut rest = buf.get_mut(..len).unwrap_or_default();
        if rest.is_empty() {
            return Ok(0);
        }
        let fragments = self.fragments(inode, entry.first_cluster)?;
        let mut at = offset;
        while !rest.is_empty() {
            let (place, run) = fragments.locate(&self.boot, at)?;
            let n = rest.len().min(usize::try_from(run).unwrap_or(usize::MAX));
            let (part, tail) = rest.split_at_mut(n);
            self.storage.read_at(place, part)?;
            at += n as u64;
            rest = tail;
        }
        Ok(len)
    }

    fn read_link(&self, inode: InodeNo) -> Result<Vec<u8>> {
        Err(Error::WrongType {
            path: format!("inode {inode}"),
            found: self.metadata(inode)?.file_type,
        })
    }

    fn free_ranges(&self, sink: FreeSink<'_>) -> Result<()> {
        // Not under the lock: whoever takes the ranges may call the filesystem.
        let len = u64::from(self.boot.cluster_len);
        let mut run: Option<(u64, u64)> = None;
        for cluster in FIRST_CLUSTER..FIRST_CLUSTER + self.boot.clusters {
            let free = self.table.get(cluster)? == FatEntry::Free;
            match (&mut run, free) {
                (Some((_, run_len)), true) => *run_len += len,
                (None, true) => run = Some((self.boot.cluster_offset(cluster), len)),
                (_, false) => {
                    if let Some((start, run_len)) = run.take() {
                        sink(start, run_len)?;
                    }
                }
            }
        }
        run.map_or(Ok(()), |(start, run_len)| sink(start, run_len))
    }

    fn create(&self, dir: InodeNo, name: &[u8], node: &NewNode<'_>) -> Result<InodeNo> {
        let offset = self.operate(|operation| self.create_node(operation, dir, name, node))?;
        let inode = self.number(offset);
        if node.file_type == FileType::Directory {
            self.note_parent(inode, dir);
        }
        Ok(inode)
    }

    fn unlink(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        self.operate(|operation| self.remove_node(operation, dir, name, false))
    }

    fn remove_dir(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        self.operate(|operation| self.remove_node(operation, dir, name, true))
    }

    /// Renames; a name may also change its case only. Exchanging swaps what the two names stand for.
    fn rename(
        &self,
        dir: InodeNo,
        name: &[u8],
        new_dir: InodeNo,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.operate(|operation| self.rename_node(operation, (dir, name), (new_dir, new_name), mode))
    }

    fn write(&self, inode: InodeNo, offset: u64, data: &[u8]) -> Result<()> {
        self.operate(|operation| self.write_file(operation, inode, offset, data))
    }

    fn set_size(&self, inode: InodeNo, size: u64) -> Result<()> {
        self.operate(|operation| self.resize_file(operation, inode, size))
    }

    /// Sets the time of the last change (two seconds exact), the day of the last access, and from the permissions the read-only
    /// attribute. Owners other than root are not supported; a time of change of metadata is not kept.
    fn set_metadata(&self, inode: InodeNo, change: &MetadataChange) -> Result<()> {
        self.operate(|_| self.change_metadata(inode, change))
    }
}
