//! Files of guests, read and written: beside what the libguestfs tools printed on the same image (testdata/listing/record), GNU tar,
//! bsdtar, and the kernel.

use crate::lab::{Lab, Said, judges, may_mount};
use crate::small_guest::{Layout, make};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Shortly after the image was made: what the tools' listings were recorded at.
const RECORDED: &str = "1795232400";

fn listing() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/listing")
}

/// A lab with the image of odd files, to be changed.
fn odd() -> Lab {
    let lab = Lab::new();
    for name in ["odd.qcow2", "syslog.qcow2"] {
        std::fs::copy(listing().join(name), lab.path(name)).unwrap();
    }
    lab
}

struct Bytes {
    status: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs the program with its bytes as they are.
fn run(lab: &Lab, arguments: &[&str]) -> Bytes {
    let mut command = lab.command(arguments);
    command.env("TZ", "UTC").env("SOURCE_DATE_EPOCH", RECORDED);
    let output = command.output().unwrap();
    Bytes {
        status: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: output.stderr,
    }
}

fn sorted(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

/// Asserts that a call prints what the old tool printed, in whatever order of lines.
#[track_caller]
fn as_recorded(lab: &Lab, name: &str, arguments: &[&str]) {
    let said = run(lab, arguments);
    let golden =
        |ending: &str| std::fs::read(listing().join("golden").join(format!("{name}.{ending}"))).unwrap();
    let text = |lines: Vec<Vec<u8>>| -> Vec<String> {
        lines
            .iter()
            .map(|l| String::from_utf8_lossy(l).into_owned())
            .collect()
    };
    if sorted(&said.stdout) != sorted(&golden("out")) {
        assert_eq!(text(sorted(&said.stdout)), text(sorted(&golden("out"))), "{name}");
    }
    assert_eq!(
        String::from_utf8_lossy(&said.stderr),
        String::from_utf8_lossy(&golden("err")),
        "{name}"
    );
    let status = String::from_utf8(golden("status")).unwrap();
    assert_eq!(said.status.to_string(), status.trim(), "{name}");
}

#[test]
fn reading_prints_what_the_old_tools_print() {
    let lab = odd();
    let image = ["-a", "odd.qcow2"];
    for (name, arguments) in [
        ("ls", &["virt-ls", "/odd", "/etc"][..]),
        ("ls-l", &["virt-ls", "-l", "/odd", "/odd/dir"]),
        ("ls-R", &["virt-ls", "-R", "/odd", "/odd/dir"]),
        ("ls-lR", &["virt-ls", "-lR", "/odd"]),
        (
            "ls-all",
            &[
                "virt-ls",
                "-lR",
                "--uids",
                "--extra-stats",
                "--checksum=sha256",
                "--time-t",
                "/odd",
            ],
        ),
        (
            "ls-csv",
            &[
                "virt-ls",
                "-lR",
                "--csv",
                "--uids",
                "--times",
                "--extra-stats",
                "--checksum",
                "/odd",
            ],
        ),
        ("ls-crc", &["virt-ls", "-lR", "--checksum=crc", "/odd"]),
        ("ls-missing", &["virt-ls", "/etc", "/missing", "/odd"]),
        ("ls-l-missing", &["virt-ls", "-l", "/missing"]),
        ("ls-lR-missing", &["virt-ls", "-lR", "/missing"]),
        ("ls-file", &["virt-ls", "/etc/passwd"]),
        ("ls-lR-file", &["virt-ls", "-lR", "/etc/passwd"]),
        ("ls-lR-link", &["virt-ls", "-lR", "/odd/dirlink"]),
        (
            "cat",
            &["virt-cat", "/etc/config", "/etc/dos", "/etc/config-link"],
        ),
        (
            "cat-missing",
            &["virt-cat", "/etc/hostname", "/missing", "/etc/config"],
        ),
        ("cat-directory", &["virt-cat", "/etc"]),
        ("cat-relative", &["virt-cat", "etc/hostname"]),
        ("log", &["virt-log"]),
        ("tar-out-missing", &["virt-tar-out", "/missing", "-"]),
    ] {
        as_recorded(&lab, name, &[arguments, &image].concat());
    }
    as_recorded(&lab, "log-syslog", &["virt-log", "-a", "syslog.qcow2"]);
    // the older command lines
    as_recorded(
        &lab,
        "ls",
        &["virt-ls", "/odd", "/etc", "-a", "odd.qcow2", "-m", "/dev/sda"],
    );
    let old = run(&lab, &["virt-cat", "odd.qcow2", "/etc/hostname"]);
    assert_eq!((old.status, old.stdout.as_slice()), (0, &b"odd\n"[..]));
}

#[test]
fn wrong_calls_are_told_as_the_old_tools_tell_them() {
    let lab = odd();
    for (line, text) in [
        (
            "virt-ls --nope",
            "virt-ls: unrecognized option '--nope'\nTry ‘virt-ls --help’ for more information.\n",
        ),
        ("virt-ls", "Try ‘virt-ls --help’ for more information.\n"),
        (
            "virt-ls -h",
            "virt-ls: used a flag which can only be combined with -lR mode\nFor more information, read the virt-ls(1) man page.\n",
        ),
        (
            "virt-ls -lR --csv -h -a odd.qcow2 /",
            "virt-ls: you cannot use -h and --csv options together.\n",
        ),
        (
            "virt-cat -a /nonexistent /x",
            "virt-cat: access: /nonexistent: No such file or directory\n",
        ),
        (
            "virt-cat -a odd.qcow2 --format=raw /x",
            "virt-cat: --format parameter must appear before -a parameter\n",
        ),
        (
            "virt-log x",
            "virt-log: error: extra argument ‘x’ on command line.\nTry ‘virt-log --help’ for more information.\n",
        ),
        (
            "virt-log",
            "virt-log: error: you must specify at least one -a or -d option.\nTry ‘virt-log --help’ for more information.\n",
        ),
        (
            "virt-tail",
            "virt-tail: error: missing filenames on command line.\nPlease specify at least one file to follow.\n\
             Try ‘virt-tail --help’ for more information.\n",
        ),
    ] {
        let said = lab.disksmith(line);
        assert_eq!((said.status, said.stderr.as_str()), (1, text), "{line}");
    }
    assert_eq!(lab.disksmith("virt-ls -V").ok(), "virt-ls 1.48.2\n");
    assert_eq!(
        lab.disksmith("virt-cat --short-options").ok(),
        "-a\n-c\n-d\n-m\n-v\n-V\n-x\n"
    );
    assert!(
        lab.disksmith("virt-ls --long-options")
            .ok()
            .starts_with("--add\n--blocksize\n--checksum\n")
    );
}

/// The image must be clean, for qemu-img and e2fsck.
fn clean(lab: &Lab) {
    lab.qemu_check("odd.qcow2");
    lab.e2fsck("odd.qcow2", 0);
}

#[test]
fn files_are_edited_by_expressions_and_editors() {
    if !judges(&["qemu-img", "e2fsck"]) {
        return;
    }
    let lab = odd();
    let before = lab.read("odd.qcow2");
    as_recorded(
        &lab,
        "edit-missing",
        &["virt-edit", "-a", "odd.qcow2", "/missing", "-e", "s/a/b/"],
    );
    as_recorded(
        &lab,
        "edit-directory",
        &["virt-edit", "-a", "odd.qcow2", "/etc", "-e", "s/a/b/"],
    );
    // nothing to change, nothing to write; nor where one of two files fails, or the editor
    lab.disksmith("edit -q -a odd.qcow2 /etc/config -e s/nowhere/x/")
        .ok();
    lab.disksmith("edit -q -a odd.qcow2 /etc/config /missing -e s/old/x/")
        .fails(1);
    let with_editor = |editor: &str, more: &[&str]| -> Said {
        let mut command = lab.command(&[&["virt-edit", "-a", "odd.qcow2"], more].concat());
        command.env("EDITOR", editor).output().unwrap().into()
    };
    assert_eq!(with_editor("true", &["/etc/config"]).ok(), "File not changed.\n");
    with_editor("false", &["/etc/config"]).fails(1);
    assert!(lab.disksmith("edit -a odd.qcow2 /etc/config -e s/(").status != 0);
    assert!(lab.read("odd.qcow2") == before, "the image was written");

    let expression = "s/root=old/root=new $lineno/; s/\\r//";
    as_recorded(
        &lab,
        "edit",
        &[
            "virt-edit",
            "-a",
            "odd.qcow2",
            "/etc/config-link",
            "/etc/dos",
            "-b",
            ".bak",
            "-e",
            expression,
        ],
    );
    as_recorded(
        &lab,
        "after-edit",
        &["virt-ls", "-lR", "--uids", "-a", "odd.qcow2", "/etc"],
    );
    as_recorded(
        &lab,
        "after-edit-cat",
        &[
            "virt-cat",
            "-a",
            "odd.qcow2",
            "/etc/config",
            "/etc/dos",
            "/etc/dos.bak",
        ],
    );
    clean(&lab);
    with_editor(
        "sed -i -e 's/odd/even/' --",
        &["/etc/hostname", "/etc/debian_version"],
    )
    .ok();
    assert_eq!(lab.disksmith("cat -a odd.qcow2 /etc/hostname").ok(), "even\n");
    assert_eq!(
        lab.disksmith("tail -n1 -a odd.qcow2 /etc/passwd")
            .ok()
            .lines()
            .count(),
        1
    );
    clean(&lab);
}

/// Everything that matters of the files below a directory, a line each.
fn described(lab: &Lab, root: &Path, xattrs: bool) -> String {
    let root = root.to_str().unwrap();
    let script = format!(
        "cd '{root}' && find . ! -type s ! -name lost+found -printf '%p %y %m %U %G %Ts %n %l\\n' | sed -E 's/^(.* d [0-9]+ [0-9]+ [0-9]+ [0-9-]+) [0-9]+ $/\\1/' \
         | LC_ALL=C sort && find . -type f | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum"
    );
    let more = if xattrs {
        format!(
            "; cd '{root}' && find . ! -type l ! -type s ! -name lost+found | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 getfattr -d -m - -e hex | sed -E '/security.selinux/s/00$//'"
        )
    } else {
        String::new()
    };
    // the one name with a line end would fall apart here
    let script = format!(
        "{}{}",
        script.replace("find .", "find . ! -name 'two*'"),
        more.replace("find .", "find . ! -name 'two*'")
    );
    lab.tool_args(&["sh", "-c", &script]).ok()
}

/// Lines that only one of two descriptions has.
fn differences(one: &str, other: &str) -> Vec<String> {
    let only = |a: &str, b: &str, sign: &str| -> Vec<String> {
        let known: std::collections::HashSet<&str> = b.lines().collect();
        let lines = a.lines().filter(|l| !known.contains(l));
        lines.map(|l| format!("{sign}{l}")).collect()
    };
    [only(one, other, "-"), only(other, one, "+")].concat()
}

const NONE: &[&str] = &[];

const TREE_JUDGES: &[&str] = &[
    "qemu-img", "e2fsck", "tar", "bsdtar", "getfattr", "xz", "bzip2", "zstd",
];

#[test]
fn what_is_packed_is_what_the_kernel_sees() {
    if !judges(TREE_JUDGES) || !may_mount() {
        return;
    }
    let lab = odd();
    let whole = "--xattrs --selinux --acls";
    lab.disksmith(&format!("tar-out -q -a odd.qcow2 /odd plain.tar {whole}"))
        .ok();
    lab.disksmith(&format!(
        "tar-out -q -a odd.qcow2 /odd full.tar {whole} --no-sparse"
    ))
    .ok();
    assert!(lab.read("plain.tar").len() < 4 << 20 && lab.read("full.tar").len() > 8 << 20);
    let seen = lab.kernel_mount("odd.qcow2", 0, |root| described(&lab, &root.join("odd"), true));
    for (program, archive) in [
        (
            "tar --xattrs --xattrs-include=* --selinux --acls --numeric-owner -xpf",
            "plain.tar",
        ),
        (
            "tar --xattrs --xattrs-include=* --selinux --acls --numeric-owner -xpf",
            "full.tar",
        ),
        ("bsdtar --xattrs --acls --numeric-owner -xpf", "full.tar"),
    ] {
        // a filesystem of the kernel's that keeps all attributes
        lab.tool("truncate -s 64M host.img").ok();
        lab.tool("mke2fs -q -t ext4 host.img").ok();
        let root = lab.path("host");
        std::fs::create_dir_all(&root).unwrap();
        lab.tool(&format!("mount -o loop host.img {}", root.display()))
            .ok();
        let said = lab.tool_args(&["sh", "-c", &format!("cd host && {program} ../{archive}")]);
        let described = std::panic::catch_unwind(|| described(&lab, &root, true));
        lab.tool(&format!("umount -l {}", root.display())).ok();
        let unpacked = described.unwrap();
        let mut different = differences(&unpacked, &seen);
        if program.starts_with("bsdtar") {
            // it knows nothing of labels, and leaves the directory that it unpacks into as it is
            different
                .retain(|l| !l.contains("selinux") && !l[1..].starts_with(". d ") && l != "+# file: dir");
        }
        assert_eq!(different, NONE, "{program} {archive}: {said:?}");
    }
    // compressed, each read by its own program; and through a pipe
    for (kind, program) in [
        ("gzip", "gzip"),
        ("bzip2", "bzip2"),
        ("xz", "xz"),
        ("zstd", "zstd"),
    ] {
        let archive = lab.command(&[
            "tar-out",
            "-q",
            "-a",
            "odd.qcow2",
            "/odd/dir",
            "-",
            "--compression",
            kind,
        ]);
        let mut archive = archive;
        let bytes = archive.output().unwrap().stdout;
        lab.write("small.tar.x", &bytes);
        let list = lab
            .tool_args(&["sh", "-c", &format!("{program} -dc < small.tar.x | tar -tf -")])
            .ok();
        assert_eq!(list, "./\n./deep/\n./deep/file\n./third\n", "{kind}");
    }
    let list = "cat - > face.tar; tar -tf face.tar";
    let line = format!(
        "'{}' virt-tar-out -a odd.qcow2 /odd/dir - excludes:deep | ({list})",
        env!("CARGO_BIN_EXE_disksmith")
    );
    assert_eq!(lab.tool_args(&["sh", "-c", &line]).ok(), "./\n./third\n");
}

#[test]
fn archives_of_all_kinds_are_unpacked() {
    if !judges(TREE_JUDGES) || !may_mount() {
        return;
    }
    let lab = odd();
    let long = "n".repeat(200);
    // what the kernel shows of the image is packed by the other programs, and unpacked beside it
    let (seen, said) = lab.kernel_mount("odd.qcow2", 0, |root| {
        let dir = root.join("odd");
        let commands = [
            "tar --xattrs --selinux --acls --numeric-owner -S -cf OUT/pax.tar --format=posix .",
            "tar --numeric-owner -S -cf OUT/gnu.tar --format=gnu .",
            "tar --numeric-owner -S --sparse-version=0.0 --format=posix -cf OUT/sparse00.tar sparse hole",
            "tar --numeric-owner -S --sparse-version=0.1 --format=posix -cf OUT/sparse01.tar sparse hole",
            "tar --numeric-owner --format=ustar -cf OUT/ustar.tar suid sgid dir null numbers",
            "tar --numeric-owner --format=v7 -cf OUT/v7.tar suid dir numbers",
            "bsdtar --xattrs --acls --numeric-owner -cf OUT/bsd.tar --format=pax .",
            "tar -czf OUT/small.gz dir",
            "tar -cjf OUT/small.bz2 dir",
            "tar -cJf OUT/small.xz dir",
            "tar --zstd -cf OUT/small.zst dir",
        ];
        let out = lab.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        let mut said = Vec::new();
        for command in commands {
            let line = format!("cd '{}' && {}", dir.display(), command.replace("OUT", &out));
            said.push(lab.tool_args(&["sh", "-c", &line]));
        }
        (described(&lab, &dir, true), said)
    });
    // GNU tar writes names into access control lists where this host has one for the number
    let name = lab.tool("id -un 1000").stdout;
    let mut operations: Vec<String> = Vec::new();
    if !name.trim().is_empty() {
        operations.push(format!(
            "--append-line=/etc/passwd:{}:x:1000:1000::/:/bin/sh",
            name.trim()
        ));
    }
    let name = lab.tool("getent group 7").stdout;
    if let Some((name, _)) = name.split_once(':') {
        operations.push(format!("--append-line=/etc/group:{name}:x:7:"));
    }
    for name in [
        "pax", "gnu", "sparse00", "sparse01", "ustar", "v7", "bsd", "gz", "bz2", "xz", "zst",
    ] {
        operations.push(format!("--mkdir=/new/{name}/{long}"));
    }
    let words: Vec<&str> = ["customize", "-q", "-a", "odd.qcow2"]
        .into_iter()
        .chain(operations.iter().map(String::as_str))
        .collect();
    lab.disksmith_args(&words).ok();
    let into = |archive: &str, name: &str| {
        lab.disksmith(&format!(
            "tar-in -a odd.qcow2 {archive} /new/{name}/{long} --xattrs --selinux --acls"
        ))
        .ok();
    };
    for name in ["pax", "gnu", "sparse00", "sparse01", "ustar", "v7", "bsd"] {
        into(&format!("{name}.tar"), name);
    }
    for name in ["gz", "bz2", "xz", "zst"] {
        into(&format!("small.{name}"), name);
    }
    clean(&lab);
    lab.kernel_mount("odd.qcow2", 0, |root| {
        let at = |name: &str| root.join("new").join(name).join(&long);
        assert_eq!(
            differences(&described(&lab, &at("pax"), true), &seen),
            NONE,
            "{said:?}"
        );
        let plain = |text: &str| text.split("# file").next().unwrap().trim().to_owned();
        for name in ["gnu", "bsd"] {
            let unpacked = described(&lab, &at(name), true);
            assert_eq!(differences(&plain(&unpacked), &plain(&seen)), NONE, "{name}");
        }
        use std::os::unix::fs::MetadataExt;
        for name in ["sparse00", "sparse01"] {
            let metadata = std::fs::metadata(at(name).join("sparse")).unwrap();
            assert_eq!(
                (metadata.size(), metadata.blocks() < 64),
                (5 << 20, true),
                "{name}"
            );
            let bytes = std::fs::read(at(name).join("sparse")).unwrap();
            assert_eq!(&bytes[2_000_000..2_000_006], b"middle");
        }
        for name in ["ustar", "v7"] {
            assert_eq!(
                std::fs::metadata(at(name).join("suid")).unwrap().mode() & 0o7777,
                0o4755
            );
            assert_eq!(std::fs::read(at(name).join("dir/third")).unwrap(), b"twice\n");
        }
        for name in ["gz", "bz2", "xz", "zst"] {
            assert_eq!(std::fs::read(at(name).join("dir/deep/file")).unwrap(), b"deep\n");
        }
    });
    // what gets nowhere leaves the image as it was
    let before = lab.read("odd.qcow2");
    lab.write("evil", "x");
    lab.tool_args(&["sh", "-c", "tar -P -cf evil.tar --transform=s,evil,../evil, evil"])
        .ok();
    lab.disksmith("tar-in -a odd.qcow2 evil.tar /root").fails(6);
    lab.disksmith("virt-tar-in -a odd.qcow2 evil.tar /root").fails(1);
    lab.disksmith("tar-in -a odd.qcow2 evil /root").fails(3);
    assert!(lab.read("odd.qcow2") == before, "the image was written");
}

#[test]
fn files_of_the_host_are_copied_in_and_out() {
    if !judges(TREE_JUDGES) || !may_mount() {
        return;
    }
    let lab = odd();
    let script = "mkdir -p src/d/e && cd src && echo a > 'a b' && ln 'a b' d/hard && ln -s 'a b' link && truncate -s 3M d/hole && \
                  printf x | dd of=d/hole bs=1 seek=1000000 conv=notrunc status=none && mkfifo d/pipe && chmod 4711 d/hard && \
                  chown 7:8 d/hard && seq 100000 > d/e/many && touch -d @1234567890 d/e d";
    lab.tool_args(&["sh", "-c", script]).ok();
    lab.disksmith("copy-in -a odd.qcow2 src /root").ok();
    lab.disksmith("virt-copy-in -a odd.qcow2 src/d src/link /home")
        .ok();
    clean(&lab);
    let wanted = described(&lab, &lab.path("src"), false);
    let wanted_d = described(&lab, &lab.path("src/d"), false);
    lab.kernel_mount("odd.qcow2", 0, |root| {
        assert_eq!(described(&lab, &root.join("root/src"), false), wanted);
        // hard links to outside of what was copied
        let without = |text: String| text.replace(" 2 \n", " 1 \n");
        assert_eq!(
            without(described(&lab, &root.join("home/d"), false)),
            without(wanted_d)
        );
        assert_eq!(
            std::fs::read_link(root.join("home/link")).unwrap(),
            Path::new("a b")
        );
    });
    std::fs::create_dir(lab.path("out")).unwrap();
    lab.disksmith("virt-copy-out -a odd.qcow2 /root/src out").ok();
    assert_eq!(described(&lab, &lab.path("out/src"), false), wanted);
    std::fs::create_dir(lab.path("some")).unwrap();
    lab.disksmith("copy-out -a odd.qcow2 /odd/{a,b}* some").ok();
    let names = lab.tool("ls some").ok();
    assert_eq!(names, "a name\nacl\nattributes\nback\\slash\n");
    for (line, text) in [
        (
            "virt-copy-out -a odd.qcow2 /missing out",
            "*stdin*:0: libguestfs: error: ‘/missing’ is not a file or directory\n",
        ),
        (
            "virt-copy-in -a odd.qcow2 src /nosuch",
            "*stdin*:0: libguestfs: error: target ‘/nosuch’ is not a directory\n",
        ),
    ] {
        assert_eq!(lab.disksmith(line).fails(1), text);
    }
}

#[test]
fn a_file_is_followed_while_the_image_changes() {
    let lab = odd();
    let mut child = lab
        .command(&["virt-tail", "-a", "odd.qcow2", "/etc/hostname"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut read = |until: &str| {
        let mut text = String::new();
        while !text.ends_with(until) {
            let mut byte = [0];
            assert_eq!(std::io::Read::read(&mut out, &mut byte).unwrap(), 1, "{text}");
            text.push(char::from(byte[0]));
        }
        text
    };
    assert_eq!(read("odd\n"), "\n\n--- /etc/hostname ---\n\nodd\n");
    lab.disksmith_args(&[
        "customize",
        "-q",
        "-a",
        "odd.qcow2",
        "--append-line",
        "/etc/hostname:more",
    ])
    .ok();
    assert_eq!(read("more\n"), "\n\n--- /etc/hostname ---\n\nmore\n");
    // it ends with the file
    lab.disksmith("customize -q -a odd.qcow2 --delete /etc/hostname")
        .ok();
    assert!(child.wait().unwrap().success());
}

#[test]
fn killed_writers_leave_the_old_state_or_the_new() {
    if !judges(&["qemu-img", "e2fsck", "mke2fs", "sfdisk", "tar"]) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "original.qcow2", Layout::Gpt, "");
    lab.tool_args(&["sh", "-c", "mkdir d && cd d && for i in $(seq 200); do seq $i > f$i; done; seq 600000 > big; cd .. && tar -cf d.tar d"])
        .ok();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for verb in [
        "copy-in -a vm.qcow2 d /opt",
        "tar-in -a vm.qcow2 d.tar /opt",
        "edit -q -a vm.qcow2 /usr/lib/os-release -e s/D/X/g -b .old",
    ] {
        let copy = || std::fs::copy(lab.path("original.qcow2"), lab.path("vm.qcow2")).unwrap();
        let show = || {
            lab.disksmith("ls -lR --checksum=sha1 -a vm.qcow2 /opt").ok()
                + &lab.disksmith("ls -lR --checksum=sha1 -a vm.qcow2 /usr/lib").ok()
        };
        copy();
        let old = show();
        let started = std::time::Instant::now();
        lab.disksmith(verb).ok();
        let whole = started.elapsed();
        let new = show();
        assert_ne!(old, new);
        let mut seen = (0, 0);
        for _ in 0..8 {
            copy();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let words: Vec<&str> = verb.split_whitespace().collect();
            let mut child = lab
                .command(&words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole.mul_f64((random % 1100) as f64 / 1000.0));
            let _ = child.kill();
            child.wait().unwrap();
            lab.disksmith("recover vm.qcow2").ok();
            lab.qemu_check("vm.qcow2");
            lab.e2fsck("vm.qcow2", Layout::Gpt.root_offset());
            let now = show();
            if now == old {
                seen.0 += 1;
            } else {
                assert_eq!(now, new, "neither old nor new: {verb}");
                seen.1 += 1;
            }
        }
        std::io::stderr()
            .write_all(format!("{verb}: {} old, {} new\n", seen.0, seen.1).as_bytes())
            .unwrap();
    }
    // what does not fit leaves the guest as it was
    let before = lab.read("original.qcow2");
    lab.tool("dd if=/dev/urandom of=huge bs=1M count=70 status=none")
        .ok();
    lab.disksmith("copy-in -a original.qcow2 huge /opt").fails(7);
    lab.tool("tar -cf huge.tar huge").ok();
    lab.disksmith("tar-in -a original.qcow2 huge.tar /opt").fails(7);
    assert!(lab.read("original.qcow2") == before, "the image was written");
}
