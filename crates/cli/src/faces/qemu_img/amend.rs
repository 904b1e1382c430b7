//! `qemu-img amend`.

use super::encryption;
use super::image_name::ImageName;
use super::open::{named, writing};
use super::percent::Percent;
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{caches, help, image_options, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{AmendOptions, Format, Image, amend_image};
use std::ffi::OsString;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    flag("progress", b'p'),
    value("object", 0),
    value("format", b'f'),
    flag("image-opts", 0),
    value("cache", b't'),
    flag("force", 0),
    value("options", b'o'),
];

/// What can be amended: name, kind of the value, and what it is.
const PROPERTIES: &[(&str, &str, &str)] = &[
    ("backing_file", "str", "File name of a base image"),
    ("backing_fmt", "str", "Image format of the base image"),
    ("compat", "str", "Compatibility level (v2 [0.10] or v3 [1.1])"),
    ("data_file", "str", "File name of an external data file"),
    (
        "data_file_raw",
        "bool (on/off)",
        "The external data file must stay valid as a raw image",
    ),
    (
        "encrypt.iter-time",
        "num",
        "Time to spend in PBKDF in milliseconds",
    ),
    (
        "encrypt.keyslot",
        "num",
        "Select a single keyslot to modify explicitly",
    ),
    (
        "encrypt.new-secret",
        "str",
        "New secret to set in the matching keyslots. Empty string to erase",
    ),
    (
        "encrypt.old-secret",
        "str",
        "Select all keyslots that match this password",
    ),
    (
        "encrypt.state",
        "str",
        "Select new state of affected keyslots (active/inactive)",
    ),
    ("lazy_refcounts", "bool (on/off)", "Postpone refcount updates"),
    ("refcount_bits", "num", "Width of a reference count entry in bits"),
    ("size", "size", "Virtual disk size"),
];

/// What only new images can be given.
const CREATION_ONLY: &[&str] = &[
    "cluster_size",
    "compression_type",
    "encrypt.cipher-alg",
    "encrypt.cipher-mode",
    "encrypt.format",
    "encrypt.hash-alg",
    "encrypt.ivgen-alg",
    "encrypt.ivgen-hash-alg",
    "encrypt.key-secret",
    "encryption",
    "extended_l2",
    "preallocation",
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img amend", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("amend");
    }
    let lists = arguments.texts("options");
    if let Some(list) = image_options::malformed(&lists) {
        return Err(Stop::new(format!("Invalid option list: {list}")));
    }
    object::check(&arguments)?;
    if lists.is_empty() {
        return Err(Stop::usage("qemu-img amend", "Must specify options (-o)"));
    }
    let asks = image_options::wants_help(&lists);
    if let (true, Some(format)) = (asks, arguments.text("format")) {
        return tell(&format);
    }
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::new("Expecting one image file name"));
    };
    caches::target(&arguments, "cache")?;
    let name = named(&arguments, name)?;
    let image = writing(&name)?;
    let format = image.top().map_or(Format::Raw, |top| top.format());
    if asks {
        return tell(format.name());
    }
    if format == Format::Raw {
        return Err(not_amendable(format.name()));
    }
    let wanted = Wanted::parse(&lists, format)?;
    let percent = Percent::start(arguments.has("progress") && !arguments.has("quiet"));
    let done = apply(&name, &image, &wanted, arguments.has("force"));
    percent.complete();
    if done.is_ok() {
        percent.end();
        return Ok(0);
    }
    let stop = done.err();
    percent.end();
    Err(stop.unwrap_or_else(|| Stop::new("nothing was done")))
}

fn not_amendable(format: &str) -> Stop {
    Stop::new(format!(
        "Format driver '{format}' does not support option amendment"
    ))
}

/// Prints what can be amended.
fn tell(format: &str) -> Done {
    if !matches!(format, "qcow2" | "luks") {
        return Err(match Format::from_name(format.as_bytes()) {
            Some(_) => not_amendable(format),
            None => Stop::new(format!("Unknown file format '{format}'")),
        });
    }
    let properties: Vec<_> = match format {
        "luks" => luks_properties().collect(),
        _ => PROPERTIES.to_vec(),
    };
    let lines = properties.iter().map(|(name, kind, text)| {
        let name = format!("{name}=<{kind}>");
        format!("  {name:<22} - {text}\n")
    });
    print(format!(
        "Amend options for '{format}':\n{}",
        lines.collect::<String>()
    ))?;
    Ok(0)
}

/// What was asked for.
#[derive(Debug, Default)]
struct Wanted {
    options: AmendOptions,
    /// Another version's name that nobody knows.
    unknown_version: Option<String>,
    backing_file: Option<String>,
    backing_format: Option<String>,
    encryption: Vec<(String, String)>,
    /// Whether the image is a bare LUKS image.
    luks: bool,
}

