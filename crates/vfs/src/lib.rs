//! What a filesystem is.
//!
//! [`FileSystem`] is the only way by which disksmith reaches files: inode based, bytes for names. Every filesystem
//! crate implements it; [`Tree`] joins mounted filesystems to one tree and walks paths that cannot leave its root.

mod error;
mod filesystem;
mod gate;
mod glob_pattern;
mod host_copy;
mod made_file;
mod memory_fs;
mod metadata;
mod name;
mod source_tree;
mod tar;
mod tree;

pub use error::{Error, Result};
pub use filesystem::{
    DirEntry, DirSink, FileSystem, FileSystemRef, FreeSink, NewNode, RenameMode, XattrMode,
};
pub use gate::OperationGate;
pub use host_copy::{CopyInOptions, CopyOutOptions, CopyReport, OwnerPolicy, Skipped};
pub use made_file::MadeFile;
pub use memory_fs::MemoryFs;
pub use metadata::{FileType, InodeNo, Metadata, MetadataChange, StatFs, Timestamp};
pub use name::check_name;
pub use source_tree::{
    DataRanges, HostSource, SourceBody, SourceContents, SourceInode, SourceTree, SourceXattr,
};
pub use tar::{AclNames, TarEntry, TarError, TarInOptions, TarKind, TarOutOptions, TarReader};
pub use tree::{MountId, Node, Owner, Tree, WalkEntry, WalkStep};
