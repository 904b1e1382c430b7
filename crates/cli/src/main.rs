//! The `disksmith` program: it parses, calls one function of a library, and prints.
//!
//! A verb is one file in `commands/`: its arguments and its `run`. Results go to standard output, everything else to
//! standard error; the exit status follows `docs/exit-status.md`.

mod clock;
mod commands;
mod diff_lines;
mod faces;
mod failure;
mod guest_scripts;
mod log_output;
mod output;
mod outside;
mod progress;
mod table_text;

use std::process::ExitCode;

/// The exit status after Ctrl-C and its like.
const STOPPED: u8 = 130;

fn main() -> ExitCode {
    if let Some(call) = faces::Call::of(std::env::args_os()) {
        return call.run();
    }
    let cli = match commands::Cli::read() {
        Ok(cli) => cli,
        Err(error) => return wrong_use(&error),
    };
    log_output::start(cli.globals.verbose);
    match commands::run(&cli) {
        Ok(status) => status,
        Err(failure) if progress::was_stopped() => failure.exactly_status(STOPPED).report(),
        Err(failure) => failure.report(),
    }
}

/// Prints help or a message about the arguments; both come from clap.
fn wrong_use(error: &clap::Error) -> ExitCode {
    // a closed pipe is nobody's failure: `disksmith --help | head -1`
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
