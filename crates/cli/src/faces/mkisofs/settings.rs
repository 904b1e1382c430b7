//! What a command line asks for.

use super::boot::BootRequest;
use super::config_file;
use super::flavour::Flavour;
use super::hiding::Hiding;
use super::messages::Messages;
use super::name_pattern::NamePatterns;
use super::path_spec::{self, PathSpec};
use super::stop::Stop;
use super::weights::{ImageWeights, Weights};
use crate::faces::getopt::Arguments;
use disksmith_iso9660::{
    FixedAttributes, HostAttributes, Level, Links, NameCharset, Options, PlainLength, PlainRules,
    TranslationTable,
};
use disksmith_vfs::Timestamp;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a command line asks for.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    pub(super) log_file: Option<PathBuf>,
    /// `None` is standard output.
    pub(super) output: Option<PathBuf>,
    pub(super) print_size: bool,
    pub(super) options: Options,
    pub(super) specs: Vec<PathSpec>,
    /// Directory in the image below which everything goes.
    pub(super) root: Option<OsString>,
    pub(super) hiding: Hiding,
    pub(super) weights: Weights,
    pub(super) image_weights: ImageWeights,
    pub(super) attributes: HostAttributes,
    pub(super) fixed: FixedAttributes,
    /// Permissions of directories that are made on the way.
    pub(super) new_directories: u16,
    pub(super) latest: Option<Timestamp>,
    /// The time of every file.
    pub(super) all_dates: Option<Timestamp>,
    /// Whether Joliet, which knows no links and devices, leaves them out instead of showing empty files.
    pub(super) plain_joliet: bool,
    pub(super) links: Links,
    pub(super) zisofs: bool,
    pub(super) boot: BootRequest,
}

/// What would change the image, and is not there.
const REFUSED: &[(&str, &str)] = &[
    ("udf", "disksmith writes no UDF"),
    ("dvd-video", "disksmith writes no UDF"),
    ("hfs", "disksmith writes no HFS"),
    ("hfsplus", "disksmith writes no HFS+"),
    ("apple", "disksmith writes no Apple extensions"),
    ("part", "disksmith writes no HFS"),
    ("boot-hfs-file", "disksmith writes no HFS"),
    ("mac-name", "disksmith writes no HFS"),
    ("XA", "disksmith writes no CD-ROM XA attributes"),
    ("xa", "disksmith writes no CD-ROM XA attributes"),
    (
        "prev-session",
        "sessions are not merged; make the image as a whole",
    ),
    (
        "check-session",
        "sessions are not merged; make the image as a whole",
    ),
    ("dev", "there are no drives"),
    ("old-root", "sessions are not merged; make the image as a whole"),
    ("sparc-boot", "only PC BIOS and UEFI are started from the image"),
    ("sunx86-boot", "only PC BIOS and UEFI are started from the image"),
    ("alpha-boot", "only PC BIOS and UEFI are started from the image"),
    (
        "hppa-bootloader",
        "only PC BIOS and UEFI are started from the image",
    ),
    ("mips-boot", "only PC BIOS and UEFI are started from the image"),
    ("mipsel-boot", "only PC BIOS and UEFI are started from the image"),
    ("prep-boot", "only PC BIOS and UEFI are started from the image"),
    (
        "prep-boot-part",
        "only PC BIOS and UEFI are started from the image",
    ),
    ("chrp-boot", "only PC BIOS and UEFI are started from the image"),
    (
        "chrp-boot-part",
        "only PC BIOS and UEFI are started from the image",
    ),
    ("jigdo-jigdo", "disksmith writes no jigdo files"),
    ("jigdo-template", "disksmith writes no jigdo files"),
    ("split-output", "the image is one file"),
    ("stream-file-name", "files are read, not streamed"),
    ("isohybrid-gpt-hfsplus", "disksmith writes no HFS+"),
    ("appended_part_as_apm", "disksmith writes no Apple partition maps"),
    ("acl", "access control lists have no place in the image yet"),
    ("xattr", "extended attributes have no place in the image yet"),
    ("xattr-any", "extended attributes have no place in the image yet"),
    (
        "for_backup",
        "access control lists and extended attributes have no place in the image yet",
    ),
];

/// Reads a number as C does: decimal, `0x`, or octal with a leading 0.
pub(super) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    u64::from_str_radix(digits, radix).ok()
}

