//! Backing chains as their users change them: killed in the middle, held by others, gone wrong.

use crate::lab::{Lab, Said, judges, long};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// base ← mid ← top, with data in all of them.
fn chain(lab: &Lab) {
    lab.tool("qemu-img create -q -f qcow2 base 64M").ok();
    lab.tool("qemu-img create -q -f qcow2 -b base -F qcow2 mid").ok();
    lab.tool("qemu-img create -q -f qcow2 -b mid -F qcow2 top 80M")
        .ok();
    io(lab, "base", &["write -q -P 1 0 40M"]);
    io(lab, "mid", &["write -q -P 2 8M 20M", "write -q -z 30M 2M"]);
    io(lab, "top", &["write -q -P 3 16M 24M", "write -q -P 4 70M 1M"]);
}

fn io(lab: &Lab, image: &str, commands: &[&str]) {
    let mut words = vec!["qemu-io", "-f", "qcow2"];
    for command in commands {
        words.extend(["-c", command]);
    }
    words.push(image);
    lab.tool_args(&words).ok();
}

/// Kills a command again and again; after each the chain must be clean, and hold what it held.
fn torture(line: &str, kills: u32) {
    let lab = Lab::new();
    chain(&lab);
    lab.tool("qemu-img convert -O raw top expected").ok();
    std::fs::create_dir(lab.path("kept")).unwrap();
    let keep = |lab: &Lab| {
        for name in ["base", "mid", "top"] {
            lab.tool(&format!("cp --sparse=always {name} kept/{name}")).ok();
        }
    };
    let restore = |lab: &Lab| {
        for name in ["base", "mid", "top"] {
            lab.tool(&format!("cp --sparse=always kept/{name} {name}")).ok();
        }
    };
    keep(&lab);
    let started = Instant::now();
    lab.disksmith(line).ok();
    let whole = started.elapsed();
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut unfinished = 0;
    for turn in 0..kills {
        restore(&lab);
        let mut child = lab
            .command(&words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let delay = whole.mul_f64(f64::from(turn) * 1.1 / f64::from(kills));
        std::thread::sleep(delay);
        let _ = child.kill();
        let finished = child.wait().unwrap().success();
        unfinished += u32::from(!finished);
        for name in ["base", "mid", "top"] {
            let said = lab.tool(&format!("qemu-img check {name}"));
            assert!(
                said.status == 0 && said.stdout.contains("No errors"),
                "{name} after {delay:?}: {said:?}"
            );
        }
        lab.tool("qemu-img compare top expected").ok();
        if !finished && turn % 2 == 1 && lab.tool("qemu-img info top").stdout.contains("file: mid") {
            // What was cut off can be done again.
            lab.disksmith(line).ok();
            lab.tool("qemu-img compare top expected").ok();
        }
    }
    assert!(unfinished > 0, "no kill came in time");
}

#[test]
fn killed_commits_change_nothing_for_the_guest() {
    if judges(&["qemu-img", "qemu-io"]) {
        let kills = if long() { 200 } else { 6 };
        torture("commit top", kills);
        torture("commit --base base top", kills);
        torture("commit --top mid top", kills / 2);
    }
}

#[test]
fn killed_rebases_and_pulls_change_nothing_for_the_guest() {
    if judges(&["qemu-img", "qemu-io"]) {
        let kills = if long() { 200 } else { 4 };
        torture("rebase -b base -F qcow2 top", kills);
        torture("pull --base base top", kills / 2);
    }
}

/// A process that has an image open until its standard input is closed.
struct Holder(Child);

impl Holder {
    fn open(lab: &Lab, arguments: &[&str], held: &str) -> Self {
        let mut command = Command::new("qemu-io");
        command.args(arguments).current_dir(lab.path(""));
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let is_held = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            lab.tool(&format!("qemu-img resize --shrink {held} 1M")).status == 1
        });
        assert!(is_held, "qemu-io does not hold {held}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn images_that_somebody_holds_are_left_alone() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    chain(&lab);
    let read = |name: &str| lab.read(name);
    let before = (read("base"), read("mid"), read("top"));
    {
        let holder = Holder::open(&lab, &["-f", "qcow2", "top"], "top");
        let pid = holder.0.id().to_string();
        for line in [
            "commit top",
            "commit --top mid top",
            "commit mid",
            "rebase -b base -F qcow2 top",
            "rebase -u -b base -F qcow2 top",
            "pull top",
            "snapshot import top new base",
        ] {
            let said: Said = lab.disksmith(line);
            assert_eq!(said.status, 5, "{line}: {said:?}");
            assert!(
                said.stderr.contains("qemu-io") && said.stderr.contains(&pid),
                "{line} does not name the process: {}",
                said.stderr
            );
        }
    }
    {
        // Read-only: whoever reads an image must not see it change below him.
        let _holder = Holder::open(&lab, &["-r", "-f", "qcow2", "base"], "base");
        lab.disksmith("commit mid").fails(5);
        lab.disksmith("rebase -b base -F qcow2 top").ok();
    }
    assert!(before.0 == read("base") && before.1 == read("mid"));
    lab.disksmith("info --chain top").ok();
}

#[test]
fn nothing_is_opened_that_the_gate_keeps_shut() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    chain(&lab);
    std::fs::create_dir(lab.path("elsewhere")).unwrap();
    lab.tool("qemu-img snapshot -c one top").ok();
    lab.tool("qemu-img create -q -f qcow2 -o data_file=outside.raw outside 1M")
        .ok();
    for line in [
        "commit --no-backing top",
        "commit --backing-root elsewhere top",
        "rebase --no-backing -b base -F qcow2 top",
        "pull --no-backing top",
        "compare --no-backing top base",
        "map --no-backing top",
        "info --no-backing --chain top",
        "convert --no-backing top out",
        "clone --no-backing top out",
        "resize --no-backing top 90M",
        "amend --no-backing --lazy-refcounts on top",
        "ls --no-backing -a top /",
        "cat --backing-root elsewhere -a top /etc/hostname",
        "copy-out --no-backing -a top /etc elsewhere",
        "customize --no-backing -a top --hostname x",
        "customize --no-backing --dry-run -a top --hostname x",
        "sysprep --backing-root elsewhere -a top",
        "snapshot diff --no-backing top one",
        "snapshot export --no-backing top one out",
        "bitmap add --no-backing outside b",
        "bitmap list --no-backing outside",
        "snapshot create --no-backing outside s",
        "snapshot apply --backing-root elsewhere outside s",
        "snapshot delete --no-backing outside s",
    ] {
        let said = lab.disksmith(line);
        assert!(matches!(said.status, 6..), "{line}: {said:?}");
        assert!(said.stderr.contains("--backing-root"), "{line}: {}", said.stderr);
        assert!(!lab.path("out").exists());
    }
    lab.disksmith("compare --backing-root . top top").ok();
    // What opens no other file has nothing to refuse.
    lab.disksmith("check --no-backing top").ok();
    lab.disksmith("snapshot create --no-backing top s").ok();
    lab.disksmith("snapshot list --no-backing top").ok();
    lab.disksmith("snapshot list --tree --no-backing top").ok();
    lab.disksmith("snapshot delete --no-backing top s").ok();
    lab.disksmith("bitmap add --no-backing top b").ok();
}

