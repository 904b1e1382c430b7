//! A backing chain with what stands beside it: which image stands on which, and how much space each takes.

use crate::byte_size::human_size;
use crate::error::Result;
use crate::file_name::FileName;
use crate::guard::{Clones, find_clones};
use crate::info::{ImageInfo, InfoOptions, info};
use crate::json::pretty_json;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// An image of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainImage {
    /// What the image is.
    pub info: ImageInfo,
    /// The images found beside it that stand on it, but for the one of the chain.
    pub clones: Clones,
}

/// Looks at the chain of the image at `path`: from the bottom to the top, which is the image itself. Takes no lock.
///
/// # Errors
/// Those of [`info()`].
pub fn chain_tree(path: &Path, options: &InfoOptions) -> Result<Vec<ChainImage>> {
    let options = InfoOptions {
        chain: true,
        ..options.clone()
    };
    let chain = info(path, &options)?;
    let mut images: Vec<ChainImage> = Vec::new();
    let mut above: Option<PathBuf> = None;
    for info in chain {
        let file = match FileName::parse(info.filename.as_bytes()) {
            FileName::Path(file) => Some(file),
            FileName::Protocol(_) => None,
        };
        // A folder that cannot be searched hides what is in it, and that is all.
        let mut clones = file
            .as_ref()
            .and_then(|file| find_clones(file).ok())
            .unwrap_or_default();
        if let Some(above) = above.as_ref().and_then(|above| above.canonicalize().ok()) {
            let before = clones.listed.len();
            clones
                .listed
                .retain(|clone| clone.canonicalize().ok().as_ref() != Some(&above));
            clones.total -= (before - clones.listed.len()).min(clones.total);
        }
        above = file;
        images.push(ChainImage { info, clones });
    }
    images.reverse();
    Ok(images)
}

/// The chain as a tree for people, one image a line.
#[must_use]
pub fn chain_tree_to_human(images: &[ChainImage]) -> String {
    let mut out = String::new();
    let mut lead = String::new();
    // Writing to a String cannot fail.
    for (depth, image) in images.iter().enumerate() {
        let disk = image.info.actual_size.map_or("?".into(), human_size);
        let branch = if depth == 0 { "" } else { "└── " };
        let _ = writeln!(
            out,
            "{lead}{branch}{}  {}, {} virtual, {disk} on disk",
            image.info.filename,
            image.info.format,
            human_size(image.info.virtual_size)
        );
        if depth > 0 {
            lead.push_str("    ");
        }
        let is_top = depth + 1 == images.len();
        let clones = &image.clones;
        for (index, clone) in clones.listed.iter().enumerate() {
            let last = is_top && index + 1 == clones.total;
            let branch = if last { "└── " } else { "├── " };
            let _ = writeln!(out, "{lead}{branch}{}", clone.display());
        }
        if clones.total > clones.listed.len() {
            let more = clones.total - clones.listed.len();
            let branch = if is_top { "└── " } else { "├── " };
            let _ = writeln!(out, "{lead}{branch}({more} more)");
        }
    }
    out
}

/// The chain as JSON: a list from the bottom to the top.
#[must_use]
pub fn chain_tree_to_json(images: &[ChainImage]) -> String {
    let list: Value = images.iter().map(value).collect();
    pretty_json(&list) + "\n"
}

fn value(image: &ChainImage) -> Value {
    let mut out = Map::new();
    out.insert("filename".into(), json!(image.info.filename));
    out.insert("format".into(), json!(image.info.format));
    out.insert("virtual-size".into(), json!(image.info.virtual_size));
    if let Some(size) = image.info.actual_size {
        out.insert("actual-size".into(), json!(size));
    }
    if let Some(backing) = &image.info.backing {
        out.insert("backing-filename".into(), json!(backing.filename));
    }
    let listed: Vec<String> = image
        .clones
        .listed
        .iter()
        .map(|clone| clone.display().to_string())
        .collect();
    out.insert("clones".into(), json!(listed));
    out.insert("clone-count".into(), json!(image.clones.total));
    Value::Object(out)
}
