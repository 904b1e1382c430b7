//! Programs that judge.

use std::process::Command;

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
