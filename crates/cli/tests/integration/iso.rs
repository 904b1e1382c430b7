//! The faces of genisoimage, xorriso and isoinfo against these programs, and the verbs of `iso`.

use crate::lab::{Lab, judges};
use std::os::unix::fs::{PermissionsExt, symlink};

/// A tree with names of every kind, links, and a directory that is nested too deep.
fn lab_with_tree() -> Lab {
    let lab = Lab::new();
    for (name, content) in [
        ("t/README.txt", "hello\n"),
        ("t/file with space.tar.gz", "hi\n"),
        ("t/.hidden", "a\n"),
        ("t/lower-case~name#x.html", "b\n"),
        ("t/UPPERCASENAMEVERYLONGTHATEXCEEDS31CHARS.EXTENSION", "x\n"),
        ("t/a.b.c", "1\n"),
        ("t/noext", "1\n"),
        ("t/empty_file", ""),
        ("t/caf\u{e9}.txt", "coffee\n"),
        ("t/Dir With Space.d/inner,comma.txt", "i\n"),
        ("t/sub/d1/d2/d3/d4/d5/d6/d7/f", "deep\n"),
        ("t/sub/x.verylongextension_over_thirty_characters", "e\n"),
    ] {
        lab.write(name, content);
    }
    lab.write("t/bin.dat", vec![7u8; 5000]);
    symlink("README.txt", lab.path("t/link")).unwrap();
    symlink("/abs/../x/./y", lab.path("t/abs")).unwrap();
    std::fs::hard_link(lab.path("t/README.txt"), lab.path("t/zhard")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o751);
    std::fs::set_permissions(lab.path("t/noext"), mode).unwrap();
    lab.write("b/efi.img", vec![3u8; 4096]);
    lab.write("b/iso.bin", vec![5u8; 3000]);
    lab.write("b/floppy.img", vec![0u8; 1_474_560]);
    lab
}

/// A listing without what may differ: where extents lie, and the directory above the root.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.split_once('[') {
            Some((_, behind)) if line.ends_with("].. ") || behind.ends_with("]  .. ") => continue,
            Some((before, behind)) => {
                let flags = behind.split_whitespace().nth(1).unwrap_or_default();
                let name = behind.split_once(']').map_or("", |(_, name)| name);
                format!("{before}[{flags}{name}")
            }
            None => line.to_owned(),
        };
        let dropped = ["Application id", "Volume size", "El Torito VD", "        Bootoff"];
        if !dropped.iter().any(|prefix| line.starts_with(prefix)) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

#[test]
fn images_list_as_those_of_genisoimage() {
    if !judges(&["genisoimage", "isoinfo"]) {
        return;
    }
    let lab = lab_with_tree();
    for options in [
        "",
        "-J -r",
        "-l -R",
        "-iso-level 3",
        "-iso-level 4 -R",
        "-U",
        "-allow-lowercase -allow-multidot -d -N",
        "-l -L -relaxed-filenames",
        "-max-iso9660-filenames -no-iso-translate",
        "-T -r -l",
        "-R -uid 5 -gid 6 -file-mode 640 -dir-mode 750",
        "-J -r -hide noext -hidden bin.dat -hide-joliet a.b.c",
        "-r -m *.html -x t/sub",
        "-r -hide-rr-moved -V LABEL -publisher P -p Q -sysid S",
        "-D -no-pad",
        "-r -no-bak",
    ] {
        compare(&lab, options, "t");
    }
    for options in [
        "-r -b iso.bin -no-emul-boot -c b.cat -boot-load-size 4",
        "-J -b floppy.img",
        "-r -b iso.bin -no-emul-boot -boot-info-table -eltorito-alt-boot -e efi.img -no-emul-boot",
        "-r -b iso.bin -no-boot -no-emul-boot -boot-load-seg 0x1000",
    ] {
        compare(&lab, options, "b");
    }
    compare(&lab, "-r -graft-points", "x/y/=t/sub /z.txt=t/noext");
}

fn compare(lab: &Lab, options: &str, sources: &str) {
    // genisoimage patches its source where a boot information table is asked for; ours comes first.
    let ours = lab.disksmith(&format!("genisoimage -quiet -o ours.iso {options} {sources}"));
    let theirs = lab.tool(&format!("genisoimage -quiet -o theirs.iso {options} {sources}"));
    assert_eq!(ours.status, theirs.status, "{options}: {ours:?} {theirs:?}");
    for view in ["-d", "-l", "-f", "-lR", "-fR"] {
        let list = |image: &str| normal(&lab.tool(&format!("isoinfo {view} -i {image}")).ok());
        assert_eq!(list("theirs.iso"), list("ours.iso"), "{view} of {options}");
    }
}

