//! The options, by name: those of genisoimage 1.1.11, and those that xorriso adds to them.

use super::flavour::Flavour;
use crate::faces::getopt::{Spec, flag, short_flag, short_value, value};

/// Options of genisoimage.
const GENISOIMAGE: &[Spec] = &[
    flag("nobak", 0),
    flag("no-bak", 0),
    value("abstract", 0),
    value("appid", b'A'),
    value("biblio", 0),
    flag("cache-inodes", 0),
    flag("no-cache-inodes", 0),
    flag("check-oldnames", 0),
    value("check-session", 0),
    value("copyright", 0),
    flag("debug", 0),
    value("eltorito-boot", b'b'),
    short_value("e", b'e'),
    value("efi-boot", 0),
    flag("eltorito-alt-boot", 0),
    value("sparc-boot", b'B'),
    value("sunx86-boot", 0),
    value("generic-boot", b'G'),
    value("sparc-label", 0),
    value("sunx86-label", 0),
    value("eltorito-catalog", b'c'),
    value("cdrecord-params", b'C'),
    flag("omit-period", b'd'),
    value("dir-mode", 0),
    flag("disable-deep-relocation", b'D'),
    value("file-mode", 0),
    flag("follow-links", b'f'),
    value("gid", 0),
    flag("graft-points", 0),
    value("root", 0),
    value("old-root", 0),
    flag("help", 0),
    value("hide", 0),
    value("hide-list", 0),
    value("hidden", 0),
    value("hidden-list", 0),
    value("hide-joliet", 0),
    value("hide-joliet-list", 0),
    flag("hide-joliet-trans-tbl", 0),
    flag("hide-rr-moved", 0),
    flag("gui", 0),
    short_value("i", b'i'),
    value("input-charset", 0),
    value("output-charset", 0),
    value("iso-level", 0),
    flag("joliet", b'J'),
    flag("joliet-long", 0),
    value("jcharset", 0),
    flag("full-iso9660-filenames", b'l'),
    flag("max-iso9660-filenames", 0),
    flag("allow-limited-size", 0),
    flag("allow-leading-dots", b'L'),
    flag("ldots", 0),
    value("log-file", 0),
    value("exclude", b'm'),
    value("exclude-list", 0),
    flag("pad", 0),
    flag("no-pad", 0),
    value("prev-session", b'M'),
    value("dev", 0),
    flag("omit-version-number", b'N'),
    value("new-dir-mode", 0),
    flag("force-rr", 0),
    flag("no-rr", 0),
    flag("no-split-symlink-components", 0),
    flag("no-split-symlink-fields", 0),
    value("output", b'o'),
    value("path-list", 0),
    value("preparer", b'p'),
    flag("print-size", 0),
    value("publisher", b'P'),
    flag("quiet", 0),
    flag("rational-rock", b'r'),
    flag("rock", b'R'),
    value("sectype", b's'),
    value("alpha-boot", 0),
    value("hppa-cmdline", 0),
    value("hppa-kernel-32", 0),
    value("hppa-kernel-64", 0),
    value("hppa-bootloader", 0),
    value("hppa-ramdisk", 0),
    value("mips-boot", 0),
    value("mipsel-boot", 0),
    value("jigdo-jigdo", 0),
    value("jigdo-template", 0),
    value("jigdo-min-file-size", 0),
    value("jigdo-force-md5", 0),
    value("jigdo-exclude", 0),
    value("jigdo-map", 0),
    value("md5-list", 0),
    value("jigdo-template-compress", 0),
    value("checksum_algorithm_iso", 0),
    value("checksum_algorithm_template", 0),
    value("sort", 0),
    flag("split-output", 0),
    value("stream-file-name", 0),
    value("stream-media-size", 0),
    value("sysid", 0),
    flag("translation-table", b'T'),
    value("table-name", 0),
    value("ucs-level", 0),
    flag("udf", 0),
    flag("dvd-video", 0),
    value("uid", 0),
    flag("untranslated-filenames", b'U'),
    flag("relaxed-filenames", 0),
    flag("no-iso-translate", 0),
    flag("allow-lowercase", 0),
    flag("allow-multidot", 0),
    flag("use-fileversion", 0),
    flag("verbose", b'v'),
    flag("version", 0),
    value("volid", b'V'),
    value("volset", 0),
    value("volset-size", 0),
    value("volset-seqno", 0),
    value("old-exclude", b'x'),
    flag("hard-disk-boot", 0),
    flag("no-emul-boot", 0),
    flag("no-boot", 0),
    value("boot-load-seg", 0),
    value("boot-load-size", 0),
    flag("boot-info-table", 0),
    flag("XA", 0),
    flag("xa", 0),
    flag("transparent-compression", b'z'),
    value("hfs-type", 0),
    value("hfs-creator", 0),
    flag("apple", b'g'),
    flag("hfs", b'h'),
    value("map", b'H'),
    value("magic", 0),
    flag("probe", 0),
    flag("mac-name", 0),
    flag("no-mac-files", 0),
    value("boot-hfs-file", 0),
    flag("part", 0),
    value("cluster-size", 0),
    value("auto", 0),
    flag("no-desktop", 0),
    value("hide-hfs", 0),
    value("hide-hfs-list", 0),
    value("hfs-volid", 0),
    flag("icon-position", 0),
    value("root-info", 0),
    value("input-hfs-charset", 0),
    value("output-hfs-charset", 0),
    flag("hfs-unlock", 0),
    value("hfs-bless", 0),
    value("hfs-parms", 0),
    value("prep-boot", 0),
    flag("chrp-boot", 0),
    flag("cap", 0),
    flag("netatalk", 0),
    flag("double", 0),
    flag("ethershare", 0),
    flag("exchange", 0),
    flag("sgi", 0),
    flag("macbin", 0),
    flag("single", 0),
    flag("ushare", 0),
    flag("xinet", 0),
    flag("dave", 0),
    flag("sfm", 0),
    flag("osx-double", 0),
    flag("osx-hfs", 0),
    short_flag("z", 0),
];

