//! Bytes at an offset.
//!
//! [`Storage`] is the only way by which disksmith reaches bytes: a host file, a window into another
//! storage, memory, a qcow2 image, a partition are all a `Storage`, and nest in any order. Access is
//! synchronous, positional and exact, through `&self`, so that any layer can be driven from several
//! threads.
//!
//! [`Shadow`] is a storage whose writes nobody else sees until they are switched in as a whole; every
//! change to an existing image goes through one. See `docs/architecture.md`, "Editing is a transaction".

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
pub use scratch::Scratch;
pub use shadow::{Prepared, Shadow};
pub use staging::Staging;
pub use storage::{Alignment, HostSpan, Storage, StorageRef, ZeroMode, copy, is_zero, read_vec};
pub use window::Window;
