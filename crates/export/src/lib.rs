//! A guest's files as a directory of the host: a FUSE mount that needs neither root nor libfuse.
//!
//! [`mount`] opens a guest (or single filesystems of it) and shows it at a directory. Changes are staged in one
//! transaction over all its images, which is committed whenever somebody asks for durability (`fsync`), now and then, and at the
//! end; a commit never holds half of an operation. Whatever ends the mount, the images hold the last commit.

mod attributes;
mod caller;
mod committer;
mod contents;
mod error;
mod guest_tree;
mod joined;
mod listings;
mod lookups;
mod metadata;
mod mount;
mod mounted;
mod names;
mod owners;
mod requests;

pub use committer::CommitPolicy;
pub use error::{Error, Result};
pub use guest_tree::{Changes, Source};
pub use mount::{MountOptions, Running, SOURCE, Stopper, mount, mount_tree, unmount};
pub use owners::Owners;
