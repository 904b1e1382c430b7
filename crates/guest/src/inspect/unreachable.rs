//! Stands in the tree for a filesystem that could not be opened.

use disksmith_vfs::{DirSink, Error, FileSystem, FileType, InodeNo, Metadata, Result, StatFs, Timestamp};

/// The kind that it says it is.
pub(crate) const UNREACHABLE: &str = "unreachable";

const ROOT: InodeNo = InodeNo(1);

/// A directory into which nobody gets: so that nothing is written below a mountpoint whose filesystem is elsewhere.
#[derive(Debug)]
pub(crate) struct Unreachable {
    /// What is missing: `xfs on /dev/sda3`.
    what: String,
    reason: String,
}

impl Unreachable {
    pub(crate) fn new(what: String, reason: String) -> Self {
        Self { what, reason }
    }

    fn refuse<T>(&self) -> Result<T> {
        Err(self.unsupported(""))
    }
}

impl FileSystem for Unreachable {
    fn kind(&self) -> &'static str {
        UNREACHABLE
    }

    fn label(&self) -> Option<Vec<u8>> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn root(&self) -> InodeNo {
        ROOT
    }

    fn stat_fs(&self) -> Result<StatFs> {
        self.refuse()
    }

    fn lookup(&self, _dir: InodeNo, _name: &[u8]) -> Result<InodeNo> {
        self.refuse()
    }

    fn metadata(&self, inode: InodeNo) -> Result<Metadata> {
        if inode != ROOT {
            return self.refuse();
        }
        Ok(Metadata {
            inode: ROOT,
            file_type: FileType::Directory,
            permissions: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            blocks: 0,
            links: 2,
            device: (0, 0),
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
        })
    }

    fn read_dir(&self, _dir: InodeNo, _cookie: u64, _sink: DirSink<'_>) -> Result<()> {
        self.refuse()
    }

    fn parent(&self, dir: InodeNo) -> Result<InodeNo> {
        Ok(dir)
    }

    fn read(&self, _inode: InodeNo, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        self.refuse()
    }

    fn read_link(&self, _inode: InodeNo) -> Result<Vec<u8>> {
        self.refuse()
    }

    /// Whatever is asked, the answer is that the filesystem is not open.
    fn unsupported(&self, _operation: &str) -> Error {
        Error::Unsupported {
            filesystem: self.what.clone(),
            operation: format!("opening it ({}), which this path leads into,", self.reason),
        }
    }
}