/// What xorriso adds.
const XORRISO_ONLY: &[Spec] = &[
    flag("hfsplus", 0),
    value("hide-hfsplus", 0),
    flag("disallow_dir_id_ext", 0),
    flag("joliet-utf16", 0),
    value("untranslated_name_len", 0),
    value("rr_reloc_dir", 0),
    value("quoted_path_list", 0),
    flag("norock", 0),
    value("file_name_limit", 0),
    flag("hardlinks", 0),
    flag("acl", 0),
    flag("xattr", 0),
    flag("xattr-any", 0),
    flag("md5", 0),
    flag("for_backup", 0),
    value("application_use", 0),
    value("eltorito-platform", 0),
    flag("boot-catalog-hide", 0),
    flag("grub2-boot-info", 0),
    value("eltorito-id", 0),
    value("eltorito-selcrit", 0),
    value("isohybrid-mbr", 0),
    flag("isohybrid-gpt-basdat", 0),
    flag("isohybrid-gpt-hfsplus", 0),
    flag("isohybrid-apm-hfsplus", 0),
    flag("part_like_isohybrid", 0),
    value("iso_mbr_part_type", 0),
    value("gpt_disk_guid", 0),
    value("embedded-boot", 0),
    value("grub2-mbr", 0),
    flag("protective-msdos-label", 0),
    flag("mbr-force-bootable", 0),
    value("partition_offset", 0),
    value("partition_sec_hd", 0),
    value("partition_hd_cyl", 0),
    value("partition_cyl_align", 0),
    value("efi-boot-part", 0),
    flag("chrp-boot-part", 0),
    value("prep-boot-part", 0),
    value("append_partition", 0),
    flag("appended_part_as_gpt", 0),
    flag("appended_part_as_apm", 0),
    value("sort-weight", 0),
    value("sort-weight-list", 0),
    value("sort-weight-patterns", 0),
    value("modification-date", 0),
    value("set_all_file_dates", 0),
    value("volume_id", 0),
    value("padding", 0),
    value("old-empty", 0),
    flag("no_rc", 0),
    value("stdio_sync", 0),
    value("emul-toc", 0),
    flag("no-emul-toc", 0),
    value("zisofs-version-one", 0),
];

