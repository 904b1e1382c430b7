//! Whichever filesystem a slice of storage holds.
//!
//! [`probe`] tells what is there, also of kinds that disksmith cannot open; [`open`] opens it.

mod capacity;
mod error;
mod format;
mod identifier;
mod kind;
mod new_filesystem;
mod open;
mod populate;
mod probe;
mod resize;
mod signature;

pub use capacity::capacity;
pub use error::{Error, Result};
pub use format::{FormatOptions, format};
pub use identifier::set_identifier;
pub use kind::Kind;
pub use new_filesystem::NewFileSystem;
pub use open::{Clock, OpenOptions, open, open_with_clock};
pub use probe::{Probed, probe};
pub use resize::{Extent, extent, resize};
