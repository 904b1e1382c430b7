//! `qemu-img rebase`.

use super::image_name::{self, ImageName};
use super::open::{named, warn_of_guess, writing};
use super::percent::Percent;
use super::stop::{Done, Stop};
use super::wording::{Use, cause, locked};
use super::{caches, help, object};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use disksmith_image::{Error, Format, Image, OpenOptions, RebaseOptions, rebase};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    flag("progress", b'p'),
    value("object", 0),
    value("format", b'f'),
    flag("image-opts", 0),
    value("cache", b't'),
    value("backing", b'b'),
    value("backing-format", b'F'),
    value("backing-cache", b'T'),
    flag("backing-unsafe", b'u'),
    flag("compress", b'c'),
    flag("force-share", b'U'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img rebase", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("rebase");
    }
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img rebase", "Expecting one image file name"));
    };
    let blind = arguments.has("backing-unsafe");
    if !blind && !arguments.has("backing") {
        return Err(Stop::usage(
            "qemu-img rebase",
            "Must specify backing file (-b) or use unsafe mode (-u)",
        ));
    }
    let percent = Percent::start(arguments.has("progress") && !arguments.has("quiet"));
    let done = change(&arguments, name, blind, &percent);
    if done.is_ok() {
        percent.complete();
    }
    percent.end();
    done.map(|()| 0)
}

fn change(arguments: &Arguments, name: &std::ffi::OsStr, blind: bool, percent: &Percent) -> Result<(), Stop> {
    caches::target(arguments, "cache")?;
    caches::source(arguments, "backing-cache")?;
    let name = named(arguments, name)?;
    name.chain_of_files()?;
    let format = format_of(&name, blind)?;
    if arguments.has("compress") && format == Format::Raw {
        return Err(Stop::new("Compression not supported for this file format"));
    }
    let backing_format = arguments.text("backing-format");
    if let Some(format) = &backing_format
        && Format::from_name(format.as_bytes()).is_none()
        && !image_name::is_foreign(format)
    {
        return Err(Stop::new(format!("Invalid format name: '{format}'")));
    }
    let backing = arguments.last("backing").map(|name| name.as_bytes().to_vec());
    let shown = arguments.text("backing").unwrap_or_default();
    let cannot = |why: &str| {
        Stop::new(format!(
            "Could not change the backing file to '{}': {why}",
            if arguments.has("backing") {
                &shown
            } else {
                "(null)"
            }
        ))
    };
    let options = RebaseOptions {
        node: Some(name.node.clone()),
        format: Some(format),
        backing: backing.clone(),
        backing_format: backing_format.clone(),
        blind,
        compress: arguments.has("compress"),
        write_out_zeroes: true,
        keys: object::keys_for(&name)?,
        share_backing: arguments.has("force-share"),
        ..RebaseOptions::default()
    };
    let named_one = backing.as_ref().is_some_and(|name| !name.is_empty());
    if named_one && !blind && (format == Format::Raw || backing_format.is_none()) {
        can_be_opened(&name, format, &options)?;
    }
    if named_one && backing_format.is_none() {
        return Err(cannot("backing format must be specified"));
    }
    if format == Format::Raw {
        return Err(cannot("Operation not supported"));
    }
    match rebase(&name.path, &options, percent) {
        Ok(_) => Ok(()),
        Err(Error::NewBacking { source, .. }) => Err(could_not_open(&shown, &source)),
        Err(Error::NameTooLong { .. }) => Err(cannot("Invalid argument")),
        Err(Error::UnknownFormat { name, .. }) => Err(Stop::new(format!(
            "Could not open new backing file '{shown}': the format '{name}' is not supported yet"
        ))),
        Err(error) => Err(Stop::new(cause(&error, Use::Write))),
    }
}

/// Opens the image once, as the command would, and tells its format.
fn format_of(name: &ImageName, blind: bool) -> Result<Format, Stop> {
    if !blind {
        let image = writing(name)?;
        return Ok(image.top().map_or(Format::Raw, |top| top.format()));
    }
    let options = OpenOptions::write()
        .format(name.format)
        .metadata_only()
        .without_backing();
    let image =
        Image::open(&name.path, &options).map_err(|error| name.cannot_open(cause(&error, Use::Write)))?;
    warn_of_guess(&image, &name.shown);
    Ok(image.top().map_or(Format::Raw, |top| top.format()))
}

/// Whether the new backing file can be opened; what is wrong with it is told before what is wrong with the name.
fn can_be_opened(name: &ImageName, is: Format, options: &RebaseOptions) -> Result<(), Stop> {
    let backing = options.backing.clone().unwrap_or_default();
    let shown = String::from_utf8_lossy(&backing).into_owned();
    let full = disksmith_image::resolve_beside(&name.path, &backing);
    let format = options
        .backing_format
        .as_ref()
        .and_then(|format| Format::from_name(format.as_bytes()));
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&full)).to_owned();
    // the command holds the image that it changes
    if format.unwrap_or(is) == Format::Qcow2 && is_same(&path, &name.path) {
        let why = locked(&path, Use::Read);
        return Err(Stop::new(format!(
            "Could not open new backing file '{shown}': {why}"
        )));
    }
    let read = OpenOptions::read().format(format).keys(object::keys());
    match Image::open(path, &read) {
        Ok(_) => Ok(()),
        Err(error) => Err(could_not_open(&shown, &error)),
    }
}

fn is_same(a: &std::path::Path, b: &std::path::Path) -> bool {
    let id = |path| disksmith_storage::FileId::of_path(path).ok();
    id(a).is_some_and(|a| Some(a) == id(b))
}

fn could_not_open(shown: &str, error: &Error) -> Stop {
    Stop::new(format!(
        "Could not open new backing file '{shown}': {}",
        cause(error, Use::Read)
    ))
}
