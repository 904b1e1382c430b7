//! Numbers, paths and bytes in a row, as small files and records of ours hold them. Little-endian.

use byteorder::{ByteOrder, LittleEndian};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Puts fields in a row.
#[derive(Debug, Default)]
pub(crate) struct RecordWriter {
    bytes: Vec<u8>,
}

impl RecordWriter {
    pub(crate) fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Bytes, after their count.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes fields from a row; `None` where it ends too early.
#[derive(Debug)]
pub(crate) struct RecordReader<'a> {
    rest: &'a [u8],
}

impl<'a> RecordReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let (head, rest) = self.rest.split_at_checked(8)?;
        self.rest = rest;
        Some(LittleEndian::read_u64(head))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    pub(crate) fn path(&mut self) -> Option<PathBuf> {
        self.bytes().map(|bytes| PathBuf::from(OsStr::from_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let mut writer = RecordWriter::default();
        writer.number(7);
        writer.path(Path::new("/a/b"));
        writer.bytes(b"");
        let bytes = writer.finish();
        let mut reader = RecordReader::new(&bytes);
        assert_eq!(reader.number(), Some(7));
        assert_eq!(reader.path(), Some(PathBuf::from("/a/b")));
        assert_eq!(reader.bytes(), Some(&[][..]));
        assert_eq!(reader.number(), None);
        for end in 0..bytes.len() {
            let mut reader = RecordReader::new(&bytes[..end]);
            let all = reader
                .number()
                .and_then(|_| reader.path())
                .and_then(|_| reader.bytes());
            assert!(all.is_none());
        }
        let mut huge = RecordReader::new(&[255; 20]);
        assert_eq!(huge.bytes(), None);
    }
}
