//! What an image is made of, as QEMU's drivers put it together: a format over a file, and what stands in for the files that
//! the image itself would name.

mod members;
mod parse;

pub use parse::NodeError;

use crate::format::Format;
use std::path::{Path, PathBuf};

/// A driver with what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file of the host, as bytes.
    File(FileNode),
    /// A disk that holds nothing (`null-co`, `null-aio`): writes to it are forgotten.
    Null(NullNode),
    /// A format over another node.
    Format(Box<FormatNode>),
}

/// A file or block device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNode {
    /// Where it is.
    pub path: PathBuf,
    /// Whether QEMU's locks are taken on it.
    pub locking: bool,
}

/// A disk without content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NullNode {
    /// What QEMU calls its driver.
    pub driver: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its bytes are known to be zeroes; otherwise nobody knows what they are (here they are zeroes all the same).
    pub zeroes: bool,
    /// The options that were given, for its name.
    pub given: Vec<(String, serde_json::Value)>,
}

/// A format over a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatNode {
    /// The format; `None` has it detected.
    pub format: Option<Format>,
    /// What holds it.
    pub file: Node,
    /// Where a raw disk starts in its file, in bytes.
    pub offset: u64,
    /// How long a raw disk is, in bytes; up to the end of its file where nothing is said.
    pub size: Option<u64>,
    /// How offset and size were written, for its name.
    pub window: Vec<(String, serde_json::Value)>,
    /// What it stands on.
    pub backing: Below,
    /// Its external data file, instead of the one that it names.
    pub data_file: Option<Node>,
    /// What holds the header of a LUKS image, where that is not in its file.
    pub header: Option<Node>,
    /// Whether the file may be shared with whoever writes to it.
    pub force_share: bool,
    /// The options that say how it is decrypted, as they were given: `encrypt.key-secret`, `key-secret`.
    pub crypto: Vec<(String, String)>,
    /// The same for the backing file that the image names.
    pub backing_crypto: Vec<(String, String)>,
}

/// The backing file of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Below {
    /// The one that the image names, if it names one.
    Recorded,
    /// None, whatever the image names.
    Nothing,
    /// Another one.
    Node(Node),
}

impl FormatNode {
    /// A format, or whatever is detected, over a node.
    #[must_use]
    pub fn over(format: Option<Format>, file: Node) -> Self {
        Self {
            format,
            file,
            offset: 0,
            size: None,
            window: Vec::new(),
            backing: Below::Recorded,
            data_file: None,
            header: None,
            force_share: false,
            crypto: Vec::new(),
            backing_crypto: Vec::new(),
        }
    }
}

impl FormatNode {
    /// The id of the secret that decrypts it, and the option that names it.
    #[must_use]
    pub fn key_secret(&self) -> Option<(&str, &str)> {
        self.crypto
            .iter()
            .find(|(name, _)| name.ends_with("key-secret"))
            .map(|(name, id)| (name.as_str(), id.as_str()))
    }
}

impl Node {
    /// The id of the secret that decrypts the image itself.
    #[must_use]
    pub fn key_secret(&self) -> Option<&str> {
        match self {
            Self::Format(node) => node.key_secret().map(|(_, id)| id),
            Self::File(_) | Self::Null(_) => None,
        }
    }

    /// The id of the secret that decrypts the backing file that the image names.
    #[must_use]
    pub fn backing_key_secret(&self) -> Option<&str> {
        match self {
            Self::Format(node) => node
                .backing_crypto
                .iter()
                .find(|(name, _)| name.ends_with("key-secret"))
                .map(|(_, id)| id.as_str()),
            Self::File(_) | Self::Null(_) => None,
        }
    }

    /// A file of the host in a format, or in whatever is detected.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>, format: Option<Format>) -> Self {
        let file = FileNode {
            path: path.into(),
            locking: true,
        };
        Self::Format(Box::new(FormatNode::over(format, Self::File(file))))
    }

    /// Path and format, where nothing else was said: what a verb can do that works on a file.
    #[must_use]
    pub fn plain(&self) -> Option<(&Path, Option<Format>)> {
        match self {
            Self::Format(node) => match &node.file {
                Self::File(FileNode { path, locking: true })
                    if **node
                        == (FormatNode {
                            crypto: node.crypto.clone(),
                            backing_crypto: node.backing_crypto.clone(),
                            ..FormatNode::over(node.format, node.file.clone())
                        }) =>
                {
                    Some((path, node.format))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it is a file in a format, and what was said to lie below it, if anything, is so too.
    #[must_use]
    pub fn is_chain_of_files(&self) -> bool {
        let mut node = self;
        loop {
            match node {
                Self::Format(over) => {
                    let alone = FormatNode {
                        backing: Below::Recorded,
                        ..(**over).clone()
                    };
                    if Self::Format(Box::new(alone)).plain().is_none() {
                        return false;
                    }
                    match &over.backing {
                        Below::Node(below) => node = below,
                        Below::Recorded => return true,
                        Below::Nothing => return !std::ptr::eq(node, self),
                    }
                }
                Self::File(file) => return file.locking && !std::ptr::eq(node, self),
                Self::Null(_) => return false,
            }
        }
    }

    /// The file of the host at its bottom, if there is one.
    #[must_use]
    pub fn host_path(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Null(_) => None,
            Self::Format(node) => node.file.host_path(),
        }
    }

    /// All files of the host that it names.
    #[must_use]
    pub fn host_paths(&self) -> Vec<&Path> {
        match self {
            Self::File(file) => vec![&file.path],
            Self::Null(_) => Vec::new(),
            Self::Format(node) => {
                let mut paths = node.file.host_paths();
                if let Below::Node(below) = &node.backing {
                    paths.extend(below.host_paths());
                }
                paths.extend(node.data_file.iter().flat_map(Self::host_paths));
                paths.extend(node.header.iter().flat_map(Self::host_paths));
                paths
            }
        }
    }

    /// The name under which QEMU shows the node: a path where that says everything, otherwise `json:{…}`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::File(file) => file.path.display().to_string(),
            Self::Null(null) if null.given.is_empty() => format!("{}://", null.driver),
            Self::Format(node)
                if node.window.is_empty()
                    && node.key_secret().is_none()
                    && !matches!(node.file, Self::Format(_)) =>
            {
                match &node.file {
                    Self::Null(null) if !null.given.is_empty() => {
                        format!("json:{}", members::show(&self.members()))
                    }
                    file => file.shown(),
                }
            }
            _ => format!("json:{}", members::show(&self.members())),
        }
    }

    fn members(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        match self {
            Self::File(file) => {
                object.insert("driver".into(), "file".into());
                object.insert("filename".into(), file.path.display().to_string().into());
            }
            Self::Null(null) => {
                object.insert("driver".into(), null.driver.into());
                object.extend(null.given.iter().cloned());
            }
            Self::Format(node) => {
                // in the order of QEMU's table of options
                let secret = node.key_secret();
                if let Some(header) = &node.header {
                    object.insert("header".into(), header.members());
                }
                if let Some((name @ "encrypt.key-secret", id)) = secret {
                    object.insert(name.into(), id.into());
                }
                object.insert("driver".into(), node.format.unwrap_or(Format::Raw).name().into());
                object.extend(node.window.iter().cloned());
                object.insert("file".into(), node.file.members());
                if let Some((name @ "key-secret", id)) = secret {
                    object.insert(name.into(), id.into());
                }
            }
        }
        object.into()
    }
}
