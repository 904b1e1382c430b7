//! The programs that judge.

use std::path::Path;
use std::process::{Command, Output};

/// Whether these judges are there. Where one is missing the test is skipped loudly, or fails when `CI` is set.
pub(crate) fn have(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = std::env::var("PATH")
            .unwrap_or_default()
            .split(':')
            .chain(["/usr/sbin", "/sbin"])
            .any(|dir| Path::new(dir).join(program).exists());
        if !found {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing");
            eprintln!("SKIPPED: {program} is missing");
        }
        found
    })
}

/// Runs a program, with what it prints in English.
pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(program)
        .args(args)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs a program that has to succeed; gives what it printed.
#[track_caller]
pub(crate) fn run_ok(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{text}{errors}",
        output.status
    );
    text
}

/// Fails unless `e2fsck -fn` has nothing to say, neither in its status nor in its output.
#[track_caller]
pub(crate) fn assert_clean(image: &Path) {
    let output = run("e2fsck", &["-fn", image.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("Pass ") && !line.contains(" files (") && !line.trim().is_empty())
        .collect();
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}\n{text}",
        output.status
    );
}

/// What debugfs prints for a command.
pub(crate) fn debugfs(image: &Path, command: &str) -> String {
    run_ok("debugfs", &["-R", command, image.to_str().unwrap()])
}

/// Runs commands of debugfs that change the filesystem.
pub(crate) fn change(image: &Path, commands: &str) {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), commands).unwrap();
    let args = [
        "-w",
        "-f",
        script.path().to_str().unwrap(),
        image.to_str().unwrap(),
    ];
    run_ok("debugfs", &args);
}
