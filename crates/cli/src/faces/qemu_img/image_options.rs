//! `-o name=value,…`: the properties that a new image can be given.

use super::size;
use disksmith_image::Format;

/// What a property's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Size,
    Switch,
    Number,
}

/// A property: its name, its kind, its default where messages tell it, and what it is.
type Property = (&'static str, Kind, Option<&'static str>, &'static str);

/// In the order in which messages tell them.
const QCOW2: &[Property] = &[
    (
        "encryption",
        Kind::Switch,
        None,
        "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
    ),
    (
        "encrypt.format",
        Kind::Text,
        None,
        "Encrypt the image, format choices: 'aes', 'luks'",
    ),
    (
        "encrypt.key-secret",
        Kind::Text,
        None,
        "ID of secret providing qcow AES key or LUKS passphrase",
    ),
    (
        "encrypt.cipher-alg",
        Kind::Text,
        None,
        "Name of encryption cipher algorithm",
    ),
    (
        "encrypt.cipher-mode",
        Kind::Text,
        None,
        "Name of encryption cipher mode",
    ),
    (
        "encrypt.ivgen-alg",
        Kind::Text,
        None,
        "Name of IV generator algorithm",
    ),
    (
        "encrypt.ivgen-hash-alg",
        Kind::Text,
        None,
        "Name of IV generator hash algorithm",
    ),
    (
        "encrypt.hash-alg",
        Kind::Text,
        None,
        "Name of encryption hash algorithm",
    ),
    (
        "encrypt.iter-time",
        Kind::Number,
        None,
        "Time to spend in PBKDF in milliseconds",
    ),
    ("cluster_size", Kind::Size, Some("65536"), "qcow2 cluster size"),
    ("extended_l2", Kind::Switch, Some("off"), "Extended L2 tables"),
    (
        "preallocation",
        Kind::Text,
        None,
        "Preallocation mode (allowed values: off, metadata, falloc, full)",
    ),
    (
        "compression_type",
        Kind::Text,
        Some("zlib"),
        "Compression method used for image cluster compression",
    ),
    ("size", Kind::Size, None, "Virtual disk size"),
    (
        "compat",
        Kind::Text,
        None,
        "Compatibility level (v2 [0.10] or v3 [1.1])",
    ),
    ("backing_file", Kind::Text, None, "File name of a base image"),
    ("backing_fmt", Kind::Text, None, "Image format of the base image"),
    (
        "data_file",
        Kind::Text,
        None,
        "File name of an external data file",
    ),
    (
        "data_file_raw",
        Kind::Switch,
        None,
        "The external data file must stay valid as a raw image",
    ),
    (
        "lazy_refcounts",
        Kind::Switch,
        Some("off"),
        "Postpone refcount updates",
    ),
    (
        "refcount_bits",
        Kind::Number,
        Some("16"),
        "Width of a reference count entry in bits",
    ),
    (
        "nocow",
        Kind::Switch,
        None,
        "Turn off copy-on-write (valid only on btrfs)",
    ),
    (
        "extent_size_hint",
        Kind::Size,
        None,
        "Extent size hint for the image file, 0 to disable",
    ),
];

const RAW: &[Property] = &[
    ("size", Kind::Size, None, "Virtual disk size"),
    (
        "nocow",
        Kind::Switch,
        None,
        "Turn off copy-on-write (valid only on btrfs)",
    ),
    (
        "preallocation",
        Kind::Text,
        None,
        "Preallocation mode (allowed values: off, falloc, full)",
    ),
    (
        "extent_size_hint",
        Kind::Size,
        None,
        "Extent size hint for the image file, 0 to disable",
    ),
];

const LUKS: &[Property] = &[
    ("size", Kind::Size, None, "Virtual disk size"),
    (
        "key-secret",
        Kind::Text,
        None,
        "ID of the secret that provides the keyslot passphrase",
    ),
    (
        "cipher-alg",
        Kind::Text,
        None,
        "Name of encryption cipher algorithm",
    ),
    ("cipher-mode", Kind::Text, None, "Name of encryption cipher mode"),
    ("ivgen-alg", Kind::Text, None, "Name of IV generator algorithm"),
    (
        "ivgen-hash-alg",
        Kind::Text,
        None,
        "Name of IV generator hash algorithm",
    ),
    ("hash-alg", Kind::Text, None, "Name of encryption hash algorithm"),
    (
        "iter-time",
        Kind::Number,
        None,
        "Time to spend in PBKDF in milliseconds",
    ),
    (
        "detached-header",
        Kind::Switch,
        None,
        "Create a detached LUKS header",
    ),
    (
        "nocow",
        Kind::Switch,
        None,
        "Turn off copy-on-write (valid only on btrfs)",
    ),
    (
        "preallocation",
        Kind::Text,
        None,
        "Preallocation mode (allowed values: off, falloc, full)",
    ),
    (
        "extent_size_hint",
        Kind::Size,
        None,
        "Extent size hint for the image file, 0 to disable",
    ),
];

/// Properties that belong to the file rather than to the format.
fn of_file(format: Format, name: &str) -> bool {
    matches!(name, "nocow" | "extent_size_hint") || format != Format::Qcow2 && name == "preallocation"
}

fn properties(format: Format) -> &'static [Property] {
    match format {
        Format::Raw => RAW,
        Format::Qcow2 => QCOW2,
        Format::Luks => LUKS,
    }
}

