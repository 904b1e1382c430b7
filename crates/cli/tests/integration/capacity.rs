//! Growing and shrinking images with what is in them, by `grow`, `shrink`, `resize --fs`, resize2fs and virt-resize.

use crate::lab::{Lab, judges, may_mount};
use crate::small_guest::{Layout, make};
use std::process::Stdio;

const JUDGES: &[&str] = &[
    "qemu-img",
    "e2fsck",
    "mke2fs",
    "sfdisk",
    "sgdisk",
    "resize2fs",
    "mkswap",
];
const MIB: u64 = 1 << 20;

/// Asserts that sgdisk is content with the table.
#[track_caller]
fn sgdisk(lab: &Lab, image: &str) {
    let raw = lab.raw_copy(image);
    let said = lab.tool(&format!("sgdisk -v {}", raw.display()));
    let verified = lab.tool(&format!("sfdisk --verify {}", raw.display()));
    std::fs::remove_file(&raw).unwrap();
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(
        text.contains("No problems found") && !text.contains("Caution"),
        "sgdisk -v {image}: {text}"
    );
    assert!(verified.stdout.contains("No errors detected"), "{verified:?}");
}

/// What identifies the partitions, without where they end.
fn identities(lab: &Lab, image: &str) -> Vec<String> {
    let raw = lab.raw_copy(image);
    let text = lab.tool(&format!("sfdisk -d {}", raw.display())).ok();
    std::fs::remove_file(&raw).unwrap();
    text.lines()
        .filter(|line| line.contains(" : ") || line.starts_with("label-id"))
        .map(|line| {
            let fields = line.split(',').filter(|field| !field.contains("size="));
            fields.map(str::trim).collect::<Vec<_>>().join(",")
        })
        .collect()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_template_grows_and_shrinks_in_one_go() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    for image in ["vm.qcow2", "vm.raw"] {
        make(&lab, image, Layout::Gpt, "");
        let before = identities(&lab, image);
        let files = lab.disksmith(&format!("ls -lR -a {image} /")).ok();
        let told = json(
            &lab.disksmith(&format!("grow {image} 2G --dry-run --output json"))
                .ok(),
        );
        assert_eq!(told["changed"], false);
        let done = json(&lab.disksmith(&format!("grow {image} 2G --output json")).ok());
        assert_eq!(done["new-size"], 2048 * MIB);
        assert_eq!(done["partition"]["new-size"], told["partition"]["new-size"]);
        assert_eq!(done["partition"]["new-size"], 2046 * MIB);
        assert_eq!(done["filesystem"]["new-size"], 2046 * MIB);
        sgdisk(&lab, image);
        lab.e2fsck(image, MIB);
        assert_eq!(identities(&lab, image), before);
        assert_eq!(lab.disksmith(&format!("ls -lR -a {image} /")).ok(), files);
        if image.ends_with("qcow2") {
            lab.qemu_check(image);
        }
        // A second time there is nothing to do.
        let again = json(&lab.disksmith(&format!("grow {image} --output json")).ok());
        assert_eq!(again["changed"], false);

        let told = json(
            &lab.disksmith(&format!("shrink {image} --report --output json"))
                .ok(),
        );
        let least = told["minimum-size"].as_u64().unwrap();
        assert!(least < 200 * MIB && told["changed"] == false);
        lab.disksmith(&format!("shrink {image} 500M")).ok();
        sgdisk(&lab, image);
        lab.e2fsck(image, MIB);
        lab.disksmith(&format!("shrink {image} --minimum")).ok();
        sgdisk(&lab, image);
        lab.e2fsck(image, MIB);
        assert_eq!(lab.disksmith(&format!("ls -lR -a {image} /")).ok(), files);
        lab.disksmith(&format!("resize --fs {image} 300M")).ok();
        lab.disksmith(&format!("resize --fs {image} -20M")).ok();
        lab.disksmith(&format!("shrink {image} -20M")).ok();
        lab.e2fsck(image, MIB);
        sgdisk(&lab, image);
        let said = lab.disksmith(&format!("shrink {image} 3M")).fails(7);
        assert!(
            said.contains("unchanged:") && said.contains("needs about"),
            "{said}"
        );
        lab.e2fsck(image, MIB);
        let said = lab.disksmith(&format!("grow {image} 10M")).fails(2);
        assert!(said.contains("disksmith shrink"), "{said}");
    }
    // A filesystem without a table.
    make(&lab, "bare.qcow2", Layout::Bare, "");
    lab.disksmith("grow bare.qcow2 +1G").ok();
    lab.e2fsck("bare.qcow2", 0);
    lab.disksmith("shrink bare.qcow2 --minimum").ok();
    lab.e2fsck("bare.qcow2", 0);
}