#[test]
fn results_are_told_as_json() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    chain(&lab);
    let json = |line: &str| -> serde_json::Value {
        serde_json::from_str(&lab.disksmith(line).ok()).unwrap_or_else(|e| panic!("{line}: {e}"))
    };
    let done = json("clone --output json base c1 c2");
    assert_eq!(done["clones"].as_array().unwrap().len(), 2);
    let tree = json("info --chain --output json top");
    assert_eq!(tree[0]["filename"], "base");
    assert_eq!(tree[0]["clone-count"], 2);
    assert_eq!(tree[2]["filename"], "top");
    let text = lab.disksmith("info --chain top").ok();
    assert!(
        text.starts_with("base  qcow2") && text.contains("├── c1"),
        "{text}"
    );
    let refused = lab.disksmith("commit --output json mid").fails(6);
    assert!(refused.contains("c1"), "{refused}");
    std::fs::remove_file(lab.path("c1")).unwrap();
    std::fs::remove_file(lab.path("c2")).unwrap();
    let done = json("commit --top mid --base base --delete --output json top");
    assert_eq!(done["moved"][0], "top");
    assert_eq!(done["deleted"][0], "mid");
    let done = json("pull --output json top");
    assert!(done["backing-filename"].is_null());
    let done = json("rebase -b base --output json top");
    assert_eq!(done["backing-filename-format"], "qcow2");
    assert_eq!(json("resize --output json top 90M")["virtual-size"], 90 << 20);
    let done = json("convert --output json -O qcow2 top new");
    assert_eq!(done["format"], "qcow2");
}

