//! The options of `virt-customize`, which `virt-sysprep` has as well.

use super::getopt::{Arguments, Spec, flag, value};
use super::guestfs_options::Tool;
use crate::failure::{Failure, Outcome};
use disksmith_guest::{
    Context, Dialect, Exec, OPERATION_OPTIONS, Operation, Scheme, find_perl, operations_from_file,
};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What stands in the list of both tools, in the order of `--long-options`.
pub(super) const SPECS: &[Spec] = &[
    value("append-line", 0),
    value("chmod", 0),
    value("chown", 0),
    value("commands-from-file", 0),
    value("copy", 0),
    value("copy-in", 0),
    value("delete", 0),
    value("edit", 0),
    value("firstboot", 0),
    value("firstboot-command", 0),
    value("firstboot-install", 0),
    value("hostname", 0),
    value("inject-blnsvr", 0),
    value("inject-qemu-ga", 0),
    value("inject-virtio-win", 0),
    value("install", 0),
    value("link", 0),
    value("mkdir", 0),
    value("move", 0),
    flag("no-logfile", 0),
    flag("no-selinux-relabel", 0),
    value("password", 0),
    value("password-crypto", 0),
    value("root-password", 0),
    value("run", 0),
    value("run-command", 0),
    value("scrub", 0),
    flag("selinux-relabel", 0),
    value("sm-attach", 0),
    value("sm-credentials", 0),
    flag("sm-register", 0),
    flag("sm-remove", 0),
    flag("sm-unregister", 0),
    value("ssh-inject", 0),
    value("tar-in", 0),
    value("timezone", 0),
    value("touch", 0),
    value("truncate", 0),
    value("truncate-recursive", 0),
    value("uninstall", 0),
    flag("update", 0),
    value("upload", 0),
    value("write", 0),
    value("exec", 0),
];

/// What was asked for.
#[derive(Debug)]
pub(super) struct Customizing {
    /// In the order given.
    pub(super) operations: Vec<Operation>,
    scheme: Option<Scheme>,
    exec: Exec,
    relabel: bool,
}

impl Customizing {
    /// Reads the options; what they mean differently than most think is said on standard error.
    pub(super) fn read(tool: &Tool, arguments: &Arguments) -> Outcome<Self> {
        let mut read = Self {
            operations: Vec::new(),
            scheme: None,
            exec: Exec::Refuse,
            relabel: true,
        };
        for (key, argument) in arguments.options() {
            match *key {
                "commands-from-file" => {
                    let operations = operations_from_file(Path::new(argument), Dialect::VirtCustomize)?;
                    read.operations.extend(operations);
                }
                "password-crypto" => {
                    let name = argument.to_string_lossy();
                    read.scheme = Some(Scheme::from_name(&name).ok_or_else(|| {
                        Failure::usage(format!(
                            "password-crypto: unknown algorithm {name}, use \"md5\", \"sha256\", \"sha512\" or \"yescrypt\""
                        ))
                    })?);
                }
                "exec" if argument == "firstboot" => read.exec = Exec::FirstBoot,
                "exec" => return Err(Failure::usage("--exec: only ‘firstboot’ is known")),
                "no-selinux-relabel" => read.relabel = false,
                "selinux-relabel" => read.relabel = true,
                name if OPERATION_OPTIONS.iter().any(|option| option.name == name) => {
                    warn_of_decimal(tool, name, argument);
                    let operation = Operation::parse(name, argument.as_bytes(), Dialect::VirtCustomize)?;
                    read.operations.push(operation);
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// Puts the choices where the edit looks for them.
    pub(super) fn apply(&self, context: &mut Context<'_>) {
        context.host_home = std::env::var_os("HOME").map(PathBuf::from);
        context.perl = std::env::var_os("PATH").and_then(|path| find_perl(&path));
        context.password_scheme = self.scheme;
        context.exec = self.exec;
        context.selinux_relabel = self.relabel;
    }
}

/// A mode without a leading 0 is decimal, as it is to the tool.
fn warn_of_decimal(tool: &Tool, name: &str, argument: &OsStr) {
    let text = argument.to_string_lossy();
    let Some((mode, _)) = text.split_once(':').filter(|_| name == "chmod") else {
        return;
    };
    if let (false, Ok(number)) = (mode.starts_with('0'), mode.parse::<u32>()) {
        eprintln!(
            "{}: warning: --chmod {text}: {mode} is decimal and means {number:04o}; an octal mode begins with 0",
            tool.name
        );
    }
}

/// Checks arguments of options that are passed over.
pub(super) fn check_numbers(arguments: &Arguments) -> Result<(), String> {
    for key in ["memsize", "smp"] {
        let wrong = arguments.text(key).filter(|text| text.parse::<i64>().is_err());
        if let Some(text) = wrong {
            return Err(format!("‘{text}’ is not a numeric value."));
        }
    }
    Ok(())
}

/// What is no option at all.
pub(super) fn extra(operands: &[OsString]) -> Option<String> {
    let first = operands.first()?;
    Some(format!(
        "Extra parameter on the command line: ‘{}’.",
        first.to_string_lossy()
    ))
}
