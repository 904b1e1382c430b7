//! `-p`: progress on standard output, in qemu-img's form; without it, SIGUSR1 asks for one line on standard error.

use crate::progress::{cancel_on_signal, is_cancelled};
use disksmith_image::Error;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The flag that SIGUSR1 raises.
static WANTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on SIGUSR1 ends no command, whichever it is: it asks how far the work is.
pub(super) fn listen() {
    WANTED.get_or_init(|| {
        let wanted = Arc::new(AtomicBool::new(false));
        if signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&wanted)).is_err() {
            log::warn!("SIGUSR1 cannot be caught: it ends the program");
        }
        wanted
    });
}

/// The progress of one command; shows nothing unless it was asked for.
#[derive(Debug)]
pub(super) struct Percent {
    show: bool,
    /// What was reached when it was last shown, or could have been.
    reached: Mutex<f64>,
    cancelled: Arc<AtomicBool>,
}

impl Percent {
    /// Starts at nothing; Ctrl-C stops the work tidily from here on.
    pub(super) fn start(show: bool) -> Self {
        let percent = Self {
            show,
            reached: Mutex::new(0.0),
            cancelled: cancel_on_signal(),
        };
        percent.tell(0.0);
        percent
    }

    /// Shows that everything is done.
    pub(super) fn complete(&self) {
        self.tell(100.0);
    }

    /// Ends the line.
    pub(super) fn end(self) {
        if self.show {
            println!();
        }
    }

    /// Shows how far the work is where somebody wants to know.
    fn tell(&self, percent: f64) {
        // a closed pipe is nobody's failure
        if self.show {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "    ({percent:.2}/100%)\r").and_then(|()| out.flush());
        } else if WANTED
            .get()
            .is_some_and(|wanted| wanted.swap(false, Ordering::Relaxed))
        {
            let _ = writeln!(std::io::stderr(), "    ({percent:.2}/100%)");
        }
    }
}

impl disksmith_image::Progress for Percent {
    fn advance(&self, done: u64, total: u64) {
        let percent = done as f64 * 100.0 / total.max(1) as f64;
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if percent >= *reached + 1.0 && percent < 100.0 {
            *reached = percent;
            self.tell(percent);
        }
    }

    fn unreadable(&self, offset: u64, error: &Error) {
        let why = match error {
            // damage of the format is told as a failure of the device
            Error::Storage(disksmith_storage::Error::Format(_)) => "Input/output error".into(),
            _ => super::wording::cause(error, super::wording::Use::Read),
        };
        eprintln!("qemu-img: warning: error while reading offset {offset}: {why}");
    }

    fn skipped_bitmap(&self, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        eprintln!("qemu-img: warning: Skipping inconsistent bitmap '{name}'");
    }

    fn is_cancelled(&self) -> bool {
        is_cancelled(&self.cancelled)
    }
}