#[test]
fn isoinfo_prints_the_same_bytes() {
    if !judges(&["genisoimage", "isoinfo", "xorriso"]) {
        return;
    }
    let lab = lab_with_tree();
    lab.tool("genisoimage -quiet -J -R -o a.iso t").ok();
    lab.tool("genisoimage -quiet -iso-level 4 -T -R -o b.iso t").ok();
    lab.tool("genisoimage -quiet -J -r -b iso.bin -no-emul-boot -o c.iso b")
        .ok();
    lab.tool("xorriso -as mkisofs -quiet -J -o d.iso t").ok();
    lab.disksmith("genisoimage -quiet -J -r -o e.iso t").ok();
    for image in ["a", "b", "c", "d", "e"] {
        for view in [
            "-d",
            "-l",
            "-lR",
            "-lJ",
            "-f",
            "-fR",
            "-fJ",
            "-p",
            "-pJ",
            "-ls",
            "-x /README.TXT;1",
        ] {
            let line = format!("isoinfo {view} -i {image}.iso");
            let (theirs, ours) = (lab.tool(&line), lab.disksmith(&line));
            assert_eq!(theirs.stdout, ours.stdout, "{line}");
            assert_eq!(theirs.status, ours.status, "{line}");
        }
    }
    for line in [
        "isoinfo -d",
        "isoinfo -l -i none.iso",
        "isoinfo -z",
        "isoinfo -l a.iso",
    ] {
        let (theirs, ours) = (lab.tool(line), lab.disksmith(line));
        assert_eq!(theirs.status, ours.status, "{line}");
    }
}

#[test]
fn wrong_calls_end_as_with_genisoimage() {
    if !judges(&["genisoimage"]) {
        return;
    }
    let lab = lab_with_tree();
    for line in [
        "genisoimage nofile",
        "genisoimage -V 123456789012345678901234567890123 t",
        "genisoimage -iso-level 5 t",
        "genisoimage -o none/x.iso t",
        "genisoimage -quiet -b none t",
    ] {
        let (theirs, ours) = (lab.tool(line), lab.disksmith(line));
        assert_eq!(theirs.status, ours.status, "{line}");
        assert_eq!(theirs.stderr, ours.stderr, "{line}");
    }
    for line in [
        "genisoimage",
        "genisoimage -joli t",
        "genisoimage --vol X t",
        "genisoimage -V",
    ] {
        let (theirs, ours) = (lab.tool(line), lab.disksmith(line));
        assert_eq!(theirs.status, ours.status, "{line}");
        assert_eq!(theirs.stderr.lines().next(), ours.stderr.lines().next(), "{line}");
    }
    for option in ["-udf", "-hfs", "-M x", "-jigdo-jigdo x", "-sparc-boot x"] {
        let error = lab
            .disksmith(&format!("genisoimage -o out.iso {option} t"))
            .fails(255);
        assert!(error.contains("is not supported"), "{option}: {error}");
        assert!(!lab.path("out.iso").exists());
    }
    let size = lab.disksmith("genisoimage -quiet -print-size -J -r t").ok();
    let blocks: u64 = size.trim().parse().unwrap();
    lab.disksmith("genisoimage -quiet -J -r -o out.iso t").ok();
    assert_eq!(
        std::fs::metadata(lab.path("out.iso")).unwrap().len(),
        blocks * 2048
    );
}