/// Debian's old layout: root, and an extended partition with swap.
fn debian_mbr(lab: &Lab) {
    lab.tool("truncate -s 300M mbr.img").ok();
    let table = "label: dos\nlabel-id: 0x12345678\nstart=2048,size=204800,type=83,bootable\n\
        start=206848,size=405504,type=5\nstart=208896,size=102400,type=82\n";
    lab.write("table", table);
    lab.tool_args(&["sh", "-c", "sfdisk -q mbr.img < table"]).ok();
    lab.tool("mke2fs -q -F -t ext4 -d /etc/apt -E offset=1048576 mbr.img 102400k")
        .ok();
    let swap = "truncate -s 50M swap && mkswap -q -U 11111111-2222-3333-4444-555555555555 swap && \
        dd if=swap of=mbr.img bs=512 seek=208896 conv=notrunc status=none";
    lab.tool_args(&["sh", "-c", swap]).ok();
}

#[test]
fn what_cannot_grow_is_named() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    debian_mbr(&lab);
    let before = lab.read("mbr.img");
    let said = lab.disksmith("grow mbr.img 1G").fails(6);
    assert!(
        said.contains("swap space") && said.contains("virt-resize --expand /dev/sda1"),
        "{said}"
    );
    let said = lab.disksmith("grow mbr.img 1G -p 1").fails(6);
    assert!(said.contains("partition 2 stands right behind it"), "{said}");
    lab.disksmith("grow mbr.img 1G -p 9").fails(1);
    assert_eq!(lab.read("mbr.img"), before);
    // The logical partition grows, with the extended one around it; the swap in it is named.
    let said = lab.disksmith("grow mbr.img 1G -p 5").fails(8);
    assert!(said.contains("remains: swap space on partition 5"), "{said}");
    let said = lab.tool("sfdisk --verify mbr.img").ok();
    assert!(said.contains("No errors detected"), "{said}");
    // What is no filesystem that is known.
    lab.tool("truncate -s 100M other.raw").ok();
    lab.write("table", "label: gpt\nstart=2048,size=100000\n");
    lab.tool_args(&["sh", "-c", "sfdisk -q other.raw < table"]).ok();
    let said = lab.disksmith("grow other.raw 200M").fails(8);
    assert!(said.contains("remains: what partition 1 holds"), "{said}");
    sgdisk(&lab, "other.raw");
    let said = lab.disksmith("shrink other.raw 20M").fails(4);
    assert!(said.contains("cannot be shrunk"), "{said}");
}

#[test]
fn killed_growing_and_shrinking_leaves_old_or_new() {
    if !judges(JUDGES) {
        return;
    }
    for image in ["vm.qcow2", "vm.raw"] {
        let lab = Lab::new();
        make(&lab, image, Layout::Gpt, "");
        std::fs::rename(lab.path(image), lab.path("original")).unwrap();
        let copy = || {
            lab.tool(&format!("cp --sparse=always original {image}")).ok();
        };
        copy();
        let started = std::time::Instant::now();
        lab.disksmith(&format!("grow {image} 3G")).ok();
        let whole = started.elapsed();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..12 {
            if round % 2 == 0 {
                copy();
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let verb = if round % 2 == 0 { "grow" } else { "shrink" };
            let size = if round % 2 == 0 { "3G" } else { "--minimum" };
            let mut child = lab
                .command(&[verb, image, size])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole.mul_f64((random % 1100) as f64 / 1000.0));
            let _ = child.kill();
            child.wait().unwrap();
            lab.disksmith(&format!("recover {image}")).ok();
            if image.ends_with("qcow2") {
                lab.qemu_check(image);
            }
            sgdisk(&lab, image);
            lab.e2fsck(image, MIB);
        }
    }
}

