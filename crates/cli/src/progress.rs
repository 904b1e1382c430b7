//! Progress of long work, on standard error: a bar on a terminal, JSON lines for programs.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar where standard error is a terminal, else nothing.
    Auto,
    /// A bar.
    Bar,
    /// One JSON object a line: phase, done, total (bytes), elapsed (seconds).
    Json,
    /// Nothing.
    None,
}

/// Work shorter than this shows nothing.
const QUIET_TIME: Duration = Duration::from_millis(500);
/// Time between two JSON lines.
const JSON_INTERVAL: Duration = Duration::from_millis(200);

/// A running piece of work.
#[derive(Debug)]
pub(crate) struct Progress {
    phase: &'static str,
    started: Instant,
    mode: ProgressMode,
    shown: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Progress {
    /// Starts to watch a piece of work that is named `phase`.
    pub(crate) fn start(phase: &'static str, mode: ProgressMode) -> Self {
        let terminal = std::io::stderr().is_terminal()
            && std::env::var_os("CI").is_none()
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let mode = match mode {
            ProgressMode::Auto if terminal => ProgressMode::Bar,
            ProgressMode::Auto => ProgressMode::None,
            other => other,
        };
        let now = Instant::now();
        Self {
            phase,
            started: now,
            mode,
            shown: Mutex::new(Shown { bar: None, last: now }),
        }
    }

    /// Tells how far the work is, in bytes. Cheap; call it as often as convenient, from any thread.
    pub(crate) fn advance(&self, done: u64, total: u64) {
        if self.mode == ProgressMode::None || self.started.elapsed() < QUIET_TIME {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if self.mode == ProgressMode::Bar {
            let bar = shown.bar.get_or_insert_with(|| self.new_bar());
            bar.set_length(total);
            bar.set_position(done);
        } else if shown.last.elapsed() >= JSON_INTERVAL {
            shown.last = Instant::now();
            self.json_line(done, total);
        }
    }

    /// Ends the watch; the bar disappears.
    pub(crate) fn finish(self) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &shown.bar {
            bar.finish_and_clear();
        }
    }

    fn new_bar(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template(
            "{prefix} {wide_bar} {percent:>3} %  {bytes} of {total_bytes}  {binary_bytes_per_sec}  {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(self.phase);
        bar.reset_elapsed();
        bar
    }

    fn json_line(&self, done: u64, total: u64) {
        let line = serde_json::json!({
            "phase": self.phase,
            "done": done,
            "total": total,
            "elapsed": (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        });
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// The flag that a signal raises, once there is one.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A flag that Ctrl-C (or SIGTERM) raises: long work looks at it and gives up tidily. A second signal ends the
/// process at once.
pub(crate) fn cancel_on_signal() -> Arc<AtomicBool> {
    Arc::clone(STOP.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let second = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag));
            let first = signal_hook::flag::register(signal, Arc::clone(&flag));
            if second.and(first).is_err() {
                log::warn!("signal {signal} cannot be caught: it ends the program at once");
            }
        }
        flag
    }))
}

/// Whether a signal asked the program to stop.
pub(crate) fn was_stopped() -> bool {
    STOP.get().is_some_and(|flag| is_cancelled(flag))
}

/// Whether the user asked to stop.
pub(crate) fn is_cancelled(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}
