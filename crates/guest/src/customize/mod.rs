//! Edits a guest as the operations say.

mod file_operations;
mod firstboot;
mod hostname;
mod key_place;
mod password;
mod session;
mod ssh_key;
mod timezone;

pub(crate) use firstboot::add_firstboot_command;
pub(crate) use session::Session;

use crate::context::Context;
use crate::error::Result;
use crate::inspect::Guest;
use crate::operation::Operation;
use crate::report::Report;

/// Does the operations in the order given; passwords come after all others, as virt-customize sets them.
///
/// Nothing is committed here: the guest's filesystems lie on a staged view of the images, and whoever made it commits or
/// abandons it. After an error the staged view holds a part of the changes and must be abandoned.
///
/// # Errors
/// What can be checked without the guest (files of the host, users named twice) is checked before the first change.
pub fn customize(guest: &Guest, operations: &[Operation], context: &mut Context<'_>) -> Result<Report> {
    let mut session = Session::new(guest, context);
    session.customize(operations)?;
    session.finish()
}
