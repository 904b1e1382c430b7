//! Operations from a file.

use super::{Dialect, Operation};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a file of operations.
const MAX_COMMANDS: u64 = 16 << 20;

/// Operations from a file: a name and its argument on each line, `#` comments; a line that ends in a backslash goes on with the
/// next, and what stands between them is a line end, as virt-customize has it. The file may name others with `commands-from-file`.
///
/// # Errors
/// [`Error::Host`], and the errors of [`Operation::parse`] with file and line.
pub fn operations_from_file(path: &Path, dialect: Dialect) -> Result<Vec<Operation>> {
    let mut operations = Vec::new();
    read_commands(path, dialect, 0, &mut operations)?;
    Ok(operations)
}

fn read_commands(path: &Path, dialect: Dialect, depth: usize, operations: &mut Vec<Operation>) -> Result<()> {
    let mut contents = Vec::new();
    // A device has no size, and may have no end.
    File::open(path)
        .and_then(|file| file.take(MAX_COMMANDS + 1).read_to_end(&mut contents))
        .map_err(|e| Error::host("read", path, e))?;
    if contents.len() as u64 > MAX_COMMANDS {
        return Err(Error::HostContent {
            path: path.to_owned(),
            reason: "is too large for a file of operations".into(),
        });
    }
    let contents = String::from_utf8(contents).map_err(|error| {
        let valid = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
        Error::HostContent {
            path: path.to_owned(),
            reason: format!("has a byte on line {line} that is not UTF-8"),
        }
    })?;
    let mut lines = contents.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let place = format!("{}, line {}", path.display(), index + 1);
        let mut command = line.trim_start().to_owned();
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        while let Some(shorter) = command.strip_suffix('\\') {
            let Some((_, next)) = lines.next() else {
                return Err(Error::usage(place, "the last line ends in a backslash"));
            };
            // As there, the line end stays.
            command = format!("{shorter}\n{next}");
        }
        let (name, argument) = match command.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim_start()),
            None => (command.as_str(), ""),
        };
        if name == "commands-from-file" {
            if depth > 10 {
                return Err(Error::usage(place, "command files name each other"));
            }
            read_commands(Path::new(argument), dialect, depth + 1, operations)?;
            continue;
        }
        let operation = Operation::parse(name, argument, dialect).map_err(|e| e.in_operation(&place))?;
        operations.push(operation);
    }
    Ok(())
}
