//! The command lines by which distributions make their images, given to xorriso and to its face: both are to lay out the
//! same partition tables and boot catalogues.

use crate::lab::{Lab, judges};

const ISOLINUX: &str =
    "-b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table";
const GRUB: &str = "--grub2-mbr mbr.bin -b boot/eltorito.img -c boot.catalog -no-emul-boot -boot-load-size 4 \
                    -boot-info-table --grub2-boot-info";
const APPENDED: &str = "-eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot";
const INSIDE: &str = "-eltorito-alt-boot -e boot/grub/efi.img -no-emul-boot";
const ESP: &str = "-append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B efi.img";

fn lab() -> Lab {
    let lab = Lab::new();
    let noise = |len: u32| -> Vec<u8> {
        (0..len)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    };
    lab.write("t/d/file", "hello\n");
    lab.write("t/isolinux/isolinux.bin", noise(30000));
    lab.write("t/boot/eltorito.img", noise(40000));
    lab.write("t/boot/grub/efi.img", noise(409_600));
    lab.write("efi.img", noise(409_600));
    lab.write("mbr.bin", noise(512));
    lab
}

#[test]
fn names_are_those_of_xorriso() {
    if !judges(&["xorriso", "isoinfo"]) {
        return;
    }
    let lab = Lab::new();
    for name in [
        "t/\u{fc}n\u{ef}code n\u{e4}me.txt",
        "t/a/b/c/d/e/f/g/h/deep",
        "t/x.tar.gz",
    ] {
        lab.write(name, "x");
    }
    std::os::unix::fs::symlink("x.tar.gz", lab.path("t/link")).unwrap();
    lab.tool("env LC_ALL=C.UTF-8 xorriso -as mkisofs -quiet -J -o their.iso t")
        .ok();
    lab.disksmith("xorriso -as mkisofs -quiet -J -o our.iso t").ok();
    for options in ["-f", "-f -R", "-f -J"] {
        let list = |image: &str| {
            let text = lab.tool(&format!("isoinfo {options} -i {image}")).ok();
            let mut lines: Vec<String> = text.lines().map(Into::into).collect();
            lines.sort();
            lines
        };
        assert_eq!(list("their.iso"), list("our.iso"), "{options}");
    }
}

#[test]
fn no_name_writes_lines_of_its_own() {
    let lab = Lab::new();
    lab.write("t/bad\nfile 0644 root \u{1b}[2J", "x");
    lab.disksmith("iso create x.iso t").ok();
    let listed = lab.disksmith("iso ls x.iso").ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("/bad\\nfile 0644 root \\x1b[2J"), "{listed}");
    lab.disksmith("iso create x.iso t").fails(6);
}

/// What a report says, without numbers that follow from where each program puts its files.
fn normal(report: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kept = match line.split(':').next().map(str::trim).unwrap_or_default() {
            "El Torito boot img" => words.get(..words.len() - 1),
            "MBR partition" => words.get(..6),
            "El Torito img path"
            | "El Torito img opts"
            | "El Torito img blks"
            | "System area summary"
            | "Partition offset"
            | "GPT entry array"
            | "GPT partname local"
            | "GPT type GUID"
            | "GPT partition flags"
            | "MBR partition path"
            | "GPT partition path"
            | "MBR heads per cyl"
            | "MBR secs per head" => Some(&words[..]),
            _ => None,
        };
        out.extend(kept.map(|words| words.join(" ")));
    }
    out
}

fn report(lab: &Lab, image: &str) -> String {
    lab.tool(&format!(
        "xorriso -indev {image} -report_el_torito plain -report_system_area plain"
    ))
    .ok()
}

