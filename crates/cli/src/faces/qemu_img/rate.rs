//! `-r`: how much may be moved a second.

use super::percent::Percent;
use super::stop::Stop;
use crate::faces::getopt::Arguments;
use disksmith_image::Progress;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The progress of a command that keeps to a rate.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) percent: Percent,
    /// Bytes a second, and when the next piece may go.
    rate: Option<(u64, Mutex<Instant>)>,
}

/// Reads the rate limit of a command; 0 is none.
pub(super) fn rate(arguments: &Arguments) -> Result<Option<u64>, Stop> {
    let Some(text) = arguments.text("rate") else {
        return Ok(None);
    };
    let rate = super::size::disk("rate limit", &text)?;
    Ok(Some(rate).filter(|rate| *rate > 0))
}

impl Paced {
    /// Starts the progress.
    pub(super) fn start(show: bool, rate: Option<u64>) -> Self {
        Self {
            percent: Percent::start(show),
            rate: rate.map(|rate| (rate, Mutex::new(Instant::now()))),
        }
    }
}

impl Progress for Paced {
    fn advance(&self, done: u64, total: u64) {
        self.percent.advance(done, total);
    }

    fn moved(&self, bytes: u64) {
        let Some((rate, next)) = &self.rate else { return };
        let wait = {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let start = (*next).max(now);
            *next = start + Duration::from_secs_f64(bytes as f64 / *rate as f64);
            start - now
        };
        let mut left = wait;
        while !left.is_zero() && !self.is_cancelled() {
            let nap = left.min(Duration::from_millis(100));
            std::thread::sleep(nap);
            left = left.saturating_sub(nap);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.percent.is_cancelled()
    }
}
