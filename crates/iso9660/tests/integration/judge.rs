//! Running the programs that judge.

use std::path::Path;
use std::process::Command;

/// Runs a program and returns its standard output; `None`, with a loud word, where it is not installed (an error in CI).
pub(crate) fn run(program: &str, args: &[&str]) -> Option<String> {
    run_bytes(program, args).map(|out| String::from_utf8_lossy(&out).into_owned())
}

pub(crate) fn run_bytes(program: &str, args: &[&str]) -> Option<Vec<u8>> {
    let out = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output();
    match out {
        Ok(out) => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            assert!(
                out.status.success(),
                "{program} {args:?}: {}\n{stderr}",
                out.status
            );
            Some(out.stdout)
        }
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "{program} is not installed: {error}"
            );
            eprintln!("SKIPPED: {program} is not installed");
            None
        }
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
