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
mod shadow;
mod storage;

pub use diagnose::{Diagnose, ErrorKind};
pub use error::{Error, LockHolder, Result};
pub use extent::{Extent, ExtentState, HostLocation};
pub use shadow::{Prepared, Shadow};
pub use storage::{Alignment, Storage, StorageRef, ZeroMode, copy, is_zero, read_vec};
