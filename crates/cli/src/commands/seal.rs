//! `disksmith seal`.

use super::Globals;
use super::audit::{AuditChoice, as_json};
use super::customize::CustomizeChoices;
use super::guest_args::{EditArgs, GuestArgs};
use super::operation_args::OperationArgs;
use super::report::{ReportArgs, as_json as report_as_json, show};
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_disks::{SparsifyOptions, sparsify};
use disksmith_guest::{
    Dialect, SysprepOperation, SystemRandom, audit, audit_images, change_selection, default_operations,
    sysprep,
};
use disksmith_image::{DiskSpec, Output, human_size};
use serde_json::json;

/// Make a guest into a template that can be published: clean it, and prove that it is clean
///
/// Does what `sysprep` does by default (customize options first), sees to it that SSH host keys come back at the first boot of a
/// clone, and audits what is left, all in one transaction. The exit status is that of `audit`; the cleaning is kept either way.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith seal -a template.qcow2\n  \
    disksmith seal -a template.qcow2 --operations defaults,user-account --ignore sudo,tmp-files --output json")]
pub(crate) struct SealArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    /// Change the set of cleaning operations: `defaults,-logfiles,user-account`
    #[arg(
        long,
        value_name = "LIST",
        help_heading = "Cleaning",
        allow_hyphen_values = true
    )]
    operations: Vec<String>,
    /// Give back what no file takes any more, so that nothing of what was cleaned is left on the disk
    #[arg(long, help_heading = "Cleaning")]
    sparsify: bool,
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
    if args.sparsify && !args.edit.is_in_place() && !args.edit.dry_run {
        return Err(Failure::usage(
            "--sparsify works in place: it does not go with --to-overlay",
        ));
    }
    let cleaning = cleaning(&args.operations)?;
    let operations = args.customize.operations()?;
    args.choices.say_ignored(globals);
    let mut random = SystemRandom;
    let mut context = args.choices.context(&mut random);
    let (report, found) = args.edit.edit(&args.guest, globals, |guest| {
        let report = sysprep(guest, &cleaning, &operations, &mut context)?;
        Ok((report, audit(guest, ignored)))
    })?;
    if args.sparsify && !args.edit.dry_run {
        thin(args, globals)?;
    }
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

/// Gives the free space of every disk back.
fn thin(args: &SealArgs, globals: &Globals) -> Outcome<()> {
    let transaction = args.edit.transaction(&args.guest)?;
    for (path, format) in args.guest.disks() {
        let disk = DiskSpec {
            path,
            format,
            output: Output::InPlace,
        };
        let options = SparsifyOptions {
            only: Vec::new(),
            ignore: Vec::new(),
            zero: Vec::new(),
            clock: clock::now()?,
        };
        let report = sparsify(&disk, &transaction, &options).map_err(|error| {
            Failure::from(error).doing(format_args!(
                "the guest is cleaned, but the space of {} was not given back",
                disk.path.display()
            ))
        })?;
        globals.say(|| {
            format!(
                "{}: {} on the host before, {} now",
                disk.path.display(),
                human_size(report.before),
                human_size(report.after)
            )
        });
    }
    Ok(())
}

/// The operations of a list that is read from left to right; the defaults where there is none.
fn cleaning(lists: &[String]) -> Outcome<Vec<&'static SysprepOperation>> {
    if lists.is_empty() {
        return Ok(default_operations());
    }
    let mut chosen = Vec::new();
    for list in lists {
        chosen = change_selection("--operations", list, Dialect::Disksmith, chosen)?;
    }
    Ok(chosen)
}
