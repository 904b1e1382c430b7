//! Errors of the guest floor.

use crate::perl::EditError;
use disksmith_storage::{Diagnose, ErrorKind};
use std::io;
use std::path::PathBuf;

/// The result of guest work.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong when a guest is inspected or edited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No filesystem of the disks holds an operating system.
    #[error("no operating system found{}", seen_text(.seen))]
    NoOperatingSystem {
        /// What was found instead: `/dev/sda1: vfat`.
        seen: Vec<String>,
    },
    /// There may be one, on a filesystem that cannot be opened.
    #[error("the filesystem on {device} ({kind}) cannot be opened: {reason}")]
    RootUnreadable {
        /// Canonical device name.
        device: String,
        /// What kind it is.
        kind: String,
        /// Why it cannot be opened.
        reason: String,
        /// Of what sort that is.
        class: ErrorKind,
    },
    /// More than one root filesystem.
    #[error("{} operating systems found: {}", .roots.len(), .roots.join(", "))]
    SeveralOperatingSystems {
        /// Device and name of each.
        roots: Vec<String>,
    },
    /// The root filesystem that was chosen is none.
    #[error("there is no operating system on {device}; found on {}", list_text(.roots))]
    NoSuchRoot {
        /// As it was named.
        device: String,
        /// Where there are some.
        roots: Vec<String>,
    },
    /// A device that was named is not there.
    #[error("there is no {device} in the image; it has {}", list_text(.known))]
    NoSuchDevice {
        /// As it was named.
        device: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// An argument is wrong.
    #[error("{option}: {reason}")]
    Usage {
        /// Which option, or which line of which file.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An edit expression is wrong, or beyond what is supported.
    #[error("cannot use the expression {expression:?}: {source}")]
    Expression {
        /// The expression.
        expression: String,
        /// What is wrong.
        source: EditError,
    },
    /// A file of the host.
    #[error("cannot {operation} {}: {source}", .path.display())]
    Host {
        /// What was tried: `read`, `list`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of the host that is no good for its purpose.
    #[error("{}: {reason}", .path.display())]
    HostContent {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An archive of the host.
    #[error("{}: {source}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: disksmith_vfs::TarError,
    },
    /// A user that the guest does not have.
    #[error("the guest has no user {user:?} (in its /etc/passwd)")]
    NoSuchUser {
        /// The user.
        user: String,
    },
    /// A group that the guest does not have.
    #[error("the guest has no group {group:?} (in its /etc/group)")]
    NoSuchGroup {
        /// The group.
        group: String,
    },
    /// A timezone that the guest does not know.
    #[error("the guest has no timezone {zone:?} (/usr/share/zoneinfo/{zone})")]
    NoSuchTimezone {
        /// The zone.
        zone: String,
        /// Whether it has any zones.
        has_zones: bool,
    },
    /// A path in the guest is not what the operation needs.
    #[error("{path} in the guest: {reason}")]
    GuestPath {
        /// The path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A link in the guest that leads where a user of the guest wants it, perhaps to root's files.
    #[error("{path} in the guest: {reason}")]
    LinkRefused {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the guest cannot be understood.
    #[error("{path} in the guest, line {line}: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Something that disksmith does not do, or not on this guest.
    #[error("{what} is not supported{}", because(.reason))]
    Unsupported {
        /// The option or operation.
        what: String,
        /// Why; may be empty.
        reason: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The source of randomness failed.
    #[error("no random numbers: {reason}")]
    Random {
        /// What it said.
        reason: String,
    },
    /// A database of the guest contradicts itself.
    #[error("{path} in the guest is damaged: {detail}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A password could not be hashed.
    #[error("cannot hash a password with {scheme}")]
    Hash {
        /// The scheme.
        scheme: &'static str,
    },
    /// An error of one operation, with its name.
    #[error("{operation}: {source}")]
    Operation {
        /// The operation as the user wrote it.
        operation: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// An error of the guest's files.
    #[error(transparent)]
    Files(#[from] disksmith_vfs::Error),
    /// An error of the floors below: the disk or its partitions.
    #[error("{0}")]
    Below(Box<dyn Diagnose>),
}

fn seen_text(seen: &[String]) -> String {
    if seen.is_empty() {
        String::new()
    } else {
        format!(" (there is {})", seen.join(", "))
    }
}

fn list_text(items: &[String]) -> String {
    if items.is_empty() {
        "none".into()
    } else {
        items.join(", ")
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

impl Error {
    pub(crate) fn usage(option: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Usage {
            option: option.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn guest_path(path: &[u8], reason: impl Into<String>) -> Self {
        Self::GuestPath {
            path: String::from_utf8_lossy(path).into_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn host(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Host {
            operation,
            path: path.into(),
            source,
        }
    }

    /// Puts the operation's name before the error.
    pub(crate) fn in_operation(self, operation: impl Into<String>) -> Self {
        match self {
            already @ Self::Operation { .. } => already,
            source => Self::Operation {
                operation: operation.into(),
                source: Box::new(source),
            },
        }
    }

    /// Wraps an error of another floor.
    pub fn below(error: impl Diagnose) -> Self {
        Self::Below(Box::new(error))
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoOperatingSystem { .. }
            | Self::NoSuchDevice { .. }
            | Self::NoSuchRoot { .. }
            | Self::NoSuchUser { .. }
            | Self::NoSuchGroup { .. }
            | Self::NoSuchTimezone { .. } => ErrorKind::NotFound,
            Self::RootUnreadable { class, .. } => *class,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::SeveralOperatingSystems { .. } | Self::LinkRefused { .. } => ErrorKind::Refused,
            Self::Usage { .. } => ErrorKind::Usage,
            Self::Expression {
                source: EditError::Syntax { .. },
                ..
            } => ErrorKind::Usage,
            Self::Expression {
                source: EditError::Unsupported { .. },
                ..
            } => ErrorKind::Unsupported,
            Self::Expression {
                source: EditError::Perl { .. },
                ..
            } => ErrorKind::Usage,
            Self::Host { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Operation { source, .. } => source.kind(),
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Files(error) => error.kind(),
            Self::Archive { source, .. } => source.kind(),
            Self::Below(error) => error.kind(),
            _ => ErrorKind::Failed,
        }
    }

    fn may_have_changed(&self) -> bool {
        match self {
            Self::Operation { source, .. } => source.may_have_changed(),
            Self::Below(error) => error.may_have_changed(),
            _ => false,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoOperatingSystem { .. } => {
                "a root filesystem has /etc, /bin and /etc/fstab or /etc/hosts; name the device yourself with -m DEVICE".into()
            }
            Self::SeveralOperatingSystems { .. } => "choose one with --root DEVICE, or mount by hand with -m DEVICE".into(),
            Self::RootUnreadable { kind, .. } if kind == "swap" => return None,
            Self::RootUnreadable { class: ErrorKind::Corrupt, kind, .. } => {
                format!("repair it on a copy with its own checker (fsck.{kind}), or name another filesystem with -m DEVICE")
            }
            Self::RootUnreadable { .. } => "another filesystem can be named with -m DEVICE".into(),
            Self::Expression { source: EditError::Unsupported { .. }, .. } => {
                "install perl on this host; or use s///, tr///, m// with if and unless, $_ and $lineno; or change the file outside and --upload it".into()
            }
            Self::Expression { source: EditError::Syntax { .. }, .. } => {
                "Perl beyond s///, tr/// and conditions is run by the perl of this host, which is not there: install it".into()
            }
            Self::NoSuchUser { .. } => {
                "name a user of the guest's /etc/passwd; users that cloud-init makes exist only after the first boot".into()
            }
            Self::LinkRefused { path, .. } => {
                format!("where it is of no use, --delete {path} before --ssh-inject removes it")
            }
            Self::NoSuchTimezone { has_zones: false, .. } => {
                "the guest has no time zone data (package tzdata): install it there first".into()
            }
            Self::NoSuchTimezone { .. } => "name it as under /usr/share/zoneinfo, for example Europe/Berlin".into(),
            Self::Unsupported { hint, .. } => return hint.clone(),
            Self::Operation { source, .. } => return source.hint(),
            Self::Files(disksmith_vfs::Error::ReadOnly { reason, .. }) if reason.contains("opened for reading") => {
                "that is so where -m says ro, for a logical volume that has snapshots, and for a /usr that the guest verifies at boot".into()
            }
            Self::Files(error) => return error.hint(),
            Self::Archive { source, .. } => return source.hint(),
            Self::Below(error) => return error.hint(),
            _ => return None,
        })
    }
}
