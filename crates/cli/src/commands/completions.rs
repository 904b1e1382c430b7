//! `disksmith completions` and `disksmith man`, made from the same definitions as the parser.

use super::Cli;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use clap::{Args, CommandFactory};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the completions for a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Write the man pages, one a verb
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder that they go to
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "disksmith", &mut text);
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &ManArgs) -> Outcome {
    std::fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.directory))
        .map_err(|error| Failure::io("write", &args.directory, &error))?;
    Ok(ExitCode::SUCCESS)
}
