//! The face of qemu-img, judged by qemu-img: each line of `qemu_img_table.txt` is run by both on copies of the same files.

use crate::lab::{Lab, Said, judges, may_mount};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const TABLE: &str = include_str!("qemu_img_table.txt");

/// How far a row must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Exit status, standard output, standard error, and the files afterwards.
    Everything,
    /// Exit status and files: texts for people only.
    Status,
    /// A difference that is known, and that the table explains: exit status, and there must still be one.
    Differs,
    /// Not there yet: exit status 1 and a message that says so.
    Refused,
}

#[derive(Debug)]
struct Row {
    line: usize,
    rule: Rule,
    commands: Vec<Vec<String>>,
}

impl Row {
    /// Whether it cannot change a file, so that no copies are needed.
    fn only_reads(&self) -> bool {
        const READING: &[&str] = &["info", "compare", "map", "measure"];
        self.commands.iter().all(|command| {
            let verb = command.first().map_or("", String::as_str);
            let bench = verb == "bench" && !command.iter().any(|word| word == "-w" || word == "--write");
            READING.contains(&verb)
                || bench
                || verb == "check" && !command.iter().any(|word| word.contains("-r"))
        })
    }
}

/// Splits a line at blanks; quotes keep them. ` ; ` stands between commands.
fn words(text: &str) -> Vec<Vec<String>> {
    let (mut commands, mut command, mut word, mut open, mut quoted) =
        (Vec::new(), Vec::new(), String::new(), false, false);
    for c in text.chars().chain([' ']) {
        match c {
            '\'' => {
                quoted = !quoted;
                open = true;
            }
            ' ' if !quoted => {
                if open && word == ";" {
                    commands.push(std::mem::take(&mut command));
                } else if open {
                    command.push(word.clone());
                }
                word.clear();
                open = false;
            }
            c => {
                word.push(c);
                open = true;
            }
        }
    }
    commands.push(command);
    commands
}

