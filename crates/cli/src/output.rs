//! Results on standard output.

use crate::failure::{Failure, Outcome};
use disksmith_storage::ErrorKind;
use std::io::{ErrorKind as IoKind, Write};

/// The exit status where the reader of standard output went away: what a shell says of a program that the signal ended, as it
/// ends the old tools. What was written is not the whole.
const READER_GONE: i32 = 128 + 13;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document, with a stable schema.
    Json,
}

/// Writes to standard output. A reader that went away (`| head`) ends the program without a word.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    finish(out.write_all(text.as_ref()).and_then(|()| out.flush()))
}

/// Turns what writing to standard output gave into a command's outcome.
pub(crate) fn finish(result: std::io::Result<()>) -> Outcome<()> {
    match result {
        Err(error) if error.kind() == IoKind::BrokenPipe => std::process::exit(READER_GONE),
        Err(error) => {
            let kind = match error.kind() {
                IoKind::StorageFull => ErrorKind::NoSpace,
                _ => ErrorKind::Failed,
            };
            Err(Failure::new(
                kind,
                format!("cannot write to standard output: {error}"),
            ))
        }
        Ok(()) => Ok(()),
    }
}

/// Prints a JSON document the way all verbs do: indented, with a line end.
pub(crate) fn print_json(value: &serde_json::Value) -> Outcome<()> {
    print(format!("{value:#}\n"))
}

/// Standard output that gathers what is written, for results that are made piece by piece. A reader that went away ends the
/// program quietly.
#[derive(Debug)]
pub(crate) struct Gathered {
    out: std::io::BufWriter<std::io::StdoutLock<'static>>,
}

impl Gathered {
    /// Standard output, locked.
    pub(crate) fn new() -> Self {
        Self {
            out: std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock()),
        }
    }
}

/// Passes a result on, but ends the program where the reader went away.
fn unless_gone<T>(result: std::io::Result<T>) -> std::io::Result<T> {
    match result {
        Err(error) if error.kind() == IoKind::BrokenPipe => std::process::exit(READER_GONE),
        other => other,
    }
}

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        unless_gone(self.out.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        unless_gone(self.out.flush())
    }
}
