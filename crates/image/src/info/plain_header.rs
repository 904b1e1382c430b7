//! The header of an encrypted image, as if it were not encrypted.

use disksmith_storage::{Error, Result, Storage, StorageRef};

/// Shows a qcow2 file with the encryption method in its header set to none, so that its tables can be read. Read-only.
#[derive(Debug)]
pub(super) struct PlainHeader {
    file: StorageRef,
}

impl PlainHeader {
    /// Byte offset of `crypt_method` in the header; it has 4 bytes (specification: "Header").
    pub(super) const CRYPT_METHOD: u64 = 32;

    pub(super) fn new(file: StorageRef) -> Self {
        Self { file }
    }
}

impl Storage for PlainHeader {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn name(&self) -> String {
        self.file.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, buf)?;
        for at in Self::CRYPT_METHOD..Self::CRYPT_METHOD + 4 {
            let index = at.checked_sub(offset).and_then(|i| usize::try_from(i).ok());
            if let Some(byte) = index.and_then(|i| buf.get_mut(i)) {
                *byte = 0;
            }
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