#[test]
fn a_full_host_disk_leaves_the_image_as_it_was() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    for image in ["vm.qcow2", "vm.raw"] {
        let lab = Lab::new();
        make(&lab, image, Layout::Gpt, "");
        lab.disksmith(&format!("grow {image} 1G")).ok();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(lab.path(image)).unwrap());
        std::fs::create_dir(lab.path("small")).unwrap();
        // Hardly more than the image itself takes.
        let size = blocks * 512 + (64 << 10);
        lab.tool(&format!("mount -t tmpfs -o size={size} tmpfs small"))
            .ok();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lab.tool(&format!("cp --sparse=always {image} small/{image}"))
                .ok();
            let copy = format!("small/{image}");
            for call in ["grow small/IMAGE 200G", "grow small/IMAGE 900G"] {
                let said = lab.disksmith(&call.replace("IMAGE", image)).fails(7);
                assert!(said.contains("unchanged:"), "{said}");
                // Clusters of a qcow2 that nobody uses may hold what was tried.
                lab.qemu_same(image, &copy);
                if image.ends_with("qcow2") {
                    lab.qemu_check(&copy);
                }
            }
            assert_eq!(std::fs::read_dir(lab.path("small")).unwrap().count(), 1);
        }));
        lab.tool("umount small").ok();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn resize2fs_by_its_old_name() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    let calls: &[&str] = &[
        "fs 30M",
        "fs 30M",
        "-P fs",
        "-f fs 30000",
        "-p fs 20000",
        "fs abc",
        "fs 100",
        "none",
        "-q fs",
        "-z",
        "",
        "-b fs",
        "-s fs",
        "-s fs",
        "-M fs",
        "-f -M fs",
        "-b -s fs",
        "notfs",
    ];
    let mut all = Vec::new();
    for ours in [true, false] {
        lab.tool("rm -f fs notfs").ok();
        lab.tool("truncate -s 20M fs notfs").ok();
        lab.tool("mke2fs -q -F -t ext4 fs").ok();
        let mut said = Vec::new();
        for call in calls {
            let result = if ours {
                lab.disksmith(&format!("resize2fs {call}"))
            } else {
                lab.tool(&format!("resize2fs {call}"))
            };
            let size = std::fs::metadata(lab.path("fs")).unwrap().len();
            said.push((*call, result.status, result.stdout, result.stderr, size));
            let clean = lab.tool("e2fsck -fn fs").ok();
            assert!(!clean.contains("WARNING"), "{call}: {clean}");
        }
        all.push(said);
    }
    for (ours, theirs) in all[0].iter().zip(&all[1]) {
        assert_eq!(ours, theirs);
    }
}

