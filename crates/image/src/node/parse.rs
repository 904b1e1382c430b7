//! Reading nodes from names and from lists of options, with the checks and in the words of QEMU.

use super::members::{Members, text_of};
use super::{Below, FileNode, FormatNode, Node, NullNode};
use crate::file_name::protocol_of;
use crate::format::Format;
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a name stands for nothing that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeError(String);

impl NodeError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn no_node(name: &str) -> Self {
        Self(format!("Cannot find device='{name}' nor node-name='{name}'"))
    }
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NodeError {}

type Parsed<T> = Result<T, NodeError>;

/// The options that say how an image is decrypted.
const CRYPTO: &[&str] = &["encrypt.key-secret", "encrypt.format", "key-secret"];

fn take_crypto(members: &mut Members) -> Vec<(String, String)> {
    CRYPTO
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), members.take_text(name)?)))
        .collect()
}

/// Drivers of QEMU's that are not here.
const FOREIGN: &[&str] = &[
    "blklogwrites",
    "blkverify",
    "bochs",
    "cloop",
    "compress",
    "copy-before-write",
    "copy-on-read",
    "dmg",
    "ftp",
    "ftps",
    "gluster",
    "host_cdrom",
    "http",
    "https",
    "io_uring",
    "iscsi",
    "iser",
    "nbd",
    "nfs",
    "nvme",
    "parallels",
    "preallocate",
    "qcow",
    "qed",
    "quorum",
    "rbd",
    "replication",
    "snapshot-access",
    "ssh",
    "throttle",
    "vdi",
    "vhdx",
    "vmdk",
    "vpc",
    "vvfat",
];

/// Protocols of QEMU's that are not here.
const FOREIGN_PROTOCOLS: &[&str] = &[
    "blkverify",
    "fat",
    "ftp",
    "ftps",
    "gluster",
    "gluster+tcp",
    "gluster+unix",
    "gluster+rdma",
    "host_cdrom",
    "http",
    "https",
    "iscsi",
    "iser",
    "nbd",
    "nbd+tcp",
    "nbd+unix",
    "nfs",
    "nvme",
    "rbd",
    "ssh",
];

/// The size of a disk without content where nothing is said.
const NULL_SIZE: u64 = 1 << 30;
const NULL_DRIVERS: &[&str] = &["null-co", "null-aio"];

impl Node {
    /// Reads a name: a path, `file:…`, `json:{…}`, `null-co://` and the like.
    ///
    /// # Errors
    /// Where no driver that is here takes the name.
    pub fn from_name(name: &OsStr, format: Option<Format>) -> Parsed<Self> {
        let bytes = name.as_bytes();
        if let Some(json) = bytes.strip_prefix(b"json:") {
            let mut members = Members::from_json(&String::from_utf8_lossy(json))?;
            if let Some(format) = format {
                members.default_to("driver", format.name());
            }
            return top(members);
        }
        let file = by_protocol(name)?;
        Ok(Self::Format(Box::new(FormatNode::over(format, file))))
    }

    /// Reads a list of options, as `--image-opts` takes it.
    ///
    /// # Errors
    /// Where no driver that is here takes the options.
    pub fn from_options(list: &str) -> Parsed<Self> {
        top(Members::from_list(list)?)
    }

    /// Whether QEMU has a driver of this name that is not here.
    #[must_use]
    pub fn is_foreign_driver(name: &str) -> bool {
        FOREIGN.contains(&name)
    }
}

