//! `kill -9` at each system call by which a verb changes an image: it holds the old state or the new one, and is clean.

use crate::lab::{Lab, Said, judges, long};
use serde_json::Value;

const JUDGES: &[&str] = &["qemu-img", "qemu-io", "strace"];

/// The calls that change files.
const CALLS: &str = "pwrite64,pwritev,write,fallocate,ftruncate,fdatasync,fsync,copy_file_range,linkat,rename,renameat,\
                     renameat2,unlink,unlinkat";

fn io(lab: &Lab, commands: &[&str]) {
    let mut words = vec!["qemu-io", "-f", "qcow2"];
    for command in commands {
        words.extend(["-c", command]);
    }
    words.push("vm");
    lab.tool_args(&words).ok();
}

/// An image of small clusters, with data.
fn image(lab: &Lab) {
    lab.tool("qemu-img create -q -f qcow2 -o cluster_size=512 vm 4M")
        .ok();
    io(
        lab,
        &[
            "write -q -P 1 0 600k",
            "write -q -P 2 3M 100k",
            "write -q -z 64k 20k",
        ],
    );
}

/// What can be told of an image: its disk, its snapshots, its bitmaps, its form.
#[derive(PartialEq, Eq)]
struct State {
    disk: Vec<u8>,
    snapshots: Vec<Value>,
    form: Value,
}

fn state(lab: &Lab) -> State {
    lab.tool("qemu-img convert -O raw vm read.tmp").ok();
    let info = lab.tool("qemu-img info --output json vm").ok();
    let info: Value = serde_json::from_str(&info).unwrap();
    let snapshots = info["snapshots"].as_array().cloned().unwrap_or_default();
    State {
        disk: lab.read("read.tmp"),
        snapshots: snapshots.iter().map(|s| s["name"].clone()).collect(),
        form: info["format-specific"].clone(),
    }
}

/// Runs a verb under strace, with these options of it.
fn traced(lab: &Lab, options: &[&str], line: &str) -> Said {
    let mut words = vec!["strace", "-f", "-qq", "-o", "trace"];
    words.extend(options);
    words.push(env!("CARGO_BIN_EXE_disksmith"));
    words.extend(line.split_whitespace());
    lab.tool_args(&words)
}

/// At which of the calls the verb is killed.
fn kills(lab: &Lab, line: &str) -> Vec<usize> {
    let filter = format!("trace={CALLS}");
    traced(lab, &["-e", &filter], line);
    let trace = String::from_utf8(lab.read("trace")).unwrap();
    let calls = trace.lines().filter(|line| line.contains('(')).count();
    assert!(calls > 2, "{line} changes nothing:\n{trace}");
    let most = if long() { 1000 } else { 9 };
    match calls <= most {
        true => (1..=calls).collect(),
        // The last ones matter most.
        false => (1..=most)
            .map(|n| {
                if n > most / 2 {
                    calls - (most - n)
                } else {
                    n * calls / most
                }
            })
            .collect(),
    }
}

/// Kills a verb that changes the image `vm` at many points; what is left must pass `judge`, which is told when it was.
fn torture(lab: &Lab, line: &str, mut judge: impl FnMut(&str)) {
    let restore = || lab.tool("cp --sparse=always kept/vm vm").ok();
    let files = || std::fs::read_dir(lab.path("")).unwrap().count();
    restore();
    let mut killed = 0;
    let points = kills(lab, line);
    for at in points {
        restore();
        let before = files();
        let inject = format!("inject={CALLS}:signal=SIGKILL:when={at}");
        let trace = format!("trace={CALLS}");
        let said = traced(lab, &["-e", &trace, "-e", &inject], line);
        killed += usize::from(said.status != 0);
        let when = format!("{line}, killed at call {at}");
        assert_eq!(files(), before, "{when}: files were left behind");
        judge(&when);
    }
    assert!(killed > 1, "{line} was never killed");
}

/// Old or new, nothing else.
fn whole_or_not(lab: &Lab, line: &str) {
    lab.tool("cp kept/vm vm").ok();
    let old = state(lab);
    lab.disksmith(line).ok();
    let new = state(lab);
    assert!(old != new, "{line} changes nothing that can be seen");
    torture(lab, line, |when| {
        lab.qemu_check("vm");
        let now = state(lab);
        assert!(now == old || now == new, "{when}: neither old nor new");
    });
}

