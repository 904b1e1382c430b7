//! The face of `virt-edit`: edits files of a guest.

use super::getopt::{Spec, also, value};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, KEY, KEYS_FROM_STDIN, MOUNT,
    TRACE, Tool, VERBOSE, api_error,
};
use crate::commands::Editing;
use crate::failure::Outcome;
use disksmith_guest::{EditError, Error, read_for_edit};
use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

const EDIT: Spec = value("edit", b'e');

static TOOL: Tool = Tool::new(
    "virt-edit",
    "virt-edit: edit files of a guest
Usage:
  virt-edit [OPTIONS] -a IMAGE [-a IMAGE …] FILE …
Options:
  -b|--backup .EXT     Keep the old file under its name with this behind it
  -e|--edit|--expr EXPRESSION  Edit each line with this expression instead of $EDITOR
",
    &[
        ADD,
        value("backup", b'b'),
        BLOCKSIZE,
        CONNECT,
        DOMAIN,
        ECHO_KEYS,
        EDIT,
        also("expr", EDIT),
        FORMAT,
        HELP,
        KEY,
        KEYS_FROM_STDIN,
        MOUNT,
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "abcdemvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let mut call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if let Err(status) = call.take_old_style(1) {
        return status;
    }
    if call.operands().is_empty() {
        return TOOL.wrong_use();
    }
    let expression = call.arguments.text("edit");
    let backup = call.arguments.last("backup");
    // what the old tool says of files that it cannot read, and of expressions that fail
    let told: RefCell<Option<String>> = RefCell::new(None);
    let work = || -> Outcome<()> {
        let editing = Editing::new(expression.as_deref(), backup)?;
        let paths: Vec<&[u8]> = call.operands().iter().map(|p| p.as_bytes()).collect();
        let interactive = expression.is_none();
        let unchanged = |_: &[u8]| {
            if interactive {
                println!("File not changed.");
            }
        };
        editing.apply_all(&paths, unchanged, |work| {
            call.edit(|guest| {
                for path in &paths {
                    if let Err(Error::Files(error)) = read_for_edit(guest.tree(), path) {
                        *told.borrow_mut() = Some(match &error {
                            disksmith_vfs::Error::IsADirectory { .. } => format!(
                                "libguestfs: error: download: {}: is a directory",
                                String::from_utf8_lossy(path)
                            ),
                            other => api_error("download", path, other),
                        });
                        return Err(error.into());
                    }
                }
                work(guest).inspect_err(|error| {
                    if let Error::Expression {
                        source: EditError::Perl { complaint },
                        ..
                    } = error
                    {
                        *told.borrow_mut() = Some(complaint.clone());
                    }
                })
            })
        })
    };
    match (work(), told.take()) {
        (Ok(()), _) => ExitCode::SUCCESS,
        (Err(_), Some(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
        (Err(failure), None) => TOOL.fail_with(&failure),
    }
}
