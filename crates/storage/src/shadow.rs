//! Storages whose writes nobody sees until they are switched in as a whole.

use crate::error::{Error, Result};
use crate::storage::Storage;
use std::fmt::Debug;

/// A change set that is complete and durable beside the old state, and not yet visible.
///
/// What it holds is the format's own business: for qcow2 the new first 512 bytes of the header, for raw a sealed
/// redo log. Switches of several images are tied together by an intent file that holds each one's
/// [`record`](Self::record).
#[must_use = "a prepared change set that is dropped is lost"]
pub trait Prepared: Send + Debug {
    /// All that recovery needs to switch this change set in after a crash, or to see that it cannot be.
    /// Opaque to everybody but the format whose name is [`format`](Self::format).
    fn record(&self) -> Vec<u8>;

    /// The format that understands the record: `qcow2`, `raw`.
    fn format(&self) -> &'static str;

    /// Makes the new state the image's state, durably. On return the old state's space may be reused and is given back.
    ///
    /// # Errors
    /// When it fails before the point of no return the image is as it was; after it, the change set stays recoverable
    /// and the error says so.
    fn switch(self: Box<Self>) -> Result<()>;

    /// As [`switch`](Self::switch), where another change set follows at once: the old state's space is not given back to the
    /// host, because the next one will use it.
    fn switch_for_now(self: Box<Self>) -> Result<()> {
        self.switch()
    }

    /// Gives the change set up and frees what it took.
    fn abandon(self: Box<Self>) -> Result<()>;
}

/// A change set that could not be prepared.
#[derive(Debug)]
pub struct Unprepared {
    /// Why.
    pub error: Error,
    /// The change set, where it still holds all changes and can be prepared again once the reason is gone.
    pub shadow: Option<Box<dyn Shadow>>,
}

/// A writable view of an image: reads see the writes made through it, the image itself stays as it is.
///
/// Each write should be of whole [`allocation`](crate::Alignment::allocation) units, each written once: what is
/// smaller is gathered by the staging above. Memory use is bounded whatever is written.
pub trait Shadow: Storage {
    /// Whether anything was changed.
    fn is_dirty(&self) -> bool;

    /// Makes all that was written durable beside the old state. The image is not changed as a guest reads it.
    fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>>;

    /// As [`prepare`](Self::prepare); where only space is missing the change set comes back, whole.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare). After a flush that failed nothing comes back: what the system had not written by
    /// then may be gone, and a second flush would not say so.
    fn try_prepare(self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Unprepared> {
        self.prepare().map_err(|error| Unprepared { error, shadow: None })
    }

    /// Throws the changes away and frees what they took.
    fn abandon(self: Box<Self>) -> Result<()>;
}
