//! The superblock of an ext2, ext3 or ext4 filesystem as text, the way e2fsprogs 1.47.0 prints it for `dumpe2fs` and `tune2fs -l`.

use disksmith_ext4::{Compat, Incompat, RoCompat, Superblock};
use std::fmt::Write;

/// The bit of `s_default_mount_opts` and its name. The two bits of the journal's mode count as one number.
pub(super) const MOUNT_OPTIONS: &[(u32, &str)] = &[
    (0x20, "journal_data"),
    (0x40, "journal_data_ordered"),
    (0x60, "journal_data_writeback"),
    (0x1, "debug"),
    (0x2, "bsdgroups"),
    (0x4, "user_xattr"),
    (0x8, "acl"),
    (0x10, "uid16"),
    (0x100, "nobarrier"),
    (0x200, "block_validity"),
    (0x400, "discard"),
    (0x800, "nodelalloc"),
];
/// The bits of the journal's mode.
pub(super) const JOURNAL_MODE: u32 = 0x60;
/// Names of the hashes of directories, by number.
pub(super) const HASHES: [&str; 7] = [
    "legacy",
    "half_md4",
    "tea",
    "legacy_unsigned",
    "half_md4_unsigned",
    "tea_unsigned",
    "siphash",
];

/// Seconds since 1970 the way `ctime` writes them.
pub(super) fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%a %b %e %H:%M:%S %Y")
            .to_string(),
        Err(_) => seconds.to_string(),
    }
}

fn time(low: u32, high: u8) -> String {
    date(i64::from(high) << 32 | i64::from(low))
}

/// Text that is padded with NUL.
pub(super) fn padded(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(&[])).into_owned()
}

fn or(text: String, instead: &str) -> String {
    if text.is_empty() { instead.to_owned() } else { text }
}

/// A UUID, or that there is none.
fn uuid(bytes: [u8; 16]) -> String {
    if bytes == [0; 16] {
        "<none>".to_owned()
    } else {
        uuid::Uuid::from_bytes(bytes).to_string()
    }
}

fn named(file: &str, id: u16) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| "unknown".into())
}

