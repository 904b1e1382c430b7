//! Reading the journal files of systemd ("Journal File Format", systemd.io/JOURNAL_FILE_FORMAT).
//!
//! A [`JournalFile`] is one file; [`Journal`] joins several to one sequence of entries, as `journalctl --merge` shows them.
//! What is damaged is left out, and counted; nothing in a file can make reading endless or take much memory.

mod blocks;
mod compression;
mod entry;
mod error;
mod file;
mod header;
mod merged;
mod object;

pub use blocks::JournalSource;
pub use entry::Entry;
pub use error::{Error, Result};
pub use file::{JournalFile, Values};
pub use merged::Journal;
