//! An open filesystem: [`Ext4`] and what it does as a [`FileSystem`].

use crate::core::{Clock, Core};
use crate::directory::file_type_of;
use crate::error::{Error, Result};
use crate::features::Compat;
use crate::features::Incompat;
use crate::inode_table::{Node, ROOT_INODE};
use disksmith_storage::StorageRef;
use disksmith_vfs as vfs;
use disksmith_vfs::{
    DirEntry, DirSink, FileSystem, FreeSink, InodeNo, Metadata, MetadataChange, NewNode, OperationGate,
    RenameMode, StatFs, XattrMode,
};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Memory for metadata blocks unless [`OpenOptions::cache_bytes`] says otherwise.
const DEFAULT_CACHE: usize = 32 << 20;

/// How a filesystem is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Open for writing. A filesystem that can only be read is opened all the same: see [`Ext4::read_only_reason`].
    pub writable: bool,
    /// Memory for metadata blocks in bytes.
    pub cache_bytes: usize,
    /// Tells the time, for operations that set times themselves.
    pub clock: Clock,
}

impl OpenOptions {
    /// Opening for reading.
    pub fn new(clock: Clock) -> Self {
        Self {
            writable: false,
            cache_bytes: DEFAULT_CACHE,
            clock,
        }
    }

    /// Opens for writing.
    #[must_use]
    pub fn writable(mut self, writable: bool) -> Self {
        self.writable = writable;
        self
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("writable", &self.writable)
            .field("cache_bytes", &self.cache_bytes)
            .finish_non_exhaustive()
    }
}

/// An open ext2, ext3 or ext4 filesystem.
///
/// Reading calls run in parallel; changing calls run one at a time, each whole or not at all. Changes are in memory and in
/// the storage until [`FileSystem::sync`] has written all of them; only then is the storage a clean filesystem.
#[derive(Debug)]
pub struct Ext4 {
    core: RwLock<Core>,
    gate: OperationGate,
    read_only: Option<String>,
    kind: &'static str,
    label: Vec<u8>,
    uuid: [u8; 16],
}

impl Ext4 {
    /// Opens a filesystem. A journal that holds something is recovered: into the storage when opened for writing, else in
    /// memory only. When opened for writing, files that were deleted but not yet freed are freed.
    ///
    /// # Errors
    /// [`Error::NotExt`], [`Error::UnsupportedFeatures`], [`Error::Corrupt`], [`Error::InUse`].
    pub fn open(storage: StorageRef, options: OpenOptions) -> Result<Self> {
        let (mut core, read_only) = crate::open::open(storage, &options)?;
        if read_only.is_none() {
            core.begin();
            match core
                .process_orphans()
                .and_then(|n| core.settle_quotas().map(|()| n))
            {
                Ok(count) => {
                    core.keep();
                    if count > 0 {
                        log::info!("freed or cut {count} orphans");
                    }
                }
                Err(error) => {
                    core.give_up();
                    return Err(error);
                }
            }
        }
        let features = core.geometry.features;
        let kind = if features.incompat.intersects(
            Incompat::EXTENTS
                | Incompat::BIT64
                | Incompat::FLEX_BG
                | Incompat::INLINE_DATA
                | Incompat::EA_INODE,
        ) || features.ro_compat.bits() & !7 != 0
        {
            "ext4"
        } else if features.compat.contains(Compat::HAS_JOURNAL) {
            "ext3"
        } else {
            "ext2"
        };
        Ok(Self {
            label: core.superblock.label().to_vec(),
            uuid: core.superblock.uuid,
            core: RwLock::new(core),
            gate: OperationGate::default(),
            read_only,
            kind,
        })
    }