impl Wanted {
    fn parse(lists: &[String], format: Format) -> Result<Self, Stop> {
        let mut wanted = Self {
            luks: format == Format::Luks,
            ..Self::default()
        };
        for list in lists {
            let marked = list.replace(",,", "\0");
            for item in marked.split(',').filter(|item| !item.is_empty()) {
                let item = item.replace('\0', ",");
                match (item.split_once('='), item.strip_prefix("no")) {
                    (Some((name, value)), _) => wanted.set(name, value)?,
                    (None, Some(name)) => wanted.set(name, "off")?,
                    (None, None) => wanted.set(&item, "on")?,
                }
            }
        }
        Ok(wanted)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        let switch = || match value {
            "on" | "yes" | "true" | "y" => Ok(Some(true)),
            "off" | "no" | "false" | "n" => Ok(Some(false)),
            _ => Err(Stop::new(format!("Parameter '{name}' expects 'on' or 'off'"))),
        };
        let number = || {
            let digits = value.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16));
            digits
                .unwrap_or_else(|| value.parse())
                .map_err(|_| Stop::new(format!("Parameter '{name}' expects a number")))
        };
        if self.luks {
            return self.set_luks(name, value);
        }
        let options = &mut self.options;
        match name {
            "compat" => {
                self.unknown_version = None;
                match value {
                    "v2" | "0.10" => options.version = Some(2),
                    "v3" | "1.1" => options.version = Some(3),
                    other => self.unknown_version = Some(other.to_owned()),
                }
            }
            "refcount_bits" => options.refcount_bits = Some(number()?),
            "lazy_refcounts" => options.lazy_refcounts = switch()?,
            "data_file" => options.data_file = Some(value.as_bytes().to_vec()),
            "data_file_raw" => options.data_file_raw = switch()?,
            "size" => {
                let bytes =
                    size::parse(value).map_err(|e| Stop::new(size::option_problem(name, value, e)))?;
                options.size = Some(bytes);
            }
            "backing_file" => self.backing_file = Some(value.to_owned()),
            "backing_fmt" => self.backing_format = Some(value.to_owned()),
            "encrypt.iter-time" | "encrypt.keyslot" => {
                self.encryption.push((name.to_owned(), number()?.to_string()));
            }
            _ if PROPERTIES.iter().any(|p| p.0 == name) => {
                self.encryption.push((name.to_owned(), value.to_owned()));
            }
            _ if CREATION_ONLY.contains(&name) => {
                return Err(Stop::new(format!(
                    "Invalid parameter '{name}'\nThis option is only supported for image creation"
                )));
            }
            _ => return Err(Stop::new(format!("Invalid parameter '{name}'"))),
        }
        Ok(())
    }
}

impl Wanted {
    fn set_luks(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        if matches!(name, "iter-time" | "keyslot") && value.parse::<i64>().is_err() {
            return Err(Stop::new(format!("Parameter '{name}' expects a number")));
        }
        if luks_properties().any(|property| property.0 == name) {
            self.encryption.push((name.to_owned(), value.to_owned()));
            return Ok(());
        }
        let creation_only = CREATION_ONLY
            .iter()
            .any(|known| known.strip_prefix("encrypt.") == Some(name) && name != "format");
        Err(Stop::new(
            if creation_only || matches!(name, "size" | "detached-header") {
                format!("Invalid parameter '{name}'\nThis option is only supported for image creation")
            } else {
                format!("Invalid parameter '{name}'")
            },
        ))
    }
}

/// What can be amended of a bare LUKS image.
fn luks_properties() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    PROPERTIES
        .iter()
        .filter_map(|(name, kind, text)| Some((name.strip_prefix("encrypt.")?, *kind, *text)))
}

fn apply(name: &ImageName, image: &Image, wanted: &Wanted, force: bool) -> Result<(), Stop> {
    if image.top().is_some_and(|top| top.format() == Format::Luks) {
        return encryption::amend(name, image, &wanted.encryption, "", force);
    }
    if let Some(version) = &wanted.unknown_version {
        return Err(Stop::new(format!("Unknown compatibility level {version}")));
    }
    let Some(qcow2) = image.top().and_then(|top| top.as_qcow2()) else {
        return Err(not_amendable("raw"));
    };
    let header = qcow2.header();
    if !wanted.encryption.is_empty() {
        if header.encryption.is_none() {
            return Err(Stop::new(
                "Can't amend encryption options - encryption not present",
            ));
        }
        encryption::amend(name, image, &wanted.encryption, "encrypt.", force)?;
    }
    let same = |wanted: &Option<String>, there: Option<&[u8]>| {
        wanted.as_ref().map(|wanted| wanted.as_bytes()) == there
    };
    let backing = wanted.backing_file.is_some() || wanted.backing_format.is_some();
    if backing
        && !(same(&wanted.backing_file, header.backing_name.as_deref())
            && same(&wanted.backing_format, header.backing_format()))
    {
        return Err(Stop::new(
            "Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.",
        ));
    }
    if wanted.options.size.is_some_and(|size| size > i64::MAX as u64) {
        return Err(Stop::new("Image size cannot be negative"));
    }
    amend_image(image, &wanted.options).map_err(|error| explain(name, &error))
}

fn explain(_name: &ImageName, error: &disksmith_image::Error) -> Stop {
    let text = cause(error, Use::Write);
    if text.contains("L1 table would exceed") {
        return Stop::new("Failed to grow the L1 table: File too large");
    }
    Stop::new(text)
}
