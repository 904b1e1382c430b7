//! `disksmith customize`.

use super::Globals;
use super::guest_args::{EditArgs, GuestArgs};
use super::operation_args::OperationArgs;
use super::report::{ReportArgs, show};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_guest::{Context, CopyOwner, Exec, Scheme, SystemRandom, customize, find_perl};
use std::path::PathBuf;
use std::process::ExitCode;

/// Edit a guest: host name, passwords, keys, files, first-boot scripts
///
/// Options and their arguments are those of virt-customize, but modes are octal and a user who does not exist is an error.
/// Everything is one transaction: killed half-way, the image holds the old state or the new one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  disksmith customize -a vm1.qcow2 --hostname web1 --ssh-inject root:file:key.pub\n  \
    disksmith customize -a vm1.qcow2 --root-password file:pw.txt --firstboot setup.sh --dry-run\n  \
    disksmith customize -a vm1.qcow2 --edit '/etc/ssh/sshd_config:s/^#?PermitRootLogin.*/PermitRootLogin no/'"
)]
pub(crate) struct CustomizeArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    operations: OperationArgs,
    #[command(flatten)]
    choices: CustomizeChoices,
    #[command(flatten)]
    report: ReportArgs,
}

/// Choices that hold for all operations.
#[derive(Debug, Args)]
pub(crate) struct CustomizeChoices {
    /// Hash passwords with this (sha256, sha512, yescrypt, md5) instead of the guest's own scheme
    #[arg(long, value_name = "SCHEME", value_parser = scheme, help_heading = "The edit")]
    password_crypto: Option<Scheme>,
    /// What becomes of --install, --run and the like: `firstboot` leaves them to the guest's first boot
    #[arg(long, value_name = "WHERE", value_parser = exec, help_heading = "The edit")]
    exec: Option<Exec>,
    /// What is copied in belongs to root, not to the numbers that own it on this host
    #[arg(long, help_heading = "The edit")]
    copy_as_root: bool,
    /// Do not tell a guest with SELinux to relabel where a label is not certain
    #[arg(long, help_heading = "The edit")]
    no_selinux_relabel: bool,
    /// Accepted for old scripts: relabelling is the default
    #[arg(long, hide = true)]
    selinux_relabel: bool,
    /// Accepted for old scripts: no machine is started
    #[arg(long, value_name = "MIB", hide = true)]
    memsize: Option<i64>,
    /// Accepted for old scripts: no machine is started
    #[arg(long, value_name = "COUNT", hide = true)]
    smp: Option<i64>,
    /// Accepted for old scripts: no program of the guest is run
    #[arg(long, hide = true)]
    network: bool,
    /// Accepted for old scripts: no program of the guest is run
    #[arg(long, hide = true)]
    no_network: bool,
}

impl CustomizeChoices {
    /// What the operations need besides the guest.
    pub(crate) fn context<'a>(&self, random: &'a mut SystemRandom) -> Context<'a> {
        let mut context = Context::new(random);
        context.host_home = std::env::var_os("HOME").map(PathBuf::from);
        context.copy_owner = if self.copy_as_root {
            CopyOwner::Root
        } else {
            CopyOwner::Host
        };
        context.password_scheme = self.password_crypto;
        context.selinux_relabel = !self.no_selinux_relabel;
        context.exec = self.exec.unwrap_or_default();
        context.perl = std::env::var_os("PATH").and_then(|path| find_perl(&path));
        context
    }

    /// Says which options mean nothing here.
    pub(crate) fn say_ignored(&self, globals: &Globals) {
        for (given, option) in [
            (self.memsize.is_some(), "--memsize"),
            (self.smp.is_some(), "--smp"),
            (self.network, "--network"),
            (self.no_network, "--no-network"),
        ] {
            if given {
                globals.say(|| format!("{option} is ignored: no machine is started"));
            }
        }
    }
}

fn exec(text: &str) -> Result<Exec, String> {
    match text {
        "firstboot" => Ok(Exec::FirstBoot),
        _ => Err(format!("'{text}' is not 'firstboot'")),
    }
}

fn scheme(text: &str) -> Result<Scheme, String> {
    Scheme::from_name(text).ok_or_else(|| format!("'{text}' is none of md5, sha256, sha512, yescrypt"))
}

pub(crate) fn run(args: &CustomizeArgs, globals: &Globals) -> Outcome {
    let operations = args.operations.operations()?;
    if args.operations.is_empty() {
        return Err(Failure::usage("there is nothing to do").or_hint("see disksmith customize --help"));
    }
    args.choices.say_ignored(globals);
    let mut random = SystemRandom;
    let mut context = args.choices.context(&mut random);
    let report = args.edit.edit(&args.guest, globals, |guest| {
        customize(guest, &operations, &mut context)
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
