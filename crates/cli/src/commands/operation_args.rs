//! The operations of `customize` as arguments: any number of each, in the order in which they stand.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};
use disksmith_guest::{Dialect, OPERATION_OPTIONS, Operation, Result, operations_from_file};
use std::ffi::OsString;
use std::path::Path;

const FROM_FILE: &str = "commands-from-file";

/// The operations as they were written, not parsed yet: (position, option, argument).
#[derive(Debug, Clone, Default)]
pub(crate) struct OperationArgs {
    written: Vec<(usize, String, OsString)>,
}

impl OperationArgs {
    /// Parses them, in order.
    pub(crate) fn operations(&self) -> Result<Vec<Operation>> {
        let mut operations = Vec::new();
        for (_, name, argument) in &self.written {
            if name == FROM_FILE {
                operations.extend(operations_from_file(Path::new(argument), Dialect::Disksmith)?);
            } else {
                operations.push(Operation::parse(
                    name,
                    argument.as_encoded_bytes(),
                    Dialect::Disksmith,
                )?);
            }
        }
        Ok(operations)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }
}

/// An option that may be given many times.
fn many(name: &'static str, argument: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).help(help);
    if argument.is_empty() {
        return arg
            .action(ArgAction::Append)
            .num_args(0)
            .default_missing_value("")
            .value_parser(value_parser!(OsString))
            .help_heading("Operations, done in the order given (passwords last)");
    }
    arg.value_name(argument)
        .action(ArgAction::Append)
        .value_parser(value_parser!(OsString))
        .allow_hyphen_values(true)
        .help_heading("Operations, done in the order given (passwords last)")
}

impl Args for OperationArgs {
    fn augment_args(command: Command) -> Command {
        let mut command = command;
        for spec in OPERATION_OPTIONS {
            command = command.arg(many(spec.name, spec.argument, spec.help));
        }
        command = command.arg(many(
            FROM_FILE,
            "FILE",
            "Read operations from a file, one `name argument` a line",
        ));
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OperationArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, Error> {
        let mut written = Vec::new();
        let names = OPERATION_OPTIONS.iter().map(|spec| spec.name).chain([FROM_FILE]);
        for name in names {
            let (Some(indices), Some(values)) =
                (matches.indices_of(name), matches.get_many::<OsString>(name))
            else {
                continue;
            };
            written.extend(
                indices
                    .zip(values)
                    .map(|(index, value)| (index, name.to_owned(), value.clone())),
            );
        }
        written.sort_by_key(|(index, ..)| *index);
        Ok(Self { written })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
