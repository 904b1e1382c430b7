//! Going on in the background: the program starts itself again, as a child without a terminal, and waits until that says that
//! it is ready.

use crate::failure::{Failure, Outcome};
use disksmith_storage::ErrorKind;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Tells the child what it is.
const CHILD: &str = "DISKSMITH_MOUNT_CHILD";

/// Whether this is the child.
pub(super) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Starts the child with the same command line, and waits until it is ready. `Ok`: the line by which it said so; `Err` is its exit
/// status where it failed, and has said why.
///
/// # Errors
/// Where it cannot be started.
pub(super) fn start() -> Outcome<Result<String, ExitCode>> {
    let failed = |error: std::io::Error| {
        Failure::new(
            ErrorKind::Failed,
            format!("cannot go on in the background: {error}"),
        )
        .or_hint("stay in the foreground with --foreground")
    };
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "disksmith".into());
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(words)
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).map_err(failed)?;
    }
    if line.ends_with('\n') {
        return Ok(Ok(line));
    }
    let status = child.wait().map_err(failed)?;
    // One that ended without a word has not mounted anything, whatever it says.
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(Err(ExitCode::from(code.max(1))))
}

/// The child leaves the terminal's session, so that what is meant for the shell's programs does not reach it.
pub(super) fn leave_session() {
    if let Err(error) = rustix::process::setsid() {
        log::debug!("setsid: {error}");
    }
    // It was started by another name: messages about who uses an image, and ps, shall name the program.
    if let Err(error) = std::fs::write("/proc/self/comm", "disksmith") {
        log::debug!("/proc/self/comm: {error}");
    }
}

/// The child says that it is ready, and lets go of everything that it has from its parent. What it says later goes to `log`.
pub(super) fn say_ready(line: &str, log: Option<File>) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(line.as_bytes())?;
    out.flush()?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(log.as_ref().unwrap_or(&nothing))?;
    Ok(())
}
