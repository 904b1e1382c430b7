//! The faces of mtools and mkfs.vfat, command by command beside the tools themselves: the same output, the same exit status, the same
//! files in the image.

use std::path::{Path, PathBuf};
use std::process::Command;

const NAMES: &[&str] = &[
    "mcopy",
    "mdir",
    "mmd",
    "mdel",
    "mtype",
    "mlabel",
    "mrd",
    "mren",
    "mmove",
    "mattrib",
    "mformat",
    "minfo",
    "mdeltree",
    "mdu",
    "mkfs.vfat",
];

fn have(program: &str) -> bool {
    let found = Command::new(program).arg("--help").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing");
    if !found {
        eprintln!("SKIPPED: {program} is missing");
    }
    found
}

/// A directory in which disksmith has the names of the tools.
fn faces(dir: &Path) -> PathBuf {
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in NAMES {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_disksmith"), bin.join(name)).unwrap();
    }
    bin
}

/// Runs a line of shell; gives output, errors and exit status.
fn shell(line: &str, dir: &Path, bin: Option<&Path>) -> (Vec<u8>, Vec<u8>, Option<i32>) {
    let mut path = std::ffi::OsString::new();
    if let Some(bin) = bin {
        path.push(bin);
        path.push(":");
    }
    path.push("/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    let output = Command::new("setsid")
        .args(["-w", "sh", "-c", line])
        .current_dir(dir)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("HOME", dir)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (output.stdout, output.stderr, output.status.code())
}

const PREPARE: &str = "mkdir -p host/sub/deep host/empty && printf 'hello\\nworld\\n' > host/user-data && printf 'a: b\\n' > host/meta-data \
    && printf 'x' > host/README.TXT && head -c 5000 /dev/zero | tr '\\0' z > host/big.bin && printf deep > host/sub/deep/file.txt \
    && printf 'dos\\r\\ntext\\r\\n' > host/dos.txt && printf s > 'host/sub/with space.conf' && printf 'é' > host/Ünï.txt \
    && printf '1500\\n\\n1501\\n' > bad && find host -exec touch -d '2021-03-04 05:06:08 UTC' {} + \
    && /usr/sbin/mkfs.vfat -C -i 1234abcd -n TESTVOL i.img 1440 \
    && printf 'drive x: file=\"i.img\"\\n' > .mtoolsrc";

/// Runs every line with the tools and with us; `prefix` comes before each. Lists what differs.
fn compare(table: &str, prefix: &str, again: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let bin = faces(dir.path());
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    for place in [&theirs, &ours] {
        std::fs::create_dir(place).unwrap();
        let (_, errors, status) = shell(PREPARE, place, None);
        assert_eq!(status, Some(0), "{}", String::from_utf8_lossy(&errors));
    }
    let mut wrong = Vec::new();
    for line in table.lines() {
        let whole = format!("{again}{prefix}{line}");
        let a = shell(&whole, &theirs, None);
        let b = shell(&whole, &ours, Some(&bin));
        for (what, a, b) in [("output", &a.0, &b.0), ("errors", &a.1, &b.1)] {
            if a != b {
                let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
                wrong.push(format!("$ {line}: {what}\n-- theirs\n{a}-- ours\n{b}"));
            }
        }
        if a.2 != b.2 {
            wrong.push(format!("$ {line}: exit status {:?}, ours {:?}", a.2, b.2));
        }
    }
    let (text, _, status) = shell("fsck.vfat -n i.img", &ours, None);
    assert_eq!(status, Some(0), "{}", String::from_utf8_lossy(&text));
    wrong
}

#[test]
fn every_command_is_as_with_mtools() {
    if !have("mcopy") || !have("mkfs.vfat") || !have("fsck.vfat") {
        return;
    }
    let wrong = compare(include_str!("mtools_table.txt"), "", "");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_option_is_as_with_mkfs() {
    if !have("mkfs.vfat") || !have("fsck.vfat") {
        return;
    }
    let again = "rm -f t.img; truncate -s 10M t.img; ";
    let mut table = String::new();
    for line in include_str!("mkfs_table.txt").lines() {
        table.push_str(&format!("{line} t.img\n"));
    }
    let wrong = compare(&table, "mkfs.vfat --invariant ", again);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An image that is no raw one, and the verbs of our own.
#[test]
fn volumes_live_in_any_image() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_disksmith"))
            .args(args)
            .current_dir(dir.path())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    std::fs::create_dir_all(dir.path().join("tree/below")).unwrap();
    std::fs::write(dir.path().join("tree/user-data"), "#cloud-config\n").unwrap();
    std::fs::write(dir.path().join("tree/below/file"), vec![7; 100_000]).unwrap();
    run(&["fat", "create", "one.img", "-n", "cidata", "tree/"]);
    run(&["fat", "create", "two.img", "-n", "cidata", "tree/"]);
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(bytes("one.img") == bytes("two.img"), "two runs differ");
    run(&["convert", "-O", "qcow2", "one.img", "one.qcow2"]);
    run(&["mcopy", "-i", "one.qcow2", "tree/user-data", "::below/copy"]);
    assert_eq!(
        run(&["mtype", "-i", "one.qcow2", "::below/copy"]),
        "#cloud-config\n"
    );
    run(&["fat", "mkdir", "one.qcow2", "/new"]);
    run(&["fat", "copy-in", "one.qcow2", "tree", "/new"]);
    assert_eq!(
        run(&["fat", "cat", "one.qcow2", "/new/tree/user-data"]),
        "#cloud-config\n"
    );
    run(&["fat", "rm", "one.qcow2", "/below"]);
    assert_eq!(run(&["fat", "ls", "one.qcow2"]), "new\nuser-data\n");
    run(&["fat", "label", "one.qcow2", "other"]);
    assert_eq!(run(&["fat", "label", "one.qcow2"]), "other\n");
    std::fs::create_dir(dir.path().join("out")).unwrap();
    run(&["fat", "copy-out", "one.qcow2", "/new", "out"]);
    assert_eq!(bytes("out/new/tree/below/file"), vec![7; 100_000]);
    assert!(run(&["fat", "info", "one.qcow2"]).contains("label: other"));
    run(&[
        "fat",
        "create",
        "disk.img",
        "--partitioned",
        "-n",
        "config-2",
        "tree/",
    ]);
    assert_eq!(
        run(&["mdir", "-b", "-i", "disk.img@@1M", "::"]),
        "::/below/\n::/user-data\n"
    );
    // the only partition is found
    assert_eq!(run(&["fat", "ls", "disk.img"]), "below\nuser-data\n");
    run(&["fat", "rm", "disk.img", "/user-data"]);
    assert_eq!(run(&["mdir", "-b", "-i", "disk.img@@1M", "::"]), "::/below/\n");
}

/// Directories that hold each other: every command ends, with an error.
#[test]
fn circles_of_directories_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_disksmith"));
        command.args(args).current_dir(dir.path()).output().unwrap()
    };
    std::fs::create_dir_all(dir.path().join("tree/outer/inner")).unwrap();
    assert!(run(&["fat", "create", "i.img", "tree/"]).status.success());
    let path = dir.path().join("i.img");
    let mut bytes = std::fs::read(&path).unwrap();
    // The inner directory begins where the outer one does.
    let first_of = |bytes: &[u8], name: &[u8]| {
        let at = bytes.windows(11).position(|window| window == name).unwrap();
        (at, [bytes[at + 26], bytes[at + 27]])
    };
    let (_, outer) = first_of(&bytes, b"OUTER      ");
    let (at, _) = first_of(&bytes, b"INNER      ");
    bytes[at + 26..at + 28].copy_from_slice(&outer);
    std::fs::write(&path, &bytes).unwrap();
    for args in [
        &["mdir", "-s", "-i", "i.img", "::"][..],
        &["mdu", "-i", "i.img", "::"],
        &["mattrib", "-/", "-i", "i.img", "::"],
        &["mdeltree", "-i", "i.img", "::outer"],
        &["mcopy", "-s", "-i", "i.img", "::outer", "out"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "the image was changed");
}
