//! Makes a guest into a template: takes away what must not be the same on every copy.

mod accounts;
mod actions;
mod certificates;
mod host_keys;
mod selection;
mod table;
mod uuids;

pub(crate) use host_keys::host_keys_return_by;
pub use selection::{change_selection, default_operations, select_operations, tool_default_operations};
pub use table::{OPERATIONS, SysprepOperation};

use crate::context::Context;
use crate::customize::{Session, check, fill_machine_id, new_random_seed};
use crate::error::{Error, Result};
use crate::inspect::Guest;
use crate::operation::Operation;
use crate::progress::Progress;
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
    check_chosen(cleaning, operations, context)?;
    check(operations, context)?;
    let mut session = Session::new(guest, context);
    // A key that is put in on purpose shall not go with the keys of the template.
    let cleans_keys = cleaning.iter().any(|o| o.name == "ssh-userdir");
    let is_late = |o: &&Operation| cleans_keys && matches!(o, Operation::SshInject { .. });
    session.customize(operations.iter().filter(|o| !is_late(o)))?;
    for operation in OPERATIONS
        .iter()
        .filter(|o| o.name != "customize" && cleaning.iter().any(|c| c.name == o.name))
    {
        clean_one(&mut session, operation)?;
    }
    session.customize(operations.iter().filter(is_late))?;
    session.finish()
}

/// The same in virt-sysprep's order: cleaning first, then what virt-customize does. A machine id that was emptied is empty at the
/// end all the same.
///
/// # Errors
/// Those of [`sysprep()`].
pub fn sysprep_as_tool(
    guest: &Guest,
    cleaning: &[&'static SysprepOperation],
    operations: &[Operation],
    context: &mut Context<'_>,
) -> Result<Report> {
    check_chosen(cleaning, operations, context)?;
    check(operations, context)?;
    let mut session = Session::new(guest, context);
    // What virt-sysprep does last, whatever its name.
    let (last, first): (Vec<&SysprepOperation>, Vec<&SysprepOperation>) = OPERATIONS
        .iter()
        .filter(|o| cleaning.iter().any(|c| c.name == o.name))
        .partition(|o| matches!(o.name, "customize" | "lvm-uuids"));
    for operation in first.into_iter().chain(last) {
        if operation.name != "customize" {
            clean_one(&mut session, operation)?;
            continue;
        }
        session.tell(Progress::Cleaning(operation.name));
        new_random_seed(&mut session)?;
        if !cleaning.iter().any(|o| o.name == "machine-id") {
            fill_machine_id(&mut session)?;
        }
        session.customize(operations.iter())?;
    }
    session.finish()
}

fn clean_one(session: &mut Session<'_, '_>, operation: &'static SysprepOperation) -> Result<()> {
    session.tell(Progress::Cleaning(operation.name));
    session.step(operation.name.to_owned(), |session| match operation.name {
        "customize" => Ok(()),
        "script" => match session.context.scripts.take() {
            None => Ok(()),
            Some(scripts) => {
                let result = scripts.run(session.guest);
                session.context.scripts = Some(scripts);
                result
            }
        },
        _ => actions::run(session, operation),
    })
}

/// What is asked for an operation that is not among those chosen is an error, not silence.
fn check_chosen(
    cleaning: &[&'static SysprepOperation],
    operations: &[Operation],
    context: &Context<'_>,
) -> Result<()> {
    let accounts = &context.accounts;
    for (asked, option, name) in [
        (!operations.is_empty(), "the options of customize", "customize"),
        (context.scripts.is_some(), "--script", "script"),
        (!accounts.keep.is_empty(), "--keep-user-accounts", "user-account"),
        (
            !accounts.remove.is_empty(),
            "--remove-user-accounts",
            "user-account",
        ),
    ] {
        if asked && !cleaning.iter().any(|o| o.name == name) {
            let reason = format!("the operation {name:?} is not among those that are done");
            return Err(Error::usage(option, reason));
        }
    }
    Ok(())
}
