//! The operations of `customize`, in the words of virt-customize.

mod commands_file;
mod describe;
mod options;
mod parse;

pub use commands_file::operations_from_file;
pub use options::{OPERATION_OPTIONS, OptionSpec, refusal};

use crate::perl::EditExpression;
use crate::selector::{PasswordSelector, PasswordSource, SshKeySelector};
use std::path::PathBuf;

/// One operation on a guest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// `--append-line FILE:LINE`.
    AppendLine {
        /// The file.
        path: Vec<u8>,
        /// The line, without newline.
        line: Vec<u8>,
    },
    /// `--chmod MODE:FILE`.
    Chmod {
        /// Permission bits.
        permissions: u16,
        /// The mode as it was written.
        written: String,
        /// The file.
        path: Vec<u8>,
    },
    /// `--chown USER[:GROUP]:PATH`, by number or by name.
    Chown {
        /// User.
        user: String,
        /// Group; the user's own where none was given.
        group: Option<String>,
        /// The file.
        path: Vec<u8>,
    },
    /// `--copy SOURCE:DEST`, within the guest.
    Copy {
        /// What is copied.
        from: Vec<u8>,
        /// Where to.
        to: Vec<u8>,
    },
    /// `--copy-in LOCALPATH:REMOTEDIR`.
    CopyIn {
        /// File or directory of the host.
        local: PathBuf,
        /// Directory of the guest.
        dir: Vec<u8>,
    },
    /// `--delete PATTERN`.
    Delete {
        /// A shell pattern.
        pattern: Vec<u8>,
    },
    /// `--edit FILE:EXPR`.
    Edit {
        /// The file.
        path: Vec<u8>,
        /// The expression.
        expression: EditExpression,
    },
    /// `--firstboot SCRIPT`.
    Firstboot {
        /// Script of the host.
        script: PathBuf,
    },
    /// `--firstboot-command COMMAND`.
    FirstbootCommand {
        /// A shell command.
        command: String,
    },
    /// `--firstboot-install PKG,PKG`.
    FirstbootInstall {
        /// Names of packages.
        packages: Vec<String>,
    },
    /// What runs programs of the guest, and so cannot be done to its files.
    GuestProgram(GuestProgram),
    /// `--hostname NAME`.
    Hostname {
        /// The name.
        name: String,
    },
    /// An option that means something for Windows guests only, and is passed over with a note.
    Ignored {
        /// Its name, without dashes.
        option: &'static str,
        /// Its argument.
        argument: String,
    },
    /// `--link TARGET:LINK[:LINK…]`.
    Link {
        /// What the links point to.
        target: Vec<u8>,
        /// The links.
        links: Vec<Vec<u8>>,
    },
    /// `--mkdir DIR`, with those above it.
    Mkdir {
        /// The directory.
        path: Vec<u8>,
    },
    /// `--move SOURCE:DEST`.
    Move {
        /// The old name.
        from: Vec<u8>,
        /// The new name, or a directory to move into.
        to: Vec<u8>,
    },
    /// `--no-logfile`: what virt-customize leaves behind in the guest.
    NoLogfile,
    /// `--password USER:SELECTOR` and `--root-password SELECTOR`.
    Password {
        /// The user.
        user: String,
        /// What becomes of the password.
        selector: PasswordSelector,
    },
    /// `--scrub FILE`.
    Scrub {
        /// The file.
        path: Vec<u8>,
    },
    /// `--ssh-inject USER[:SELECTOR]`.
    SshInject {
        /// The user.
        user: String,
        /// Where the key comes from.
        selector: SshKeySelector,
    },
    /// `--tar-in TARFILE:REMOTEDIR`.
    TarIn {
        /// Archive of the host.
        local: PathBuf,
        /// Directory of the guest.
        dir: Vec<u8>,
    },
    /// `--timezone ZONE`.
    Timezone {
        /// The zone.
        zone: String,
    },
    /// `--touch FILE`.
    Touch {
        /// The file.
        path: Vec<u8>,
    },
    /// `--truncate FILE`.
    Truncate {
        /// The file.
        path: Vec<u8>,
    },
    /// `--truncate-recursive PATH`.
    TruncateRecursive {
        /// The directory.
        path: Vec<u8>,
    },
    /// `--upload FILE:DEST`.
    Upload {
        /// File of the host.
        local: PathBuf,
        /// File or directory of the guest.
        path: Vec<u8>,
    },
    /// `--write FILE:CONTENT`.
    Write {
        /// The file.
        path: Vec<u8>,
        /// Its contents.
        content: Vec<u8>,
    },
}

/// Work for programs of the guest. Disksmith runs none of them: it can be left to the guest's first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestProgram {
    /// `--install PKG,PKG`.
    Install(Vec<String>),
    /// `--run SCRIPT`, a script of the host.
    Run(PathBuf),
    /// `--run-command COMMAND`.
    RunCommand(String),
    /// `--sm-attach auto`, or `file:FILE` with the pools.
    SubscriptionAttach(Option<PathBuf>),
    /// `--sm-credentials USER:SELECTOR`, for a registration that follows.
    SubscriptionCredentials {
        /// The user at the subscription service.
        user: String,
        /// The password: it stands in the argument or in a file.
        password: PasswordSource,
    },
    /// `--sm-register`.
    SubscriptionRegister,
    /// `--sm-remove`.
    SubscriptionRemove,
    /// `--sm-unregister`.
    SubscriptionUnregister,
    /// `--uninstall PKG,PKG`.
    Uninstall(Vec<String>),
    /// `--update`.
    Update,
}

/// How arguments are read where disksmith and virt-customize differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Modes are octal.
    #[default]
    Disksmith,
    /// Modes are decimal unless they begin with 0.
    VirtCustomize,
}

#[cfg(test)]
mod tests;
