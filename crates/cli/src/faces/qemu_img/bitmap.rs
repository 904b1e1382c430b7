//! `qemu-img bitmap`.

use super::image_name;
use super::open::{named, read_options, reading_with, warn_of_guess};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use disksmith_image::{BitmapChange, Image, OpenOptions, change_bitmap_of};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    value("object", 0),
    value("format", b'f'),
    flag("image-opts", 0),
    flag("add", 0),
    value("granularity", b'g'),
    flag("remove", 0),
    flag("clear", 0),
    flag("enable", 0),
    flag("disable", 0),
    value("merge", 0),
    value("source-file", b'b'),
    value("source-format", b'F'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img bitmap", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("bitmap");
    }
    let granularity = match arguments.text("granularity") {
        Some(text) => Some(size::disk("granularity", &text)?),
        None => None,
    };
    object::check(&arguments)?;
    let granularity = granularity.filter(|bytes| *bytes != 0);
    let steps: Vec<(&'static str, BitmapChange)> = arguments
        .options()
        .iter()
        .filter_map(|(key, value)| {
            Some(match *key {
                "add" => ("add", BitmapChange::Add(granularity)),
                "remove" => ("remove", BitmapChange::Remove),
                "clear" => ("clear", BitmapChange::Clear),
                "enable" => ("enable", BitmapChange::Enable),
                "disable" => ("disable", BitmapChange::Disable),
                "merge" => ("merge", BitmapChange::Merge(value.as_bytes().to_vec())),
                _ => return None,
            })
        })
        .collect();
    let has = |name: &str| steps.iter().any(|(step, _)| *step == name);
    if steps.is_empty() {
        return Err(Stop::new(
            "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge",
        ));
    }
    if granularity.is_some() && !has("add") {
        return Err(Stop::new("granularity only supported with --add"));
    }
    let source = arguments.last("source-file");
    if arguments.has("source-format") && source.is_none() {
        return Err(Stop::new("-F only supported with -b"));
    }
    if source.is_some() && !has("merge") {
        return Err(Stop::new("Merge bitmap source file only supported with --merge"));
    }
    let [name, bitmap] = arguments.operands.as_slice() else {
        return Err(Stop::new("Expecting filename and bitmap name"));
    };
    let name = named(&arguments, name)?;
    let open = OpenOptions::write()
        .format(name.format)
        .keys(object::keys())
        .without_backing();
    let image =
        Image::open_node(&name.node, &open).map_err(|error| name.cannot_open(cause(&error, Use::Write)))?;
    warn_of_guess(&image, &name.shown);
    let source = match source {
        Some(source) => Some(open_source(source, arguments.text("source-format").as_deref())?),
        None => None,
    };
    for (step, change) in &steps {
        apply(&image, bitmap, change, source.as_ref()).map_err(|why| {
            Stop::new(format!(
                "Operation {step} on bitmap {} failed: {why}",
                bitmap.to_string_lossy()
            ))
        })?;
    }
    Ok(0)
}

fn open_source(name: &OsStr, format: Option<&str>) -> Result<Image, Stop> {
    let name = image_name::read(name, format, false)?;
    reading_with(&name, read_options(name.format, false).without_backing())
}

/// Does one step; the next one comes after it is done, as qemu-img does them.
fn apply(image: &Image, bitmap: &OsStr, change: &BitmapChange, source: Option<&Image>) -> Result<(), String> {
    let shown = bitmap.to_string_lossy();
    let adds = matches!(change, BitmapChange::Add(_));
    // The name that QEMU gives the node of an image of which nobody said how to call it.
    let node = "#block000";
    if adds && bitmap.is_empty() {
        return Err("Bitmap name cannot be empty".into());
    }
    if let BitmapChange::Add(Some(granularity)) = change
        && !(granularity.is_power_of_two() && *granularity >= 512)
    {
        return Err("Granularity must be power of 2 and at least 512".into());
    }
    let is_qcow2 = image.top().is_some_and(|top| top.as_qcow2().is_some());
    if adds && !is_qcow2 {
        return Err(format!(
            "Can't store persistent bitmaps to {node}: Operation not supported"
        ));
    }
    let changes = std::slice::from_ref(change);
    let Err(error) = change_bitmap_of(image, bitmap.as_bytes(), changes, source) else {
        return Ok(());
    };
    let why = cause(&error, Use::Write);
    let at_storing = [
        "Cannot store dirty bitmaps",
        "Name length exceeds",
        "Too much space",
        "Maximum number",
        "Not enough space",
    ];
    if adds && at_storing.iter().any(|start| why.starts_with(start)) {
        return Err(format!(
            "Can't make bitmap '{shown}' persistent in '{node}': {why}"
        ));
    }
    Err(why)
}
