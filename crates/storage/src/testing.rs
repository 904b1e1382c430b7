//! Tools for tests of this crate and those above it: power cuts and failing devices.
//!
//! [`Recorder`] wraps a storage and notes every write, zeroing, change of size and flush in a [`Journal`], which
//! several recorders can share. The journal then gives the states in which a power cut could have left the
//! storages, as memories that a test opens, recovers and judges:
//!
//! ```
//! use disksmith_storage::testing::{Journal, Recorder};
//! use disksmith_storage::{Memory, Storage};
//! use std::sync::Arc;
//!
//! let journal = Journal::new();
//! let disk = Recorder::new(Arc::new(Memory::new(4096)), &journal);
//! disk.write_at(0, b"new data")?;
//! disk.flush()?;
//! disk.write_at(4000, b"pointer")?;
//! disk.flush()?;
//! journal.mark("committed");
//! for state in journal.crash_states(1000, 42) {
//!     let disk = state.storage(0);
//!     let mut pointer = [0; 7];
//!     disk.read_at(4000, &mut pointer)?;
//!     if state.passed("committed") {
//!         assert_eq!(&pointer, b"pointer");
//!     }
//!     if &pointer == b"pointer" {
//!         let mut data = [0; 8];
//!         disk.read_at(0, &mut data)?;
//!         assert_eq!(&data, b"new data", "{state}");
//!     }
//! }
//! # Ok::<(), disksmith_storage::Error>(())
//! ```
//!
//! [`Faulty`] wraps a storage and lets one of its operations fail.

mod crash;
mod faulty;
mod journal;
mod random;
mod recorder;

pub use crash::CrashState;
pub use faulty::{Failure, Faulty, Operation, Plan};
pub use journal::Journal;
pub use random::Random;
pub use recorder::Recorder;
