//! What lies on disks, how full it is, what is installed, and what differs: compared byte by byte with what the libguestfs tools printed of
//! the same images (`testdata/inspect`), but for differences that are meant.

use crate::lab::{Lab, judges, may_mount};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/inspect"))
}

fn golden(name: &str) -> String {
    std::fs::read_to_string(folder().join("golden").join(name)).unwrap()
}

/// Runs the program in the folder of the images.
fn run(words: &[&str]) -> crate::lab::Said {
    let lab = Lab::new();
    let output = lab
        .command(words)
        .current_dir(folder())
        .env("TZ", "UTC")
        .output()
        .unwrap();
    output.into()
}

/// Runs a face whose arguments stand in one line; gives what it printed.
#[track_caller]
fn face(line: &str) -> String {
    run(&line.split_whitespace().collect::<Vec<_>>()).ok()
}

const SEVERAL: &str =
    "-a disks/dos.qcow2 -a disks/bare.qcow2 -a disks/swapdisk.qcow2 -a disks/empty.qcow2 -a disks/lvm.qcow2";
const PAIR: &str = "-a guests/diff-old.qcow2 -A guests/diff-new.qcow2";

#[test]
fn filesystems_are_listed_as_virt_filesystems_does() {
    for (name, options) in [
        (
            "fs-kinds-all.txt",
            "-a disks/kinds.qcow2 --all --long --uuid".to_owned(),
        ),
        ("fs-kinds.txt", "-a disks/kinds.qcow2".to_owned()),
        ("fs-kinds.txt", "disks/kinds.qcow2".to_owned()),
        ("fs-kinds.csv", "-a disks/kinds.qcow2 --all -l --csv".to_owned()),
        (
            "fs-kinds-extra.txt",
            "-a disks/kinds.qcow2 --extra --blkdevs".to_owned(),
        ),
        ("fs-several.txt", format!("{SEVERAL} --all --long --uuids")),
        (
            "fs-several-h.txt",
            format!("{SEVERAL} --extra -lh --uuid --partitions"),
        ),
        (
            "fs-several-parts.txt",
            "-a disks/dos.qcow2 -a disks/bare.qcow2 -a disks/lvm.qcow2 --parts --blkdevs --pvs -l".to_owned(),
        ),
        ("fs-long.txt", "-a disks/dos.qcow2 -l".to_owned()),
        (
            "fs-lvm-long.txt",
            "-a disks/lvm.qcow2 -l --lvs --vgs --uuid -h".to_owned(),
        ),
    ] {
        // The parent of a volume group is named as the disk is called in the tool's own machine.
        let expected = match name {
            "fs-lvm-long.txt" => golden(name).replace("/dev/sdb2", "/dev/sda2"),
            _ => golden(name),
        };
        assert_eq!(
            face(&format!("virt-filesystems {options}")),
            expected,
            "{name}: {options}"
        );
        let ours = options.replace("--uuids", "--uuid");
        if options.starts_with("-a") {
            assert_eq!(face(&format!("filesystems {ours}")), expected, "{name}: {ours}");
        }
    }
    let refused = run(&["virt-filesystems", "-a", "disks/bare.qcow2", "-h", "--csv", "-l"]);
    let message = "virt-filesystems: you cannot use -h and --csv options together.\n";
    assert_eq!(refused.fails(1), message);
    let json = face("filesystems --all --output json -a disks/dos.qcow2");
    for part in ["\"mbr_id\": 12", "\"name\": \"/dev/sda5\"", "\"vfs\": \"swap\""] {
        assert!(json.contains(part), "{json}");
    }
}

