//! The programs that judge: mke2fs, e2fsck, debugfs, dumpe2fs.

use std::path::Path;
use std::process::{Command, Output};

/// Whether a judge is there. Where it is missing the test is skipped loudly, or fails when `CI` is set.
pub fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
        .unwrap_or(false)
        || ["/usr/sbin", "/sbin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists());
    if !found {
        missing(program);
    }
    found
}

/// Says that something that judges is missing.
pub fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing");
    eprintln!("SKIPPED: {what} is missing");
}

/// Whether longer runs are asked for.
pub fn long() -> bool {
    std::env::var_os("DISKSMITH_LONG").is_some()
}

/// Runs a program with what it prints in English; does not look at its exit status.
pub fn run(program: &str, args: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(program)
        .args(args)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs a program that has to succeed; returns what it printed.
pub fn run_ok(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes an image of `size` bytes with mke2fs and these options.
pub fn mke2fs(image: &Path, size: u64, options: &str) {
    let file = std::fs::File::create(image).unwrap();
    file.set_len(size).unwrap();
    let mut args: Vec<&str> = vec!["-q", "-F"];
    args.extend(options.split_whitespace());
    let path = image.to_str().unwrap();
    args.push(path);
    run_ok("mke2fs", &args);
}

/// The last line of e2fsck: `label: 11/16384 files (0.0% non-contiguous), 5112/65536 blocks`.
fn is_summary(line: &str) -> bool {
    line.contains(" files (") && line.ends_with(" blocks") && !line.contains("FILE SYSTEM WAS MODIFIED")
}

/// What `e2fsck -fn` complains of; empty where it is content. Its exit status alone hides wrong counts.
pub fn e2fsck_complaints(image: &Path) -> String {
    let path = image.to_str().unwrap();
    let output = run("e2fsck", &["-fn", path]);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut complaints: String = text
        .lines()
        .filter(|line| !line.starts_with("Pass ") && !is_summary(line) && !line.trim().is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        if !line.starts_with("e2fsck ") {
            complaints.push_str(line);
            complaints.push('\n');
        }
    }
    if !output.status.success() && complaints.is_empty() {
        complaints = format!("{}\n{text}", output.status);
    }
    complaints
}

/// Fails unless `e2fsck -fn` has nothing to say.
#[track_caller]
pub fn assert_clean(image: &Path, when: &str) {
    let complaints = e2fsck_complaints(image);
    if !complaints.is_empty() {
        let kept = keep(image);
        panic!("{when}: e2fsck -fn complains (image kept as {kept}):\n{complaints}");
    }
}

/// Keeps an image for looking at, where `DISKSMITH_KEEP` names a folder.
pub fn keep(image: &Path) -> String {
    let Some(dir) = std::env::var_os("DISKSMITH_KEEP") else {
        return "nothing: DISKSMITH_KEEP names no folder".into();
    };
    let name = image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let to = Path::new(&dir).join(format!("failed-{}-{name}", std::process::id()));
    copy_sparse(image, &to);
    to.display().to_string()
}

/// Copies an image with its holes.
pub fn copy_sparse(from: &Path, to: &Path) {
    run_ok(
        "cp",
        &["--sparse=always", from.to_str().unwrap(), to.to_str().unwrap()],
    );
}

/// Gives debugfs a list of commands; returns what it printed.
pub fn debugfs(image: &Path, commands: &str, write: bool) -> String {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), commands).unwrap();
    let mut args = vec!["-f", script.path().to_str().unwrap()];
    if write {
        args.push("-w");
    }
    args.push(image.to_str().unwrap());
    run_ok("debugfs", &args)
}