impl Settings {
    pub(super) fn read(read: &Arguments, flavour: Flavour, messages: &Messages) -> Result<Self, Stop> {
        for (option, why) in REFUSED {
            if read.has(option) {
                return Err(Stop::unsupported(option, why));
            }
        }
        if let Some(sectors) = read.text("sectype").filter(|t| t != "data" && t != "2048") {
            return Err(Stop::bad(format!(
                "sector type '{sectors}' is not supported: only 'data' is"
            )));
        }
        if read.has("i") {
            return Err(Stop::bad("-i option no longer supported."));
        }
        if read.has("cdrecord-params") {
            messages.warn("Warning: -C specified without -M: old session data will not be merged.");
        }
        let quiet = read.has("quiet");
        let fixed_clock = crate::clock::is_fixed();
        let now = crate::clock::now().map_err(|_| Stop::bad("SOURCE_DATE_EPOCH is no number of seconds"))?;
        let rock_ridge = read.has("rock")
            || read.has("rational-rock")
            || (flavour == Flavour::Xorriso && !read.has("norock"));
        if read.has("isohybrid-apm-hfsplus") {
            messages.warn(
                "-isohybrid-apm-hfsplus: no Apple partition map is written; old Macs do not start the image.",
            );
        }
        let mut options = options(read, flavour, rock_ridge, now, messages)?;
        if let Some(text) = read.text("modification-date").filter(|t| !t.is_empty()) {
            options.time = moment("modification-date", &text)?;
        }
        let all_dates = match read.text("set_all_file_dates").as_deref() {
            None | Some("") => None,
            Some("=" | "modification-date" | "set_to_mtime") if !read.has("modification-date") => None,
            Some("=" | "modification-date") => Some(options.time),
            Some(text) => Some(moment("set_all_file_dates", text)?),
        };
        let links = if read.has("follow-links") {
            if !quiet && flavour == Flavour::Genisoimage && !rock_ridge {
                messages.line("Warning: -follow-links does not always work correctly; be careful.");
            }
            Links::Follow
        } else if rock_ridge {
            Links::Keep
        } else {
            Links::Drop
        };
        let mut weights = Weights::default();
        for path in read.texts("sort") {
            weights.read(Path::new(&path))?;
        }
        let mode = |option: &str| -> Result<Option<u16>, Stop> {
            let Some(text) = read.text(option) else {
                return Ok(None);
            };
            match u16::from_str_radix(&text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Some(mode)),
                _ => Err(Stop::bad(format!("Illegal value '{text}' for -{option}."))),
            }
        };
        let id = |option: &str| -> Result<Option<u32>, Stop> {
            let Some(text) = read.text(option) else {
                return Ok(None);
            };
            match text.parse() {
                Ok(id) => Ok(Some(id)),
                Err(_) if text == "default" => Ok(None),
                Err(_) => Err(Stop::bad(format!("Illegal value '{text}' for -{option}."))),
            }
        };
        Ok(Self {
            quiet,
            verbose: read.has("verbose"),
            log_file: read.last("log-file").map(PathBuf::from),
            output: read.last("output").filter(|path| *path != "-").map(PathBuf::from),
            print_size: read.has("print-size"),
            specs: specs(read)?,
            root: read.last("root").map(OsStr::to_os_string),
            hiding: hiding(read)?,
            weights,
            image_weights: image_weights(read)?,
            attributes: if read.has("rational-rock") {
                HostAttributes::Rational
            } else {
                HostAttributes::Keep
            },
            fixed: FixedAttributes {
                uid: id("uid")?,
                gid: id("gid")?,
                file_permissions: mode("file-mode")?,
                directory_permissions: mode("dir-mode")?,
            },
            new_directories: mode("new-dir-mode")?.or(mode("dir-mode")?).unwrap_or(0o555),
            latest: fixed_clock.then_some(now),
            all_dates,
            plain_joliet: flavour == Flavour::Xorriso,
            links,
            zisofs: read.has("transparent-compression") && rock_ridge,
            boot: BootRequest::read(read, flavour)?,
            options,
        })
    }
}

/// Reads a time of xorriso's, `YYYYMMDDhhmmsscc` in UTC.
fn moment(option: &str, text: &str) -> Result<Timestamp, Stop> {
    let wrong = || Stop::bad(format!("-{option}: '{text}' is not YYYYMMDDhhmmsscc"));
    disksmith_iso9660::volume_time(text).ok_or_else(wrong)
}

/// Blocks of padding, from bytes with one of xorriso's units.
fn padding(text: &str) -> Result<u32, Stop> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "d" => 512,
        "s" => 2048,
        "k" => 1 << 10,
        "m" => 1 << 20,
        _ => 0,
    };
    digits
        .parse::<u64>()
        .ok()
        .filter(|_| unit > 0)
        .and_then(|n| u32::try_from(n.checked_mul(unit)?.div_ceil(2048)).ok())
        .ok_or_else(|| Stop::bad(format!("-padding: '{text}' is no size")))
}