#[test]
fn space_is_counted_as_virt_df_does() {
    let csv = "-a disks/dos.qcow2 -a disks/bare.qcow2 -a disks/lvm.qcow2 -a disks/empty.qcow2 -a guests/debian.qcow2 --csv";
    assert_eq!(face(&format!("virt-df {csv}")), golden("df-several.csv"));
    for (name, options) in [
        ("df-kinds.txt", "-a disks/kinds.qcow2"),
        (
            "df-several-h.txt",
            "-h -a disks/kinds.qcow2 -a guests/debian.qcow2",
        ),
        (
            "df-several-i.txt",
            "-i -a disks/kinds.qcow2 -a guests/debian.qcow2",
        ),
    ] {
        let said = run(&format!("virt-df {options}").split(' ').collect::<Vec<_>>());
        let (ours, warnings) = (said.stdout.clone(), said.stderr.clone());
        said.ok();
        // What cannot be opened is named on standard error instead.
        let is_named = |line: &&str| {
            let device = line.split([':', ' ']).find(|word| word.starts_with("/dev/"));
            device.is_some_and(|device| warnings.contains(&format!("{device} (")))
        };
        let expected = golden(name);
        let expected: Vec<&str> = expected.lines().filter(|line| !is_named(line)).collect();
        assert_eq!(ours.lines().collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn space_is_what_the_kernel_says() {
    if !judges(&["qemu-img", "mount", "stat"]) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    let image = folder().join("disks/bare.qcow2");
    let raw = lab.path("bare.raw");
    lab.tool(&format!(
        "qemu-img convert -O raw {} {}",
        image.display(),
        raw.display()
    ))
    .ok();
    let said = lab.kernel_mount("bare.raw", 0, |root| {
        lab.tool(&format!("stat -f -c %S,%b,%f,%a,%c,%d {}", root.display()))
            .ok()
    });
    let numbers: Vec<u64> = said.trim().split(',').map(|n| n.parse().unwrap()).collect();
    let [block, blocks, free, available, inodes, free_inodes] = numbers[..] else {
        panic!("{said}")
    };
    let json = lab.disksmith("df --output json -a bare.raw").ok();
    for (name, value) in [
        ("size", block * blocks),
        ("used", block * (blocks - free)),
        ("available", block * available),
        ("inodes", inodes),
        ("inodes-free", free_inodes),
    ] {
        assert!(
            json.contains(&format!("\"{name}\": {value}")),
            "{name} {value}: {json}"
        );
    }
}

#[test]
fn alignment_is_told_as_virt_alignment_scan_does() {
    let line = "virt-alignment-scan -a disks/dos.qcow2 -a disks/kinds.qcow2 -a disks/lvm.qcow2";
    assert_eq!(face(line), golden("align.txt"));
    if !judges(&["sfdisk", "sh"]) {
        return;
    }
    let lab = Lab::new();
    let raw = lab.path("old.raw");
    std::fs::File::create(&raw).unwrap().set_len(8 << 20).unwrap();
    for (start, status, line) in [
        (
            63,
            3,
            "/dev/sda1        32256          512    bad (alignment < 4K)\n",
        ),
        (
            72,
            2,
            "/dev/sda1        36864            4K   bad (alignment < 64K)\n",
        ),
        (128, 0, "/dev/sda1        65536           64K   ok\n"),
    ] {
        let table = lab.write(
            "table",
            format!("label: dos\nstart={start}, size=2000, type=83\n"),
        );
        lab.tool_args(&["sh", "-c", &format!("sfdisk -q old.raw < {}", table.display())])
            .ok();
        let said = lab.disksmith("virt-alignment-scan -a old.raw");
        assert_eq!((said.status, said.stdout.as_str()), (status, line));
        let quiet = lab.disksmith("virt-alignment-scan -q -a old.raw");
        assert_eq!((quiet.status, quiet.stdout.as_str()), (status, ""));
    }
}

#[test]
fn guests_are_inspected_as_virt_inspector_does() {
    let mut names: Vec<String> = std::fs::read_dir(folder().join("guests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("diff-"))
        .collect();
    names.sort();
    let disks: String = names.iter().map(|name| format!(" -a guests/{name}")).collect();
    // Buildroot's os-release is known; the tool looks for a file that Buildroot no longer has.
    let expected = golden("inspector-all.xml").replace(
        "    <product_name>Buildroot 2023.02</product_name>\n    <major_version>2023</major_version>\n    <minor_version>2</minor_version>\n",
        "    <distro>buildroot</distro>\n    <product_name>Buildroot 2023.02</product_name>\n    <major_version>2023</major_version>\n    <minor_version>2</minor_version>\n    <osinfo>buildroot2023.2</osinfo>\n",
    );
    assert_eq!(
        face(&format!("virt-inspector --no-applications{disks}")),
        expected
    );
    let some = "-a guests/debian.qcow2 -a guests/alpine.qcow2 -a guests/arch.qcow2 -a guests/ubuntu.qcow2";
    assert_eq!(
        face(&format!("virt-inspector {some}")),
        golden("inspector-apps.xml")
    );
    assert_eq!(
        face(&format!("inspect {some} --output xml")),
        golden("inspector-apps.xml")
    );
    let bare =
        "--no-applications --no-icon -a guests/debian.qcow2 -a disks/swapdisk.qcow2 -a disks/dos.qcow2";
    assert_eq!(
        face(&format!("virt-inspector {bare}")),
        golden("inspector-noapp.xml")
    );
    let nothing = run(&["virt-inspector", "-a", "disks/empty.qcow2"]).fails(1);
    assert!(
        nothing.starts_with("virt-inspector: no operating system could be detected"),
        "{nothing}"
    );
}

/// The same packages in a database of each kind; rpm itself says what is in them.
#[test]
fn packages_of_rpm_are_those_that_rpm_lists() {
    for guest in ["fedora", "opensuse", "centos"] {
        let json = face(&format!("inspect --output json -a guests/{guest}.qcow2"));
        let found: serde_json::Value = serde_json::from_str(&json).unwrap();
        let packages = found[0]["applications"].as_array().unwrap();
        let mut lines: Vec<String> = packages
            .iter()
            .map(|package| {
                let text = |name: &str| package[name].as_str().unwrap().to_owned();
                let fields = ["version", "release", "arch", "url", "source_package", "summary"].map(text);
                let description = text("description").replace('\n', "\\n");
                format!(
                    "{}|{}|{}|'{description}'",
                    text("name"),
                    package["epoch"],
                    fields.join("|")
                )
            })
            .collect();
        lines.sort();
        let mut expected: Vec<String> = golden("rpm-qa.txt").lines().map(str::to_owned).collect();
        expected.sort();
        assert_eq!(lines, expected, "{guest}");
    }
}

#[test]
fn guests_are_compared_as_virt_diff_does() {
    for (name, options) in [
        ("diff.txt", ""),
        (
            "diff-all.txt",
            "--all --atime --dir-times --dir-links --checksum=sha256 -h",
        ),
        ("diff-csv.txt", "--csv --all --time-t --checksum"),
        ("diff-small.txt", "--times --dir-links --checksum=crc"),
    ] {
        assert_eq!(
            face(&format!("virt-diff {options} {PAIR}")),
            golden(name),
            "{name}"
        );
    }
    let ours = run(&["diff", "guests/diff-old.qcow2", "guests/diff-new.qcow2"]);
    assert_eq!((ours.status, ours.stdout), (1, golden("diff.txt")));
    let same = run(&[
        "diff",
        "--checksum",
        "guests/diff-old.qcow2",
        "guests/diff-old.qcow2",
    ]);
    assert_eq!((same.status, same.stdout.as_str()), (0, ""));
    assert_eq!(
        run(&["diff", "guests/diff-old.qcow2", "disks/empty.qcow2"]).status,
        2
    );
    let json = run(&[
        "diff",
        "--output",
        "json",
        "guests/diff-old.qcow2",
        "guests/diff-new.qcow2",
    ]);
    assert_eq!(json.status, 1);
    let found: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let of = |path: &str| {
        found
            .as_array()
            .unwrap()
            .iter()
            .find(|d| d["path"] == path)
            .unwrap()
            .clone()
    };
    assert_eq!(of("/data/added")["change"], "added");
    assert_eq!(of("/data/removed-dir/sub")["change"], "removed");
    // its times only
    assert_eq!(of("/data/time")["contents"], false);
    assert_eq!(of("/data/same-size")["contents"], true);
    assert_eq!(of("/data/link")["new"]["target"], "other");
}

#[test]
fn the_newest_kernel_is_taken_as_virt_get_kernel_does() {
    let lab = Lab::new();
    let image = folder().join("guests/debian.qcow2");
    std::fs::create_dir(lab.path("gk")).unwrap();
    let said = lab.disksmith(&format!(
        "virt-get-kernel -a {} -o gk --prefix pre",
        image.display()
    ));
    assert_eq!(said.ok(), golden("get-kernel.txt"));
    assert_eq!(
        lab.read("gk/pre-vmlinuz-6.1.0-10-amd64"),
        b"vmlinuz 6.1.0-10-amd64\n"
    );
    assert_eq!(
        lab.read("gk/pre-initrd.img-6.1.0-10-amd64"),
        b"initrd.img 6.1.0-10-amd64\n"
    );
    let said = lab.disksmith(&format!(
        "virt-get-kernel -a {} --unversioned-names",
        image.display()
    ));
    assert_eq!(said.ok(), golden("get-kernel2.txt"));
    assert_eq!(lab.read("vmlinuz"), b"vmlinuz 6.1.0-10-amd64\n");
    lab.disksmith(&format!("get-kernel -q -a {} -d gk", image.display()))
        .ok();
    assert_eq!(
        lab.read("gk/initrd.img-6.1.0-10-amd64"),
        b"initrd.img 6.1.0-10-amd64\n"
    );
    assert_eq!(
        lab.disksmith("virt-get-kernel --machine-readable").ok(),
        "virt-get-kernel\n"
    );
}
