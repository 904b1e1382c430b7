//! `qemu-img info`.

use super::open::{named, try_lock};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object};
use crate::commands::local_date;
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::{OutputFormat, print};
use disksmith_image::{Error, Gate, ImageInfo, InfoOptions, info, info_node};
use std::ffi::OsString;
use std::path::Path;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    value("format", b'f'),
    value("output", 0),
    flag("backing-chain", b'b'),
    value("object", 0),
    flag("image-opts", 0),
    flag("force-share", b'U'),
];

/// Reads `--output`.
pub(super) fn output_format(arguments: &Arguments, command: &str) -> Result<OutputFormat, Stop> {
    match arguments.text("output").as_deref() {
        None | Some("human") => Ok(OutputFormat::Human),
        Some("json") => Ok(OutputFormat::Json),
        Some(other) => {
            let message = format!("--output expects 'human' or 'json' not '{other}'");
            Err(Stop::usage(&format!("qemu-img {command}"), &message))
        }
    }
}

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img info", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("info");
    }
    let output = output_format(&arguments, "info")?;
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img info", "Expecting one image file name"));
    };
    let image = named(&arguments, name)?;
    let chain = arguments.has("backing-chain");
    let options = InfoOptions {
        format: image.format,
        chain,
        gate: Gate::FollowAll,
    };
    let mut images = match image.node.plain() {
        Some(_) => info(&image.path, &options),
        None => info_node(&image.node, &options),
    }
    .map_err(|error| match error {
        Error::MissingMember { resolved, source, .. } => Stop::new(format!(
            "Could not open '{}': {}",
            resolved.display(),
            cause(&source, Use::Read)
        )),
        error => image.cannot_open(cause(&error, Use::Read)),
    })?;
    if !arguments.has("force-share") {
        for member in images
            .iter()
            .filter(|member| member.format != "raw" && Path::new(&member.filename).is_file())
        {
            try_lock(Path::new(&member.filename), Use::Read)
                .map_err(|why| Stop::new(format!("Could not open '{}': {why}", member.filename)))?;
        }
    }
    if let (Some(_), Some(top)) = (image.node.key_secret(), images.first_mut()) {
        top.filename = image.node.shown();
    }
    let text = match (output, images.first()) {
        (OutputFormat::Json, _) if chain => ImageInfo::chain_to_json(&images),
        (OutputFormat::Human, _) if chain => ImageInfo::chain_to_human(&images, &local_date),
        (OutputFormat::Json, Some(image)) => image.to_json(),
        (OutputFormat::Human, Some(image)) => image.to_human(&local_date),
        (_, None) => String::new(),
    };
    print(text)?;
    Ok(0)
}