/// All rows in CI and with `DISKSMITH_LONG`, some of them else; `DISKSMITH_ROWS=FIRST-LAST` chooses lines of the table.
fn rows() -> Vec<Row> {
    let numbered = TABLE
        .lines()
        .enumerate()
        .map(|(index, text)| (index + 1, text.trim_end()));
    let all = ["CI", "DISKSMITH_LONG"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let only = std::env::var("DISKSMITH_ROWS").ok().and_then(|lines| {
        let (first, last) = lines.split_once('-')?;
        Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
    });
    let mut sampled = false;
    let lines = numbered.filter(|(line, text)| {
        sampled |= *text == "...";
        let is_row = !text.is_empty() && !text.starts_with('#') && *text != "...";
        let chosen = match &only {
            Some(only) => only.contains(line),
            None => all || line % if sampled { 16 } else { 6 } == 0,
        };
        is_row && chosen
    });
    lines
        .map(|(line, text)| {
            let (rule, text) = match text.split_once(' ') {
                Some(("@status", rest)) => (Rule::Status, rest),
                Some(("@differs", rest)) => (Rule::Differs, rest),
                Some(("@refused", rest)) => (Rule::Refused, rest),
                _ => (Rule::Everything, text),
            };
            Row {
                line,
                rule,
                commands: words(text.strip_prefix(':').unwrap_or(text)),
            }
        })
        .collect()
}

/// The files on which all rows work.
fn prepare(lab: &Lab) {
    std::fs::create_dir(lab.path("prepared")).unwrap();
    let qemu = |line: &str| {
        let mut command = Command::new("sh");
        command.arg("-ec").arg(line).current_dir(lab.path("prepared"));
        let said: Said = command.output().unwrap().into();
        said.ok();
    };
    qemu(
        "qemu-img create -q -f qcow2 a.qcow2 10M; \
         qemu-io -f qcow2 -c 'write -q -P 7 1M 256k' -c 'write -q -z 4M 128k' a.qcow2; \
         qemu-img create -q b.raw 1M; qemu-io -f raw -c 'write -q -P 7 512k 8k' b.raw; \
         qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 t.qcow2; qemu-io -f qcow2 -c 'write -q -P 3 2M 64k' t.qcow2; \
         qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 same.qcow2; \
         qemu-img create -q -f qcow2 -b b.raw -F raw mid.qcow2; \
         cp b.raw gone.raw; qemu-img create -q -f qcow2 -b gone.raw -F raw orphan.qcow2; rm gone.raw; \
         cp a.qcow2 c.qcow2; qemu-io -f qcow2 -c 'write -q -P 9 3M 64k' c.qcow2; \
         cp c.qcow2 s.qcow2; qemu-img snapshot -c s1 s.qcow2; qemu-img snapshot -c s2 s.qcow2; \
         qemu-img create -q -f qcow2 d.qcow2 20M; qemu-img create -q z1 10M; qemu-img create -q z2 20M; \
         qemu-img convert -c -O qcow2 a.qcow2 comp.qcow2; \
         qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 5M; \
         qemu-img create -q -f qcow2 -o cluster_size=4k,lazy_refcounts=on small.qcow2 3M; \
         qemu-io -f qcow2 -c 'write -q -P 1 0 20k' small.qcow2; \
         qemu-img create -q -f qcow2 -o extended_l2=on x2.qcow2 4M; qemu-io -f qcow2 -c 'write -q -P 1 6k 9k' x2.qcow2; \
         qemu-img create -q -f qcow2 bits.qcow2 10M; qemu-img bitmap --add bits.qcow2 b0; \
         qemu-img create -q -f qcow2 bits2.qcow2 10M; qemu-img bitmap --add -g 32k bits2.qcow2 b0; \
         qemu-img bitmap --add --disable bits2.qcow2 b1; qemu-io -f qcow2 -c 'write -q 1M 64k' bits2.qcow2; \
         : > empty; yes odd | head -c 1000 > odd; qemu-img create -q -f qcow2 zero.qcow2 0; \
         for name in 'sp ace' a,b c:d -dash; do qemu-img create -q -f raw -- \"./$name.raw\" 1M; done; \
         mkdir sub; qemu-img create -q -f qcow2 -b ../a.qcow2 -F qcow2 sub/deep.qcow2; \
         ln -s ../a.qcow2 sub/link.qcow2; qemu-img create -q -f qcow2 -b link.qcow2 -F qcow2 sub/vialink.qcow2; \
         qemu-img create -q -f qcow2 -o data_file=e.data ext.qcow2 2M; \
         cp a.qcow2 leaky.qcow2; truncate -s 2M leaky.qcow2; printf '\\0\\1' | dd of=leaky.qcow2 bs=1 seek=131102 conv=notrunc status=none; \
         cp a.qcow2 corrupt.qcow2; printf '\\0\\0' | dd of=corrupt.qcow2 bs=1 seek=131080 conv=notrunc status=none; \
         qemu-img create -q -f qcow2 -o compression_type=zstd zst.qcow2 4M; \
         key='--object secret,id=k,data=abc'; \
         qemu-img create -q -f luks $key -o key-secret=k,iter-time=10 x.luks 1M; \
         qemu-img create -q -f qcow2 $key -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 enc.qcow2 1M; \
         qemu-img create -q -f qcow2 $key -o encrypt.format=aes,encrypt.key-secret=k aes.qcow2 1M; \
         qemu-io -c 'write -q -P 7 64k 128k' $key --image-opts driver=qcow2,encrypt.key-secret=k,file.filename=enc.qcow2; \
         qemu-io -c 'write -q -P 7 64k 100k' $key --image-opts driver=qcow2,encrypt.key-secret=k,file.filename=aes.qcow2; \
         qemu-img create -q -f qcow2 -b enc.qcow2 -F qcow2 over.qcow2; \
         echo hello > junk",
    );
}

/// What must be the same in the texts of both: sizes on the host's disk and dates apart.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if let Some((before, _)) = line.split_once("disk size: ") {
            out.push_str(before);
            out.push_str("disk size: …\n");
        } else if let Some((before, _)) = line.split_once("\"actual-size\": ") {
            out.push_str(before);
            out.push_str("\"actual-size\": …\n");
        } else if line.starts_with("Run completed in ") {
            out.push_str("Run completed in … seconds.\n");
        } else if line.contains("/100%)\r") {
            // only the first and the last step are certain
            let steps: Vec<&str> = line.split_inclusive('\r').collect();
            let certain = steps
                .iter()
                .filter(|s| !s.ends_with('\r') || s.contains("(0.00/") || s.contains("(100.00/"));
            out.extend(certain.copied());
        } else {
            out.push_str(line);
        }
    }
    out
}

fn run(program: &Path, lead: &[&str], words: &[String], folder: &Path) -> Said {
    let mut command = Command::new(program);
    command
        .args(lead)
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    let mut said: Said = command.output().unwrap().into();
    said.stdout = normal(&said.stdout);
    said
}