#[test]
fn snapshots_go_out_and_come_in() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    lab.tool("qemu-img create -q -f qcow2 base 4M").ok();
    io(&lab, "base", &["write -q -P 1 0 4M"]);
    lab.tool("qemu-img create -q -f qcow2 -b base -F qcow2 vm").ok();
    io(&lab, "vm", &["write -q -P 5 0 1M"]);
    lab.tool("qemu-img convert -O raw vm first.raw").ok();
    lab.tool("qemu-img snapshot -c first vm").ok();
    io(&lab, "vm", &["write -q -P 6 512k 1M"]);
    lab.tool("qemu-img snapshot -c second vm").ok();
    io(&lab, "vm", &["write -q -P 7 3M 64k"]);
    lab.tool("qemu-img convert -O raw vm now.raw").ok();
    lab.disksmith("snapshot export vm first alone.qcow2").ok();
    lab.disksmith("snapshot export --keep-backing vm first over.qcow2")
        .ok();
    lab.disksmith("snapshot export -O raw vm first flat.raw").ok();
    for name in ["alone.qcow2", "over.qcow2", "flat.raw"] {
        lab.tool(&format!("qemu-img compare {name} first.raw")).ok();
    }
    let info = lab.tool("qemu-img info over.qcow2").ok();
    assert!(info.contains("backing file: base"), "{info}");
    let diff = lab.disksmith("snapshot diff vm first second").ok();
    assert_eq!(diff, "0x80000 0x100000\n1 MiB differ\n");
    let diff = lab.disksmith("snapshot diff --output json vm second").ok();
    let diff: serde_json::Value = serde_json::from_str(&diff).unwrap();
    assert_eq!(diff["ranges"][0]["start"], 3 << 20);
    assert_eq!(diff["different"], 64 << 10);
    let tree = lab.disksmith("snapshot list --tree vm").ok();
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("1 first"), "{tree}");
    assert!(lines[1].starts_with("└── 2 second"), "{tree}");
    assert!(lines[2].starts_with("    └── (the disk"), "{tree}");
    // What goes in is an image of another size.
    lab.tool("qemu-img create -q -f raw other.raw 6M").ok();
    lab.tool_args(&["qemu-io", "-f", "raw", "-c", "write -q -P 9 1M 4M", "other.raw"])
        .ok();
    lab.disksmith("snapshot import vm third other.raw").ok();
    lab.tool("qemu-img check vm").ok();
    lab.tool("qemu-img compare vm now.raw").ok();
    lab.tool("qemu-img snapshot -a third vm").ok();
    lab.tool("qemu-img compare vm other.raw").ok();
    lab.tool("qemu-img snapshot -a first vm").ok();
    lab.tool("qemu-img compare vm first.raw").ok();
    lab.tool("qemu-img check vm").ok();
}
