//! What stays the same while an image is open.

use crate::encryption::Encryption;
use crate::error::{Error, Result};
use crate::header::CompressionType;
use crate::types::Geometry;
use disksmith_storage::StorageRef;
use std::path::Path;
use std::sync::Arc;

/// The storages of an open image, and the constants of its format.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    pub(crate) name: String,
    pub(crate) file: StorageRef,
    pub(crate) data_file: Option<StorageRef>,
    pub(crate) backing: Option<StorageRef>,
    pub(crate) geometry: Geometry,
    pub(crate) version: u32,
    pub(crate) compression: CompressionType,
    pub(crate) encryption: Encryption,
    /// Whether writes are ordered by flushes (not needed while nobody else can have seen the image).
    pub(crate) ordered: bool,
    /// The host file that holds guest data, where it is one file, and the offset of its first byte there.
    pub(crate) host: Option<(Arc<Path>, u64)>,
}

impl Core {
    /// The storage that holds uncompressed guest data.
    pub(crate) fn data(&self) -> &StorageRef {
        self.data_file.as_ref().unwrap_or(&self.file)
    }

    pub(crate) fn has_data_file(&self) -> bool {
        self.data_file.is_some()
    }

    /// Bytes of the backing file that lie at or behind `pos`.
    pub(crate) fn backed(&self, pos: u64) -> u64 {
        self.backing.as_ref().map_or(0, |b| b.size().saturating_sub(pos))
    }

    pub(crate) fn corrupt(
        &self,
        structure: &'static str,
        offset: u64,
        value: u64,
        problem: &'static str,
    ) -> Error {
        Error::corrupt(&self.name, structure, offset, value, problem)
    }

    pub(crate) fn barrier(&self) -> Result<()> {
        if self.ordered {
            self.file.flush()?;
        }
        Ok(())
    }
}
