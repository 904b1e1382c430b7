//! Serving a mount from its beginning to its end, for the verb and for `guestmount`.

use super::background;
use super::mount_record::MountRecord;
use crate::failure::{Failure, Outcome};
use disksmith_export::{Changes, MountOptions, Running, Source, mount};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// How a mount is served.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    /// The directory.
    pub(crate) place: &'a Path,
    /// How the guest appears there.
    pub(crate) options: MountOptions,
    /// Stays in the foreground.
    pub(crate) foreground: bool,
    /// Prints a line of JSON when it is ready.
    pub(crate) json_ready: bool,
    /// Holds the number of the process while it runs.
    pub(crate) pid_file: Option<&'a Path>,
    /// Gets a byte when it is ready.
    pub(crate) ready_fd: Option<u32>,
    /// Gets what is said once the mount serves in the background.
    pub(crate) log_file: Option<&'a Path>,
    /// What a failure to mount is said to be, before its reason.
    pub(crate) doing: String,
    /// Says what is odd about the guest.
    pub(crate) warn: bool,
}

/// Mounts; returns when the mount can be used, or in the foreground when it has ended. An exit status comes from the process in the
/// background, which has said already why it failed.
///
/// # Errors
/// Those of opening the guest and of mounting; in the foreground those of the last commit.
pub(crate) fn serve(
    serving: &Serving<'_>,
    source: impl FnOnce() -> Outcome<Source>,
) -> Outcome<Option<ExitCode>> {
    let child = background::is_child();
    if !serving.foreground && !child {
        return match background::start()? {
            Ok(line) => {
                if serving.json_ready {
                    crate::output::print(&line)?;
                }
                Ok(None)
            }
            Err(status) => Ok(Some(status)),
        };
    }
    if child {
        background::leave_session();
    }
    let log = match serving.log_file.filter(|_| child) {
        Some(path) => Some(open_log(path)?),
        None => None,
    };
    let failed = |failure: Failure| match serving.doing.as_str() {
        "" => failure,
        doing => failure.doing(doing),
    };
    let source = source().map_err(failed)?;
    let writable = source.changes != Changes::Refused;
    let running = mount(&source, serving.place, &serving.options).map_err(|e| failed(e.into()))?;
    if serving.warn {
        for warning in running.warnings() {
            eprintln!("disksmith: warning: {warning}");
        }
    }
    let record = match MountRecord::write(running.place()) {
        Ok(record) => Some(record),
        Err(error) => {
            log::info!("umount will not wait for this mount: {error}");
            None
        }
    };
    end_on_signals(&running);
    if let Err(failure) = say_ready(serving, &running, writable, child, log) {
        // Nobody knows of it: it must not stay.
        running.stopper().stop();
        let _ = running.wait();
        if let Some(record) = record {
            record.remove();
        }
        return Err(failure);
    }
    let ended = running.wait();
    if let Some(path) = serving.pid_file {
        let _ = fs::remove_file(path);
    }
    match ended {
        Ok(()) => {
            if let Some(record) = record {
                record.remove();
            }
            Ok(None)
        }
        Err(error) => {
            let failure = Failure::from(error);
            if let Some(record) = record {
                record.fail(&failure);
            }
            Err(failure)
        }
    }
}

/// Ctrl-C and its like unmount.
fn end_on_signals(running: &Running) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let stopper = running.stopper();
    match signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(mut signals) => {
            std::thread::spawn(move || {
                for _ in signals.forever() {
                    stopper.stop();
                }
            });
        }
        Err(error) => log::warn!("signals cannot be caught: they end the mount at once ({error})"),
    }
}

fn open_log(path: &Path) -> Outcome<fs::File> {
    let opened = fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|e| Failure::io("write", path, &e))
}

fn say_ready(
    serving: &Serving<'_>,
    running: &Running,
    writable: bool,
    child: bool,
    log: Option<fs::File>,
) -> Outcome<()> {
    if let Some(path) = serving.pid_file {
        fs::write(path, format!("{}\n", std::process::id())).map_err(|e| Failure::io("write", path, &e))?;
    }
    if let Some(fd) = serving.ready_fd {
        let path = format!("/proc/self/fd/{fd}");
        let written = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut pipe| pipe.write_all(&[0]));
        written.map_err(|e| Failure::io("write to", Path::new(&path), &e))?;
    }
    let line = json!({
        "mounted": running.place().to_string_lossy(),
        "pid": std::process::id(),
        "writable": writable,
    });
    let line = format!("{line}\n");
    if child {
        background::say_ready(&line, log)
            .map_err(|e| Failure::io("write to", Path::new("standard output"), &e))
    } else if serving.json_ready {
        crate::output::print(&line)
    } else {
        Ok(())
    }
}