fn by_protocol(name: &OsStr) -> Parsed<Node> {
    let bytes = name.as_bytes();
    let file = |path: &[u8]| {
        if path.is_empty() {
            return Err(NodeError::new("The 'file' block driver requires a file name"));
        }
        Ok(Node::File(FileNode {
            path: PathBuf::from(OsStr::from_bytes(path)),
            locking: true,
        }))
    };
    let Some(protocol) = protocol_of(bytes) else {
        return file(bytes);
    };
    let rest = bytes.get(protocol.len() + 1..).unwrap_or_default();
    match &*String::from_utf8_lossy(protocol) {
        "file" => file(rest),
        "host_device" => host_device(Path::new(OsStr::from_bytes(rest))),
        "blkdebug" => blkdebug_name(rest),
        "json" => Node::from_name(name, None),
        driver => match NULL_DRIVERS.iter().find(|known| **known == driver) {
            Some(driver) if rest == b"//" => Ok(Node::Null(NullNode {
                driver,
                size: NULL_SIZE,
                zeroes: false,
                given: Vec::new(),
            })),
            Some(driver) => Err(NodeError::new(format!(
                "The only allowed filename for this driver is '{driver}://'"
            ))),
            None if FOREIGN_PROTOCOLS.contains(&driver) => Err(NodeError::new(format!(
                "the protocol '{driver}' is not supported"
            ))),
            None => Err(NodeError::new(format!("Unknown protocol '{driver}'"))),
        },
    }
}

fn host_device(path: &Path) -> Parsed<Node> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::metadata(path)
        .is_ok_and(|m| !m.file_type().is_block_device() && !m.file_type().is_char_device())
    {
        return Err(NodeError::new(format!(
            "'host_device' driver requires '{}' to be either a character or block device",
            path.display()
        )));
    }
    Ok(Node::File(FileNode {
        path: path.into(),
        locking: true,
    }))
}

/// `blkdebug:RULES:NAME` without rules passes everything through.
fn blkdebug_name(rest: &[u8]) -> Parsed<Node> {
    let Some(colon) = rest.iter().position(|b| *b == b':') else {
        return Err(NodeError::new(
            "blkdebug requires both config file and image path",
        ));
    };
    let (rules, name) = rest.split_at(colon);
    no_rules(&String::from_utf8_lossy(rules))?;
    by_protocol(OsStr::from_bytes(name.get(1..).unwrap_or_default()))
}

/// A file of rules must be empty.
fn no_rules(path: &str) -> Parsed<()> {
    if path.is_empty() || std::fs::metadata(path).is_ok_and(|m| m.len() == 0) {
        return Ok(());
    }
    Err(NodeError::new("blkdebug with rules is not supported"))
}

/// A node that was named as a whole: where no driver is given, a format is detected.
fn top(members: Members) -> Parsed<Node> {
    node(members, None)
}

fn node(mut members: Members, default: Option<&str>) -> Parsed<Node> {
    let driver = members.take_text("driver").or_else(|| default.map(str::to_owned));
    let common = Common::take(&mut members)?;
    let Some(driver) = driver else {
        let mut file = members.take_below("file");
        if file.is_empty() {
            if let Some(name) = members.take_text("file") {
                return Err(NodeError::no_node(&name));
            }
            return Err(NodeError::new("Must specify either driver or file"));
        }
        return format_node(None, members, &mut file, &common);
    };
    match driver.as_str() {
        "file" | "host_device" => file_node(&driver, members),
        "raw" | "qcow2" => {
            let mut file = members.take_below("file");
            format_node(Format::from_name(driver.as_bytes()), members, &mut file, &common)
        }
        "blkdebug" => blkdebug_node(members),
        // how fast a guest may be is nothing to the contents
        "throttle" => {
            if members.take("throttle-group").is_none() {
                return Err(NodeError::new("Please specify a throttle group"));
            }
            let file = members.take_below("file");
            all_taken(&members, "format", "throttle")?;
            child(file)
        }
        other => {
            if let Some(null) = NULL_DRIVERS.iter().find(|known| **known == other) {
                return null_node(null, members);
            }
            match Format::from_name(other.as_bytes()) {
                Some(format) => {
                    let mut file = members.take_below("file");
                    format_node(Some(format), members, &mut file, &common)
                }
                None if Node::is_foreign_driver(other) => Err(NodeError::new(format!(
                    "the format '{other}' is not supported yet"
                ))),
                None => Err(NodeError::new(format!("Unknown driver '{other}'"))),
            }
        }
    }
}

/// Options that every node has.
#[derive(Debug, Default)]
struct Common {
    force_share: bool,
}