#[test]
fn weights_decide_where_contents_lie() {
    let lab = lab_with_tree();
    lab.write("order", "t/noext 100\nt/README.txt -5\n");
    lab.disksmith("mkisofs -quiet -r -sort order -o x.iso t").ok();
    let list = lab.disksmith("isoinfo -lR -i x.iso").ok();
    let block = |name: &str| -> u32 {
        let line = list
            .lines()
            .find(|line| line.ends_with(&format!("  {name} ")))
            .unwrap();
        let behind = line.split_once('[').unwrap().1;
        behind.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(block("noext") < block("bin.dat") && block("README.txt") > block("bin.dat"));
    assert_eq!(block("README.txt"), block("zhard"));
}

#[test]
fn hybrid_images_have_partition_tables() {
    if !judges(&["xorriso", "sgdisk", "sfdisk"]) {
        return;
    }
    let lab = lab_with_tree();
    lab.write("mbr.bin", vec![0x90u8; 432]);
    lab.disksmith(
        "xorriso -as mkisofs -quiet -o x.iso -isohybrid-mbr mbr.bin -b iso.bin -no-emul-boot -boot-load-size 4 \
         -boot-info-table -eltorito-alt-boot -e efi.img -no-emul-boot -isohybrid-gpt-basdat b",
    )
    .ok();
    let report = lab
        .tool("xorriso -indev x.iso -report_el_torito plain -report_system_area plain")
        .ok();
    for line in [
        "El Torito img path :   1  /iso.bin",
        "El Torito img opts :   1  boot-info-table",
        "El Torito img path :   2  /efi.img",
        "MBR partition path :   2  /efi.img",
        "GPT partition path :   2  /efi.img",
        "GPT partname local :   1  ISOHybrid",
        "GPT partname local :   2  ISOHybrid1",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    let record = lab.read("x.iso");
    assert!(record.starts_with(&[0x90; 432]));
    let sources = lab.path("b/iso.bin");
    assert_eq!(
        std::fs::read(sources).unwrap(),
        vec![5u8; 3000],
        "the source stays as it was"
    );

    lab.disksmith("xorrisofs -quiet -o y.iso -append_partition 2 0xef b/efi.img -appended_part_as_gpt b")
        .ok();
    let verdict = lab.tool("sgdisk -v y.iso").ok();
    assert!(verdict.contains("No problems found"), "{verdict}");
    lab.disksmith("xorrisofs -quiet -o z.iso -append_partition 2 0xef b/efi.img b")
        .ok();
    let dump = lab.tool("sfdisk -d z.iso").ok();
    let line = dump.lines().find(|line| line.contains("type=ef")).unwrap();
    let start: usize = line
        .split("start=")
        .nth(1)
        .and_then(|s| s.split(',').next())
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(
        lab.read("z.iso").get(start * 512..start * 512 + 4096),
        Some(&[3u8; 4096][..])
    );
}

#[test]
fn trees_come_back_from_images() {
    let lab = lab_with_tree();
    lab.disksmith("iso create x.iso t -V Label").ok();
    lab.disksmith("iso create x.iso t").fails(6);
    lab.disksmith("iso extract x.iso out").ok();
    let same = lab.tool("diff -r --no-dereference t out");
    assert_eq!((same.status, same.stdout.as_str()), (0, ""), "{same:?}");
    let info: serde_json::Value =
        serde_json::from_str(&lab.disksmith("iso info x.iso --output json").ok()).unwrap();
    assert_eq!(info["label"], "Label");
    assert_eq!(info["rock-ridge"], true);
    let list: serde_json::Value =
        serde_json::from_str(&lab.disksmith("iso ls x.iso --output json").ok()).unwrap();
    let link = list
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["path"] == "/link")
        .unwrap();
    assert_eq!(link["target"], "README.txt");
    lab.disksmith("xorriso -osirrox on -indev x.iso -extract /sub taken")
        .ok();
    assert_eq!(lab.read("taken/d1/d2/d3/d4/d5/d6/d7/f"), b"deep\n");
    assert!(
        lab.disksmith("xorriso -indev x.iso -find /sub -exec lsdl")
            .ok()
            .contains("'/sub/d1/d2'")
    );
    lab.disksmith("xorriso -blank fast").fails(5);
    assert_eq!(lab.disksmith("cat -a x.iso /README.txt").ok(), "hello\n");
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let lab = lab_with_tree();
    for output in ["a.iso", "b.iso"] {
        let said = lab
            .command(&["genisoimage", "-quiet", "-J", "-r", "-T", "-o", output, "t"])
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
    }
    assert!(lab.read("a.iso") == lab.read("b.iso"));
    let piped = lab
        .command(&["mkisofs", "-quiet", "-J", "-r", "t"])
        .output()
        .unwrap();
    assert_eq!(piped.stdout.get(32769..32774), Some(&b"CD001"[..]));
}

#[test]
fn two_files_of_one_name() {
    if !judges(&["genisoimage", "isoinfo"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("a/x", "1\n");
    lab.write("b/x", "22\n");
    lab.tool("genisoimage -quiet -o g.iso a/x b/x").ok();
    lab.disksmith("genisoimage -quiet -o o.iso a/x b/x").ok();
    lab.disksmith("genisoimage -quiet -o m.iso a b").ok();
    let list = |image: &str| lab.tool(&format!("isoinfo -f -i {image}")).ok();
    assert_eq!(list("o.iso"), list("g.iso"));
    assert_eq!(list("m.iso"), list("g.iso"));
    assert_eq!(lab.tool("isoinfo -x /X000.;1 -i o.iso").ok(), "22\n");
    for names in ["-R", "-J"] {
        lab.tool(&format!("genisoimage -quiet {names} -o n.iso a/x b/x"))
            .fails(1);
        lab.disksmith(&format!("genisoimage -quiet {names} -o n.iso a/x b/x"))
            .fails(1);
        lab.disksmith(&format!("genisoimage -quiet {names} -o n.iso a b"))
            .fails(1);
    }
}

#[test]
fn the_account_counts_what_genisoimage_counts() {
    if !judges(&["genisoimage"]) {
        return;
    }
    let lab = Lab::new();
    for number in 0..60 {
        lab.write(&format!("t/many/file-number-{number}.config"), "x");
        lab.write(&format!("t/dir{number}/a"), "x");
    }
    let account = |text: &str| -> Vec<String> {
        let kept = [
            "Total directory bytes",
            "Path table size",
            "Total rockridge attributes",
        ];
        text.lines()
            .filter(|line| kept.iter().any(|k| line.starts_with(k)))
            .map(
                |line| match line.strip_prefix("Total rockridge attributes bytes: ") {
                    Some(bytes) => format!("rock ridge: {}", bytes != "0"),
                    None => line.to_owned(),
                },
            )
            .collect()
    };
    for options in ["-J", "-l", "-R -J"] {
        let theirs = lab.tool(&format!("genisoimage {options} -o g.iso t"));
        let ours = lab.disksmith(&format!("genisoimage {options} -o o.iso t"));
        assert_eq!(account(&ours.stderr), account(&theirs.stderr), "{options}");
    }
}
