//! What is said on standard error, or in the log file.

use super::flavour::Flavour;
use super::settings::Settings;
use super::stop::Stop;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;

/// Says things in the form that the program they come from gives them.
#[derive(Debug)]
pub(super) struct Messages {
    name: String,
    flavour: Flavour,
    quiet: bool,
    verbose: bool,
    log: Option<RefCell<File>>,
}

impl Messages {
    pub(super) fn new(name: &str, flavour: Flavour) -> Self {
        Self {
            name: name.into(),
            flavour,
            quiet: false,
            verbose: false,
            log: None,
        }
    }

    /// Takes over what the command line says of messages.
    pub(super) fn start(&mut self, settings: &Settings) -> Result<(), Stop> {
        self.quiet = settings.quiet;
        self.verbose = settings.verbose;
        if let Some(path) = &settings.log_file {
            let file = File::create(path)
                .map_err(|e| Stop::io(&e, format!("Unable to open log file '{}'.", path.display())))?;
            self.log = Some(RefCell::new(file));
        }
        Ok(())
    }

    /// A line as it is.
    pub(super) fn line(&self, text: &str) {
        match &self.log {
            // That the log is full is no reason to stop.
            Some(file) => drop(writeln!(file.borrow_mut(), "{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Something that the user should know however quiet it shall be.
    pub(super) fn warn(&self, text: &str) {
        match self.flavour {
            Flavour::Genisoimage => self.line(&format!("{}: {text}", self.name)),
            Flavour::Xorriso => self.line(&format!("xorriso : WARNING : {text}")),
        }
    }

    /// A line of the account of a run.
    pub(super) fn tell(&self, text: impl FnOnce() -> String) {
        if !self.quiet {
            self.line(&text());
        }
    }

    /// A line that only `-v` shows.
    pub(super) fn detail(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.line(&text());
        }
    }

    pub(super) fn stop(&self, stop: &Stop) {
        match self.flavour {
            Flavour::Genisoimage => self.line(&format!("{}: {}", self.name, stop.message)),
            Flavour::Xorriso => self.line(&format!("xorriso : FAILURE : {}", stop.message)),
        }
        if let Some(hint) = &stop.hint {
            self.line(&format!("hint: {hint}"));
        }
        if stop.usage {
            self.line(&format!(
                "Usage: {0} [options] -o file directory ...\n\nUse {0} -help\nto get a list of valid options.",
                self.name
            ));
        }
    }
}
