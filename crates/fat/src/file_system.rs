//! The filesystem.

use crate::boot_sector::{BootSector, FIRST_CLUSTER, corrupt};
use crate::chain::Chain;
use crate::directory::{DirectoryPlace, Found, NamedEntry, read_entries};
use crate::directory_entry::{ENTRY_LEN, ShortEntry, Slot};
use crate::fat_table::{FatEntry, FatTable};
use crate::fragments::Fragments;
use crate::identity::{Identity, root_label, root_place};
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::{
    DirEntry, DirSink, Error, FileSystem, FileType, FreeSink, InodeNo, Metadata, Result, StatFs, Timestamp,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The root directory. No entry can lie at byte 32, in the boot sector.
const ROOT: InodeNo = InodeNo(1);
const KIND: &str = "vfat";
/// Bytes of the longest name: 255 UTF-16 code units of three bytes each.
const MAX_NAME_LEN: u32 = 765;
/// Files whose clusters are remembered.
const MAX_OPEN: usize = 4;

/// A FAT filesystem, opened for reading.
#[derive(Debug)]
pub struct Fat {
    storage: StorageRef,
    boot: BootSector,
    table: FatTable,
    identity: Identity,
    dirty: bool,
    /// The directories that hold directories which were seen.
    parents: Mutex<HashMap<InodeNo, InodeNo>>,
    /// Clusters of the files that were read last, the latest at the end.
    open: Mutex<Vec<(InodeNo, Arc<Fragments>)>>,
}

/// What an inode number stands for.
enum Inode {
    Root,
    Entry(ShortEntry),
}

impl Fat {
    /// Opens the filesystem that fills a storage.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is none, or its root directory cannot be read.
    pub fn open(storage: StorageRef) -> Result<Self> {
        let boot = BootSector::load(&*storage)?;
        let table = FatTable::new(Arc::clone(&storage), &boot);
        let label = root_label(&storage, &boot, &table)?;
        let dirty = boot.dirty || table.is_dirty()?;
        if dirty {
            log::warn!("{}: the FAT filesystem was not unmounted cleanly", storage.name());
        }
        Ok(Self {
            identity: Identity::new(&boot, label),
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

    fn inode(&self, inode: InodeNo) -> Result<Inode> {
        if inode == ROOT {
            return Ok(Inode::Root);
        }
        let not_found = || Error::NotFound {
            path: format!("inode {inode}"),
        };
        let offset = inode.0.checked_mul(ENTRY_LEN).ok_or_else(not_found)?;
        if offset < self.boot.root_offset || self.storage.check_range(offset, ENTRY_LEN).is_err() {
            return Err(not_found());
        }
        let bytes = read_vec(&*self.storage, offset, ENTRY_LEN as usize)?;
        match bytes
            .first_chunk()
            .map(|bytes| Slot::parse(bytes, self.boot.kind))
        {
            Some(Slot::Entry(entry)) => Ok(Inode::Entry(entry)),
            _ => Err(not_found()),
        }
    }

    fn directory(&self, inode: InodeNo) -> Result<DirectoryPlace> {
        match self.inode(inode)? {
            Inode::Root => Ok(root_place(&self.boot)),
            Inode::Entry(entry) if entry.is_dir() => Ok(DirectoryPlace::Chain(entry.first_cluster)),
            Inode::Entry(_) => Err(Error::NotADirectory {
                path: format!("inode {inode}"),
            }),
        }
    }

    /// Gives the entries of a directory, and remembers which directories it holds.
    fn entries(&self, dir: InodeNo, sink: &mut dyn FnMut(InodeNo, NamedEntry) -> bool) -> Result<()> {
        let place = self.directory(dir)?;
        read_entries(&*self.storage, &self.boot, &self.table, place, &mut |found| {
            let Found::Entry(entry) = found else {
                return Ok(true);
            };
            let inode = InodeNo(entry.offset / ENTRY_LEN);
            if entry.short.is_dir() {
                self.parents
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(inode, dir);
            }
            Ok(sink(inode, entry))
        })
    }

    /// Where the clusters of a file or directory lie.
    fn fragments(&self, inode: InodeNo, first: u32) -> Result<Arc<Fragments>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fragments)) = open.iter().find(|(number, _)| *number == inode) {
            return Ok(Arc::clone(fragments));
        }
        let fragments = match first {
            0 => Fragments::none(),
            _ => Fragments::gather(Chain::new(&self.table, &self.boot, first)?)?,
        };
        let fragments = Arc::new(fragments);
        if open.len() >= MAX_OPEN {
            open.remove(0);
        }
        open.push((inode, Arc::clone(&fragments)));
        Ok(fragments)
    }

    fn count_free(&self) -> Result<u64> {
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
            Inode::Entry(entry) => {
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

/// Names differ in more than case where this differs.
fn fold(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => text
            .chars()
            .flat_map(char::to_uppercase)
            .collect::<String>()
            .into_bytes(),
        Err(_) => name.to_ascii_uppercase(),
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
        false
    }

    fn root(&self) -> InodeNo {
        ROOT
    }

    fn stat_fs(&self) -> Result<StatFs> {
        let free = self.count_free()?;
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
        let wanted = fold(name);
        let mut found = None;
        self.entries(dir, &mut |inode, entry| {
            if fold(&entry.name) == wanted || fold(&entry.short.name()) == wanted {
                found = Some(inode);
            }
            found.is_none()
        })?;
        found.ok_or_else(|| Error::NotFound {
            path: String::from_utf8_lossy(name).into_owned(),
        })
    }

    fn metadata(&self, inode: InodeNo) -> Result<Metadata> {
        let found = self.inode(inode)?;
        self.describe(inode, &found)
    }

    fn read_dir(&self, dir: InodeNo, cookie: u64, sink: DirSink<'_>) -> Result<()> {
        let mut cookie_seen = 0;
        self.entries(dir, &mut |inode, entry| {
            // Cookies count entries from the start: what is opened for reading does not change.
            cookie_seen += 1;
            if cookie_seen <= cookie {
                return true;
            }
            let file_type = match entry.short.is_dir() {
                true => FileType::Directory,
                false => FileType::Regular,
            };
            sink(DirEntry {
                name: entry.name,
                inode,
                file_type,
                cookie: cookie_seen,
            })
        })
    }

    fn parent(&self, dir: InodeNo) -> Result<InodeNo> {
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
            self.entries(next, &mut |inode, entry| {
                if entry.short.is_dir() && seen.insert(inode) {
                    pending.push(inode);
                }
                true
            })?;
        }
    }

    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let entry = match self.inode(inode)? {
            Inode::Entry(entry) if !entry.is_dir() => entry,
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
}
