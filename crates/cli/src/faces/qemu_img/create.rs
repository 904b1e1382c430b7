//! `qemu-img create`.

use super::image_options::{self, ImageOptions};
use super::new_image::{self, Wording, create_options};
use super::open::{read_options, try_lock};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, image_name, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{FileName, Format, Image, create, resolve_beside};
use disksmith_storage::Existing;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("object", 0),
    value("format", b'f'),
    value("backing", b'b'),
    value("backing-format", b'F'),
    flag("backing-unsafe", b'u'),
    value("options", b'o'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img create", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("create");
    }
    let lists = arguments.texts("options");
    if let Some(list) = image_options::malformed(&lists) {
        return Err(Stop::new(format!("Invalid option list: {list}")));
    }
    object::check(&arguments)?;
    let format_name = arguments.text("format");
    if image_options::wants_help(&lists) {
        let format = new_image::format(format_name.as_deref(), |name| {
            Stop::new(format!("Unknown file format '{name}'"))
        })?;
        print(image_options::help(format, !arguments.operands.is_empty()))?;
        return Ok(0);
    }
    let (name, size) = match arguments.operands.as_slice() {
        [] => return Err(Stop::usage("qemu-img create", "Expecting image file name")),
        [name] => (name, None),
        [name, size] => (name, Some(size::disk("image size", &size.to_string_lossy())?)),
        [_, _, more, ..] => {
            let message = format!("Unexpected argument: {}", more.to_string_lossy());
            return Err(Stop::usage("qemu-img create", &message));
        }
    };
    make(&arguments, &lists, format_name.as_deref(), name, size)
        .map_err(|why| Stop::new(format!("{}: {why}", name.to_string_lossy())))?;
    Ok(0)
}

/// Makes the image; an error is what stands behind the image's name in the message.
fn make(
    arguments: &Arguments,
    lists: &[String],
    format_name: Option<&str>,
    name: &OsStr,
    size: Option<u64>,
) -> Result<(), String> {
    let format_name = format_name.unwrap_or("raw");
    let format = Format::from_name(format_name.as_bytes()).ok_or_else(|| {
        if image_name::never_made(format_name) {
            format!("Format driver '{format_name}' does not support image creation")
        } else if image_name::is_foreign(format_name) {
            format!("the format '{format_name}' is not supported yet")
        } else {
            format!("Unknown file format '{format_name}'")
        }
    })?;
    let path = target_path(name)?;
    let mut options = ImageOptions::parse(lists, format)?;
    if size.is_some() && options.text("size").is_some() {
        return Err("The image size must be specified only once".into());
    }
    if let Some(backing) = arguments.text("backing") {
        set_backing(&mut options, "backing_file", &backing)
            .map_err(|()| format!("Backing file not supported for file format '{format}'"))?;
    }
    if let Some(backing_format) = arguments.text("backing-format") {
        set_backing(&mut options, "backing_fmt", &backing_format)
            .map_err(|()| format!("Backing file format not supported for file format '{format}'"))?;
    }
    if let Some(size) = size {
        options.set("size", &size.to_string())?;
    }
    if let Some(backing) = options.text("backing_file").map(str::to_owned) {
        if backing.is_empty() {
            return Err("Expected backing file name, got empty string".into());
        }
        if backing == name.to_string_lossy() {
            return Err("Error: Trying to create an image with the same filename as the backing file".into());
        }
        let format = options.text("backing_fmt").map(str::to_owned);
        if !arguments.has("backing-unsafe") {
            let backing_size = look_at_backing(&path, &backing, format.as_deref())?;
            if options.text("size").is_none() {
                options.set("size", &backing_size.to_string())?;
            }
        } else if format.is_none() {
            return Err("Backing file specified without backing format".into());
        }
    }
    let Some(size) = options.number("size") else {
        return Err("Image creation needs a size parameter".into());
    };
    if !arguments.has("quiet") {
        let text = format!(
            "Formatting '{}', fmt={format} {}\n",
            name.to_string_lossy(),
            options.describe()
        );
        print(text).map_err(|_| "no more output".to_owned())?;
    }
    if i64::try_from(size).is_err() {
        return Err("Could not resize image: Image size cannot be negative".into());
    }
    if options
        .number("extent_size_hint")
        .is_some_and(|hint| hint > u32::MAX.into())
    {
        return Err("Extent size hint is too large".into());
    }
    let properties = create_options(&options, Wording::Create)?;
    if let Some(data) = options.text("data_file")
        && resolve_beside(&path, data.as_bytes()) == path.as_os_str().as_bytes()
    {
        return Err(format!(
            "Failed to get shared \"resize\" lock\nIs another process using the image [{data}]?"
        ));
    }
    if path.is_file() {
        try_lock(&path, Use::Write)?;
    }
    let size = if format == Format::Raw {
        size.checked_next_multiple_of(512).unwrap_or(size)
    } else {
        size
    };
    create(&path, format, size, &properties, Existing::Replace).map_err(|error| new_image::failure(&error))
}

fn set_backing(options: &mut ImageOptions, name: &str, value: &str) -> Result<(), ()> {
    options.set(name, value).map_err(drop)
}

/// The path of a file that shall be made.
pub(super) fn target_path(name: &OsStr) -> Result<PathBuf, String> {
    match FileName::parse(name.as_bytes()) {
        FileName::Path(path) => Ok(path),
        FileName::Protocol(protocol) => Err(match protocol.as_str() {
            "null-co" | "null-aio" | "blkdebug" => {
                format!("Protocol driver '{protocol}' does not support image creation")
            }
            _ if image_name::is_foreign(&protocol) => format!("the protocol '{protocol}' is not supported"),
            _ => format!("Unknown protocol '{protocol}'"),
        }),
    }
}

/// Opens the backing file as the new image will reach it; gives its size.
fn look_at_backing(image: &Path, backing: &str, format: Option<&str>) -> Result<u64, String> {
    let hint = "\nCould not open backing image.";
    let known = match format {
        None => None,
        Some("null-co" | "null-aio" | "file" | "host_device") => Some(Format::Raw),
        Some(name) => Some(Format::from_name(name.as_bytes()).ok_or_else(|| {
            if image_name::is_foreign(name) {
                format!("the format '{name}' is not supported yet{hint}")
            } else {
                format!("Unknown driver '{name}'{hint}")
            }
        })?),
    };
    let full = OsString::from_vec(resolve_beside(image, backing.as_bytes()));
    let node = image_name::node(&full, known.map(Format::name)).map_err(|why| why + hint)?;
    let opened = Image::open_node(&node, &read_options(known, true).metadata_only())
        .map_err(|error| format!("{}{hint}", cause(&error, Use::Read)))?;
    match (known, opened.top()) {
        (None, Some(top)) => Err(format!(
            "Backing file specified without backing format\nDetected format of {}.",
            top.format()
        )),
        _ => Ok(opened.size()),
    }
}