#[test]
fn tables_are_those_of_xorriso() {
    if !judges(&["xorriso", "sgdisk"]) {
        return;
    }
    let lab = lab();
    let lines = [
        // Ubuntu's
        format!(
            "-r -V Ubuntu -J -joliet-long -l --modification-date=2024010203040500 {GRUB} --protective-msdos-label \
             -partition_cyl_align off -partition_offset 16 --mbr-force-bootable -append_partition 2 \
             28732ac11ff8d211ba4b00a0c93ec93b efi.img -appended_part_as_gpt -iso_mbr_part_type \
             a2a0d0ebe5b9334487c068b6b72699c7 {APPENDED} -boot-load-size 800"
        ),
        // Fedora's
        format!(
            "-R -J -V Fedora -partition_offset 16 -appended_part_as_gpt {ESP} -iso_mbr_part_type \
             EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 --boot-catalog-hide {GRUB} {APPENDED}"
        ),
        // Debian's live images
        format!(
            "-R -r -J -joliet-long -l -cache-inodes -iso-level 3 -isohybrid-mbr mbr.bin -partition_offset 16 \
             -A Debian -p live-build -publisher P -V Deb --modification-date=2024010203040500 {ISOLINUX} {INSIDE} \
             -isohybrid-gpt-basdat"
        ),
        // Debian's installer
        format!("-r -V Deb -J -joliet-long -isohybrid-mbr mbr.bin {ISOLINUX} {INSIDE} -isohybrid-gpt-basdat"),
        // Arch's
        format!(
            "-iso-level 3 -full-iso9660-filenames -joliet -joliet-long -rational-rock -volid ARCH -isohybrid-mbr \
             mbr.bin --mbr-force-bootable -partition_offset 16 {ISOLINUX} {ESP} -appended_part_as_gpt {APPENDED} \
             -isohybrid-gpt-basdat"
        ),
        // grub-mkrescue's
        format!(
            "-graft-points --modification-date=2024010203040500 {GRUB} --protective-msdos-label -r --sort-weight 0 / \
             --sort-weight 1 /boot --efi-boot boot/grub/efi.img -efi-boot-part --efi-boot-image"
        ),
        format!("{ISOLINUX} -append_partition 2 0xef efi.img {APPENDED}"),
        format!("-isohybrid-mbr mbr.bin {ISOLINUX} -append_partition 2 0xef efi.img {APPENDED}"),
        format!("{GRUB} -append_partition 2 0xef efi.img {APPENDED}"),
        format!("{GRUB} -partition_offset 16 -append_partition 2 0xef efi.img {APPENDED}"),
        GRUB.into(),
        format!("-isohybrid-mbr mbr.bin -iso_mbr_part_type 0x83 {ISOLINUX}"),
        format!("-isohybrid-mbr mbr.bin -partition_offset 16 {ISOLINUX}"),
        format!(
            "-isohybrid-mbr mbr.bin -partition_cyl_align all {ISOLINUX} -append_partition 2 0xef efi.img"
        ),
        "-partition_offset 16 --mbr-force-bootable".into(),
        "-append_partition 3 0xef efi.img --mbr-force-bootable".into(),
        "--protective-msdos-label -append_partition 2 0xef efi.img".into(),
        "--protective-msdos-label".into(),
        "--mbr-force-bootable".into(),
        "-append_partition 2 0xef efi.img -append_partition 4 Linux t/isolinux/isolinux.bin".into(),
        "-append_partition 2 0xef efi.img -appended_part_as_gpt -no-pad".into(),
        "-efi-boot-part --efi-boot-image -e boot/grub/efi.img -no-emul-boot -partition_offset 16".into(),
        "-e boot/grub/efi.img -no-emul-boot -isohybrid-gpt-basdat".into(),
    ];
    for (number, line) in lines.iter().enumerate() {
        lab.tool(&format!(
            "xorriso -as mkisofs -quiet {line} -o their{number}.iso t"
        ))
        .ok();
        lab.disksmith(&format!("xorriso -as mkisofs -quiet {line} -o our{number}.iso t"))
            .ok();
        let (theirs, ours) = (
            report(&lab, &format!("their{number}.iso")),
            report(&lab, &format!("our{number}.iso")),
        );
        assert_eq!(normal(&theirs), normal(&ours), "{line}\n{theirs}\n{ours}");
        if ours.contains("GPT disk GUID") && !ours.contains("overlapping") {
            let verdict = lab.tool(&format!("sgdisk -v our{number}.iso")).ok();
            assert!(verdict.contains("No problems found"), "{line}: {verdict}");
        }
        // What xorriso says of its own image to make another like it, makes another like it.
        let text = format!(
            "xorriso -indev our{number}.iso -report_el_torito as_mkisofs -report_system_area as_mkisofs"
        );
        lab.tool(&text).ok();
    }
}