fn files(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names
}

fn judge_json(folder: &Path, line: &str, name: &str) -> Option<Value> {
    let mut arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
    arguments.push(name.into());
    let said = run(Path::new("qemu-img"), &[], &arguments, folder);
    let text = said.stdout.replace("\"actual-size\": …", "\"actual-size\": 0,");
    serde_json::from_str(&text).ok()
}

/// What `qemu-img info` tells of a file, without what differs from run to run.
fn told(folder: &Path, name: &str) -> Option<Value> {
    let mut info = judge_json(folder, "info -U --output=json", name)?;
    let members = info.as_object_mut()?;
    for key in ["children", "actual-size"] {
        members.remove(key);
    }
    // snapshots are made when they are made
    for snapshot in members
        .get_mut("snapshots")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(snapshot) = snapshot.as_object_mut() {
            snapshot.retain(|key, _| !key.starts_with("date-"));
        }
    }
    Some(info)
}

/// What `qemu-img map` tells, without places in the file.
fn mapped(folder: &Path, name: &str) -> Option<Vec<Value>> {
    let mut list = judge_json(folder, "map -U --output=json", name)?
        .as_array()?
        .clone();
    for entry in &mut list {
        entry.as_object_mut()?.remove("offset");
    }
    let mut joined: Vec<Value> = Vec::new();
    for entry in list {
        let same = joined.last().is_some_and(|last| {
            ["depth", "present", "zero", "data", "compressed"]
                .iter()
                .all(|key| last[*key] == entry[*key])
        });
        match joined.last_mut() {
            Some(last) if same => {
                last["length"] = (last["length"].as_u64()? + entry["length"].as_u64()?).into();
            }
            _ => joined.push(entry),
        }
    }
    Some(joined)
}

/// Compares the files that both left behind.
fn same_files(prepared: &Path, ours: &Path, theirs: &Path, succeeded: bool) -> Result<(), String> {
    let (before, mine, judge) = (files(prepared), files(ours), files(theirs));
    if succeeded && mine != judge {
        return Err(format!("files: ours {mine:?}\nqemu-img's {judge:?}"));
    }
    for name in mine.intersection(&judge) {
        let touched = |folder: &Path| {
            let time = |folder: &Path| {
                std::fs::metadata(folder.join(name))
                    .and_then(|m| m.modified())
                    .ok()
            };
            time(folder) != time(prepared)
        };
        if !touched(ours) && !touched(theirs) {
            continue;
        }
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        let (a, b) = (read(ours), read(theirs));
        if a == b {
            continue;
        }
        if !succeeded && !before.contains(name) {
            continue;
        }
        let (a, b) = (told(ours, name), told(theirs, name));
        if a != b {
            return Err(format!("info of {name}: ours {a:#?}\nqemu-img's {b:#?}"));
        }
        let raw = a.as_ref().is_some_and(|info| info["format"] == "raw");
        let backing = a.as_ref().and_then(|info| info["full-backing-filename"].as_str());
        let alone = backing.is_some_and(|backing| !ours.join(backing).exists());
        let pair = [ours, theirs].map(|folder| {
            let path = folder.join(name).to_string_lossy().into_owned();
            match alone {
                // what an overlay holds whose backing file is not there
                true => {
                    format!("json:{{\"driver\":\"qcow2\",\"backing\":null,\"file.filename\":\"{path}\"}}")
                }
                false => path,
            }
        });
        let compare = ["compare", "-U", &pair[0], &pair[1]].map(str::to_owned);
        let said = run(Path::new("qemu-img"), &[], &compare, ours);
        if said.status != 0 {
            return Err(format!("contents of {name}: {said:?}"));
        }
        if !raw && !alone {
            let said = run(
                Path::new("qemu-img"),
                &[],
                &["check".to_owned(), name.clone()],
                ours,
            );
            if said.status != 0 {
                return Err(format!("check of {name}: {said:?}"));
            }
            let (a, b) = (mapped(ours, name), mapped(theirs, name));
            if a != b {
                return Err(format!("map of {name}: ours {a:?}\nqemu-img's {b:?}"));
            }
        }
    }
    Ok(())
}

