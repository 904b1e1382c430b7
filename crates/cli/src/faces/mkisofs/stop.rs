//! How a run ends before its end.

use super::flavour::Flavour;
use crate::faces::getopt::Misused;
use disksmith_storage::{Diagnose, ErrorKind};
use std::io;

/// A failure: what to say, and the exit status.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) message: String,
    /// Whether to say how to get help.
    pub(super) usage: bool,
    pub(super) hint: Option<String>,
    status: u8,
}

impl Stop {
    /// genisoimage's status for what it cannot do.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            usage: false,
            hint: None,
            status: 255,
        }
    }

    /// Two files of one name.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self {
            status: 1,
            ..Self::bad(message)
        }
    }

    /// Something that there is not.
    pub(super) fn unsupported(option: &str, why: &str) -> Self {
        Self::bad(format!("option '-{option}' is not supported: {why}"))
    }

    /// Arguments that are not understood.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            usage: true,
            status: 1,
            ..Self::bad(message)
        }
    }

    /// The operating system refused; the exit status is its number.
    pub(super) fn io(error: &io::Error, what: impl std::fmt::Display) -> Self {
        Self {
            status: error
                .raw_os_error()
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(1),
            ..Self::bad(format!("{}. {what}", reason(error)))
        }
    }

    pub(super) fn status(&self, flavour: Flavour) -> u8 {
        match flavour {
            Flavour::Genisoimage => self.status,
            Flavour::Xorriso => 5,
        }
    }
}

/// What the operating system says, without the number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).into(),
        None => text,
    }
}

impl From<Misused> for Stop {
    fn from(misused: Misused) -> Self {
        Self::usage(misused.message)
    }
}

impl From<disksmith_iso9660::Error> for Stop {
    fn from(error: disksmith_iso9660::Error) -> Self {
        let status = match (&error, error.kind()) {
            (disksmith_iso9660::Error::Io { source, .. }, _) => source
                .raw_os_error()
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(1),
            (disksmith_iso9660::Error::Duplicate { .. }, _) => 1,
            (_, ErrorKind::NotFound) => 2,
            (_, ErrorKind::NoSpace) => 28,
            _ => 255,
        };
        Self {
            status,
            hint: error.hint(),
            ..Self::bad(error.to_string())
        }
    }
}
