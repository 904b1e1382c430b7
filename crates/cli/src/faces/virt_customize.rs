//! The face of `virt-customize`: edits guests.

use super::customize_options::{Customizing, check_numbers, extra};
use super::getopt::{Spec, flag, value};
use super::guestfs_options::{
    ADD, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, HELP, Invocation, KEY, KEYS_FROM_STDIN, QUIET, TRACE,
    Tool, VERBOSE,
};
use super::step_lines::StepLines;
use crate::failure::Outcome;
use crate::output::print;
use disksmith_guest::{Context, Report, SystemRandom, customize_as_tool};
use std::ffi::OsString;
use std::process::ExitCode;

/// Where more is to be read.
pub(super) const MORE_HELP: &str = "or consult virt-customize(1) for more information.";

static TOOL: Tool = Tool::new(
    "virt-customize",
    "virt-customize: customize a virtual machine

 virt-customize [OPTIONS] -a DISK.IMG [-a DISK.IMG …]

Operations are done in the order given, passwords last:
  --append-line FILE:LINE       --chmod MODE:FILE            --chown UID:GID:PATH
  --commands-from-file FILE     --copy SOURCE:DEST           --copy-in LOCALPATH:REMOTEDIR
  --delete PATH                 --edit FILE:EXPR             --firstboot SCRIPT
  --firstboot-command COMMAND   --firstboot-install PKG,PKG  --hostname NAME
  --link TARGET:LINK[:LINK..]   --mkdir DIR                  --move SOURCE:DEST
  --no-logfile                  --password USER:SELECTOR     --password-crypto SCHEME
  --root-password SELECTOR      --scrub FILE                 --ssh-inject USER[:SELECTOR]
  --tar-in TARFILE:REMOTEDIR    --timezone ZONE              --touch FILE
  --truncate FILE               --truncate-recursive PATH    --upload FILE:DEST
  --write FILE:CONTENT          --no-selinux-relabel         --selinux-relabel
With --exec firstboot they are done at the guest's first boot, else refused:
  --install PKG,PKG  --uninstall PKG,PKG  --update  --run SCRIPT  --run-command COMMAND
  --sm-attach, --sm-credentials, --sm-register, --sm-remove, --sm-unregister
Other options:
  -a, --add FILE        a disk image; several in the guest's order
  --format FORMAT       format of the images that follow
  -n, --dry-run         keep nothing of it
  --key SELECTOR        a passphrase; --keys-from-stdin reads them
  -q, --quiet           no progress
  -v, --verbose, -x     more on standard error
  -V, --version
  --help
",
    &SPECS,
    "acdnmqVvx",
)
.ocaml(MORE_HELP);

const OWN: [Spec; 27] = [
    ADD,
    value("attach", 0),
    value("attach-format", 0),
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
    value("format", 0),
    HELP,
    KEY,
    KEYS_FROM_STDIN,
    value("memsize", b'm'),
    flag("network", 0),
    flag("no-network", 0),
    QUIET,
    value("smp", 0),
    VERBOSE,
    DISPLAY_VERSION,
    flag("wrap", 0),
    TRACE,
    value("blocksize", 0),
];

static SPECS: [Spec; OWN.len() + super::customize_options::SPECS.len()] =
    joined(&OWN, super::customize_options::SPECS);

/// Two lists of options in a row.
pub(super) const fn joined<const N: usize>(own: &[Spec], shared: &[Spec]) -> [Spec; N] {
    let mut all = [TRACE; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < own.len() {
            own[at]
        } else {
            shared[at - own.len()]
        };
        at += 1;
    }
    all
}

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if let Err(status) = wrong_use(&TOOL, &call) {
        return status;
    }
    match edit(&call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

/// Arguments that the tool refuses with its own words.
pub(super) fn wrong_use(tool: &Tool, call: &Invocation) -> Result<(), ExitCode> {
    let extra = extra(call.operands());
    if let Err(message) = extra.map_or_else(|| check_numbers(&call.arguments), Err) {
        if message.starts_with("Extra") {
            eprintln!("{message}");
        } else {
            eprintln!("{}: {message}", tool.name);
        }
        return Err(tool.wrong_use());
    }
    if !call.drives.is_empty() && !call.domains.is_empty() {
        let manual = format!("Read {}(1) man page for further information.", tool.name);
        return Err(tool.fail(&format!("you cannot give -a and -d options together. {manual}")));
    }
    if call.drives.is_empty() && call.domains.is_empty() {
        let manual = format!("Read {}(1) man page for further information.", tool.name);
        return Err(tool.fail(&format!("you must give either -a or -d options. {manual}")));
    }
    Ok(())
}

fn edit(call: &Invocation) -> Outcome<()> {
    let customizing = Customizing::read(&TOOL, &call.arguments)?;
    let mut lines = StepLines::new(TOOL.name, call.has("quiet"), true);
    lines.say("Examining the guest ...");
    let dry_run = call.has("dry-run") || call.has("dryrun");
    let mut random = SystemRandom;
    let reports = call.edit_all(dry_run, |guest| {
        let mut context = Context::new(&mut random);
        customizing.apply(&mut context);
        context.observer = Some(&mut lines);
        customize_as_tool(guest, &customizing.operations, &mut context)
    })?;
    reports.iter().try_for_each(|report| show(&TOOL, &lines, report))
}

/// Prints what must not be lost, and warnings.
pub(super) fn show(tool: &Tool, lines: &StepLines, report: &Report) -> Outcome<()> {
    for password in &report.passwords {
        let text = format!(
            "Setting random password of {} to {}",
            password.user, password.password
        );
        if lines.is_quiet() {
            print(format!("{text}\n"))?;
        } else {
            lines.say(&text);
        }
    }
    for warning in &report.warnings {
        eprintln!("{}: warning: {warning}", tool.name);
    }
    for (step, note) in report
        .steps
        .iter()
        .flat_map(|step| step.notes.iter().map(move |note| (step, note)))
    {
        log::info!("{}: {note}", step.operation);
    }
    Ok(())
}
