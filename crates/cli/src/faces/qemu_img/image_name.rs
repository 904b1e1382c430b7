//! The names of images: paths, `file:` names, `json:{…}`, and the `driver=…,file.filename=…` of `--image-opts`.

use super::stop::Stop;
use disksmith_image::{Format, Node};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Protocols that only QEMU's own tools can be given as a format.
const PROTOCOLS: &[&str] = &["file", "host_device", "null-co", "null-aio", "blkdebug"];

/// Whether this is a format of QEMU's that is not supported here.
pub(super) fn is_foreign(format: &str) -> bool {
    Node::is_foreign_driver(format) || PROTOCOLS.contains(&format)
}

/// Whether this is a driver of which nothing can be made.
pub(super) fn never_made(driver: &str) -> bool {
    ["null-co", "null-aio", "blkdebug"].contains(&driver)
}

/// An image that was named.
#[derive(Debug, Clone)]
pub(super) struct ImageName {
    /// Its file; where it is made of something else, the name that it was given.
    pub(super) path: PathBuf,
    /// Its format, if one was named.
    pub(super) format: Option<Format>,
    /// How messages call it.
    pub(super) shown: String,
    /// What it is made of.
    pub(super) node: Node,
}

impl ImageName {
    fn of(node: Node, shown: String) -> Self {
        let path = node
            .host_path()
            .map_or_else(|| PathBuf::from(&shown), std::path::Path::to_owned);
        let format = match &node {
            Node::Format(format) => format.format,
            Node::File(_) | Node::Null(_) => Some(Format::Raw),
        };
        Self {
            path,
            format,
            shown,
            node,
        }
    }

    /// The failure to open this image.
    pub(super) fn cannot_open(&self, why: impl AsRef<str>) -> Stop {
        cannot_open(&self.shown, why.as_ref())
    }

    /// For commands that change a chain: refuses an image of it that was said to be anything else than a whole file.
    pub(super) fn chain_of_files(&self) -> Result<(), Stop> {
        match self.node.is_chain_of_files() {
            true => Ok(()),
            false => Err(self.cannot_open("this command works on a whole file only")),
        }
    }
}

fn cannot_open(shown: &str, why: &str) -> Stop {
    Stop::new(format!("Could not open '{shown}': {why}"))
}

/// Understands the name of an image, given with a format, or as a list of options where `image_opts` says so.
pub(super) fn read(name: &OsStr, format: Option<&str>, image_opts: bool) -> Result<ImageName, Stop> {
    let shown = name.to_string_lossy().into_owned();
    let fail = |why: String| cannot_open(&shown, &why);
    let node = if image_opts {
        Node::from_options(&shown).map_err(|error| fail(error.to_string()))?
    } else {
        self::node(name, format).map_err(fail)?
    };
    Ok(ImageName::of(node, shown))
}

/// A name, with a format that stands before it. An error is why there is no such image, in QEMU's words.
pub(super) fn node(name: &OsStr, format: Option<&str>) -> Result<Node, String> {
    let read = |name: &OsStr, format| Node::from_name(name, format).map_err(|error| error.to_string());
    let Some(driver) = format else {
        return read(name, None);
    };
    if let Some(format) = Format::from_name(driver.as_bytes()) {
        return read(name, Some(format));
    }
    match driver {
        "file" | "host_device" => {
            let mut full = OsString::new();
            if driver == "host_device" {
                full.push("host_device:");
            }
            full.push(name);
            match read(&full, Some(Format::Raw))? {
                Node::Format(over) => Ok(over.file),
                other => Ok(other),
            }
        }
        "null-co" | "null-aio" => {
            let rest = name.to_string_lossy();
            let only = format!("{driver}://");
            if rest != only {
                return Err(format!("The only allowed filename for this driver is '{only}'"));
            }
            match read(&OsString::from(only), Some(Format::Raw))? {
                Node::Format(over) => Ok(over.file),
                other => Ok(other),
            }
        }
        "blkdebug" => match read(name, Some(Format::Raw))? {
            Node::Format(over) => Ok(over.file),
            other => Ok(other),
        },
        _ if is_foreign(driver) => Err(format!("the format '{driver}' is not supported yet")),
        _ => Err(format!("Unknown driver '{driver}'")),
    }
}

/// A plain file that stands for itself.
pub(super) fn of_path(path: PathBuf, format: Option<Format>, shown: String) -> ImageName {
    ImageName::of(Node::path(path, format), shown)
}
