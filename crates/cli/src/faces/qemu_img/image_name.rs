//! The names of images: paths, `file:` names, `json:{…}`, and the `driver=…,file.filename=…` of `--image-opts`.

use super::stop::Stop;
use disksmith_image::Format;
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Formats and protocols that QEMU has and this face has not.
const FOREIGN: &[&str] = &[
    "blkdebug",
    "blklogwrites",
    "blkverify",
    "bochs",
    "cloop",
    "compress",
    "copy-before-write",
    "copy-on-read",
    "dmg",
    "file",
    "ftp",
    "ftps",
    "gluster",
    "host_cdrom",
    "host_device",
    "http",
    "https",
    "iscsi",
    "iser",
    "luks",
    "nbd",
    "nfs",
    "null-aio",
    "null-co",
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

/// Whether this is a format of QEMU's that is not supported here.
pub(super) fn is_foreign(format: &str) -> bool {
    FOREIGN.contains(&format)
}

/// An image that was named.
#[derive(Debug, Clone)]
pub(super) struct ImageName {
    /// Its file.
    pub(super) path: PathBuf,
    /// Its format, if one was named.
    pub(super) format: Option<Format>,
    /// How messages call it.
    pub(super) shown: String,
}

impl ImageName {
    /// The failure to open this image.
    pub(super) fn cannot_open(&self, why: impl AsRef<str>) -> Stop {
        cannot_open(&self.shown, why.as_ref())
    }
}

fn cannot_open(shown: &str, why: &str) -> Stop {
    Stop::new(format!("Could not open '{shown}': {why}"))
}

/// Understands the name of an image, given with a format, or as a list of options where `image_opts` says so.
pub(super) fn read(name: &OsStr, format: Option<&str>, image_opts: bool) -> Result<ImageName, Stop> {
    let shown = name.to_string_lossy().into_owned();
    if image_opts {
        return from_members(&shown, &option_list(&shown)?, None);
    }
    if let Some(json) = shown.strip_prefix("json:") {
        let value: Value = serde_json::from_str(json)
            .map_err(|e| cannot_open(&shown, &format!("Could not parse the JSON options: {e}")))?;
        let mut members = Vec::new();
        flatten("", &value, &mut members);
        return from_members(&shown, &members, format);
    }
    let format = format.map(|format| known(&shown, format)).transpose()?;
    let path = match name.as_bytes().strip_prefix(b"file:") {
        Some(path) if !PathBuf::from(name).exists() => PathBuf::from(OsStr::from_bytes(path)),
        _ => PathBuf::from(name),
    };
    Ok(ImageName { path, format, shown })
}

fn known(shown: &str, format: &str) -> Result<Format, Stop> {
    Format::from_name(format.as_bytes()).ok_or_else(|| {
        if is_foreign(format) {
            cannot_open(shown, &format!("the format '{format}' is not supported yet"))
        } else {
            cannot_open(shown, &format!("Unknown driver '{format}'"))
        }
    })
}

type Members = Vec<(String, String)>;

fn option_list(text: &str) -> Result<Members, Stop> {
    let marked = text.replace(",,", "\0");
    let mut members = Members::new();
    for (index, item) in marked.split(',').filter(|item| !item.is_empty()).enumerate() {
        match item.split_once('=') {
            Some((key, value)) => members.push((key.into(), value.replace('\0', ","))),
            None if index == 0 => {
                let why = format!("Cannot find device='{item}' nor node-name='{item}'");
                return Err(cannot_open(text, &why));
            }
            None => members.push((item.into(), "on".into())),
        }
    }
    Ok(members)
}

fn flatten(prefix: &str, value: &Value, members: &mut Members) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&key, value, members);
            }
        }
        Value::String(text) => members.push((prefix.into(), text.clone())),
        other => members.push((prefix.into(), other.to_string())),
    }
}

fn from_members(shown: &str, members: &Members, format: Option<&str>) -> Result<ImageName, Stop> {
    let fail = |why: &str| cannot_open(shown, why);
    let (mut driver, mut file, mut unknown) = (None, None, None);
    for (key, value) in members {
        match key.as_str() {
            "driver" => driver = Some(value.as_str()),
            "file.filename" => file = Some(value.as_str()),
            "file.driver" if value == "file" => {}
            // what changes nothing about what is read or written
            "read-only" | "auto-read-only" | "discard" | "detect-zeroes" | "file.locking" | "file.aio"
            | "node-name" | "file.node-name" | "cache.direct" | "cache.no-flush" | "file.discard" => {}
            _ => unknown = Some(key),
        }
    }
    let format = driver.or(format).map(|driver| known(shown, driver)).transpose()?;
    let Some(file) = file else {
        return Err(fail(match format {
            Some(_) => "A block device must be specified for \"file\"",
            None => "Must specify either driver or file",
        }));
    };
    if let Some(key) = unknown {
        return Err(fail(&format!("the option '{key}' is not supported yet")));
    }
    Ok(ImageName {
        path: PathBuf::from(file),
        format,
        shown: shown.into(),
    })
}