fn interval(seconds: u32) -> String {
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in [
        (30 * 24 * 3600, "month"),
        (7 * 24 * 3600, "week"),
        (24 * 3600, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ] {
        let count = left / unit;
        left %= unit;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    or(parts.join(", "), "<none>")
}

fn written(kib: u64) -> String {
    let rounded = |shift: u32| kib.saturating_add(1 << (shift - 1)) >> shift;
    match kib {
        n if n < 1 << 13 => format!("{n} kB"),
        n if n < 1 << 23 => format!("{} MB", rounded(10)),
        n if n < 1 << 33 => format!("{} GB", rounded(20)),
        n if n < 1 << 43 => format!("{} TB", rounded(30)),
        _ => format!("{} PB", rounded(40)),
    }
}

fn mount_options(mask: u32) -> String {
    let names: Vec<&str> = MOUNT_OPTIONS
        .iter()
        .filter(|(bits, _)| match bits & JOURNAL_MODE {
            0 => mask & bits != 0,
            mode => mask & JOURNAL_MODE == mode,
        })
        .map(|(_, name)| *name)
        .collect();
    or(names.join(" "), "(none)")
}

/// All lines about the superblock.
pub(super) fn text(sb: &Superblock) -> String {
    let mut out = String::new();
    let features = sb.features();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let key = format!("{key}:");
        let _ = writeln!(out, "{key:<25} {value}");
    };
    line("Filesystem volume name", &or(padded(&sb.volume_name), "<none>"));
    line(
        "Last mounted on",
        &or(padded(&sb.last_mounted), "<not available>"),
    );
    line("Filesystem UUID", &uuid(sb.uuid));
    line("Filesystem magic number", &format!("0x{:04X}", sb.magic));
    line(
        "Filesystem revision #",
        &format!(
            "{} ({})",
            sb.revision,
            match sb.revision {
                0 => "original",
                1 => "dynamic",
                _ => "unknown",
            }
        ),
    );
    line("Filesystem features", &or(features.names().join(" "), "(none)"));
    if sb.flags != 0 {
        let mut flags = String::new();
        for (bit, name) in [
            (1, "signed_directory_hash "),
            (2, "unsigned_directory_hash "),
            (4, "test_filesystem "),
        ] {
            if sb.flags & bit != 0 {
                flags += name;
            }
        }
        line("Filesystem flags", &or(flags, "(none)"));
    }
    line("Default mount options", &mount_options(sb.default_mount_options));
    let options = padded(&sb.mount_options);
    if !options.is_empty() {
        line("Mount options", &options);
    }
    let state = match (sb.state & 1 != 0, sb.state & 2 != 0) {
        (true, false) => "clean",
        (true, true) => "clean with errors",
        (false, false) => "not clean",
        (false, true) => "not clean with errors",
    };
    line("Filesystem state", &state);
    line(
        "Errors behavior",
        &match sb.errors {
            1 => "Continue",
            2 => "Remount read-only",
            3 => "Panic",
            _ => "Unknown (continue)",
        },
    );
    let systems = ["Linux", "GNU/Hurd", "Masix", "FreeBSD", "Lites"];
    line(
        "Filesystem OS type",
        systems.get(sb.creator_os as usize).unwrap_or(&"(unknown os)"),
    );
    line("Inode count", &sb.inodes_count);
    line("Block count", &sb.blocks_count());
    line("Reserved block count", &sb.reserved_blocks());
    if sb.overhead != 0 {
        line("Overhead clusters", &sb.overhead);
    }
    line("Free blocks", &sb.free_blocks());
    line("Free inodes", &sb.free_inodes);
    line("First block", &sb.first_data_block);
    line("Block size", &sb.block_size());
    let clusters = features.ro_compat.contains(RoCompat::BIGALLOC);
    let unit = if clusters { "Cluster" } else { "Fragment" };
    let unit_size = 1024u64 << sb.log_cluster_size.min(30);
    line(&format!("{unit} size"), &unit_size);
    if features.incompat.contains(Incompat::BIT64) {
        line("Group descriptor size", &sb.descriptor_size);
    }
    if sb.reserved_gdt_blocks != 0 {
        line("Reserved GDT blocks", &sb.reserved_gdt_blocks);
    }
    line("Blocks per group", &sb.blocks_per_group);
    line(&format!("{unit}s per group"), &sb.clusters_per_group);
    line("Inodes per group", &sb.inodes_per_group);
    let table = u64::from(sb.inodes_per_group) * u64::from(sb.inode_bytes());
    line(
        "Inode blocks per group",
        &table.div_ceil(u64::from(sb.block_size()).max(1)),
    );
    if sb.raid_stride != 0 {
        line("RAID stride", &sb.raid_stride);
    }
    if sb.raid_stripe_width != 0 {
        line("RAID stripe width", &sb.raid_stripe_width);
    }
    if sb.first_meta_bg != 0 {
        line("First meta block group", &sb.first_meta_bg);
    }
    if sb.log_groups_per_flex != 0 {
        line("Flex block group size", &(1u64 << sb.log_groups_per_flex.min(63)));
    }
    if sb.mkfs_time != 0 {
        line("Filesystem created", &time(sb.mkfs_time, sb.mkfs_time_hi));
    }
    let mounted = match sb.mount_time {
        0 => "n/a".to_owned(),
        seconds => time(seconds, sb.mount_time_hi),
    };
    line("Last mount time", &mounted);
    line("Last write time", &time(sb.write_time, sb.write_time_hi));
    line("Mount count", &sb.mount_count);
    line("Maximum mount count", &(sb.max_mount_count as i16));
    line("Last checked", &time(sb.last_check, sb.last_check_hi));
    line(
        "Check interval",
        &format!("{} ({})", sb.check_interval, interval(sb.check_interval)),
    );
    if sb.check_interval != 0 {
        let next = u64::from(sb.last_check) + u64::from(sb.check_interval);
        line("Next check after", &date(next as i64));
    }
    if sb.kbytes_written != 0 {
        line("Lifetime writes", &written(sb.kbytes_written));
    }
    let user = named("/etc/passwd", sb.reserved_uid);
    line(
        "Reserved blocks uid",
        &format!("{} (user {user})", sb.reserved_uid),
    );
    let group = named("/etc/group", sb.reserved_gid);
    line(
        "Reserved blocks gid",
        &format!("{} (group {group})", sb.reserved_gid),
    );
    if sb.revision >= 1 {
        line("First inode", &sb.first_inode);
        let _ = writeln!(out, "Inode size:\t          {}", sb.inode_size);
        if sb.min_extra_isize != 0 {
            let _ = writeln!(out, "Required extra isize:     {}", sb.min_extra_isize);
        }
        if sb.want_extra_isize != 0 {
            let _ = writeln!(out, "Desired extra isize:      {}", sb.want_extra_isize);
        }
    }
    rest(sb, out)
}

/// The lines behind the sizes of inodes.
fn rest(sb: &Superblock, mut out: String) -> String {
    let features = sb.features();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let key = format!("{key}:");
        let _ = writeln!(out, "{key:<25} {value}");
    };
    if sb.journal_uuid != [0; 16] {
        line("Journal UUID", &uuid(sb.journal_uuid));
    }
    if sb.journal_inode != 0 {
        line("Journal inode", &sb.journal_inode);
    }
    if sb.journal_device != 0 {
        line("Journal device", &format!("0x{:04x}", sb.journal_device));
    }
    if sb.last_orphan != 0 {
        line("First orphan inode", &sb.last_orphan);
    }
    if features.compat.contains(Compat::DIR_INDEX) || sb.hash_seed != [0; 4] {
        let hash = HASHES.get(usize::from(sb.default_hash_version));
        line("Default directory hash", hash.unwrap_or(&"unknown"));
        let mut seed = [0; 16];
        for (bytes, word) in seed.chunks_exact_mut(4).zip(sb.hash_seed) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        line("Directory Hash Seed", &uuid(seed));
    }
    match sb.journal_backup_type {
        0 => {}
        1 => line("Journal backup", &"inode blocks"),
        other => line("Journal backup", &format!("type {other}")),
    }
    if features.compat.contains(Compat::SPARSE_SUPER2) && sb.backup_groups != [0; 2] {
        let groups: String = sb
            .backup_groups
            .iter()
            .filter(|group| **group != 0)
            .map(|group| format!("{group} "))
            .collect();
        line("Backup block groups", &groups);
    }
    if sb.error_count != 0 {
        line("FS Error count", &sb.error_count);
    }
    if sb.first_error_time != 0 {
        line("First error time", &date(sb.first_error_time.into()));
    }
    if sb.last_error_time != 0 {
        line("Last error time", &date(sb.last_error_time.into()));
    }
    if features.incompat.contains(Incompat::MMP) {
        line("MMP block number", &sb.mmp_block);
        line("MMP update interval", &sb.mmp_interval);
    }
    for (kind, inode) in [
        ("User", sb.user_quota_inode),
        ("Group", sb.group_quota_inode),
        ("Project", sb.project_quota_inode),
    ] {
        if inode != 0 {
            line(&format!("{kind} quota inode"), &inode);
        }
    }
    if features.has_metadata_csum() {
        let kind = if sb.checksum_type == 1 {
            "crc32c"
        } else {
            "unknown"
        };
        line("Checksum type", &kind);
        line("Checksum", &format!("0x{:08x}", sb.checksum));
    }
    if sb.encrypt_salt != [0; 16] {
        line("Encryption PW Salt", &uuid(sb.encrypt_salt));
    }
    if features.incompat.contains(Incompat::CSUM_SEED) {
        line("Checksum seed", &format!("0x{:08x}", sb.checksum_seed));
    }
    if features.incompat.contains(Incompat::CASEFOLD) {
        line(
            "Character encoding",
            &if sb.encoding == 1 { "utf8-12.1" } else { "unknown" },
        );
    }
    if sb.orphan_file_inode != 0 {
        line("Orphan file inode", &sb.orphan_file_inode);
    }
    out
}
