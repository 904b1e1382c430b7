//! Programs that judge.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Has tests wait for each other: a program that one of them starts holds copies of all open files, and with them their
/// locks, between fork and exec.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program is there. Where it is not, a test that needs it fails in CI, and is skipped elsewhere.
pub(crate) fn is_there(program: &str) -> bool {
    let there = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var_os("CI").is_none(),
        "{program} is not installed"
    );
    if !there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    there
}
