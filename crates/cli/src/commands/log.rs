//! `disksmith log`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{Gathered, finish};
use clap::Args;
use disksmith_guest::{LogSource, print_log};
use disksmith_storage::ErrorKind;
use jiff::tz::TimeZone;
use std::io::Write;
use std::process::ExitCode;

/// Print the log of a guest: its journal as text, or what syslog wrote
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    guest: GuestArgs,
}

pub(crate) fn run(args: &LogArgs, globals: &Globals) -> Outcome {
    let mut out = Gathered::new();
    let source = args.guest.look(globals, |guest| {
        print_log(guest.tree(), &TimeZone::system(), &mut out, "standard output")
    })?;
    finish(out.flush())?;
    match source {
        LogSource::None => Err(Failure::new(
            ErrorKind::NotFound,
            "the guest has no log: neither a journal nor /var/log/syslog or /var/log/messages",
        )),
        LogSource::Journal { damaged, refused } => {
            for file in refused {
                eprintln!("disksmith: warning: left out {file}");
            }
            if damaged > 0 {
                eprintln!("disksmith: warning: {damaged} damaged structures of the journal were left out");
            }
            Ok(ExitCode::SUCCESS)
        }
        LogSource::File(_) => Ok(ExitCode::SUCCESS),
    }
}