    /// Why the filesystem cannot be written, where it cannot.
    pub fn read_only_reason(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// The gate that every changing call enters; whoever commits closes it before [`FileSystem::sync`].
    pub fn gate(&self) -> &OperationGate {
        &self.gate
    }

    /// The project of an inode (`project` feature), and whether what is made in it (a directory) inherits it.
    ///
    /// # Errors
    /// As for [`FileSystem::metadata`].
    pub fn project(&self, inode: InodeNo) -> vfs::Result<(u32, bool)> {
        self.read_with(|core| Ok(core.project(&core.load(number(inode)?)?)))
    }

    /// Changes the project of an inode, and whether what is made in it inherits that.
    ///
    /// # Errors
    /// [`vfs::Error::Unsupported`] without the `project` feature or room for it in the inode.
    pub fn set_project(&self, inode: InodeNo, project: u32, inherit: bool) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = core.load(number(inode)?)?;
            core.set_project(&mut node, project, inherit)
        })
    }

    fn shared(&self) -> RwLockReadGuard<'_, Core> {
        self.core.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Core> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> String {
        if self.label.is_empty() {
            return self.kind.to_owned();
        }
        format!("{} \"{}\"", self.kind, String::from_utf8_lossy(&self.label))
    }

    fn say<T>(&self, result: Result<T>) -> vfs::Result<T> {
        result.map_err(|e| e.into_vfs(&self.name()))
    }

    fn read_with<T>(&self, read: impl FnOnce(&Core) -> Result<T>) -> vfs::Result<T> {
        self.say(read(&self.shared()))
    }

    /// Runs an operation that is whole or not at all.
    fn change<T>(&self, operation: impl FnOnce(&mut Core) -> Result<T>) -> vfs::Result<T> {
        if let Some(reason) = &self.read_only {
            return Err(vfs::Error::ReadOnly {
                filesystem: self.name(),
                reason: reason.clone(),
            });
        }
        let _entered = self.gate.enter();
        let mut core = self.exclusive();
        self.say(core.relieve())?;
        core.begin();
        let result = operation(&mut core).and_then(|value| core.settle_quotas().map(|()| value));
        match &result {
            Ok(_) => core.keep(),
            Err(_) => core.give_up(),
        }
        self.say(result)
    }
}

fn number(inode: InodeNo) -> Result<u32> {
    u32::try_from(inode.0).map_err(|_| {
        Error::File(vfs::Error::NotFound {
            path: format!("inode {inode}"),
        })
    })
}

/// Loads an inode and refuses what is not a regular file.
fn regular(core: &Core, inode: InodeNo) -> Result<Node> {
    let node = core.load(number(inode)?)?;
    match node.rec.file_type() {
        Some(vfs::FileType::Regular) => Ok(node),
        Some(vfs::FileType::Directory) => Err(Error::File(vfs::Error::IsADirectory { path: node.name() })),
        Some(found) => Err(Error::File(vfs::Error::WrongType {
            path: node.name(),
            found,
        })),
        None => Err(node.corrupt("i_mode", node.rec.mode, "no kind of file")),
    }
}

impl FileSystem for Ext4 {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn label(&self) -> Option<Vec<u8>> {
        (!self.label.is_empty()).then(|| self.label.clone())
    }

    fn uuid(&self) -> Option<String> {
        (self.uuid != [0; 16]).then(|| uuid::Uuid::from_bytes(self.uuid).hyphenated().to_string())
    }

    fn is_writable(&self) -> bool {
        self.read_only.is_none()
    }

    fn why_read_only(&self) -> Option<String> {
        self.read_only.clone()
    }

    fn root(&self) -> InodeNo {
        InodeNo(u64::from(ROOT_INODE))
    }

    fn stat_fs(&self) -> vfs::Result<StatFs> {
        self.read_with(Core::stat_fs)
    }

    fn lookup(&self, dir: InodeNo, name: &[u8]) -> vfs::Result<InodeNo> {
        self.read_with(|core| {
            let node = core.load_directory(number(dir)?)?;
            match core.find_entry(&node, name)? {
                Some(found) => Ok(InodeNo(u64::from(found.inode))),
                None => Err(Error::File(vfs::Error::NotFound {
                    path: String::from_utf8_lossy(name).into_owned(),
                })),
            }
        })
    }

    fn metadata(&self, inode: InodeNo) -> vfs::Result<Metadata> {
        self.read_with(|core| core.metadata(&core.load(number(inode)?)?))
    }