fn specs(read: &Arguments) -> Result<Vec<PathSpec>, Stop> {
    let graft_points = read.has("graft-points");
    let mut words = Vec::new();
    for option in ["path-list", "quoted_path_list"] {
        if let Some(path) = read.last(option) {
            words.extend(path_spec::lines(Path::new(path), "path list file")?);
        }
    }
    words.extend(read.operands.iter().cloned());
    if words.is_empty() {
        return Err(Stop::usage("Missing pathspec."));
    }
    words
        .iter()
        .map(|word| PathSpec::parse(word, graft_points))
        .collect()
}

fn hiding(read: &Arguments) -> Result<Hiding, Stop> {
    let mut hiding = Hiding {
        backups: read.has("no-bak") || read.has("nobak"),
        ..Hiding::default()
    };
    let lists: [(&mut NamePatterns, &[&str], &str); 4] = [
        (&mut hiding.exclude, &["exclude", "old-exclude"], "exclude-list"),
        (&mut hiding.plain, &["hide"], "hide-list"),
        (&mut hiding.joliet, &["hide-joliet"], "hide-joliet-list"),
        (&mut hiding.flagged, &["hidden"], "hidden-list"),
    ];
    for (patterns, options, list) in lists {
        for (key, value) in read.options() {
            if options.contains(key) {
                patterns.push(value);
            } else if *key == list {
                for line in path_spec::lines(Path::new(value), "list file")? {
                    patterns.push(&line);
                }
            }
        }
    }
    Ok(hiding)
}

