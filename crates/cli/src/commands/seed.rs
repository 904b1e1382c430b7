//! `disksmith seed`: making seeds, checking them, showing what is inside.

mod check;
mod disk;
mod make;
mod quick;
mod read;
mod show;
mod static_ip;
mod virt_install;

use super::Globals;
use crate::failure::Outcome;
use clap::{Args, Subcommand};
use disksmith_seed::Diagnostic;
use serde_json::{Value, json};

/// Make the seed image that cloud-init or cloudbase-init reads at the first boot; check and show seeds
///
/// What the guest would silently ignore is refused, with its line. All documents together may take 16 MiB.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  disksmith seed vm1-seed.iso --user-data user-data --meta-data meta-data \
    --network-config network-config\n  disksmith seed vm1.iso --hostname vm1 --user anna --ssh-key ~/.ssh/id_ed25519.pub \
    --package nginx --static-ip 10.0.0.5/24,gw=10.0.0.1\n  disksmith seed 'seeds/@{name}.iso' --each hosts.csv --user-data \
    user-data.in --hostname @{name}\n  disksmith seed check vm1-seed.iso\n  disksmith seed show vm1-seed.iso"
)]
pub(crate) struct SeedArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    make: make::MakeArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(check::CheckArgs),
    Show(show::ShowArgs),
}

pub(crate) fn run(args: &SeedArgs, globals: &Globals) -> Outcome {
    match &args.action {
        None => make::run(&args.make, globals),
        Some(Action::Check(args)) => check::run(args, globals),
        Some(Action::Show(args)) => show::run(args),
    }
}

fn as_json(found: &[Diagnostic]) -> Vec<Value> {
    found
        .iter()
        .map(|d| {
            json!({
                "file": d.file, "line": d.line, "column": d.column, "severity": d.severity.to_string(),
                "code": d.code, "message": d.message, "fix": d.fix,
            })
        })
        .collect()
}