fn judge_row(lab: &Lab, row: &Row, ours: &Path) -> Result<(), String> {
    let prepared = lab.path("prepared");
    let folders = ["ours", "theirs"].map(|side| lab.path(&format!("{}-{side}", row.line)));
    if row.only_reads() {
        return judge_in(row, ours, &prepared, &prepared, &prepared);
    }
    for folder in &folders {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg("--sparse=always").arg(&prepared).arg(folder);
        Said::from(copy.output().unwrap()).ok();
    }
    let [mine, theirs] = &folders;
    let result = judge_in(row, ours, &prepared, mine, theirs);
    for folder in &folders {
        std::fs::remove_dir_all(folder).unwrap();
    }
    result
}

fn judge_in(row: &Row, ours: &Path, prepared: &Path, mine: &Path, theirs: &Path) -> Result<(), String> {
    let mut differed = false;
    let mut result = Ok(());
    for command in &row.commands {
        let a = run(ours, &[], command, mine);
        if row.rule == Rule::Refused {
            if a.status != 1 || !a.stderr.contains("is not supported yet") {
                result = Err(format!("it should be refused: {a:?}"));
            }
            break;
        }
        let b = run(Path::new("qemu-img"), &[], command, theirs);
        let texts = matches!(row.rule, Rule::Status | Rule::Differs)
            || (a.stdout == b.stdout && a.stderr == b.stderr);
        if a.status != b.status || !texts {
            result = Err(format!("ours {a:#?}\nqemu-img's {b:#?}"));
            break;
        }
        result = same_files(prepared, mine, theirs, a.status == 0);
        if row.rule == Rule::Differs && a.status == b.status {
            differed |= result.is_err() || a.stdout != b.stdout || a.stderr != b.stderr;
            result = Ok(());
        }
        if result.is_err() {
            break;
        }
    }
    if row.rule == Rule::Differs && result.is_ok() && !differed {
        return Err("it does not differ any more".into());
    }
    result
}

#[test]
fn the_face_agrees_with_qemu_img_row_by_row() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    prepare(&lab);
    std::fs::create_dir(lab.path("bin")).unwrap();
    let ours = lab.path("bin/qemu-img");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_disksmith"), &ours).unwrap();
    let rows = rows();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = judge_row(&lab, row, &ours) {
                        let text = row
                            .commands
                            .iter()
                            .map(|c| c.join(" "))
                            .collect::<Vec<_>>()
                            .join(" ; ");
                        failures
                            .lock()
                            .unwrap()
                            .push((row.line, format!("line {}: {text}\n{why}", row.line)));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let texts: Vec<&str> = failures.iter().map(|(_, text)| text.as_str()).collect();
    assert!(
        texts.is_empty(),
        "{} of {} rows differ:\n\n{}",
        texts.len(),
        rows.len(),
        texts.join("\n\n")
    );
}

#[test]
fn the_face_is_a_verb_too() {
    let lab = Lab::new();
    let said = lab.disksmith("qemu-img create -f qcow2 x.qcow2 1M").ok();
    assert!(said.starts_with("Formatting 'x.qcow2', fmt=qcow2 "), "{said}");
    assert!(
        lab.disksmith("qemu-img --version")
            .ok()
            .starts_with("qemu-img version 10.0.2 ")
    );
    assert!(
        lab.disksmith("qemu-img info --help")
            .ok()
            .contains("qemu-img info")
    );
}

/// qemu-img makes these, and what the image held is gone.
#[test]
fn an_image_is_not_put_on_top_of_itself() {
    let lab = Lab::new();
    lab.disksmith("qemu-img create -q -f qcow2 a.qcow2 1M").ok();
    lab.disksmith("qemu-img create -q -f qcow2 b.qcow2 1M").ok();
    let before = std::fs::read(lab.path("a.qcow2")).unwrap();
    for line in [
        "create -q -f qcow2 -b a.qcow2 -F qcow2 a.qcow2",
        "create -q -f qcow2 -b ./a.qcow2 -F qcow2 a.qcow2",
        "create -q -u -f qcow2 -b ./a.qcow2 -F qcow2 a.qcow2 1M",
        "convert -O qcow2 -B a.qcow2 -F qcow2 b.qcow2 a.qcow2",
        "convert -O qcow2 -B ./new.qcow2 -F qcow2 b.qcow2 new.qcow2",
    ] {
        let said = lab.disksmith(&format!("qemu-img {line}"));
        assert_eq!(said.status, 1, "{line}: {said:?}");
        assert_eq!(std::fs::read(lab.path("a.qcow2")).unwrap(), before, "{line}");
    }
    assert!(!lab.path("new.qcow2").exists());
}

