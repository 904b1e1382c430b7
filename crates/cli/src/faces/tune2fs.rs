//! The face of `tune2fs` (e2fsprogs 1.47.0): what can be changed in a superblock alone. What needs other structures to be made or
//! written anew is refused by name, before anything is changed.

use super::e2label::{change_superblock, read_superblock};
use super::ext_superblock_text::{self, HASHES, JOURNAL_MODE, MOUNT_OPTIONS};
use super::getopt::{Arguments, Spec, short_flag, short_value};
use super::resize2fs::clock;
use crate::commands::filesystem_args::{parse_uuid, random_uuid};
use disksmith_ext4::{Compat, Features, Incompat, RoCompat, Superblock, set_uuid};
use disksmith_image::{DiskSpec, Format, Transaction, TransactionOptions};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

const BANNER: &str = "tune2fs 1.47.0 (5-Feb-2023)";

const USAGE: &str = "Usage: tune2fs [-c max_mounts_count] [-e errors_behavior] [-f] [-g group]
\t[-i interval[d|m|w]] [-j] [-J journal_options] [-l]
\t[-m reserved_blocks_percent] [-o [^]mount_options[,...]]
\t[-r reserved_blocks_count] [-u user] [-C mount_count]
\t[-L volume_label] [-M last_mounted_dir]
\t[-O [^]feature[,...]] [-Q quota_options]
\t[-E extended-option[,...]] [-T last_check_time] [-U UUID]
\t[-I new_inode_size] [-z undo_file] device
";

const SPECS: &[Spec] = &[
    short_value("c", b'c'),
    short_value("C", b'C'),
    short_value("e", b'e'),
    short_value("E", b'E'),
    short_flag("f", b'f'),
    short_value("g", b'g'),
    short_value("i", b'i'),
    short_value("I", b'I'),
    short_flag("j", b'j'),
    short_value("J", b'J'),
    short_flag("l", b'l'),
    short_value("L", b'L'),
    short_value("m", b'm'),
    short_value("M", b'M'),
    short_value("o", b'o'),
    short_value("O", b'O'),
    short_value("Q", b'Q'),
    short_value("r", b'r'),
    short_value("T", b'T'),
    short_value("u", b'u'),
    short_value("U", b'U'),
    short_value("z", b'z'),
];

/// Features that are bits of the superblock alone, with whether they can be set and cleared.
const TOGGLES: &[(&str, Toggle, bool, bool)] = &[
    ("dir_index", Toggle::Compat(Compat::DIR_INDEX), true, true),
    (
        "stable_inodes",
        Toggle::Compat(Compat::STABLE_INODES),
        true,
        false,
    ),
    ("large_dir", Toggle::Incompat(Incompat::LARGEDIR), true, false),
    ("ea_inode", Toggle::Incompat(Incompat::EA_INODE), true, false),
    ("large_file", Toggle::RoCompat(RoCompat::LARGE_FILE), true, false),
    ("huge_file", Toggle::RoCompat(RoCompat::HUGE_FILE), true, false),
    ("dir_nlink", Toggle::RoCompat(RoCompat::DIR_NLINK), true, false),
    ("verity", Toggle::RoCompat(RoCompat::VERITY), true, false),
];

#[derive(Clone, Copy)]
enum Toggle {
    Compat(Compat),
    Incompat(Incompat),
    RoCompat(RoCompat),
}

/// One change, with what is said about it.
type Change = Box<dyn FnOnce(&mut Superblock) -> Result<String, String>>;

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    println!("{BANNER}");
    let given = match Arguments::parse("tune2fs", SPECS, words) {
        Ok(given) => given,
        Err(misused) => {
            eprintln!("{}: {}", misused.who, misused.message);
            eprint!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let [device] = given.operands.as_slice() else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if given.options().is_empty() {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    }
    match work(&given, Path::new(device)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end_matches('\n'));
            ExitCode::FAILURE
        }
    }
}

fn work(given: &Arguments, path: &Path) -> Result<(), String> {
    for option in ["I", "j", "J", "Q", "T", "z"] {
        if given.has(option) {
            return Err(format!(
                "tune2fs: -{option} is not supported; nothing was changed"
            ));
        }
    }
    let changes = changes(given)?;
    let found = read_superblock(path).map_err(|message| {
        format!(
            "tune2fs: {message} while trying to open {}\nCouldn't find valid filesystem superblock.",
            path.display()
        )
    })?;
    if !changes.is_empty() {
        change_superblock(path, |superblock| {
            for change in changes {
                let said = change(superblock)?;
                if !said.is_empty() {
                    println!("{said}");
                }
            }
            Ok(())
        })
        .map_err(|message| format!("tune2fs: {message}"))?;
    }
    if let Some(text) = given.text("U") {
        new_uuid(path, &found, &text)?;
    }
    if given.has("l") {
        let superblock = read_superblock(path)?;
        print!("{}", ext_superblock_text::text(&superblock));
    }
    Ok(())
}