#[test]
fn times_and_guids_are_taken() {
    if !judges(&["xorriso"]) {
        return;
    }
    let lab = lab();
    let line = "-as mkisofs -quiet -r --modification-date=2026010203040500 --set_all_file_dates 2025060708091000 \
                -append_partition 2 0xef efi.img -appended_part_as_gpt";
    for (guid, shown) in [
        (
            "01234567-89ab-cdef-0123-456789abcdef",
            "67452301ab89efcd0123456789abcdef",
        ),
        ("modification-date", "3230323630313042b030303330343035"),
    ] {
        lab.disksmith(&format!("xorriso {line} --gpt_disk_guid {guid} -o x.iso t"))
            .ok();
        let report = report(&lab, "x.iso");
        assert!(
            report.contains(&format!("GPT disk GUID      :      {shown}")),
            "{report}"
        );
    }
    let texts = lab.tool("xorriso -indev x.iso -pvd_info").ok();
    for field in [
        "Creation Time: 2026010203040500",
        "Modif. Time  : 2026010203040500",
    ] {
        assert!(texts.contains(field), "{field}: {texts}");
    }
    let listed = lab.disksmith("isoinfo -l -R -i x.iso").ok();
    assert_eq!(
        listed.matches("Jun  7 2025").count(),
        listed.lines().filter(|l| l.contains('[')).count(),
        "{listed}"
    );
    for line in [
        "--modification-date=20260102",
        "-partition_offset 15",
        "--gpt_disk_guid x",
        "-partition_cyl_align x",
    ] {
        lab.disksmith(&format!("xorriso -as mkisofs {line} -o y.iso t"))
            .fails(5);
    }
}

#[test]
fn parts_of_another_image_are_taken() {
    if !judges(&["xorriso"]) {
        return;
    }
    let lab = lab();
    lab.tool(&format!(
        "xorriso -as mkisofs -quiet -r {GRUB} --protective-msdos-label {ESP} -appended_part_as_gpt {APPENDED} -o old.iso t"
    ))
    .ok();
    let report = report(&lab, "old.iso");
    let place = report
        .lines()
        .find(|line| line.starts_with("GPT start and size :   2"))
        .unwrap();
    let numbers: Vec<u64> = place.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let (start, sectors) = (numbers[1], numbers[2]);
    lab.disksmith(&format!(
        "xorriso -as mkisofs -quiet -r --grub2-mbr --interval:local_fs:0s-15s:zero_mbrpt,zero_gpt:old.iso \
         --protective-msdos-label -append_partition 2 0xef --interval:local_fs:{start}d-{}d::old.iso \
         -appended_part_as_gpt -eltorito-alt-boot -e --interval:appended_partition_2_start_1s_size_{sectors}d:all:: \
         -no-emul-boot -o new.iso t",
        start + sectors - 1
    ))
    .ok();
    let (old, new) = (lab.read("old.iso"), lab.read("new.iso"));
    assert_eq!(old[..432], new[..432]);
    let efi = lab.read("efi.img");
    let place = lab.tool("xorriso -indev new.iso -report_el_torito plain").ok();
    let block: usize = place
        .lines()
        .find(|line| line.contains("UEFI"))
        .and_then(|line| line.split_whitespace().last()?.parse().ok())
        .unwrap();
    assert!(new[block * 2048..].starts_with(&efi));
}
