//! Programs that decide, and guests to try things on.

use disksmith_guest::{Context, Dialect, Error, Guest, Operation, Report, SeededRandom, customize};
use disksmith_vfs::{MemoryFs, Owner, Timestamp, Tree};
use std::process::{Command, Stdio};
use std::sync::Arc;

pub(crate) const CLOCK: Timestamp = Timestamp {
    seconds: 1_750_000_000,
    nanoseconds: 0,
};

/// Runs a program; `None` where it is missing, which is only allowed outside of CI.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
    {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Some((output.status.success(), text))
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{program} is needed: {error}");
            eprintln!("SKIPPED: no {program} to judge");
            None
        }
    }
}

/// Whether crypt(3) of this machine takes the password for this field of a shadow file.
pub(crate) fn verifies(password: &str, field: &str) -> Option<bool> {
    let (_, hash) = run(
        "perl",
        &["-e", "print crypt($ARGV[0], $ARGV[1])", password, field],
    )?;
    Some(hash == field)
}

pub(crate) fn empty_tree() -> Tree {
    Tree::new(Arc::new(MemoryFs::new(CLOCK)), CLOCK)
}

/// Lays files out: `dir/` is a directory, a content `-> x` a symbolic link.
pub(crate) fn lay_out(tree: &Tree, files: &[(&str, &str)]) {
    for (path, contents) in files {
        if let Some(dir) = path.strip_suffix('/') {
            tree.create_dir_all(dir, Owner::ROOT, 0o755).unwrap();
            continue;
        }
        let dir = &path[..path.rfind('/').unwrap().max(1)];
        tree.create_dir_all(dir, Owner::ROOT, 0o755).unwrap();
        match contents.strip_prefix("-> ") {
            Some(target) => tree.symlink(target, path, Owner::ROOT).unwrap(),
            None => tree.write(path, contents.as_bytes(), Owner::ROOT, 0o644).unwrap(),
        }
    }
}

pub(crate) fn operations(list: &[(&str, &str)]) -> Vec<Operation> {
    list.iter()
        .map(|(name, argument)| Operation::parse(name, argument, Dialect::Disksmith).unwrap())
        .collect()
}

pub(crate) fn apply(guest: &Guest, list: &[(&str, &str)]) -> Result<Report, Error> {
    let mut random = SeededRandom::new(42);
    customize(guest, &operations(list), &mut Context::new(&mut random))
}

pub(crate) fn text(tree: &Tree, path: &str) -> String {
    tree.read_to_string(path).unwrap()
}

/// The second field of a user's line.
pub(crate) fn password_field(tree: &Tree, file: &str, user: &str) -> String {
    let contents = text(tree, file);
    let line = contents
        .lines()
        .find(|l| l.starts_with(&format!("{user}:")))
        .unwrap();
    line.split(':').nth(1).unwrap().to_owned()
}
