//! Whichever filesystem a slice of storage holds.
//!
//! [`probe`] tells what is there, also of kinds that disksmith cannot open; [`open`] opens it.

mod error;
mod format;
mod kind;
mod open;
mod probe;
mod signature;

pub use error::{Error, Result};
pub use format::{FormatOptions, format};
pub use kind::Kind;
pub use open::{Clock, OpenOptions, open, open_with_clock};
pub use probe::{Probed, probe};
