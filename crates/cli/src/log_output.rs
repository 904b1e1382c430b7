//! What `-v` shows: the libraries' log, on standard error.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("disksmith")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            match record.level() {
                Level::Error | Level::Warn => eprintln!("disksmith: warning: {}", record.args()),
                _ => eprintln!("disksmith: {}", record.args()),
            }
        }
    }

    fn flush(&self) {}
}

/// Starts logging: warnings always, with one `-v` what is done, with two everything.
pub(crate) fn start(verbose: u8) {
    static LOGGER: StandardError = StandardError;
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Trace,
    };
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}