impl Common {
    fn take(members: &mut Members) -> Parsed<Self> {
        let mut common = Self::default();
        for name in [
            "read-only",
            "auto-read-only",
            "cache.direct",
            "cache.no-flush",
            "cache.writeback",
            "force-share",
        ] {
            if let Some(value) = members.take_text(name) {
                let on = switch(name, &value)?;
                common.force_share |= on && name == "force-share";
            }
        }
        if let Some(value) = members.take_text("discard")
            && !["ignore", "off", "unmap", "on"].contains(&value.as_str())
        {
            return Err(NodeError::new("Invalid discard option"));
        }
        one_of(members, "detect-zeroes", &["off", "on", "unmap"])?;
        if let Some(name) = members.take_text("node-name") {
            let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.len() < 32
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            if !good {
                return Err(NodeError::new(format!("Invalid node-name: '{name}'")));
            }
        }
        Ok(common)
    }
}

fn one_of(members: &mut Members, name: &str, allowed: &[&str]) -> Parsed<()> {
    match members.take_text(name) {
        Some(value) if !allowed.contains(&value.as_str()) => {
            Err(NodeError::new(format!("invalid parameter value: {value}")))
        }
        _ => Ok(()),
    }
}

fn switch(name: &str, value: &str) -> Parsed<bool> {
    match value {
        "on" | "yes" | "true" | "y" => Ok(true),
        "off" | "no" | "false" | "n" => Ok(false),
        _ => Err(NodeError::new(format!(
            "Parameter '{name}' expects 'on' or 'off'"
        ))),
    }
}

/// A size: a number of bytes, with a suffix if it likes.
fn size(name: &str, value: &str) -> Parsed<u64> {
    use crate::byte_size::{BadSize, parse_size};
    parse_size(value).map_err(|problem| {
        NodeError::new(match problem {
            BadSize::Malformed => format!(
                "Parameter '{name}' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means \
                 kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
            ),
            BadSize::OutOfRange => format!("Value '{value}' is out of range for parameter '{name}'"),
        })
    })
}

fn all_taken(members: &Members, kind: &str, driver: &str) -> Parsed<()> {
    match members.left_over() {
        None => Ok(()),
        Some(key) if kind == "format" => Err(NodeError::new(format!(
            "Block format '{driver}' does not support the option '{key}'"
        ))),
        Some(key) => Err(NodeError::new(format!(
            "Block protocol '{driver}' doesn't support the option '{key}'"
        ))),
    }
}

fn file_node(driver: &str, mut members: Members) -> Parsed<Node> {
    let name = members.take_text("filename").unwrap_or_default();
    let locking = members.take_text("locking");
    if let Some(value) = locking.as_deref().filter(|v| !["auto", "on", "off"].contains(v)) {
        return Err(NodeError::new(format!("invalid parameter value: {value}")));
    }
    one_of(&mut members, "aio", &["threads", "native", "io_uring"])?;
    for name in ["drop-cache", "x-check-cache-dropped"] {
        if let Some(value) = members.take_text(name) {
            switch(name, &value)?;
        }
    }
    members.take("aio-max-batch");
    all_taken(&members, "protocol", driver)?;
    if name.is_empty() {
        return Err(NodeError::new(format!(
            "The '{driver}' block driver requires a file name"
        )));
    }
    if driver == "host_device" {
        return host_device(Path::new(&name));
    }
    Ok(Node::File(FileNode {
        path: name.into(),
        locking: locking.as_deref() != Some("off"),
    }))
}

fn null_node(driver: &'static str, mut members: Members) -> Parsed<Node> {
    let mut null = NullNode {
        driver,
        size: NULL_SIZE,
        zeroes: false,
        given: Vec::new(),
    };
    if let Some(value) = members.take("size") {
        null.size = size("size", &text_of(&value))?;
        null.given.push(("size".into(), value));
    }
    if let Some(value) = members.take("read-zeroes") {
        null.zeroes = switch("read-zeroes", &text_of(&value))?;
        null.given.push(("read-zeroes".into(), value));
    }
    members.take("latency-ns");
    if let Some(name) = members.take_text("filename")
        && name != format!("{driver}://")
    {
        return Err(NodeError::new(format!(
            "The only allowed filename for this driver is '{driver}://'"
        )));
    }
    all_taken(&members, "protocol", driver)?;
    Ok(Node::Null(null))
}

