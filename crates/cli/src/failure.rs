//! How a failure reaches the user: what failed, on which file, why, what is unchanged, and what to do next.

use disksmith_storage::{Diagnose, ErrorKind};
use std::fmt;
use std::process::ExitCode;

/// The result of a command.
pub(crate) type Outcome<T = ExitCode> = Result<T, Failure>;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The class, from which the exit status follows.
    kind: ErrorKind,
    /// What failed and why.
    message: String,
    /// The least exit status that it may have.
    least_status: u8,
    /// The exit status, whatever the class says.
    exact_status: Option<u8>,
    /// What was left as it was.
    unchanged: Option<String>,
    /// Whether what was to be changed may be so all the same.
    may_have_changed: bool,
    /// What to do next.
    hint: Option<String>,
}

impl Failure {
    /// A failure that no library knows: a wrong argument, a file that is in the way.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            least_status: 1,
            exact_status: None,
            unchanged: None,
            may_have_changed: false,
            hint: None,
        }
    }

    /// A wrong argument.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Reading or writing a file of the user's failed.
    pub(crate) fn io(operation: &str, path: &std::path::Path, source: &std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Failed,
        };
        let failure = Self::new(kind, format!("cannot {operation} {}: {source}", path.display()));
        if kind == ErrorKind::NoSpace {
            failure.or_hint("make room on that disk, then run this again")
        } else {
            failure
        }
    }

    /// Puts what was being done before the reason.
    pub(crate) fn doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Says what the failure left as it was, unless the error itself knows better.
    pub(crate) fn unchanged(mut self, what: impl Into<String>) -> Self {
        if !self.may_have_changed {
            self.unchanged = Some(what.into());
        }
        self
    }

    /// Says what to do next, unless the error itself knew.
    pub(crate) fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Raises the exit status, for a verb that gives a meaning of its own to the low ones.
    pub(crate) fn status_at_least(mut self, status: u8) -> Self {
        self.least_status = status;
        self
    }

    /// Sets the exit status, for a verb whose numbers mean something else.
    pub(crate) fn exactly_status(mut self, status: u8) -> Self {
        self.exact_status = Some(status);
        self
    }

    /// The exit status of this failure, as `docs/exit-status.md` lists them.
    pub(crate) fn exit_status(&self) -> u8 {
        let status = match self.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Corrupt => 3,
            ErrorKind::Unsupported => 4,
            ErrorKind::InUse => 5,
            ErrorKind::Refused => 6,
            ErrorKind::NoSpace => 7,
            _ => 1,
        };
        self.exact_status.unwrap_or(status.max(self.least_status))
    }

    /// What failed and why.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, where that is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints the failure on standard error and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("disksmith: {}", self.message);
        if let Some(unchanged) = &self.unchanged {
            eprintln!("unchanged: {unchanged}");
        }
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(self.exit_status())
    }
}

impl<E: Diagnose> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            least_status: 1,
            exact_status: None,
            unchanged: None,
            may_have_changed: error.may_have_changed(),
            hint: error.hint(),
        }
    }
}
