//! `disksmith seal`.

use super::Globals;
use super::audit::{AuditChoice, as_json};
use super::customize::CustomizeChoices;
use super::guest_args::{EditArgs, GuestArgs};
use super::operation_args::OperationArgs;
use super::report::{ReportArgs, as_json as report_as_json, show};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_guest::{
    SysprepOperation, SystemRandom, audit, audit_images, change_selection, default_operations, sysprep,
};
use serde_json::json;

/// Make a guest into a template that can be published: clean it, and prove that it is clean
///
/// Does what `sysprep` does by default (customize options first), sees to it that SSH host keys come back at the first boot of a
/// clone, and audits what is left, all in one transaction. The exit status is that of `audit`; the cleaning is kept either way.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  disksmith seal -a template.qcow2\n  \
    disksmith seal -a template.qcow2 --operations defaults,user-account --ignore sudo,tmp-files --output json"
)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    /// Change the set of cleaning operations: `defaults,-logfiles,user-account`
    #[arg(long, value_name = "LIST", help_heading = "Cleaning", allow_hyphen_values = true)]
    operations: Vec<String>,
    #[command(flatten)]
    audit: AuditChoice,
    #[command(flatten)]
    customize: OperationArgs,
    #[command(flatten)]
    choices: CustomizeChoices,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(args: &SealArgs, globals: &Globals) -> Outcome {
    let ignored = args.audit.ignored()?;
    let cleaning = cleaning(&args.operations)?;
    let operations = args.customize.operations()?;
    args.choices.say_ignored(globals);
    let mut random = SystemRandom;
    let mut context = args.choices.context(&mut random);
    let (report, found) = args.edit.edit(&args.guest, globals, |guest| {
        let report = sysprep(guest, &cleaning, &operations, &mut context)?;
        Ok((report, audit(guest, ignored)))
    })?;
    // What was committed is looked at as anybody would find it.
    let found = match args.edit.is_in_place() {
        true => audit_images(&args.guest.disks(), &args.guest.options()?, ignored)
            .map_err(|error| Failure::from(error).doing(args.guest.names()))?,
        false => found,
    };
    let images = args.guest.images();
    if args.report.output() == OutputFormat::Json {
        let ready = args.audit.passes(&found);
        print_json(&json!({
            "edit": report_as_json(&report, args.edit.dry_run, images)?,
            "audit": as_json(&found, images, ready)?,
        }))?;
    } else {
        show(&report, &args.report, args.edit.dry_run, images, globals)?;
        if !globals.quiet {
            print(found.to_string())?;
        }
    }
    Ok(args.audit.status(&found))
}

/// The operations of a list that is read from left to right; the defaults where there is none.
fn cleaning(lists: &[String]) -> Outcome<Vec<&'static SysprepOperation>> {
    let defaults = default_operations();
    if lists.is_empty() {
        return Ok(defaults);
    }
    let mut chosen = Vec::new();
    for list in lists {
        chosen = change_selection("--operations", list, &defaults, chosen)?;
    }
    Ok(chosen)
}
