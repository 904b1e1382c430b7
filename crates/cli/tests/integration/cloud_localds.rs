//! The face of cloud-localds beside the script itself.

use crate::lab::{Lab, judges};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script, as `.ci/install-judges` unpacks it.
fn script() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    let found = cache.join("disksmith-judges/cloud-image-utils/usr/bin/cloud-localds");
    if found.exists() {
        return Some(found);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is not there",
        found.display()
    );
    eprintln!(
        "SKIPPED: {} is not there (see .ci/install-judges)",
        found.display()
    );
    None
}

struct Said {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

fn run(lab: &Lab, program: &Path, arguments: &[&str]) -> Said {
    let out = Command::new(program)
        .args(arguments)
        .current_dir(lab.path("."))
        .stdin(std::fs::File::open(lab.path("user-data")).unwrap())
        .output()
        .unwrap();
    Said {
        status: out.status.code().unwrap_or(-1),
        stdout: out.stdout,
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("user-data", "#cloud-config\nhostname: a\n");
    lab.write("meta-data", "instance-id: x\n");
    lab.write("vendor-data", "#!/bin/sh\ntrue\n");
    lab.write("net", "version: 2\n");
    lab.write("interfaces", "auto lo\niface lo inet loopback\n");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_disksmith"), lab.path("cloud-localds")).unwrap();
    lab
}

/// The files of a seed, by name, as another program reads them.
fn files(lab: &Lab, image: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for name in ["user-data", "meta-data", "network-config", "vendor-data"] {
        let read = match image.ends_with(".vfat") {
            true => lab.tool(&format!("mtype -i {image} ::{name}")),
            false => lab.tool(&format!("isoinfo -J -x /{name} -i {image}")),
        };
        if read.status == 0 && !read.stdout.is_empty() {
            out.push((name.to_string(), read.stdout));
        }
    }
    out
}

#[test]
fn seeds_hold_what_the_script_puts_in() {
    if !judges(&[
        "isoinfo",
        "genisoimage",
        "mtype",
        "mkfs.vfat",
        "blkid",
        "qemu-img",
        "tar",
    ]) {
        return;
    }
    let Some(script) = script() else { return };
    let lab = lab();
    let ours = lab.path("cloud-localds");
    for (number, arguments) in [
        &["user-data"][..],
        &["user-data", "meta-data"],
        &["-H", "web1", "-m", "local", "user-data"],
        &[
            "--hostname=web1",
            "-i",
            "interfaces",
            "-N",
            "net",
            "-V",
            "vendor-data",
            "user-data",
        ],
        &["-v", "user-data", "meta-data", "--vendor=vendor-data"],
        &["-", "meta-data"],
    ]
    .into_iter()
    .enumerate()
    {
        for filesystem in ["iso", "vfat"] {
            let names = [
                format!("t{number}.{filesystem}"),
                format!("o{number}.{filesystem}"),
            ];
            let mut said = Vec::new();
            for (program, name) in [(&script, &names[0]), (&ours, &names[1])] {
                let all = [&["-f", filesystem, name], arguments].concat();
                said.push(run(&lab, program, &all));
            }
            assert_eq!(
                (said[0].status, said[1].status),
                (0, 0),
                "{arguments:?}: {}",
                said[1].stderr
            );
            assert_eq!(
                said[0].stderr.replace(&names[0], "X"),
                said[1].stderr.replace(&names[1], "X")
            );
            assert_eq!(files(&lab, &names[0]), files(&lab, &names[1]), "{arguments:?}");
            assert!(!files(&lab, &names[1]).is_empty());
            let label = lab.tool(&format!("blkid -p -o value -s LABEL {}", names[1])).ok();
            assert_eq!(label.trim(), "cidata");
        }
    }
    // other formats, and tar archives
    run(&lab, &ours, &["-d", "qcow2", "o.qcow2", "user-data"]);
    assert!(
        lab.tool("qemu-img info o.qcow2")
            .ok()
            .contains("file format: qcow2")
    );
    lab.tool("qemu-img check o.qcow2").ok();
    for format in ["tar", "tar-seed-local", "tar-seed-net"] {
        for (program, name) in [(&script, "t.tar"), (&ours, "o.tar")] {
            assert_eq!(run(&lab, program, &["-d", format, name, "user-data"]).status, 0);
        }
        let list = |name: &str| {
            let text = lab.tool(&format!("tar tvf {name}")).ok();
            let mut lines: Vec<String> = text
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    [words[0], words[1], words[2], words[5]].join(" ")
                })
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(list("t.tar"), list("o.tar"), "{format}");
        assert_eq!(
            lab.tool("tar xOf t.tar --wildcards *user-data").ok(),
            lab.tool("tar xOf o.tar --wildcards *user-data").ok()
        );
    }
    // standard output
    let said = run(&lab, &ours, &["-", "user-data"]);
    lab.write("stdout.iso", &said.stdout);
    assert_eq!(files(&lab, "stdout.iso").len(), 2);
}

#[test]
fn refusals_are_the_scripts() {
    if !judges(&["genisoimage", "mkfs.vfat", "qemu-img"]) {
        return;
    }
    let Some(script) = script() else { return };
    let lab = lab();
    let ours = lab.path("cloud-localds");
    for arguments in [
        &[][..],
        &["o"],
        &["o", "a", "b", "c"],
        &["-z"],
        &["--nope"],
        &["-d"],
        &["--d=raw", "o", "user-data"],
        &["-H", "x", "o", "user-data", "meta-data"],
        &["o", "nosuch"],
        &["o", "user-data", "nosuch"],
        &["-f", "ext4", "o", "user-data"],
        &["-d", "tarball", "o", "user-data"],
        &["-d", "tar", "-f", "vfat", "o", "user-data"],
        &["-i", "nosuch", "o", "user-data"],
        &["-N", "nosuch", "o", "user-data"],
        &["-V", "nosuch", "o", "user-data"],
        &["-d", "nonsense", "o", "user-data"],
    ] {
        let (theirs, ours) = (run(&lab, &script, arguments), run(&lab, &ours, arguments));
        assert_eq!(theirs.status, ours.status, "{arguments:?}: {}", ours.stderr);
        // the last line says what is wrong; before that may stand the usage, which is ours
        let ends = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            let usage = lines.iter().any(|l| l.starts_with("Usage:"));
            let first = lines.first().copied().unwrap_or("").to_string();
            let told: Vec<String> = lines
                .iter()
                .filter(|l| !l.starts_with(' ') && !l.starts_with("Usage:") && !l.is_empty())
                .filter(|l| !l.starts_with("Note,"))
                .map(ToString::to_string)
                .collect();
            (usage, first, told)
        };
        assert_eq!(ends(&theirs.stderr), ends(&ours.stderr), "{arguments:?}");
        assert!(!lab.path("o").exists(), "{arguments:?}");
    }
    let help = run(&lab, &ours, &["--help"]);
    assert_eq!(help.status, 0);
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .starts_with("Usage: cloud-localds")
    );
}