fn new_uuid(path: &Path, found: &Superblock, text: &str) -> Result<(), String> {
    let uuid = match text {
        "random" | "time" => random_uuid().map_err(|failure| failure.message().to_owned())?,
        "clear" | "null" => [0; 16],
        text => parse_uuid(text).map_err(|_| "tune2fs: Invalid UUID format\n".to_owned())?,
    };
    if uuid == found.uuid {
        return Ok(());
    }
    let spec = DiskSpec {
        format: Some(Format::Raw),
        ..DiskSpec::in_place(path)
    };
    let edit = Transaction::begin(&[spec], &TransactionOptions::default()).map_err(|e| e.to_string())?;
    let storage = edit.storage(0).ok_or("nothing is open")?;
    set_uuid(&storage, uuid, clock()?).map_err(|error| format!("tune2fs: {error}"))?;
    drop(storage);
    edit.commit().map_err(|error| error.to_string())?;
    Ok(())
}

fn put(slot: &mut [u8], bytes: &[u8]) {
    slot.fill(0);
    for (slot, byte) in slot.iter_mut().zip(bytes) {
        *slot = *byte;
    }
}

/// The changes in the order in which tune2fs makes them.
fn changes(given: &Arguments) -> Result<Vec<Change>, String> {
    let mut list: Vec<Change> = Vec::new();
    if let Some(text) = given.text("c") {
        let count: i16 = match text.as_str() {
            "random" => 20,
            text => text
                .parse()
                .ok()
                .filter(|count| (-1..=16000).contains(count))
                .ok_or(format!("tune2fs: bad mounts count - {text}\n{USAGE}"))?,
        };
        let count = if count == 0 { -1 } else { count };
        list.push(Box::new(move |sb| {
            sb.max_mount_count = count as u16;
            Ok(format!("Setting maximal mount count to {count}"))
        }));
    }
    if let Some(text) = given.text("C") {
        let count: u16 = text
            .parse()
            .ok()
            .filter(|count| *count <= 16000)
            .ok_or(format!("tune2fs: bad mounts count - {text}\n{USAGE}"))?;
        list.push(Box::new(move |sb| {
            sb.mount_count = count;
            Ok(format!("Setting current mount count to {count}"))
        }));
    }
    if let Some(text) = given.text("e") {
        let errors = match text.as_str() {
            "continue" => 1,
            "remount-ro" => 2,
            "panic" => 3,
            other => return Err(format!("tune2fs: bad error behavior - {other}\n{USAGE}")),
        };
        list.push(Box::new(move |sb| {
            sb.errors = errors;
            Ok(format!("Setting error behavior to {errors}"))
        }));
    }
    if let Some(text) = given.text("g") {
        let id: u16 = text
            .parse()
            .map_err(|_| format!("tune2fs: bad gid/group name - {text}\n{USAGE}"))?;
        list.push(Box::new(move |sb| {
            sb.reserved_gid = id;
            Ok(format!("Setting reserved blocks gid to {id}"))
        }));
    }
    if let Some(text) = given.text("i") {
        let seconds = interval(&text).ok_or(format!("tune2fs: bad interval - {text}\n{USAGE}"))?;
        list.push(Box::new(move |sb| {
            sb.check_interval = seconds;
            Ok(format!("Setting interval between checks to {seconds} seconds"))
        }));
    }
    if let Some(text) = given.text("m") {
        let percent: f64 = text
            .parse()
            .ok()
            .filter(|percent| (0.0..=50.0).contains(percent))
            .ok_or(format!("tune2fs: bad reserved block ratio - {text}\n{USAGE}"))?;
        list.push(Box::new(move |sb| {
            let blocks = (percent * sb.blocks_count() as f64 / 100.0) as u64;
            sb.set_reserved_blocks(blocks);
            Ok(format!(
                "Setting reserved blocks percentage to {percent}% ({blocks} blocks)"
            ))
        }));
    }
    if let Some(text) = given.text("r") {
        let blocks: u64 = text
            .parse()
            .map_err(|_| format!("tune2fs: bad reserved blocks count - {text}\n{USAGE}"))?;
        list.push(Box::new(move |sb| {
            if blocks > sb.blocks_count() / 2 {
                return Err(format!("reserved blocks count is too big ({blocks})"));
            }
            sb.set_reserved_blocks(blocks);
            Ok(format!("Setting reserved blocks count to {blocks}"))
        }));
    }
    if let Some(text) = given.text("u") {
        let id: u16 = text
            .parse()
            .map_err(|_| format!("tune2fs: bad uid/user name - {text}\n{USAGE}"))?;
        list.push(Box::new(move |sb| {
            sb.reserved_uid = id;
            Ok(format!("Setting reserved blocks uid to {id}"))
        }));
    }
    if let Some(label) = given.last("L") {
        let label = label.as_bytes().to_vec();
        if label.len() > 16 {
            eprintln!("Warning: label too long, truncating.");
        }
        list.push(Box::new(move |sb| {
            put(&mut sb.volume_name, &label);
            Ok(String::new())
        }));
    }
    if let Some(path) = given.last("M") {
        let path = path.as_bytes().to_vec();
        list.push(Box::new(move |sb| {
            put(&mut sb.last_mounted, &path);
            Ok(String::new())
        }));
    }
    for text in given.texts("o") {
        list.push(mount_options(&text)?);
    }
    for text in given.texts("O") {
        list.push(features(&text)?);
    }
    let texts = given.texts("E");
    let mut items: Vec<&str> = texts
        .iter()
        .flat_map(|text| text.split(','))
        .filter(|item| !item.is_empty())
        .collect();
    // The hash comes before the others.
    items.sort_by_key(|item| !item.starts_with("hash_alg"));
    for item in items {
        list.push(extended(item)?);
    }
    Ok(list)
}

