//! The options that stand for operations, and those that are refused by name.

use crate::error::Error;

/// An option and its argument, for parsers and help texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name without dashes.
    pub name: &'static str,
    /// How its argument is written.
    pub argument: &'static str,
    /// What it does, as one sentence without full stop.
    pub help: &'static str,
}

const fn option(name: &'static str, argument: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { name, argument, help }
}

/// Every operation that [`Operation::parse`] knows and does.
pub const OPERATION_OPTIONS: &[OptionSpec] = &[
    option(
        "append-line",
        "FILE:LINE",
        "Append a line to a file, which is made where it is missing",
    ),
    option("chmod", "MODE:FILE", "Set the permission bits (octal)"),
    option(
        "chown",
        "USER[:GROUP]:PATH",
        "Set the owner, by number or by a name of the guest",
    ),
    option(
        "copy",
        "SOURCE:DEST",
        "Copy files or directories within the guest",
    ),
    option(
        "copy-in",
        "LOCALPATH:REMOTEDIR",
        "Copy a file or directory of the host into a directory",
    ),
    option(
        "delete",
        "PATTERN",
        "Delete what matches a shell pattern, directories with all that is in them",
    ),
    option(
        "edit",
        "FILE:EXPR",
        "Edit a file by a Perl expression, line by line",
    ),
    option(
        "firstboot",
        "SCRIPT",
        "Run a script of the host once, at the first boot",
    ),
    option(
        "firstboot-command",
        "COMMAND",
        "Run a shell command once, at the first boot",
    ),
    option(
        "firstboot-install",
        "PKG,PKG..",
        "Install packages at the first boot",
    ),
    option("hostname", "HOSTNAME", "Set the host name"),
    option("link", "TARGET:LINK[:LINK..]", "Make symbolic links"),
    option("mkdir", "DIR", "Make a directory and those above it"),
    option(
        "move",
        "SOURCE:DEST",
        "Move files or directories within the guest",
    ),
    option("password", "USER:SELECTOR", "Set or disable a user's password"),
    option("root-password", "SELECTOR", "Set or disable root's password"),
    option("scrub", "FILE", "Overwrite a file, then delete it"),
    option(
        "ssh-inject",
        "USER[:SELECTOR]",
        "Add a public key to a user's authorized_keys",
    ),
    option("timezone", "TIMEZONE", "Set the time zone"),
    option("touch", "FILE", "Make an empty file, or set its times"),
    option("truncate", "FILE", "Empty a file"),
    option("truncate-recursive", "PATH", "Empty all files below a directory"),
    option(
        "upload",
        "FILE:DEST",
        "Copy a file of the host to a file or into a directory",
    ),
    option("write", "FILE:CONTENT", "Set a file's contents"),
];

/// Options of virt-customize that need code to run in the guest, or that are not done yet: (name, whether it takes an argument, why).
pub const UNSUPPORTED_OPTIONS: &[(&str, bool, &str)] = &[
    ("run", true, "it runs a program of the guest"),
    ("run-command", true, "it runs a program of the guest"),
    ("install", true, "it runs the guest's package manager"),
    ("uninstall", true, "it runs the guest's package manager"),
    ("update", false, "it runs the guest's package manager"),
    ("tar-in", true, ""),
    ("inject-qemu-ga", true, "it is for Windows guests"),
    ("inject-virtio-win", true, "it is for Windows guests"),
    ("inject-blnsvr", true, "it is for Windows guests"),
    ("sm-attach", true, "it runs a program of the guest"),
    ("sm-credentials", true, "it runs a program of the guest"),
    ("sm-register", false, "it runs a program of the guest"),
    ("sm-remove", false, "it runs a program of the guest"),
    ("sm-unregister", false, "it runs a program of the guest"),
];

/// The error for an option that is not an operation here.
pub fn refusal(option: &str) -> Error {
    match UNSUPPORTED_OPTIONS.iter().find(|(name, _, _)| *name == option) {
        Some((name, _, reason)) => Error::Unsupported {
            what: format!("--{name}"),
            reason: (*reason).into(),
            hint: match *name {
                "install" => Some("--firstboot-install PKG,.. installs them at the first boot".into()),
                "run" | "run-command" | "uninstall" | "update" => {
                    Some("--firstboot SCRIPT and --firstboot-command COMMAND run it at the first boot".into())
                }
                "tar-in" => Some("unpack it and use --copy-in".into()),
                _ => None,
            },
        },
        None => Error::usage(format!("--{option}"), "there is no such operation"),
    }
}