fn image_weights(read: &Arguments) -> Result<ImageWeights, Stop> {
    let mut out = ImageWeights::new();
    let mut take = |weight: &[u8], path: &[u8]| {
        let weight = std::str::from_utf8(weight)
            .ok()
            .and_then(|w| w.trim().parse().ok());
        let Some(weight) = weight else {
            return Err(Stop::bad("a sort weight is no number"));
        };
        out.push((PathBuf::from(OsStr::from_bytes(path)), weight));
        Ok(())
    };
    for (key, value) in read.options() {
        match *key {
            "sort-weight" => {
                if let Some((weight, path)) = split(value.as_bytes(), 0) {
                    take(weight, path)?;
                }
            }
            "sort-weight-list" | "sort-weight-patterns" => {
                for line in path_spec::lines(Path::new(value), "sort weight list")? {
                    let line = line.as_bytes().trim_ascii();
                    let at = line.iter().position(u8::is_ascii_whitespace);
                    if let Some((weight, path)) = at.map(|at| line.split_at(at)) {
                        take(weight, path.trim_ascii())?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(out)
}

/// The parts before and behind the first `byte`.
pub(super) fn split(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn options(
    read: &Arguments,
    flavour: Flavour,
    rock_ridge: bool,
    now: Timestamp,
    messages: &Messages,
) -> Result<Options, Stop> {
    let volume_id = match flavour {
        Flavour::Genisoimage => "CDROM",
        Flavour::Xorriso => "ISOIMAGE",
    };
    let mut options = Options::new(volume_id, now);
    texts(read, flavour, &mut options)?;
    let level = read.text("iso-level");
    let given = match level.as_deref() {
        None => None,
        Some("1") => Some(Level::One),
        Some("2") => Some(Level::Two),
        Some("3") => Some(Level::Three),
        Some("4") => Some(Level::Four),
        Some(other) => {
            let number: i64 = other.trim().parse().unwrap_or(0);
            return Err(Stop::bad(format!(
                "Illegal iso9660 Level {number}, use 1..3 or 4."
            )));
        }
    };
    options.level = given.unwrap_or_default();
    options.names = Some(plain_rules(read, flavour, options.level, messages));
    let any_size = read.has("allow-limited-size") || (flavour == Flavour::Xorriso && given.is_none());
    if any_size && options.level < Level::Three {
        options.level = Level::Three;
    }
    options.rock_ridge = rock_ridge;
    options.joliet_long = read.has("joliet-long");
    options.joliet =
        read.has("joliet") || options.joliet_long || read.has("jcharset") || read.has("ucs-level");
    options.same_names = flavour == Flavour::Genisoimage && !rock_ridge && !options.joliet;
    options.deep_directories =
        read.has("disable-deep-relocation") || (flavour == Flavour::Xorriso && !read.has("rr_reloc_dir"));
    if read.has("hide-rr-moved") {
        options.relocation_name = Some(b".rr_moved".to_vec());
    } else if let Some(name) = read.last("rr_reloc_dir") {
        let name = name.as_bytes();
        options.relocation_name = Some(name.strip_prefix(b"/").unwrap_or(name).to_vec());
    }
    if read.has("no-pad") {
        options.padding_blocks = 0;
    } else if let Some(text) = read.text("padding") {
        options.padding_blocks = padding(&text)?;
    }
    if read.has("translation-table") || read.has("table-name") {
        options.translation_table = Some(TranslationTable {
            name: read
                .last("table-name")
                .map_or_else(|| b"TRANS.TBL".to_vec(), |name| name.as_bytes().to_vec()),
            in_joliet: !read.has("hide-joliet-trans-tbl"),
        });
    }
    let charset = read.text("jcharset").or_else(|| read.text("input-charset"));
    let charset = charset.as_deref().map(str::to_ascii_lowercase);
    options.charset = match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "default" | "ascii" | "us-ascii" | "ansi_x3.4-1968") => {
            NameCharset::Utf8
        }
        Some("iso8859-1" | "iso-8859-1" | "latin1" | "iso_8859-1") => NameCharset::Latin1,
        Some(other) => {
            return Err(Stop::bad(format!(
                "Unknown charset '{other}'.\nKnown charsets are: utf-8, iso8859-1, us-ascii"
            )));
        }
    };
    let counted = |option: &str| -> Result<u16, Stop> {
        let Some(text) = read.text(option) else {
            return Ok(1);
        };
        match text.parse() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(Stop::bad(format!("Illegal value '{text}' for -{option}."))),
        }
    };
    options.volume_set = (counted("volset-size")?, counted("volset-seqno")?);
    if options.volume_set.0 > 1 && flavour == Flavour::Genisoimage {
        return Err(Stop::bad("Volume Set Size > 1 not yet supported"));
    }
    if options.volume_set.1 > options.volume_set.0 {
        return Err(Stop::bad("Volume set sequence number too big"));
    }
    Ok(options)
}

fn plain_rules(read: &Arguments, flavour: Flavour, level: Level, messages: &Messages) -> PlainRules {
    let mut rules = PlainRules::of_level(level);
    rules.by_character = flavour == Flavour::Xorriso;
    rules.tgz = flavour == Flavour::Genisoimage;
    if level == Level::Four {
        return rules;
    }
    let untranslated = read.has("untranslated-filenames");
    let longer = read.has("max-iso9660-filenames");
    let any = |names: &[&str]| untranslated || names.iter().any(|name| read.has(name));
    rules.directory_extension = !read.has("disallow_dir_id_ext");
    rules.lower_case = any(&["allow-lowercase"]);
    rules.several_dots = any(&["allow-multidot"]);
    rules.leading_dots = any(&["allow-leading-dots", "ldots"]);
    rules.omit_dot = any(&["omit-period"]);
    rules.omit_version = any(&["omit-version-number", "max-iso9660-filenames"]);
    rules.ascii = any(&["relaxed-filenames"]);
    rules.no_translation = any(&["no-iso-translate"]);
    if longer {
        rules.length = PlainLength::Longer;
    } else if any(&["full-iso9660-filenames"]) {
        rules.length = PlainLength::Long;
    }
    let violates = rules.lower_case
        || rules.several_dots
        || rules.leading_dots
        || rules.omit_dot
        || rules.omit_version
        || rules.ascii
        || rules.no_translation;
    if violates && flavour == Flavour::Genisoimage {
        messages.line("Warning: creating filesystem that does not conform to ISO-9660.");
    }
    rules
}

fn texts(read: &Arguments, flavour: Flavour, options: &mut Options) -> Result<(), Stop> {
    let texts = &mut options.texts;
    if flavour == Flavour::Xorriso {
        texts.system_id = String::new();
        texts.application = String::new();
    } else {
        config_file::apply(texts);
    }
    let fields: [(&str, usize, &str, &mut String); 9] = [
        ("appid", 128, "Application-id", &mut texts.application),
        ("abstract", 37, "Abstract filename", &mut texts.abstract_file),
        (
            "biblio",
            37,
            "Bibliographic filename",
            &mut texts.bibliographic_file,
        ),
        ("copyright", 37, "Copyright filename", &mut texts.copyright_file),
        ("preparer", 128, "Preparer", &mut texts.preparer),
        ("publisher", 128, "Publisher", &mut texts.publisher),
        ("sysid", 32, "System ID", &mut texts.system_id),
        ("volid", 32, "Volume ID", &mut texts.volume_id),
        ("volset", 128, "Volume set ID", &mut texts.volume_set_id),
    ];
    for (option, limit, what, field) in fields {
        let given = read.text(option).or_else(|| {
            let other = (option == "volid").then_some("volume_id")?;
            read.text(other)
        });
        if let Some(text) = given {
            if text.len() > limit {
                return Err(Stop::bad(format!("{what} string too long")));
            }
            *field = text;
        }
    }
    Ok(())
}
