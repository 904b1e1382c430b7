//! The face of `virt-sysprep`: makes guests into templates.

use super::customize_options::Customizing;
use super::getopt::{Spec, flag, value};
use super::guestfs_options::{
    ADD, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, HELP, Invocation, KEY, KEYS_FROM_STDIN, QUIET, TRACE,
    Tool, VERBOSE,
};
use super::step_lines::StepLines;
use super::virt_customize::{joined, show, wrong_use};
use crate::failure::{Failure, Outcome};
use crate::guest_scripts::GuestScripts;
use crate::output::print;
use disksmith_guest::{
    Context, Dialect, SYSPREP_OPERATIONS, ScriptRunner, SysprepOperation, SystemRandom, change_selection,
    sysprep_as_tool, tool_default_operations,
};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-sysprep",
    "virt-sysprep: make a virtual machine into a template for clones

 virt-sysprep [OPTIONS] -a DISK.IMG [-a DISK.IMG …]

Cleaning:
  --enable LIST                 do these operations only
  --operations LIST             change the set: defaults,-logfiles,user-account
  --list-operations             list them; those with a star are done by default
  --keep-user-accounts USERS    user-account: they stay
  --remove-user-accounts USERS  user-account: only they go
  --script SCRIPT               run it with the guest's root as its directory
  --scriptdir DIR               where the guest is mounted for scripts
The options of virt-customize may be given too (virt-customize --help); they are done last.
Other options:
  -a, --add FILE        a disk image; several in the guest's order
  --format FORMAT       format of the images that follow
  --mount-options OPTS  accepted; nothing is mounted by a kernel
  -n, --dry-run         keep nothing of it
  --key SELECTOR        a passphrase; --keys-from-stdin reads them
  -q, --quiet           no progress
  -v, --verbose, -x     more on standard error
  -V, --version
  --help
",
    &SPECS,
    "acdnqVvx",
)
.ocaml("or consult virt-sysprep(1) for more information.");

const OWN: [Spec; 32] = [
    ADD,
    flag("color", 0),
    flag("colors", 0),
    flag("colour", 0),
    flag("colours", 0),
    CONNECT,
    flag("debug-gc", 0),
    DOMAIN,
    flag("dry-run", b'n'),
    flag("dryrun", 0),
    ECHO_KEYS,
    value("enable", 0),
    value("format", 0),
    HELP,
    value("keep-user-accounts", 0),
    KEY,
    KEYS_FROM_STDIN,
    flag("list-operations", 0),
    value("mount-options", 0),
    flag("network", 0),
    flag("no-network", 0),
    value("operation", 0),
    value("operations", 0),
    QUIET,
    value("remove-user-accounts", 0),
    value("script", 0),
    value("scriptdir", 0),
    VERBOSE,
    DISPLAY_VERSION,
    flag("wrap", 0),
    TRACE,
    value("blocksize", 0),
];

static SPECS: [Spec; OWN.len() + super::customize_options::SPECS.len()] =
    joined(&OWN, super::customize_options::SPECS);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let done = if call.has("list-operations") {
        list()
    } else {
        match wrong_use(&TOOL, &call) {
            Ok(()) => edit(&call),
            Err(status) => return status,
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

/// `name * text`; the text is ours.
fn list() -> Outcome<()> {
    let mut text = String::new();
    for operation in SYSPREP_OPERATIONS.iter().filter(|o| !o.extension) {
        let star = if operation.default { '*' } else { ' ' };
        text += &format!("{} {star} {}\n", operation.name, operation.summary);
    }
    print(text)
}

/// Which operations are done.
fn chosen(call: &Invocation) -> Outcome<Vec<&'static SysprepOperation>> {
    let mut chosen: Option<Vec<&'static SysprepOperation>> = None;
    let mut enabled = false;
    for (key, value) in call.arguments.options() {
        let list = value.to_string_lossy();
        let option = match *key {
            "enable" => "--enable",
            "operation" | "operations" => "--operations",
            _ => continue,
        };
        if list.is_empty() {
            return Err(Failure::usage(format!(
                "you cannot pass an empty argument to {option}"
            )));
        }
        if option == "--enable" && enabled {
            return Err(Failure::usage("--enable option can only be given once"));
        }
        enabled |= option == "--enable";
        for name in list.split(',') {
            let bare = match (option, name) {
                ("--operations", "all" | "defaults" | "-all" | "-defaults") => continue,
                ("--operations", name) => name.strip_prefix('-').unwrap_or(name),
                (_, name) => name,
            };
            if !SYSPREP_OPERATIONS.iter().any(|o| o.name == bare) {
                return Err(Failure::usage(format!(
                    "{option}: ‘{bare}’ is not a known operation"
                )));
            }
        }
        let so_far = match option {
            "--enable" => Vec::new(),
            _ => chosen.unwrap_or_default(),
        };
        chosen = Some(change_selection(option, &list, Dialect::VirtCustomize, so_far)?);
    }
    Ok(chosen.unwrap_or_else(tool_default_operations))
}

/// Names between commas.
fn users(call: &Invocation, option: &str) -> Vec<String> {
    let lists = call.arguments.texts(option);
    let names = lists.iter().flat_map(|list| list.split(','));
    names
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .collect()
}

fn edit(call: &Invocation) -> Outcome<()> {
    let customizing = Customizing::read(&TOOL, &call.arguments)?;
    let cleaning = chosen(call)?;
    let mut lines = StepLines::new(TOOL.name, call.has("quiet"), false);
    let dry_run = call.has("dry-run") || call.has("dryrun");
    for option in ["keep-user-accounts", "remove-user-accounts"] {
        if call.has(option) && !cleaning.iter().any(|o| o.name == "user-account") {
            return Err(Failure::usage(format!(
                "user-accounts: --{option} parameter was used, but the \"user-account\" operation is not enabled"
            )));
        }
    }
    let named: Vec<PathBuf> = call.arguments.texts("script").iter().map(PathBuf::from).collect();
    let mut scripts = GuestScripts::new(&named, call.arguments.last("scriptdir").map(Path::new))?;
    lines.say("Examining the guest ...");
    let mut random = SystemRandom;
    let reports = call.edit_all(dry_run, |guest| {
        let mut context = Context::new(&mut random);
        customizing.apply(&mut context);
        context.accounts.keep = users(call, "keep-user-accounts");
        context.accounts.remove = users(call, "remove-user-accounts");
        context.observer = Some(&mut lines);
        context.scripts = scripts.as_mut().map(|scripts| scripts as &mut dyn ScriptRunner);
        sysprep_as_tool(guest, &cleaning, &customizing.operations, &mut context)
    })?;
    reports.iter().try_for_each(|report| show(&TOOL, &lines, report))
}