/// Whether one of the lists asks for help.
pub(super) fn wants_help(lists: &[String]) -> bool {
    lists
        .iter()
        .any(|list| list.split(',').any(|item| item == "help" || item == "?"))
}

/// The first list that no list of options can be.
pub(super) fn malformed(lists: &[String]) -> Option<&String> {
    lists.iter().find(|list| {
        let commas = list.bytes().rev().take_while(|b| *b == b',').count();
        list.is_empty() || list.starts_with(',') || commas % 2 == 1
    })
}

/// The text for `-o help`; with a file's name also what belongs to files.
pub(super) fn help(format: Format, with_file: bool) -> String {
    let mut known: Vec<&Property> = properties(format).iter().collect();
    known.retain(|p| with_file || !of_file(format, p.0));
    known.sort_by_key(|p| p.0);
    let title = if with_file {
        "Supported options:\n".into()
    } else {
        format!("Supported {format} options:\n")
    };
    let lines = known.iter().map(|(name, kind, _, text)| {
        let kind = match kind {
            Kind::Text => "str",
            Kind::Size => "size",
            Kind::Switch => "bool (on/off)",
            Kind::Number => "num",
        };
        format!("  {:<22} - {text}\n", format!("{name}=<{kind}>"))
    });
    let more = if with_file {
        ""
    } else {
        "\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n"
    };
    title + &lines.collect::<String>() + more
}

/// The properties that were given, checked one by one.
#[derive(Debug)]
pub(super) struct ImageOptions {
    format: Format,
    values: Vec<(&'static str, String)>,
}

impl ImageOptions {
    /// Reads the lists. An error is what is wrong, without the name of an image before it.
    pub(super) fn parse(lists: &[String], format: Format) -> Result<Self, String> {
        let mut options = Self {
            format,
            values: Vec::new(),
        };
        for list in lists {
            let marked = list.replace(",,", "\0");
            for item in marked.split(',').filter(|item| !item.is_empty()) {
                let item = item.replace('\0', ",");
                match (item.split_once('='), item.strip_prefix("no")) {
                    (Some((name, value)), _) => options.set(name, value)?,
                    (None, Some(name)) => options.set(name, "off")?,
                    (None, None) => options.set(&item, "on")?,
                }
            }
        }
        Ok(options)
    }

    /// Sets a property.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some((name, kind, ..)) = properties(self.format).iter().find(|p| p.0 == name) else {
            return Err(format!("Invalid parameter '{name}'"));
        };
        let value = match kind {
            Kind::Text => value.to_owned(),
            Kind::Size => size::parse(value)
                .map_err(|problem| size::option_problem(name, value, problem))?
                .to_string(),
            Kind::Switch if switch(value).is_some() => value.to_owned(),
            Kind::Switch => return Err(format!("Parameter '{name}' expects 'on' or 'off'")),
            Kind::Number => {
                let number: i128 = value
                    .parse()
                    .map_err(|_| format!("Parameter '{name}' expects a number"))?;
                // QEMU takes negative numbers for great ones
                let number = u64::try_from(number)
                    .or_else(|_| i64::try_from(number).map(i64::cast_unsigned))
                    .map_err(|_| format!("Parameter '{name}' expects a number"))?;
                number.to_string()
            }
        };
        self.values.retain(|(known, _)| known != name);
        self.values.push((name, value));
        Ok(())
    }

    /// Whether a property was given.
    pub(super) fn given(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| *known == name)
    }

    /// Whether a property was given whose name starts so.
    pub(super) fn any_given(&self, prefix: &str) -> bool {
        self.values.iter().any(|(known, _)| known.starts_with(prefix))
    }

    /// The format whose properties these are.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The value that was given, or the default.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let given = self
            .values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str());
        given.or_else(|| {
            properties(self.format)
                .iter()
                .find(|p| p.0 == name)
                .and_then(|p| p.2)
        })
    }

    /// A number or size.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.text(name).and_then(switch).unwrap_or(false)
    }

    /// All properties with their values, as the message of `create` tells them.
    pub(super) fn describe(&self) -> String {
        let known = properties(self.format).iter();
        let pairs = known.filter_map(|(name, kind, ..)| {
            let text = self.text(name)?;
            Some(match (kind, text.parse::<u64>()) {
                // as QEMU prints them
                (Kind::Size | Kind::Number, Ok(number)) => format!("{name}={}", number.cast_signed()),
                _ => format!("{name}={}", text.replace(',', ",,")),
            })
        });
        pairs.collect::<Vec<_>>().join(" ")
    }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "true" | "y" => Some(true),
        "off" | "no" | "false" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<ImageOptions, String> {
        ImageOptions::parse(&[list.to_owned()], Format::Qcow2)
    }

    #[test]
    fn the_last_value_counts_and_all_are_told() {
        let options = parse("lazy_refcounts=yes,compat=v3,backing_file=a,,b,nolazy_refcounts").unwrap();
        assert_eq!(
            options.describe(),
            "cluster_size=65536 extended_l2=off compression_type=zlib compat=v3 backing_file=a,,b \
             lazy_refcounts=off refcount_bits=16"
        );
    }

    #[test]
    fn wrong_values_are_named() {
        assert_eq!(parse("foo=1").unwrap_err(), "Invalid parameter 'foo'");
        assert_eq!(
            parse("extended_l2=x").unwrap_err(),
            "Parameter 'extended_l2' expects 'on' or 'off'"
        );
        assert_eq!(
            parse("refcount_bits=x").unwrap_err(),
            "Parameter 'refcount_bits' expects a number"
        );
    }
}
