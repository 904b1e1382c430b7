//! Makes a guest into a template: takes away what must not be the same on every copy.

mod actions;
mod host_keys;
mod selection;
mod table;

pub use selection::{default_operations, select_operations};
pub use table::{OPERATIONS, SysprepOperation};

use crate::context::Context;
use crate::customize::Session;
use crate::error::Result;
use crate::inspect::Guest;
use crate::operation::Operation;
use crate::report::Report;

/// Does the customize operations first, then cleans: so that nothing that was cleaned comes back. The sysprep operations are done in the
/// order of [`OPERATIONS`].
///
/// Unlike virt-sysprep it leaves `/etc/machine-id` empty; see [`crate::customize`] on committing and on errors.
pub fn sysprep(
    guest: &Guest,
    cleaning: &[&'static SysprepOperation],
    operations: &[Operation],
    context: &mut Context<'_>,
) -> Result<Report> {
    let mut session = Session::new(guest, context);
    session.customize(operations)?;
    for operation in OPERATIONS
        .iter()
        .filter(|o| cleaning.iter().any(|c| c.name == o.name))
    {
        session.step(operation.name.to_owned(), |session| {
            actions::run(session, operation)
        })?;
    }
    session.finish()
}