fn blkdebug_node(mut members: Members) -> Parsed<Node> {
    if let Some(rules) = members.take_text("config") {
        no_rules(&rules)?;
    }
    members.take("align");
    let image = members.take_below("image");
    if let Some(name) = members.take_text("image") {
        return Err(NodeError::no_node(&name));
    }
    if let Some(name) = members.take_text("x-image") {
        return by_protocol(OsStr::new(&name));
    }
    if !members.take_below("inject-error").is_empty() || !members.take_below("set-state").is_empty() {
        return Err(NodeError::new("blkdebug with rules is not supported"));
    }
    all_taken(&members, "protocol", "blkdebug")?;
    if image.is_empty() {
        return Err(NodeError::new("A block device must be specified for \"image\""));
    }
    child(image)
}

/// The node under a format: a file where nothing else is said.
fn child(mut members: Members) -> Parsed<Node> {
    match members.take_text("driver") {
        None if !members.has("file") => file_child(members),
        driver => node(members, driver.as_deref()),
    }
}

/// The file under a format, whose driver follows from its name where nothing is said.
fn file_child(mut members: Members) -> Parsed<Node> {
    let driver = members.take_text("driver");
    match driver {
        Some(driver) => node(members, Some(&driver)),
        None => {
            let name = members.take_text("filename").unwrap_or_default();
            Common::take(&mut members)?;
            match by_protocol(OsStr::new(&name))? {
                Node::File(file) => {
                    members.default_to("filename", &file.path.to_string_lossy());
                    file_node("file", members)
                }
                other => {
                    all_taken(&members, "protocol", "file")?;
                    Ok(other)
                }
            }
        }
    }
}

fn format_node(
    format: Option<Format>,
    mut members: Members,
    file: &mut Members,
    common: &Common,
) -> Parsed<Node> {
    let driver = format.map_or("raw", Format::name);
    if let Some(name) = members.take_text("file") {
        return Err(NodeError::no_node(&name));
    }
    if file.is_empty() {
        return Err(NodeError::new("A block device must be specified for \"file\""));
    }
    let mut node = FormatNode::over(format, file_child(std::mem::take(file))?);
    node.force_share = common.force_share;
    if format == Some(Format::Raw) {
        for name in ["offset", "size"] {
            let Some(value) = members.take(name) else { continue };
            let bytes = size(name, &text_of(&value))?;
            match name {
                "offset" => node.offset = bytes,
                _ => node.size = Some(bytes),
            }
            node.window.push((name.into(), value));
        }
        all_taken(&members, "format", driver)?;
        return Ok(Node::Format(Box::new(node)));
    }
    node.crypto = take_crypto(&mut members);
    match members.take("backing") {
        None => {
            let mut below = members.take_below("backing");
            if below.has_only(CRYPTO) {
                node.backing_crypto = take_crypto(&mut below);
            } else if !below.is_empty() {
                node.backing = Below::Node(self::node(below, None)?);
            }
        }
        Some(Value::Null) => node.backing = Below::Nothing,
        Some(name) if text_of(&name).is_empty() => node.backing = Below::Nothing,
        Some(name) => return Err(NodeError::no_node(&text_of(&name))),
    }
    if format == Some(Format::Luks) {
        let header = members.take_below("header");
        if !header.is_empty() {
            node.header = Some(file_child(header)?);
        }
    }
    let data = members.take_below("data-file");
    if !data.is_empty() {
        node.data_file = Some(file_child(data)?);
    } else if let Some(name) = members.take_text("data-file") {
        return Err(NodeError::no_node(&name));
    }
    qcow2_options(&mut members)?;
    if format.is_some() {
        all_taken(&members, "format", driver)?;
    }
    Ok(Node::Format(Box::new(node)))
}

