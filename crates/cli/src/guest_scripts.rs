//! Scripts of the host that work on a guest's files, as the operation `script` of sysprep has them: the guest appears as a
//! directory of the host while they run, and what they change is part of the same edit.

use crate::failure::{Failure, Outcome};
use crate::progress::{cancel_on_signal, is_cancelled, was_stopped};
use disksmith_export::{MountOptions, mount_tree, unmount};
use disksmith_guest::{Error, Guest, Result, ScriptRunner};
use disksmith_storage::{Diagnose, ErrorKind};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// The scripts, in order.
#[derive(Debug)]
pub(crate) struct GuestScripts {
    scripts: Vec<OsString>,
    dir: Option<PathBuf>,
}

impl GuestScripts {
    /// The scripts that were named: programs of the host, or lines for its shell. `None` where none was.
    pub(crate) fn new(scripts: &[PathBuf], dir: Option<&Path>) -> Outcome<Option<Self>> {
        if scripts.is_empty() {
            return match dir {
                None => Ok(None),
                Some(_) => Err(Failure::usage("--scriptdir is of no use without --script")),
            };
        }
        let mut known = Vec::with_capacity(scripts.len());
        for script in scripts {
            let text = script.to_string_lossy();
            let is_path = text.contains('/') && !text.contains(char::is_whitespace);
            known.push(match (script.is_file() && text.contains('/'), is_path) {
                // The guest will be the working directory: what is named from here is meant, not a file of the guest.
                (true, _) => std::path::absolute(script)
                    .map_err(|e| Failure::io("find", script, &e))?
                    .into_os_string(),
                (false, true) => {
                    let failed = |e| Failure::io("run the script", script, &e);
                    std::fs::metadata(script).map_err(failed)?;
                    return Err(Failure::usage(format!("the script {text} is not a file")));
                }
                (false, false) => script.clone().into_os_string(),
            });
        }
        Ok(Some(Self {
            scripts: known,
            dir: dir.map(Path::to_owned),
        }))
    }

    fn run_in(&self, place: &Path) -> std::result::Result<(), ScriptFailure> {
        for script in &self.scripts {
            let failed = |reason: String| ScriptFailure {
                script: script.to_string_lossy().into_owned(),
                reason,
            };
            let mut command = if Path::new(script).is_absolute() {
                Command::new(script)
            } else {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-ec").arg(script);
                shell
            };
            let status = match run_in(&mut command, place) {
                // A script that does not name its interpreter is one of the shell.
                Err(error) if error.raw_os_error() == Some(ENOEXEC) => {
                    run_in(Command::new("/bin/sh").arg(script), place)
                }
                other => other,
            };
            let status = status.map_err(|e| failed(format!("it cannot be run: {e}")))?;
            if was_stopped() {
                return Err(failed("stopped by a signal".into()));
            }
            if !status.success() {
                let place = match status.code() {
                    Some(127) if !script.to_string_lossy().contains('/') => {
                        " (a file of this folder is named with ./ before it)"
                    }
                    _ => "",
                };
                return Err(failed(format!("it ended with {status}{place}")));
            }
        }
        Ok(())
    }
}

impl ScriptRunner for GuestScripts {
    fn run(&mut self, guest: &Guest) -> Result<()> {
        let own = match &self.dir {
            Some(_) => None,
            None => Some(TemporaryDirectory::new()?),
        };
        let place = match (&self.dir, &own) {
            (Some(dir), _) => dir.as_path(),
            (None, Some(own)) => own.path.as_path(),
            (None, None) => return Ok(()),
        };
        let options = MountOptions {
            name: "sysprep".into(),
            options: vec!["nosuid".into(), "nodev".into()],
            ..MountOptions::default()
        };
        let running = mount_tree(guest.tree(), place, &options).map_err(Error::below)?;
        let result = self.run_in(running.place());
        // While somebody uses it the edit is not whole.
        let unmounted = match unmount(running.place(), false) {
            Ok(()) => running.wait(),
            Err(error) => {
                running.stopper().stop();
                let _ = running.wait();
                Err(error)
            }
        };
        result.map_err(Error::below)?;
        unmounted.map_err(Error::below)
    }
}

/// `execve(2)`: the file has no format that can be run.
const ENOEXEC: i32 = 8;

/// Runs a program in a directory, as a process group of its own that ends when a signal asks for it: else what is mounted there would
/// stay behind.
fn run_in(command: &mut Command, place: &Path) -> std::io::Result<ExitStatus> {
    let stop = cancel_on_signal();
    let mut child = command
        .env("PATH", absolute_search_path())
        .current_dir(place)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if is_cancelled(&stop) {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::TERM);
                std::thread::sleep(GRACE);
                let _ = kill_process_group(group, Signal::KILL);
            }
            return child.wait();
        }
        std::thread::sleep(PAUSE);
    }
}

/// Between looks at whether a script has ended.
const PAUSE: Duration = Duration::from_millis(10);
/// What a script that is stopped has to tidy up.
const GRACE: Duration = Duration::from_millis(300);

/// The search path without what would be looked up in the guest.
fn absolute_search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    std::env::join_paths(folders).unwrap_or_default()
}

/// A script that failed, or could not be run.
#[derive(Debug)]
struct ScriptFailure {
    script: String,
    reason: String,
}

impl fmt::Display for ScriptFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the script {}: {}", self.script, self.reason)
    }
}

impl std::error::Error for ScriptFailure {}

impl Diagnose for ScriptFailure {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// A directory that is removed at the end.
#[derive(Debug)]
struct TemporaryDirectory {
    path: PathBuf,
}

impl TemporaryDirectory {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("disksmith-sysprep.{}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(Error::Host {
                operation: "make a directory at",
                path,
                source,
            }),
        }
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // Never what is in it: it may be mounted still.
        let _ = std::fs::remove_dir(&self.path);
    }
}