/// SIGUSR1 asks how far a command is; none dies of it.
#[test]
fn a_signal_asks_for_progress() {
    let lab = Lab::new();
    lab.write("source.raw", vec![7; 4 << 20]);
    for (shown, asked) in [("", true), ("-q", true), ("-p", false)] {
        let line = format!("qemu-img convert {shown} -r 2M -f raw -O raw source.raw out.raw");
        let mut command = lab.command(&line.split_whitespace().collect::<Vec<_>>());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let state = format!("/proc/{}/status", child.id());
        let listens = |state: &str| {
            let caught = state.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_some_and(|mask| mask & 1 << 9 != 0)
        };
        let begun = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            listens(&std::fs::read_to_string(&state).unwrap())
        });
        assert!(begun, "{line}");
        let kill = format!("kill -USR1 {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let status = child.wait().unwrap();
        assert!(status.success(), "{line}: {status}");
        let told = child.wait_with_output().unwrap();
        let (out, err) = (
            String::from_utf8(told.stdout).unwrap(),
            String::from_utf8(told.stderr).unwrap(),
        );
        if !asked {
            assert!(out.starts_with("    (0.00/100%)\r"), "{out}");
            assert!(err.is_empty(), "{err}");
        } else {
            assert!(out.is_empty(), "{out}");
            let percent = err
                .strip_prefix("    (")
                .and_then(|rest| rest.strip_suffix("/100%)\n"));
            let percent: f64 = percent.unwrap_or_else(|| panic!("{err:?}")).parse().unwrap();
            assert!((0.0..=100.0).contains(&percent), "{err}");
        }
        assert_eq!(lab.read("out.raw"), lab.read("source.raw"));
        std::fs::remove_file(lab.path("out.raw")).unwrap();
    }
}

/// What cannot be read is told, and becomes zeroes, as with qemu-img.
#[test]
fn salvage_tells_what_is_lost() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    lab.tool("qemu-img create -q -f qcow2 hurt.qcow2 1M").ok();
    for write in ["write -c -P 2 0 64k", "write -P 3 512k 64k"] {
        lab.tool_args(&["qemu-io", "-f", "qcow2", "-c", write, "hurt.qcow2"])
            .ok();
    }
    let mut bytes = lab.read("hurt.qcow2");
    let word = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let l1 = word(&bytes, 40) as usize;
    let l2 = (word(&bytes, l1) & 0x00ff_ffff_ffff_fe00) as usize;
    let data = (word(&bytes, l2) & ((1 << 54) - 1)) as usize;
    bytes[data..data + 40].fill(0xff);
    lab.write("hurt.qcow2", bytes);
    let line = "qemu-img convert --salvage -f qcow2 -O raw hurt.qcow2";
    let theirs = lab.tool(&format!("{line} theirs"));
    let ours = lab.disksmith(&format!("{line} ours"));
    assert!(theirs.stderr.lines().count() == 128, "{theirs:?}");
    assert_eq!((ours.status, ours.stderr), (theirs.status, theirs.stderr));
    assert!(lab.read("ours") == lab.read("theirs"));
}

/// A block device is written over, never replaced by a file of its name; so is what is no file at all.
#[test]
fn a_device_stays_a_device() {
    use std::os::unix::fs::FileTypeExt;
    let lab = Lab::new();
    lab.tool("mkfifo pipe").ok();
    lab.disksmith("qemu-img create -q -f raw pipe 1M").fails(1);
    assert!(lab.path("pipe").metadata().unwrap().file_type().is_fifo());
    if !may_mount() || !judges(&["qemu-img", "losetup"]) {
        return;
    }
    lab.write("held", b"disksmith".repeat(1 << 20).get(..4 << 20).unwrap());
    lab.write("small.raw", vec![5; 1 << 20]);
    lab.write("large.raw", vec![6; 5 << 20]);
    let device = lab.tool("losetup -f --show held").ok().trim().to_owned();
    let tried = std::panic::catch_unwind(|| on_device(&lab, &device));
    lab.tool(&format!("losetup -d {device}")).ok();
    tried.unwrap();
}