/// Puts the image where it is copied from.
fn keep(lab: &Lab) {
    std::fs::create_dir(lab.path("kept")).unwrap();
    std::fs::rename(lab.path("vm"), lab.path("kept/vm")).unwrap();
}

#[test]
fn killed_snapshots_amends_and_resizes() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab);
    lab.tool("qemu-img snapshot -c one vm").ok();
    io(&lab, &["write -q -P 3 500k 300k", "discard -q 3M 32k"]);
    keep(&lab);
    for line in [
        "qemu-img snapshot -c two vm",
        "qemu-img snapshot -a one vm",
        "qemu-img snapshot -d one vm",
        "amend --refcount-bits 64 vm",
        "amend --lazy-refcounts on vm",
        "resize vm 200M",
        "resize --preallocation full vm 5M",
        "resize --shrink vm 2M",
    ] {
        whole_or_not(&lab, line);
    }
}

#[test]
fn killed_changes_of_bitmaps() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab);
    for name in ["a", "b"] {
        lab.tool(&format!("qemu-img bitmap --add -g 512 vm {name}")).ok();
        io(&lab, &["write -q -P 3 100k 30k", "write -q -P 4 2M 1k"]);
    }
    keep(&lab);
    for line in [
        "qemu-img bitmap --add vm c",
        "qemu-img bitmap --remove vm a",
        "qemu-img bitmap --disable vm b",
        "bitmap merge vm a b",
        "bitmap clear vm a",
    ] {
        lab.tool("cp kept/vm vm").ok();
        if line.starts_with("bitmap") {
            // What is in a bitmap the other program does not show.
            torture(&lab, line, |when| {
                lab.qemu_check("vm");
                assert!(state(&lab).disk == state_of_kept(&lab), "{when}");
            });
        } else {
            whole_or_not(&lab, line);
        }
    }
}

fn state_of_kept(lab: &Lab) -> Vec<u8> {
    lab.tool("qemu-img convert -O raw kept/vm kept.tmp").ok();
    lab.read("kept.tmp")
}

/// A cluster's reference count: where it stands in the file.
fn refcount_at(bytes: &[u8], cluster: usize) -> usize {
    let table = u64::from_be_bytes(bytes[48..56].try_into().unwrap()) as usize;
    // Blocks of 512 bytes hold 256 counts of 16 bits.
    let entry = table + cluster / 256 * 8;
    let block = u64::from_be_bytes(bytes[entry..entry + 8].try_into().unwrap()) as usize;
    assert!(block > 0);
    block + cluster % 256 * 2
}

#[test]
fn killed_repairs_make_nothing_worse() {
    if !judges(JUDGES) {
        return;
    }
    for (what, status) in [("leaks", 3), ("all", 2)] {
        let lab = Lab::new();
        image(&lab);
        lab.tool("cp vm whole").ok();
        let mut bytes = lab.read("vm");
        let end = bytes.len() / 512;
        let leak = (end..).find(|cluster| cluster % 256 > 250).unwrap();
        let at = refcount_at(&bytes, leak.min(end / 256 * 256 + 255));
        assert_eq!(bytes[at..at + 2], [0, 0]);
        bytes[at + 1] = 1;
        bytes.resize((end / 256 * 256 + 256) * 512, 0);
        if what == "all" {
            for cluster in [300, 301, 700] {
                let at = refcount_at(&bytes, cluster);
                bytes[at..at + 2].fill(0);
            }
        }
        std::fs::write(lab.path("vm"), bytes).unwrap();
        let said = lab.tool("qemu-img check vm");
        assert_eq!(said.status, status, "{said:?}");
        keep(&lab);
        torture(&lab, &format!("check -r {what} vm"), |when| {
            let said = lab.tool("qemu-img check vm");
            // Either the old state or less of it: a repair that is cut off may leave clusters that nothing uses.
            let fine = said.status == 0 || said.status == 3 || said.status == status;
            assert!(fine, "{when}: {said:?}");
            lab.tool("qemu-img compare vm whole").ok();
            lab.disksmith("check -r all vm").ok();
            lab.qemu_check("vm");
            lab.tool("qemu-img compare vm whole").ok();
        });
    }
}