const COUNT: usize = GENISOIMAGE.len() + XORRISO_ONLY.len();

static BOTH: [Spec; COUNT] = joined();

const fn joined() -> [Spec; COUNT] {
    let mut all = [flag("", 0); COUNT];
    let mut at = 0;
    while at < COUNT {
        all[at] = if at < GENISOIMAGE.len() {
            GENISOIMAGE[at]
        } else {
            XORRISO_ONLY[at - GENISOIMAGE.len()]
        };
        at += 1;
    }
    all
}

/// The options of a program.
pub(super) fn of(flavour: Flavour) -> &'static [Spec] {
    match flavour {
        Flavour::Genisoimage => GENISOIMAGE,
        Flavour::Xorriso => &BOTH,
    }
}

/// How many values an option of xorriso's takes, where there are several.
pub(super) fn values(name: &str) -> usize {
    match name {
        "append_partition" => 3,
        "sort-weight" => 2,
        _ => 1,
    }
}

/// What `-help` prints.
pub(super) fn help(name: &str) -> String {
    format!(
        "Usage: {name} [options] file...\n\
         Options:\n\
         \x20 -o FILE, -output FILE       Write the image to this file (standard output)\n\
         \x20 -V ID, -volid ID            Volume ID\n\
         \x20 -A, -P, -p, -sysid, -volset Application, publisher, preparer, system, volume set\n\
         \x20 -abstract, -biblio, -copyright FILE\n\
         \x20                             Names of these files\n\
         \x20 -J, -joliet; -joliet-long   Joliet names, of 64 or 103 characters\n\
         \x20 -r, -rational-rock          Rock Ridge, owned by root and readable by all\n\
         \x20 -R, -rock                   Rock Ridge, as the files are\n\
         \x20 -uid, -gid, -file-mode, -dir-mode, -new-dir-mode\n\
         \x20                             Attributes for all\n\
         \x20 -iso-level LEVEL            1, 2, 3, or 4 for ISO 9660:1999\n\
         \x20 -l, -max-iso9660-filenames  Names of 31 or 37 characters\n\
         \x20 -allow-leading-dots (-L), -allow-lowercase, -allow-multidot, -relaxed-filenames,\n\
         \x20 -no-iso-translate, -omit-period (-d), -omit-version-number (-N),\n\
         \x20 -untranslated-filenames (-U)\n\
         \x20                             Names that violate ISO 9660\n\
         \x20 -D, -hide-rr-moved          Deep directories: leave them, or hide where they go\n\
         \x20 -f, -follow-links           Follow symbolic links\n\
         \x20 -graft-points               Arguments may be TARGET=SOURCE\n\
         \x20 -path-list FILE             Take arguments from a file, or `-`\n\
         \x20 -m, -x, -exclude-list       Leave files out\n\
         \x20 -hide, -hide-joliet, -hidden (each with -list)\n\
         \x20                             Hide files\n\
         \x20 -sort FILE                  Order of contents\n\
         \x20 -T, -table-name             Translation tables\n\
         \x20 -z                          Mark files of mkzftree\n\
         \x20 -b, -e FILE; -c FILE        El Torito boot image, UEFI image; catalog\n\
         \x20 -no-emul-boot, -hard-disk-boot, -no-boot, -boot-load-seg, -boot-load-size,\n\
         \x20 -boot-info-table, -eltorito-alt-boot\n\
         \x20                             How it is started; begin with the next image\n\
         \x20 -G FILE                     Boot record for the first 32 KiB\n\
         \x20 -pad, -no-pad               150 blocks of zeroes at the end, or not\n\
         \x20 -print-size                 Print the size in blocks and end\n\
         \x20 -quiet, -v, -log-file FILE  Messages\n"
    )
}
