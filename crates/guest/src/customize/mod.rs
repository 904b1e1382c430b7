//! Edits a guest as the operations say.

mod file_operations;
mod firstboot;
mod guest_program;
mod hostname;
mod key_place;
mod package_manager;
mod password;
mod session;
mod ssh_key;
mod timezone;
mod tool_habits;

pub(crate) use firstboot::add_firstboot_command;
pub(crate) use session::{Session, check};
pub(crate) use tool_habits::{fill_machine_id, new_random_seed};

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
    check(operations, context)?;
    let mut session = Session::new(guest, context);
    session.customize(operations.iter())?;
    session.finish()
}

/// The same as virt-customize does it: before the operations a new random seed is put where the guest keeps one, and an empty
/// `/etc/machine-id` is filled.
///
/// # Errors
/// Those of [`customize`].
pub fn customize_as_tool(
    guest: &Guest,
    operations: &[Operation],
    context: &mut Context<'_>,
) -> Result<Report> {
    check(operations, context)?;
    let mut session = Session::new(guest, context);
    new_random_seed(&mut session)?;
    fill_machine_id(&mut session)?;
    session.customize(operations.iter())?;
    session.finish()
}
