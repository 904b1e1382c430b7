//! Bytes at an offset.
//!
//! [`Storage`] is the only way by which disksmith reaches bytes: a host file, a window into another
//! storage, memory, a qcow2 image, a partition are all a `Storage`, and nest in any order. Access is
//! synchronous, positional and exact, through `&self`, so that any layer can be driven from several
//! threads.
//!
//! [`Shadow`] is a storage whose writes nobody else sees until they are switched in as a whole; every
//! change to an existing image goes through one. See `docs/architecture.md`, "Editing is a transaction".
//!
//! # What is here
//!
//! | | |
//! |---|---|
//! | [`HostFile`] | a file or block device: holes, space, reflink; [`LockMode`]: QEMU's locks on it |
//! | [`NewFile`] | a file that appears under its name only when it is complete |
//! | [`Window`], [`Memory`] | a part of a storage; a sparse storage in memory |
//! | [`Staging`] | gathers small writes for a [`Shadow`] in bounded memory |
//! | [`RawShadow`] | the shadow of a raw image: a redo log; [`open_for_change`], [`recover`], [`pending_log`] |
//! | [`Scratch`] | the shadow for a dry run |
//! | [`Intent`] | makes prepared changes of several images switch together |
//! | [`testing`] | power cuts and failing devices for tests |
//!
//! # Changing a raw image
//!
//! ```
//! use disksmith_storage::{RawShadow, Staging, Storage, open_for_change};
//! use std::sync::Arc;
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("disk.raw");
//! # std::fs::write(&path, vec![0; 1 << 20]).unwrap();
//! let file = Arc::new(open_for_change(&path, None)?); // locked; completes what was interrupted
//! let staging = Staging::new(Box::new(RawShadow::new(file, None)?), Staging::DEFAULT_BUDGET);
//! staging.write_at(1000, b"new")?;
//! assert_eq!(std::fs::read(&path).unwrap()[1000], 0); // nobody sees it yet
//! let prepared = staging.into_shadow()?.prepare()?; // durable, in the log
//! prepared.switch()?; // from here on it is the image's state, whatever happens
//! assert_eq!(&std::fs::read(&path).unwrap()[1000..1003], b"new");
//! # Ok::<(), disksmith_storage::Error>(())
//! ```

mod diagnose;
mod error;
mod extent;
mod host_file;
mod intent;
mod lock;
mod memory;
mod new_file;
mod record;
mod redo_log;
mod replaceable;
mod run_map;
mod scratch;
mod shadow;
mod staging;
mod storage;
pub mod testing;
mod window;

pub use diagnose::{Diagnose, ErrorKind};
pub use error::{Error, LockHolder, Result};
pub use extent::{Extent, ExtentState, HostLocation};
pub use host_file::{FileId, HostFile, OpenMode};
pub use intent::{Decided, Intent, Member};
pub use lock::LockMode;
pub use memory::Memory;
pub use new_file::{Durability, Existing, NewFile, sync_directory};
pub use redo_log::{
    LogView, PendingLog, RawShadow, Recovery, finish_prepared, open_for_change, pending_log, recover,
};
pub use replaceable::check_replaceable;
pub use scratch::Scratch;
pub use shadow::{Prepared, Shadow, Unprepared};
pub use staging::Staging;
pub use storage::{
    Alignment, HostSpan, Storage, StorageRef, ZeroMode, copy, fill_first_block, is_zero, read_vec,
};
pub use window::Window;