/// A line without its time.
fn untimed(text: &str) -> String {
    text.lines()
        .map(|line| match line.split_once("] ") {
            Some((head, rest)) if head.starts_with('[') => format!("[T] {rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

/// The texts in golden/ are what virt-resize 1.48.2 printed for the same calls, on disks laid out like these.
#[test]
fn virt_resize_by_its_old_name() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    debian_mbr(&lab);
    lab.tool("truncate -s 300M gpt.img").ok();
    lab.write(
        "table",
        "label: gpt\nstart=2048,size=102400,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B,name=\"EFI\"\n\
         start=104448,size=409600,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,name=\"root\",attrs=\"LegacyBIOSBootable\"\n",
    );
    lab.tool_args(&["sh", "-c", "sfdisk -q gpt.img < table"]).ok();
    lab.tool("mke2fs -q -F -t ext4 -d /etc/apt -E offset=53477376 gpt.img 204800k")
        .ok();
    let run = |line: &str| {
        lab.tool("rm -f new.img").ok();
        lab.tool("truncate -s 600M new.img").ok();
        lab.disksmith(&format!("virt-resize {line} new.img"))
    };
    for (line, golden) in [
        ("-n gpt.img", include_str!("golden/virt-resize-dry-extra.txt")),
        (
            "-n --resize sda2=+60M --ignore sda1 --no-extra-partition gpt.img",
            include_str!("golden/virt-resize-ignore.txt"),
        ),
        (
            "--expand /dev/sda1 mbr.img",
            include_str!("golden/virt-resize-expand-mbr.txt"),
        ),
        (
            "--resize /dev/sda1=+20M --expand /dev/sda2 gpt.img",
            include_str!("golden/virt-resize-expand-gpt.txt"),
        ),
    ] {
        assert_eq!(untimed(&run(line).ok()), golden, "{line}");
    }
    // The last one: sectors as virt-resize chooses them, everything that identifies a partition kept.
    let table = lab.tool("sfdisk -d new.img").ok();
    assert!(table.contains("start=        2048, size=      143360"), "{table}");
    assert!(table.contains("start=      145408, size=     1080960"), "{table}");
    let mut expected = identities(&lab, "gpt.img");
    for line in &mut expected {
        *line = line.replace("gpt.img", "new.img").replace("104448", "145408");
    }
    assert_eq!(identities(&lab, "new.img"), expected);
    lab.e2fsck("new.img", 145_408 * 512);
    // With an extra partition, and without the first.
    run("gpt.img").ok();
    let table = lab.tool("sfdisk -d new.img").ok();
    assert!(table.contains("new.img3 "), "{table}");
    lab.e2fsck("new.img", 104_448 * 512);
    run("--delete /dev/sda1 --expand /dev/sda2 gpt.img").ok();
    lab.e2fsck("new.img", MIB);
    run("--expand /dev/sda1 mbr.img").ok();
    lab.e2fsck("new.img", MIB);
    let table = lab.tool("sfdisk -d new.img").ok();
    assert!(
        table.contains("0x12345678") && table.contains("start=      822912"),
        "{table}"
    );
    for (line, said) in [
        (
            "--expand /dev/sda5 mbr.img",
            "partition not found in the source disk image",
        ),
        (
            "--resize /dev/sda2=90% gpt.img",
            "will be damaged by shrinking it",
        ),
        ("--resize /dev/sda2=+10G gpt.img", "There is a deficit of"),
        ("--align-first x gpt.img", "unknown --align-first option"),
        ("--alignment 0 gpt.img", "alignment cannot be < 1"),
        ("--lv-expand /dev/vg/lv gpt.img", "LVM"),
    ] {
        let text = run(line).fails(1);
        assert!(text.contains(said), "{line}: {text}");
    }
}

#[test]
fn a_boot_partition_is_not_given_the_room() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lab.tool("truncate -s 64M g.raw").ok();
    let table = "label: gpt\nstart=2048,size=81920\nstart=86016,size=2048,type=21686148-6449-6E6F-744E-656564454649\n";
    std::fs::write(lab.path("table"), table).unwrap();
    let shell = lab.path("table.sh");
    std::fs::write(&shell, "sfdisk -q g.raw <table\n").unwrap();
    lab.tool("sh table.sh").ok();
    let refused = lab.disksmith("grow g.raw 100M");
    assert_ne!(refused.status, 0, "{refused:?}");
    assert!(refused.stderr.contains("boot loader"), "{refused:?}");
    assert!(refused.stderr.contains("--partition 2"), "{refused:?}");
    assert_eq!(std::fs::metadata(lab.path("g.raw")).unwrap().len(), 64 * MIB);
    lab.disksmith("grow -n -p 2 g.raw 100M");
    // A number that is not there is the same mistake with and without a table.
    lab.tool("truncate -s 64M bare.raw").ok();
    let with = lab.disksmith("grow -p 9 g.raw 100M").status;
    assert_eq!(lab.disksmith("grow -p 9 bare.raw 100M").status, with);
}

#[test]
fn a_truncated_image_is_told_and_not_resized() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lab.tool("truncate -s 64M t.raw").ok();
    std::fs::write(
        lab.path("table"),
        "label: dos\nstart=2048,size=40960\nstart=43008,size=81920\n",
    )
    .unwrap();
    std::fs::write(lab.path("table.sh"), "sfdisk -q t.raw <table\n").unwrap();
    lab.tool("sh table.sh").ok();
    lab.tool("truncate -s 40M t.raw").ok();
    let listed = lab.disksmith("filesystems -a t.raw --partitions");
    assert!(listed.stdout.contains("/dev/sda2"), "{listed:?}");
    assert!(
        listed.stderr.contains("shorter than its partition table"),
        "{listed:?}"
    );
    let refused = lab.disksmith("grow t.raw 100M");
    assert_ne!(refused.status, 0);
    assert!(refused.stderr.contains("partition 2"), "{refused:?}");
    assert_eq!(std::fs::metadata(lab.path("t.raw")).unwrap().len(), 40 * MIB);
}

#[test]
fn a_filesystem_on_a_device_is_resized_unless_it_is_mounted() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    lab.tool("truncate -s 64M d.raw").ok();
    lab.tool("mke2fs -q -F -t ext4 d.raw 32M").ok();
    lab.tool("mkdir mnt").ok();
    let device = lab.tool("losetup --show -f d.raw").ok().trim().to_owned();
    let grown = lab.disksmith(&format!("resize2fs {device}"));
    let clean = lab.tool(&format!("e2fsck -fn {device}"));
    lab.tool(&format!("mount {device} mnt"));
    let mounted = lab.disksmith(&format!("resize2fs {device} 20M"));
    lab.tool("umount mnt");
    lab.tool(&format!("losetup -d {device}"));
    assert_eq!(grown.status, 0, "{grown:?}");
    assert!(
        grown.stdout.contains("is now 65536 (1k) blocks") || grown.stdout.contains("is now 16384 (4k)"),
        "{grown:?}"
    );
    assert!(
        clean.status == 0 && !clean.stdout.contains("WARNING"),
        "{clean:?}"
    );
    assert_eq!(mounted.status, 1, "{mounted:?}");
    assert!(mounted.stderr.contains("is mounted on"), "{mounted:?}");
}

#[test]
fn the_files_of_a_hybrid_iso_are_read_from_the_whole_disk() {
    if !judges(&["xorriso"]) {
        return;
    }
    let lab = Lab::new();
    lab.tool("mkdir dir").ok();
    std::fs::write(lab.path("dir/hello"), "hello\n").unwrap();
    lab.tool("truncate -s 1M f.fat").ok();
    lab.tool("xorriso -as mkisofs -quiet -r -V HYB -partition_offset 16 -append_partition 2 0xef f.fat -o hy.iso dir").ok();
    assert_eq!(lab.disksmith("cat -a hy.iso -m /dev/sda /hello").ok(), "hello\n");
    assert_eq!(
        lab.disksmith("virt-cat -a hy.iso -m /dev/sda /hello").ok(),
        "hello\n"
    );
}
