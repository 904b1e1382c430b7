//! An open image: its layers, from the top of the backing chain to its bottom.

use crate::format::Format;
use disksmith_luks::SectorCipher;
use disksmith_qcow2::Qcow2;
use disksmith_storage::{HostFile, Storage, StorageRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A disk image with its backing chain. Its files stay locked until it, and every storage got from it, are dropped.
#[derive(Debug)]
pub struct Image {
    layers: Vec<Layer>,
    storage: StorageRef,
}

/// One image of a chain.
#[derive(Debug)]
pub struct Layer {
    path: PathBuf,
    format: Format,
    probed: bool,
    file: Arc<HostFile>,
    content: Content,
    has_backing: bool,
    data_file: Option<Arc<HostFile>>,
}

#[derive(Debug)]
enum Content {
    Raw(StorageRef),
    Qcow2(Arc<Qcow2>),
    Luks(LuksDisk),
}

/// The encrypted sectors of a file, and their plain bytes.
#[derive(Debug)]
pub(crate) struct LuksDisk {
    /// The plain bytes.
    pub(crate) storage: StorageRef,
    /// Where the encrypted sectors start in the file, in bytes.
    pub(crate) offset: u64,
    /// What they are encrypted with.
    pub(crate) cipher: Arc<SectorCipher>,
}

impl Image {
    /// There is at least one layer, which the only caller has seen to.
    pub(crate) fn from_layers(layers: Vec<Layer>) -> Self {
        let storage: StorageRef = match layers.first() {
            Some(top) => top.storage(),
            None => Arc::new(disksmith_storage::Memory::new(0)),
        };
        Self { layers, storage }
    }

    /// The guest's disk, as the whole chain gives it. Direct, not transactional, where the image was opened for writing.
    #[must_use]
    pub fn storage(&self) -> &StorageRef {
        &self.storage
    }

    /// The layers; the first is the image that was opened, each next one is the backing file of the one before.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The image that was opened.
    #[must_use]
    pub fn top(&self) -> Option<&Layer> {
        self.layers.first()
    }

    /// The guest-visible size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.storage.size()
    }
}

impl Layer {
    pub(crate) fn raw(path: PathBuf, file: Arc<HostFile>, probed: bool, storage: StorageRef) -> Self {
        Self {
            path,
            format: Format::Raw,
            probed,
            file,
            content: Content::Raw(storage),
            has_backing: false,
            data_file: None,
        }
    }

    pub(crate) fn luks(path: PathBuf, file: Arc<HostFile>, probed: bool, disk: LuksDisk) -> Self {
        Self {
            path,
            format: Format::Luks,
            probed,
            file,
            content: Content::Luks(disk),
            has_backing: false,
            data_file: None,
        }
    }

    pub(crate) fn qcow2(
        path: PathBuf,
        file: Arc<HostFile>,
        probed: bool,
        image: Arc<Qcow2>,
        has_backing: bool,
    ) -> Self {
        Self {
            path,
            format: Format::Qcow2,
            probed,
            file,
            content: Content::Qcow2(image),
            has_backing,
            data_file: None,
        }
    }

    /// The guest's disk as this layer and those below it give it.
    #[must_use]
    pub fn storage(&self) -> StorageRef {
        match &self.content {
            Content::Raw(storage) => storage.clone(),
            Content::Qcow2(image) => image.clone(),
            Content::Luks(disk) => disk.storage.clone(),
        }
    }

    /// Where its file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the format was detected, not named.
    #[must_use]
    pub fn was_probed(&self) -> bool {
        self.probed
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &Arc<HostFile> {
        &self.file
    }

    /// The qcow2 image, where it is one.
    #[must_use]
    pub fn as_qcow2(&self) -> Option<&Arc<Qcow2>> {
        match &self.content {
            Content::Raw(_) | Content::Luks(_) => None,
            Content::Qcow2(image) => Some(image),
        }
    }

    /// The encrypted disk, where it is one.
    pub(crate) fn as_luks(&self) -> Option<&LuksDisk> {
        match &self.content {
            Content::Luks(disk) => Some(disk),
            _ => None,
        }
    }

    /// Whether the disk is the file, byte for byte.
    #[must_use]
    pub(crate) fn is_whole_file(&self) -> bool {
        match &self.content {
            Content::Raw(storage) => {
                let size = self.file.size();
                size == 0
                    || storage.host_span(0, size).is_some_and(|span| {
                        span.offset == 0 && span.len == size && std::ptr::eq(span.file, &*self.file)
                    })
            }
            Content::Qcow2(_) | Content::Luks(_) => false,
        }
    }

    /// Notes the file that holds its data.
    pub(crate) fn with_data_file(mut self, file: Option<Arc<HostFile>>) -> Self {
        self.data_file = file;
        self
    }

    /// The external data file, where it has one that is a plain file.
    pub(crate) fn data_file(&self) -> Option<&Arc<HostFile>> {
        self.data_file.as_ref()
    }

    /// Whether there is a layer below it.
    #[must_use]
    pub fn has_backing(&self) -> bool {
        self.has_backing
    }
}
