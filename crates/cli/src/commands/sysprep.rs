//! `disksmith sysprep`.

use super::Globals;
use super::customize::CustomizeChoices;
use super::guest_args::{EditArgs, GuestArgs};
use super::operation_args::OperationArgs;
use super::report::{ReportArgs, show};
use crate::failure::Outcome;
use crate::guest_scripts::GuestScripts;
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_guest::{
    Dialect, SYSPREP_OPERATIONS, ScriptRunner, SysprepOperation, SystemRandom, change_selection,
    default_operations, select_operations, sysprep,
};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Take away what a template's clones must not share: machine id, host keys, logs, histories
///
/// Operations have virt-sysprep's names. Options of `customize` may be given too; they are done before the cleaning, so that
/// nothing that was cleaned comes back, and the machine id stays empty.
#[derive(Debug, Args)]
pub(crate) struct SysprepArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    /// Change the set of operations: `defaults,-logfiles,user-account`; several are read one after the other
    #[arg(
        long,
        alias = "operation",
        value_name = "LIST",
        conflicts_with = "enable",
        help_heading = "Cleaning",
        allow_hyphen_values = true
    )]
    operations: Vec<String>,
    /// Do these operations only
    #[arg(long, value_name = "LIST", help_heading = "Cleaning")]
    enable: Option<String>,
    /// List the operations; those with a star are done by default
    #[arg(long, help_heading = "Cleaning")]
    list_operations: bool,
    /// Users that the operation user-account keeps
    #[arg(long, value_name = "USERS", value_delimiter = ',', help_heading = "Cleaning")]
    keep_user_accounts: Vec<String>,
    /// Users that the operation user-account removes, and no others
    #[arg(long, value_name = "USERS", value_delimiter = ',', help_heading = "Cleaning")]
    remove_user_accounts: Vec<String>,
    /// Run a script of the host with the guest's root as its directory
    #[arg(long, value_name = "SCRIPT", help_heading = "Cleaning")]
    script: Vec<PathBuf>,
    /// Where the guest appears for scripts, instead of in a folder of its own
    #[arg(long, value_name = "DIR", help_heading = "Cleaning")]
    scriptdir: Option<PathBuf>,
    /// Accepted for old scripts: nothing is mounted by a kernel
    #[arg(long, value_name = "OPTIONS", hide = true)]
    mount_options: Option<String>,
    #[command(flatten)]
    customize: OperationArgs,
    #[command(flatten)]
    choices: CustomizeChoices,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(args: &SysprepArgs, globals: &Globals) -> Outcome {
    if args.list_operations {
        return list(args);
    }
    let cleaning: Vec<&'static SysprepOperation> = match (args.operations.as_slice(), &args.enable) {
        ([], Some(list)) => select_operations("--enable", list)?,
        ([], None) => default_operations(),
        (lists, _) => {
            let mut chosen = Vec::new();
            for list in lists {
                chosen = change_selection("--operations", list, Dialect::Disksmith, chosen)?;
            }
            chosen
        }
    };
    let operations = args.customize.operations()?;
    args.choices.say_ignored(globals);
    if args.mount_options.is_some() {
        globals.say(|| "--mount-options is ignored: nothing is mounted by a kernel".into());
    }
    let mut scripts = GuestScripts::new(&args.script, args.scriptdir.as_deref())?;
    let mut random = SystemRandom;
    let mut context = args.choices.context(&mut random);
    context.accounts.keep.clone_from(&args.keep_user_accounts);
    context.accounts.remove.clone_from(&args.remove_user_accounts);
    context.scripts = scripts.as_mut().map(|scripts| scripts as &mut dyn ScriptRunner);
    let report = args.edit.edit(&args.guest, globals, |found| {
        sysprep(found, &cleaning, &operations, &mut context)
    })?;
    show(
        &report,
        &args.report,
        args.edit.dry_run,
        args.guest.images(),
        globals,
    )?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &SysprepArgs) -> Outcome {
    if args.report.output() == OutputFormat::Json {
        let list: Vec<_> = SYSPREP_OPERATIONS
            .iter()
            .map(|o| json!({ "name": o.name, "default": o.default, "summary": o.summary }))
            .collect();
        print_json(&json!(list))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for operation in SYSPREP_OPERATIONS {
        text += &format!(
            "{} {} {}\n",
            operation.name,
            if operation.default { '*' } else { ' ' },
            operation.summary
        );
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}
