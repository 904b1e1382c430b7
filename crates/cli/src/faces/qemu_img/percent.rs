//! `-p`: progress on standard output, in qemu-img's form.

use crate::progress::{cancel_on_signal, is_cancelled};
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// The progress of one command; shows nothing unless it was asked for.
#[derive(Debug)]
pub(super) struct Percent {
    shown: Option<Mutex<f64>>,
    cancelled: Arc<AtomicBool>,
}

impl Percent {
    /// Starts at nothing; Ctrl-C stops the work tidily from here on.
    pub(super) fn start(show: bool) -> Self {
        if show {
            print(0.0);
        }
        Self {
            shown: show.then(|| Mutex::new(0.0)),
            cancelled: cancel_on_signal(),
        }
    }

    /// Shows that everything is done.
    pub(super) fn complete(&self) {
        if self.shown.is_some() {
            print(100.0);
        }
    }

    /// Ends the line.
    pub(super) fn end(self) {
        if self.shown.is_some() {
            println!();
        }
    }
}

fn print(percent: f64) {
    let mut out = std::io::stdout().lock();
    // a closed pipe is nobody's failure
    let _ = write!(out, "    ({percent:.2}/100%)\r").and_then(|()| out.flush());
}

impl disksmith_image::Progress for Percent {
    fn advance(&self, done: u64, total: u64) {
        let Some(shown) = &self.shown else { return };
        let percent = done as f64 * 100.0 / total.max(1) as f64;
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if percent >= *shown + 1.0 && percent < 100.0 {
            *shown = percent;
            print(percent);
        }
    }

    fn unreadable(&self, offset: u64, error: &disksmith_image::Error) {
        let why = super::wording::cause(error, super::wording::Use::Read);
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