/// A number of days, weeks, months, or seconds.
fn interval(text: &str) -> Option<u32> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "" | "d" | "D" => 24 * 3600,
        "s" | "S" => 1,
        "w" | "W" => 7 * 24 * 3600,
        "m" | "M" => 30 * 24 * 3600,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

fn mount_options(text: &str) -> Result<Change, String> {
    let mut parts = Vec::new();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (off, name) = match item.strip_prefix(['^', '-']) {
            Some(name) => (true, name),
            None => (false, item),
        };
        let Some((bits, _)) = MOUNT_OPTIONS.iter().find(|(_, known)| *known == name) else {
            return Err(format!("Invalid mount option set: {text}"));
        };
        parts.push((off, *bits));
    }
    Ok(Box::new(move |sb| {
        for (off, bits) in parts {
            if bits & JOURNAL_MODE != 0 {
                sb.default_mount_options &= !JOURNAL_MODE;
            }
            if off {
                sb.default_mount_options &= !bits;
            } else {
                sb.default_mount_options |= bits;
            }
        }
        Ok(String::new())
    }))
}

fn features(text: &str) -> Result<Change, String> {
    let mut parts = Vec::new();
    for item in text.split([',', ' ']).filter(|item| !item.is_empty()) {
        let (off, name) = match item.strip_prefix(['^', '-']) {
            Some(name) => (true, name),
            None => (false, item),
        };
        if name.parse::<disksmith_ext4::FeatureList>().is_err() {
            return Err(format!("Invalid filesystem option set: {text}"));
        }
        match TOGGLES.iter().find(|(known, ..)| *known == name) {
            Some((_, toggle, set, clear)) if (!off && *set) || (off && *clear) => parts.push((off, *toggle)),
            _ => {
                let what = if off { "Clearing" } else { "Setting" };
                return Err(format!(
                    "{what} filesystem feature '{name}' not supported; nothing was changed."
                ));
            }
        }
    }
    Ok(Box::new(move |sb| {
        let mut all: Features = sb.features();
        for (off, toggle) in parts {
            match toggle {
                Toggle::Compat(bit) => all.compat.set(bit, !off),
                Toggle::Incompat(bit) => all.incompat.set(bit, !off),
                Toggle::RoCompat(bit) => all.ro_compat.set(bit, !off),
            }
        }
        if sb.revision == 0 {
            return Err("a filesystem of revision 0 has no features".into());
        }
        sb.set_features(all);
        Ok(String::new())
    }))
}

fn extended(item: &str) -> Result<Change, String> {
    let (name, value) = item.split_once('=').unwrap_or((item, ""));
    let bad = || format!("\nBad options specified: {item}\n");
    Ok(match name {
        "stride" => {
            let stride: u16 = value
                .parse()
                .map_err(|_| format!("Invalid RAID stride: {value}"))?;
            Box::new(move |sb| {
                sb.raid_stride = stride;
                Ok(format!("Setting stride size to {stride}"))
            })
        }
        "stripe-width" | "stripe_width" => {
            let width: u32 = value
                .parse()
                .map_err(|_| format!("Invalid RAID stripe-width: {value}"))?;
            Box::new(move |sb| {
                sb.raid_stripe_width = width;
                Ok(format!("Setting stripe width to {width}"))
            })
        }
        "hash_alg" => {
            let hash = HASHES
                .iter()
                .take(3)
                .position(|known| *known == value)
                .ok_or(format!("Invalid hash algorithm: {value}"))?;
            let value = value.to_owned();
            Box::new(move |sb| {
                sb.default_hash_version = hash as u8;
                Ok(format!("Setting default hash algorithm to {value} ({hash})"))
            })
        }
        "mount_opts" => {
            if value.len() >= 64 {
                return Err("Extended mount options too long".into());
            }
            let value = value.to_owned();
            Box::new(move |sb| {
                put(&mut sb.mount_options, value.as_bytes());
                Ok(format!("Setting extended default mount options to '{value}'"))
            })
        }
        "clear_mmp"
        | "mmp_update_interval"
        | "force_fsck"
        | "encoding"
        | "encoding_flags"
        | "orphan_file_size"
        | "revision"
        | "test_fs" => {
            return Err(format!(
                "tune2fs: -E {name} is not supported; nothing was changed"
            ));
        }
        _ => return Err(bad()),
    })
}