/// What concerns only how QEMU works on a qcow2 image: checked and left.
fn qcow2_options(members: &mut Members) -> Parsed<()> {
    const SWITCHES: &[&str] = &[
        "lazy-refcounts",
        "pass-discard-request",
        "pass-discard-snapshot",
        "pass-discard-other",
        "discard-no-unref",
        "overlap-check.main-header",
        "overlap-check.active-l1",
        "overlap-check.active-l2",
        "overlap-check.refcount-table",
        "overlap-check.refcount-block",
        "overlap-check.snapshot-table",
        "overlap-check.inactive-l1",
        "overlap-check.inactive-l2",
        "overlap-check.bitmap-directory",
    ];
    for name in SWITCHES {
        if let Some(value) = members.take_text(name) {
            switch(name, &value)?;
        }
    }
    let mut sizes = [None; 3];
    for (place, name) in sizes
        .iter_mut()
        .zip(["cache-size", "l2-cache-size", "refcount-cache-size"])
    {
        if let Some(value) = members.take_text(name) {
            *place = Some(size(name, &value)?);
        }
    }
    if let [Some(all), l2, blocks] = sizes {
        let (l2_given, blocks_given) = (l2.is_some(), blocks.is_some());
        let (l2, blocks) = (l2.unwrap_or(0), blocks.unwrap_or(0));
        let problem = match () {
            () if l2_given && blocks_given => {
                Some("cache-size, l2-cache-size and refcount-cache-size may not be set at the same time")
            }
            () if l2 > all => Some("l2-cache-size may not exceed cache-size"),
            () if blocks > all => Some("refcount-cache-size may not exceed cache-size"),
            () => None,
        };
        if let Some(problem) = problem {
            return Err(NodeError::new(problem));
        }
    }
    if let Some(value) = members.take_text("l2-cache-entry-size") {
        let bytes = size("l2-cache-entry-size", &value)?;
        if !bytes.is_power_of_two() || !(512..=2 << 20).contains(&bytes) {
            return Err(NodeError::new(
                "L2 cache entry size must be a power of two between 512 and the cluster size (65536)",
            ));
        }
    }
    if let Some(value) = members.take_text("cache-clean-interval") {
        size("cache-clean-interval", &value)?;
    }
    for name in ["overlap-check", "overlap-check.template"] {
        if let Some(value) = members.take_text(name)
            && !["none", "constant", "cached", "all"].contains(&value.as_str())
        {
            return Err(NodeError::new(format!(
                "Unsupported value '{value}' for qcow2 option '{name}'. Allowed are any of the following: none, constant, cached, all"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_make_nodes() {
        let node = Node::from_options("driver=raw,offset=1k,file.filename=disk").unwrap();
        assert_eq!(
            node.shown(),
            r#"json:{"offset": "1k", "driver": "raw", "file": {"driver": "file", "filename": "disk"}}"#
        );
        let Node::Format(format) = node else { panic!() };
        assert_eq!((format.offset, format.size), (1024, None));
        let plain = Node::from_name(OsStr::new("file:x"), Some(Format::Qcow2)).unwrap();
        assert_eq!(plain.plain(), Some((Path::new("x"), Some(Format::Qcow2))));
    }

    #[test]
    fn what_no_driver_takes_is_named() {
        for (list, problem) in [
            ("driver=qcow2", "A block device must be specified for \"file\""),
            ("x", "Cannot find device='x' nor node-name='x'"),
            ("driver=foo", "Unknown driver 'foo'"),
            (
                "driver=qcow2,file.filename=a,foo=1",
                "Block format 'qcow2' does not support the option 'foo'",
            ),
            (
                "driver=raw,file.filename=a,file.foo=1",
                "Block protocol 'file' doesn't support the option 'foo'",
            ),
        ] {
            assert_eq!(Node::from_options(list).unwrap_err().to_string(), problem);
        }
    }
}
