//! The options that stand for operations.

use crate::error::Error;

/// An option and its argument, for parsers and help texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name without dashes.
    pub name: &'static str,
    /// How its argument is written; empty where it takes none.
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
    option(
        "inject-blnsvr",
        "METHOD",
        "Ignored: it is for Windows guests only",
    ),
    option(
        "inject-qemu-ga",
        "METHOD",
        "Ignored: it is for Windows guests only",
    ),
    option(
        "inject-virtio-win",
        "METHOD",
        "Ignored: it is for Windows guests only",
    ),
    option(
        "install",
        "PKG,PKG..",
        "Install packages (--exec=firstboot: at the first boot)",
    ),
    option("link", "TARGET:LINK[:LINK..]", "Make symbolic links"),
    option("mkdir", "DIR", "Make a directory and those above it"),
    option(
        "move",
        "SOURCE:DEST",
        "Move files or directories within the guest",
    ),
    option(
        "no-logfile",
        "",
        "Remove the log file that virt-customize leaves in the guest",
    ),
    option("password", "USER:SELECTOR", "Set or disable a user's password"),
    option("root-password", "SELECTOR", "Set or disable root's password"),
    option(
        "run",
        "SCRIPT",
        "Run a script of the host in the guest (--exec=firstboot: at the first boot)",
    ),
    option(
        "run-command",
        "COMMAND",
        "Run a shell command in the guest (--exec=firstboot: at the first boot)",
    ),
    option("scrub", "FILE", "Overwrite a file, then delete it"),
    option(
        "sm-attach",
        "SELECTOR",
        "Attach to a pool of subscription-manager: auto, file:FILE (--exec=firstboot)",
    ),
    option(
        "sm-credentials",
        "SELECTOR",
        "Credentials for subscription-manager: USER:password:PASSWORD, USER:file:FILE",
    ),
    option(
        "sm-register",
        "",
        "Register with subscription-manager (--exec=firstboot)",
    ),
    option(
        "sm-remove",
        "",
        "Remove all subscriptions with subscription-manager (--exec=firstboot)",
    ),
    option(
        "sm-unregister",
        "",
        "Unregister with subscription-manager (--exec=firstboot)",
    ),
    option(
        "ssh-inject",
        "USER[:SELECTOR]",
        "Add a public key to a user's authorized_keys",
    ),
    option(
        "tar-in",
        "TARFILE:REMOTEDIR",
        "Unpack an archive of the host into a directory",
    ),
    option("timezone", "TIMEZONE", "Set the time zone"),
    option("touch", "FILE", "Make an empty file, or set its times"),
    option("truncate", "FILE", "Empty a file"),
    option("truncate-recursive", "PATH", "Empty all files below a directory"),
    option(
        "uninstall",
        "PKG,PKG..",
        "Remove packages (--exec=firstboot: at the first boot)",
    ),
    option(
        "update",
        "",
        "Update all packages (--exec=firstboot: at the first boot)",
    ),
    option(
        "upload",
        "FILE:DEST",
        "Copy a file of the host to a file or into a directory",
    ),
    option("write", "FILE:CONTENT", "Set a file's contents"),
];

/// The error for an option that is not an operation.
pub fn refusal(option: &str) -> Error {
    Error::usage(format!("--{option}"), "there is no such operation")
}
