//! What `info` tells of an image that is not simply a file in a format.

use super::collect::info;
use super::{ChildInfo, FormatSpecific, ImageInfo, InfoOptions};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::image::Image;
use crate::node::{Below, FormatNode, Node, NullNode};
use crate::open::OpenOptions;
use crate::rounded::RoundedUp;
use disksmith_storage::LockMode;

/// As [`info`], of what a node describes.
///
/// # Errors
/// Those of [`info`]; [`Error::Node`] in QEMU's words where the node cannot be, [`Error::BadOption`] where it is put together in a
/// way that is not told here.
pub fn info_node(node: &Node, options: &InfoOptions) -> Result<Vec<ImageInfo>> {
    match node {
        Node::File(file) => {
            let raw = InfoOptions {
                format: Some(Format::Raw),
                chain: false,
                gate: options.gate.clone(),
            };
            let mut list = info(&file.path, &raw)?;
            for image in &mut list {
                if let Some(child) = image.children.pop() {
                    image.format_specific = (child.driver == "file").then(|| FormatSpecific {
                        kind: "file".into(),
                        data: serde_json::json!({}),
                    });
                    image.format = child.driver;
                }
            }
            Ok(list)
        }
        Node::Null(null) => Ok(vec![null_info(null, null.driver.into(), node)]),
        Node::Format(over) => over_file(node, over, options),
    }
}

fn over_file(node: &Node, over: &FormatNode, options: &InfoOptions) -> Result<Vec<ImageInfo>> {
    if matches!(over.backing, Below::Node(_)) {
        return Err(Error::Node {
            reason: "Block format 'qcow2' does not support the option 'backing.driver'".into(),
        });
    }
    match &over.file {
        Node::File(file) => {
            let plain = InfoOptions {
                format: over.format,
                chain: options.chain && over.backing == Below::Recorded,
                gate: options.gate.clone(),
            };
            let mut list = info(&file.path, &plain)?;
            if !over.window.is_empty()
                && let Some(image) = list.first_mut()
            {
                let open = OpenOptions::read().lock(LockMode::None).without_backing();
                image.virtual_size = Image::open_node(node, &open)?.size();
                image.filename = node.shown();
            }
            Ok(list)
        }
        Node::Null(null) => {
            let child = ChildInfo {
                name: "file".into(),
                filename: over.file.shown(),
                driver: null.driver.into(),
                length: null.size.next_multiple_of(RoundedUp::SECTOR),
                actual_size: Some(0),
            };
            let open = OpenOptions::read().lock(LockMode::None);
            Ok(vec![ImageInfo {
                children: vec![child],
                virtual_size: Image::open_node(node, &open)?.size(),
                ..null_info(null, Format::Raw.name().into(), node)
            }])
        }
        Node::Format(_) => Err(Error::BadOption(
            "a format over another format is not told here; convert and map can read it".into(),
        )),
    }
}

fn null_info(null: &NullNode, format: String, node: &Node) -> ImageInfo {
    ImageInfo {
        filename: node.shown(),
        format,
        virtual_size: null
            .size
            .checked_next_multiple_of(RoundedUp::SECTOR)
            .unwrap_or(null.size),
        actual_size: Some(0),
        cluster_size: None,
        encrypted: false,
        dirty: false,
        backing: None,
        snapshots: Vec::new(),
        format_specific: None,
        children: Vec::new(),
    }
}