fn on_device(lab: &Lab, device: &str) {
    use std::os::unix::fs::FileTypeExt;
    let said = lab.disksmith(&format!("qemu-img convert -f raw -O raw large.raw {device}"));
    let grow = "error while converting raw: Cannot grow device files\n";
    assert_eq!(
        (said.status, said.stderr),
        (1, format!("qemu-img: {device}: {grow}"))
    );
    let said = lab.disksmith(&format!("qemu-img convert -n -f raw -O raw large.raw {device}"));
    let smaller = "qemu-img: output file is smaller than input file\n";
    assert_eq!((said.status, said.stderr.as_str()), (1, smaller));
    let before = lab.read("held");
    for new in ["", "-n"] {
        lab.disksmith(&format!(
            "qemu-img convert {new} -f raw -O raw small.raw {device}"
        ))
        .ok();
        assert!(std::fs::metadata(device).unwrap().file_type().is_block_device());
        lab.tool(&format!("blockdev --flushbufs {device}")).ok();
        let after = lab.read("held");
        assert_eq!(after[..1 << 20], lab.read("small.raw"));
        assert!(after[1 << 20..] == before[1 << 20..]);
    }
    lab.disksmith(&format!("qemu-img convert -f raw -O qcow2 {device} back.qcow2"))
        .ok();
    lab.qemu_same("back.qcow2", device);
    lab.disksmith(&format!("qemu-img convert -f raw -O qcow2 small.raw {device}"))
        .fails(1);
    assert!(std::fs::metadata(device).unwrap().file_type().is_block_device());
}

/// A raw image in which somebody writes can be looked at, as with qemu-img, but not changed.
#[test]
fn the_face_reads_raw_images_in_use() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    lab.disksmith("qemu-img create -q held.raw 1M").ok();
    let mut holder = Command::new("qemu-io");
    holder
        .args(["-f", "raw", "held.raw"])
        .current_dir(lab.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let held = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        lab.disksmith("qemu-img resize -f raw held.raw 2M").status == 1
            || lab
                .disksmith("qemu-img resize --shrink -f raw held.raw 1M")
                .status
                == 1
    });
    assert!(held, "qemu-io does not hold the image");
    for line in [
        "info held.raw",
        "map held.raw",
        "measure -O qcow2 -f raw held.raw",
        "dd if=held.raw of=o.raw",
    ] {
        let said = lab.disksmith(&format!("qemu-img {line}"));
        assert_eq!(said.status, 0, "{line}: {said:?}");
    }
    assert_eq!(
        lab.disksmith("qemu-img convert -f raw -O qcow2 held.raw o.qcow2")
            .status,
        1
    );
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn the_face_respects_who_holds_an_image() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    std::fs::create_dir(lab.path("bin")).unwrap();
    let ours = lab.path("bin/qemu-img");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_disksmith"), &ours).unwrap();
    lab.tool("qemu-img create -q -f qcow2 held.qcow2 10M").ok();
    lab.tool("qemu-img create -q -f qcow2 free.qcow2 10M").ok();
    let mut holder = Command::new("qemu-io");
    holder
        .args(["-f", "qcow2", "held.qcow2"])
        .current_dir(lab.path(""));
    let mut holder = holder
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        lab.tool("qemu-img info held.qcow2").status == 1
    });
    assert!(held, "qemu-io does not hold the image");
    for line in [
        "info held.qcow2",
        "info -U held.qcow2",
        "check held.qcow2",
        "check -U held.qcow2",
        "check -r all held.qcow2",
        "map held.qcow2",
        "map -U held.qcow2",
        "compare free.qcow2 held.qcow2",
        "compare -U held.qcow2 free.qcow2",
        "convert -O raw held.qcow2 out",
        "convert -U -O raw held.qcow2 out",
        "convert free.qcow2 held.qcow2",
        "convert -n -O qcow2 free.qcow2 held.qcow2",
        "resize held.qcow2 30M",
        "resize --shrink held.qcow2 1M",
        "snapshot -l held.qcow2",
        "snapshot -U -l held.qcow2",
        "create -f qcow2 held.qcow2 1M",
        "create -f qcow2 -b held.qcow2 -F qcow2 over.qcow2",
        "measure held.qcow2",
        "measure -U held.qcow2",
        "dd if=held.qcow2 of=out",
        "dd if=free.qcow2 of=held.qcow2",
    ] {
        let command = words(line).remove(0);
        let a = run(&ours, &[], &command, &lab.path(""));
        let b = run(Path::new("qemu-img"), &[], &command, &lab.path(""));
        assert_eq!(
            (a.status, a.stdout, a.stderr),
            (b.status, b.stdout, b.stderr),
            "{line}"
        );
    }
    drop(holder.stdin.take());
    holder.wait().unwrap();
}
