//! How a subcommand ends before its end.

use std::process::ExitCode;

/// The exit status, or why there was none of the subcommand's own.
pub(super) type Done = Result<u8, Stop>;

/// A failure: an exit status and what standard error shall hold.
#[derive(Debug)]
pub(super) struct Stop {
    status: u8,
    text: String,
}

impl Stop {
    /// A failure in qemu-img's form of a message.
    pub(super) fn new(message: impl AsRef<str>) -> Self {
        Self::plain(format!("qemu-img: {}", message.as_ref()))
    }

    /// A failure whose text stands as it is.
    pub(super) fn plain(text: String) -> Self {
        Self { status: 1, text }
    }

    /// Wrong arguments of `who`: `qemu-img` or `qemu-img COMMAND`.
    pub(super) fn usage(who: &str, message: &str) -> Self {
        Self::new(message).with_help(who)
    }

    /// Something that this face lacks.
    pub(super) fn not_yet(what: &str) -> Self {
        Self::new(format!("{what} is not supported yet"))
    }

    /// Sends the user to the help of `who`.
    pub(super) fn with_help(mut self, who: &str) -> Self {
        self.text.push_str(&format!("\nTry '{who} --help' for more info"));
        self
    }

    /// Another exit status than 1.
    pub(super) fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// Prints the text and gives the exit status.
    pub(super) fn report(&self) -> ExitCode {
        eprintln!("{}", self.text);
        ExitCode::from(self.status)
    }
}

impl From<crate::failure::Failure> for Stop {
    /// Standard output could not be written.
    fn from(failure: crate::failure::Failure) -> Self {
        let _ = failure.report();
        Self {
            status: 1,
            text: "qemu-img: no more output".into(),
        }
    }
}

impl From<crate::faces::getopt::Misused> for Stop {
    fn from(misused: crate::faces::getopt::Misused) -> Self {
        Self::plain(format!("{}: {}", misused.who, misused.message)).with_help(&misused.who)
    }
}
