//! Damaged images, judged by qemu-img: each line of `qemu_img_check_table.txt` is checked and repaired by both.

use crate::lab::{Lab, Said, judges};
use serde_json::Value;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const TABLE: &str = include_str!("qemu_img_check_table.txt");
const REPAIRS: [&[&str]; 3] = [&[], &["-r", "leaks"], &["-r", "all"]];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Everything that is said, the exit status, and what is left.
    Everything,
    /// What a repair says and does differs; it must not make the image worse.
    Kept,
    /// qemu-img does not open the image.
    Opens,
}

#[derive(Debug)]
enum Damage {
    Bytes(u64, Vec<u8>),
    Size(u64),
}

#[derive(Debug)]
struct Row {
    line: usize,
    rule: Rule,
    image: String,
    damages: Vec<Damage>,
}

fn damage(text: &str) -> Damage {
    let (at, value) = text.split_once('=').unwrap();
    if at == "size" {
        return Damage::Size(value.parse().unwrap());
    }
    let bytes = (0..value.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&value[i..i + 2], 16).unwrap());
    Damage::Bytes(at.parse().unwrap(), bytes.collect())
}

/// The commands that make the images, and the rows.
fn table() -> (Vec<String>, Vec<Row>) {
    let (mut commands, mut rows) = (Vec::new(), Vec::new());
    for (index, line) in TABLE.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(image) = line.strip_prefix("image ") {
            commands.push(image.split_once(": ").unwrap().1.to_owned());
            continue;
        }
        let (rule, line) = match line.split_once(' ') {
            Some(("@kept", rest)) => (Rule::Kept, rest),
            Some(("@opens", rest)) => (Rule::Opens, rest),
            _ => (Rule::Everything, line),
        };
        let mut words = line.split(' ');
        rows.push(Row {
            line: index + 1,
            rule,
            image: words.next().unwrap().to_owned(),
            damages: words.map(damage).collect(),
        });
    }
    (commands, rows)
}

/// A copy of the row's image, damaged, in a folder of its own.
fn damaged(prepared: &Path, folder: &Path, row: &Row) {
    std::fs::create_dir_all(folder).unwrap();
    for name in [row.image.clone(), format!("{}.data", row.image)] {
        if prepared.join(&name).exists() {
            std::fs::copy(prepared.join(&name), folder.join(&name)).unwrap();
        }
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(folder.join(&row.image))
        .unwrap();
    for damage in &row.damages {
        match damage {
            Damage::Size(size) => file.set_len(*size).unwrap(),
            Damage::Bytes(at, bytes) => {
                file.seek(SeekFrom::Start(*at)).unwrap();
                file.write_all(bytes).unwrap();
            }
        }
    }
}

fn run(program: &Path, words: &[&str], folder: &Path) -> Said {
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C");
    command.output().unwrap().into()
}

/// Errors, corruptions and leaks that qemu-img finds; `None` where it cannot say.
fn left(folder: &Path, image: &str) -> Option<[u64; 3]> {
    let said = run(Path::new("qemu-img"), &["check", "--output=json", image], folder);
    let json: Value = serde_json::from_str(&said.stdout).ok()?;
    let number = |key: &str| json.get(key).and_then(Value::as_u64).unwrap_or(0);
    Some([number("check-errors"), number("corruptions"), number("leaks")])
}

/// What the guest reads, as far as qemu-img can read it.
fn contents(folder: &Path, image: &str) -> Option<Vec<u8>> {
    let said = run(
        Path::new("qemu-img"),
        &["convert", "-O", "raw", image, "contents"],
        folder,
    );
    let bytes = std::fs::read(folder.join("contents")).ok();
    let _ = std::fs::remove_file(folder.join("contents"));
    bytes.filter(|_| said.status == 0)
}

fn judge(row: &Row, repair: &[&str], ours: &Path, prepared: &Path, place: &Path) -> Result<(), String> {
    let [mine, theirs] = ["ours", "theirs"].map(|side| place.join(side));
    damaged(prepared, &mine, row);
    let before = contents(&mine, &row.image);
    let found = left(&mine, &row.image);
    let words = [&["check"], repair, &[&row.image]].concat();
    let a = run(ours, &words, &mine);
    if a.status > 3 {
        return Err(format!("ours {a:?}"));
    }
    let after = contents(&mine, &row.image);
    if before.is_some() && before != after {
        return Err(format!("the guest reads something else after it: {a:?}"));
    }
    if row.rule != Rule::Everything && (row.rule == Rule::Opens || !repair.is_empty()) {
        let now = left(&mine, &row.image);
        return match (found, now) {
            (Some(found), Some(now)) if now[1] > found[1] => {
                Err(format!("before {found:?}, after {now:?}: {a:?}"))
            }
            (Some(_), None) => Err(format!("qemu-img cannot open it any more: {a:?}")),
            _ => Ok(()),
        };
    }
    damaged(prepared, &theirs, row);
    let b = run(Path::new("qemu-img"), &words, &theirs);
    if (a.status, &a.stdout, &a.stderr) != (b.status, &b.stdout, &b.stderr) {
        return Err(format!("ours {a:#?}\nqemu-img's {b:#?}"));
    }
    if !repair.is_empty() {
        let (mine, theirs) = (left(&mine, &row.image), left(&theirs, &row.image));
        if mine != theirs {
            return Err(format!("left by ours {mine:?}, by qemu-img {theirs:?}"));
        }
    }
    Ok(())
}

#[test]
fn damaged_images_are_checked_and_repaired_as_qemu_img_does() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    let (commands, rows) = table();
    let prepared = lab.path("prepared");
    std::fs::create_dir(&prepared).unwrap();
    for command in commands {
        run(Path::new("sh"), &["-ec", &command], &prepared).ok();
    }
    std::fs::create_dir(lab.path("bin")).unwrap();
    let ours: PathBuf = lab.path("bin/qemu-img");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_disksmith"), &ours).unwrap();
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (index, repair) in REPAIRS.iter().enumerate() {
                        // In a short run one of the three, each line another one.
                        if !long && row.line % REPAIRS.len() != index {
                            continue;
                        }
                        let place = lab.path(&format!("{}-{index}", row.line));
                        if let Err(why) = judge(row, repair, &ours, &prepared, &place) {
                            let text = format!("line {} {repair:?}: {why}", row.line);
                            failures.lock().unwrap().push(text);
                        }
                        let _ = std::fs::remove_dir_all(place);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} rows differ:\n\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n\n")
    );
}
