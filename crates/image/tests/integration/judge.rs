//! The independent programs that decide.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether a program is there. Where it is not, a test fails in CI and says loudly elsewhere that it was skipped.
pub(crate) fn have(program: &str) -> bool {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is needed and missing"
        );
        eprintln!("SKIPPED: {program} is missing, its judgement was not asked for");
    }
    there
}

/// Runs a program in a directory; returns what it said.
pub(crate) fn run(dir: &Path, program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

/// Runs a program that finds an image free in the end: a process that another test is starting holds copies of our locked
/// descriptors until it runs its program.
fn run_unlocked(dir: &Path, program: &str, args: &[&str]) -> Output {
    for _ in 0..200 {
        let out = run(dir, program, args);
        if out.status.success() || !String::from_utf8_lossy(&out.stderr).contains("lock") {
            return out;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    run(dir, program, args)
}

/// Runs a program that must succeed; returns its standard output.
pub(crate) fn ok(dir: &Path, program: &str, args: &[&str]) -> String {
    let out = run_unlocked(dir, program, args);
    assert!(
        out.status.success(),
        "{program} {args:?}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

pub(crate) fn qemu_img(dir: &Path, args: &str) -> String {
    ok(dir, "qemu-img", &args.split_whitespace().collect::<Vec<_>>())
}

/// Runs qemu-io commands on a file.
pub(crate) fn qemu_io(dir: &Path, format: &str, file: &str, commands: &[&str]) {
    let mut args = vec!["-f", format];
    for command in commands {
        args.extend(["-c", command]);
    }
    args.push(file);
    let out = run_unlocked(dir, "qemu-io", &args);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success() && !said.contains("failed"),
        "qemu-io {args:?}: {said}"
    );
}

/// Says how `qemu-img check` judges: clean or not.
pub(crate) fn assert_clean(path: &Path) {
    let out = run_unlocked(Path::new("/"), "qemu-img", &["check", path.to_str().unwrap()]);
    assert!(
        out.status.success(),
        "qemu-img check {}: {}{}",
        path.display(),
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Asserts that two images hold the same for qemu-img.
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let out = run_unlocked(
        Path::new("/"),
        "qemu-img",
        &["compare", a.to_str().unwrap(), b.to_str().unwrap()],
    );
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// A directory for one test, and the working directory of the tests' relative names.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn paths(dir: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|n| dir.join(n)).collect()
}
