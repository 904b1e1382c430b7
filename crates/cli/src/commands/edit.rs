//! `disksmith edit`.

use super::Globals;
use super::guest_args::{EditArgs, GuestArgs};
use crate::failure::Outcome;
use clap::Args;
use disksmith_guest::{EditExpression, Error, Guest, find_perl, read_for_edit, replace_file};
use std::cell::Cell;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Edit files of a guest: with $EDITOR, or with an expression for each line
///
/// A file gets a new one in its place, with its mode, owner and attributes; one that is not changed is not written. Expressions are
/// Perl's: what goes beyond s///, tr///, conditions and variables is run by this host's perl, where there is one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith edit -a vm1.qcow2 /etc/fstab\n  \
    disksmith edit -a vm1.qcow2 /etc/ssh/sshd_config -e 's/^#?PermitRootLogin.*/PermitRootLogin no/' -b .orig")]
pub(crate) struct EditFileArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    /// Absolute paths in the guest
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Edit each line, which stands in $_ with its end, with this expression
    #[arg(short = 'e', long = "expr", alias = "edit", value_name = "EXPRESSION")]
    expression: Option<String>,
    /// Keep the old file under its name with this behind it
    #[arg(short = 'b', long, value_name = "EXTENSION")]
    backup: Option<OsString>,
}

/// What is done to files.
#[derive(Debug)]
pub(crate) struct Editing<'a> {
    expression: Option<EditExpression>,
    perl: Option<PathBuf>,
    backup: Option<&'a [u8]>,
}

impl<'a> Editing<'a> {
    /// An edit with an expression, which is checked at once, or without one in the user's editor.
    pub(crate) fn new(expression: Option<&str>, backup: Option<&'a std::ffi::OsStr>) -> Outcome<Self> {
        let expression = expression.map(EditExpression::lenient);
        let perl = find_perl(&std::env::var_os("PATH").unwrap_or_default());
        if let Some(expression) = &expression {
            expression
                .prepare(perl.as_deref())
                .map_err(|source| Error::Expression {
                    expression: expression.source().to_owned(),
                    source,
                })?;
        }
        Ok(Self {
            expression,
            perl,
            backup: backup.map(|b| b.as_bytes()),
        })
    }

    /// Edits one file; whether it was changed.
    pub(crate) fn apply(&self, guest: &Guest, path: &[u8]) -> disksmith_guest::Result<bool> {
        let old = read_for_edit(guest.tree(), path)?;
        let new = match &self.expression {
            Some(expression) => {
                let new = expression.apply_with(self.perl.as_deref(), &old);
                new.map_err(|source| Error::Expression {
                    expression: expression.source().to_owned(),
                    source,
                })?
            }
            None => ask_editor(path, &old)?,
        };
        if new == old {
            return Ok(false);
        }
        replace_file(guest.tree(), path, &new, self.backup)?;
        Ok(true)
    }

    /// Edits files in a transaction that `edit` runs; where no file is changed, nothing is committed.
    pub(crate) fn apply_all<P: AsRef<[u8]>>(
        &self,
        paths: &[P],
        mut unchanged: impl FnMut(&[u8]),
        edit: impl FnOnce(&mut dyn FnMut(&Guest) -> disksmith_guest::Result<()>) -> Outcome<()>,
    ) -> Outcome<()> {
        let nothing = Cell::new(false);
        let done = edit(&mut |guest| {
            let mut changed = false;
            for path in paths {
                if self.apply(guest, path.as_ref())? {
                    changed = true;
                } else {
                    unchanged(path.as_ref());
                }
            }
            if changed {
                return Ok(());
            }
            nothing.set(true);
            Err(Error::Usage {
                option: "edit".into(),
                reason: "no file was changed".into(),
            })
        });
        if nothing.get() { Ok(()) } else { done }
    }
}

pub(crate) fn run(args: &EditFileArgs, globals: &Globals) -> Outcome {
    let editing = Editing::new(args.expression.as_deref(), args.backup.as_deref())?;
    let paths: Vec<&[u8]> = args.paths.iter().map(|p| p.as_os_str().as_bytes()).collect();
    let note = |path: &[u8]| {
        if !globals.quiet {
            eprintln!("disksmith: {} is not changed", String::from_utf8_lossy(path));
        }
    };
    editing.apply_all(&paths, note, |work| args.edit.edit(&args.guest, globals, work))?;
    Ok(ExitCode::SUCCESS)
}

/// Has the user edit a copy of a file with `$EDITOR` (or `vi`); gives what the copy holds then.
pub(crate) fn ask_editor(path: &[u8], contents: &[u8]) -> disksmith_guest::Result<Vec<u8>> {
    let dir = temporary_dir()?;
    let name = path.rsplit(|b| *b == b'/').next().filter(|name| !name.is_empty());
    let file = dir.join(OsString::from_vec(name.unwrap_or(b"file").to_vec()));
    let edited = edit_copy(&file, contents);
    // The first error is the one to tell; what is left lies in the folder for temporary files.
    let _ = std::fs::remove_dir_all(&dir);
    edited
}

fn edit_copy(file: &Path, contents: &[u8]) -> disksmith_guest::Result<Vec<u8>> {
    let failed = |operation| move |source| host_error(operation, file, source);
    let mut copy = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(failed("create"))?;
    copy.write_all(contents).map_err(failed("write"))?;
    drop(copy);
    let editor = std::env::var_os("EDITOR").filter(|editor| !editor.is_empty());
    let mut script = editor.unwrap_or_else(|| "vi".into());
    script.push(" \"$1\"");
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .arg("sh")
        .arg(file)
        .status()
        .map_err(failed("edit"))?;
    if !status.success() {
        return Err(Error::HostContent {
            path: file.to_owned(),
            reason: format!("the editor failed ({status})"),
        });
    }
    std::fs::read(file).map_err(failed("read"))
}

/// A folder of its own, which nobody else may look into.
fn temporary_dir() -> disksmith_guest::Result<PathBuf> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|e| Error::Random {
        reason: e.to_string(),
    })?;
    let name = format!("disksmith-edit-{:016x}", u64::from_le_bytes(number));
    let dir = std::env::temp_dir().join(name);
    let made = std::fs::DirBuilder::new().mode(0o700).create(&dir);
    made.map_err(|source| host_error("create", &dir, source))?;
    Ok(dir)
}

fn host_error(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Host {
        operation,
        path: path.to_owned(),
        source,
    }
}