    fn read_dir(&self, dir: InodeNo, cookie: u64, sink: DirSink<'_>) -> vfs::Result<()> {
        // The sink may call back into the filesystem, so it runs without the lock.
        let mut at = cookie;
        loop {
            let mut batch = Vec::new();
            self.read_with(|core| {
                let node = core.load_directory(number(dir)?)?;
                let typed = core.has_file_type();
                let mut failed = None;
                core.list_entries(&node, at, &mut |entry| {
                    let kind = match file_type_of(entry.kind).filter(|_| typed) {
                        Some(kind) => Ok(kind),
                        None => core
                            .load(entry.inode)
                            .and_then(|n| core.metadata(&n))
                            .map(|m| m.file_type),
                    };
                    match kind {
                        Ok(file_type) => batch.push(DirEntry {
                            name: entry.name.to_vec(),
                            inode: InodeNo(u64::from(entry.inode)),
                            file_type,
                            cookie: entry.cookie,
                        }),
                        Err(error) => failed = Some(error),
                    }
                    failed.is_none() && batch.len() < 512
                })?;
                failed.map_or(Ok(()), Err)
            })?;
            let Some(last) = batch.last() else { return Ok(()) };
            at = last.cookie;
            let full = batch.len() >= 512;
            for entry in batch {
                if !sink(entry) {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn parent(&self, dir: InodeNo) -> vfs::Result<InodeNo> {
        self.read_with(|core| {
            let node = core.load_directory(number(dir)?)?;
            Ok(InodeNo(u64::from(core.parent_of(&node)?)))
        })
    }

    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> vfs::Result<usize> {
        self.read_with(|core| core.read_file(&regular(core, inode)?, offset, buf))
    }

    fn read_link(&self, inode: InodeNo) -> vfs::Result<Vec<u8>> {
        self.read_with(|core| {
            let node = core.load(number(inode)?)?;
            if !node.rec.is_symlink() {
                return Err(Error::File(vfs::Error::InvalidArgument {
                    path: node.name(),
                    reason: "not a symbolic link",
                }));
            }
            core.link_target(&node)
        })
    }

    fn next_data(&self, inode: InodeNo, offset: u64) -> vfs::Result<Option<(u64, u64)>> {
        self.read_with(|core| core.next_data_of(&regular(core, inode)?, offset))
    }

    fn list_xattrs(&self, inode: InodeNo) -> vfs::Result<Vec<Vec<u8>>> {
        self.read_with(|core| core.attribute_names(&core.load(number(inode)?)?))
    }

    fn xattr(&self, inode: InodeNo, name: &[u8]) -> vfs::Result<Option<Vec<u8>>> {
        self.read_with(|core| core.attribute(&core.load(number(inode)?)?, name))
    }

    fn free_ranges(&self, sink: FreeSink<'_>) -> vfs::Result<()> {
        let core = self.shared();
        let shift = core.geometry.block_shift;
        self.say(core.each_free_run(|start, len| sink(start << shift, len << shift).map_err(Error::File)))
    }

    fn create(&self, dir: InodeNo, name: &[u8], node: &NewNode<'_>) -> vfs::Result<InodeNo> {
        self.change(|core| Ok(InodeNo(u64::from(core.create(number(dir)?, name, node)?))))
    }

    fn link(&self, inode: InodeNo, dir: InodeNo, name: &[u8]) -> vfs::Result<()> {
        self.change(|core| core.link(number(inode)?, number(dir)?, name))
    }

    fn unlink(&self, dir: InodeNo, name: &[u8]) -> vfs::Result<()> {
        self.change(|core| core.unlink(number(dir)?, name))
    }

    fn remove_dir(&self, dir: InodeNo, name: &[u8]) -> vfs::Result<()> {
        self.change(|core| core.remove_directory(number(dir)?, name))
    }

    fn rename(
        &self,
        dir: InodeNo,
        name: &[u8],
        new_dir: InodeNo,
        new_name: &[u8],
        mode: RenameMode,
    ) -> vfs::Result<()> {
        self.change(|core| core.rename(number(dir)?, name, number(new_dir)?, new_name, mode))
    }

    fn write(&self, inode: InodeNo, offset: u64, data: &[u8]) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = regular(core, inode)?;
            core.write_file(&mut node, offset, data)
        })
    }

    fn set_size(&self, inode: InodeNo, size: u64) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = regular(core, inode)?;
            core.resize_file(&mut node, size)
        })
    }

    fn punch_hole(&self, inode: InodeNo, offset: u64, len: u64) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = regular(core, inode)?;
            core.punch_file(&mut node, offset, len)
        })
    }

    fn allocate(&self, inode: InodeNo, offset: u64, len: u64, keep_size: bool) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = regular(core, inode)?;
            core.allocate_file(&mut node, offset, len, keep_size)
        })
    }

    fn set_metadata(&self, inode: InodeNo, change: &MetadataChange) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = core.load(number(inode)?)?;
            core.set_metadata(&mut node, change)
        })
    }

    fn set_xattr(&self, inode: InodeNo, name: &[u8], value: &[u8], mode: XattrMode) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = core.load(number(inode)?)?;
            core.set_attribute(&mut node, name, value, mode)
        })
    }

    fn remove_xattr(&self, inode: InodeNo, name: &[u8]) -> vfs::Result<()> {
        self.change(|core| {
            let mut node = core.load(number(inode)?)?;
            core.remove_attribute(&mut node, name)
        })
    }

    fn hold(&self, inode: InodeNo) -> vfs::Result<bool> {
        if self.read_only.is_none() {
            let mut core = self.exclusive();
            let held = number(inode).and_then(|ino| core.hold(ino));
            self.say(held)?;
        }
        Ok(true)
    }

    fn release(&self, inode: InodeNo) -> vfs::Result<()> {
        if self.read_only.is_some() {
            return Ok(());
        }
        self.change(|core| core.release(number(inode)?))
    }

    fn sync(&self) -> vfs::Result<()> {
        if self.read_only.is_some() {
            return Ok(());
        }
        let mut core = self.exclusive();
        self.say(core.sync())
    }
}
