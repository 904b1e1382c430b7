//! Opening the images that a command names.

use super::image_name::{self, ImageName};
use super::object;
use super::stop::Stop;
use super::wording::{Use, cause};
use crate::faces::getopt::Arguments;
use disksmith_image::{Error, Format, Image, OpenOptions};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use std::ffi::OsStr;

/// Understands a name with the usual `-f` and `--image-opts` of a command.
pub(super) fn named(arguments: &Arguments, name: &OsStr) -> Result<ImageName, Stop> {
    let format = arguments.text("format");
    let image_opts = arguments.has("image-opts");
    if image_opts && format.is_some() {
        return Err(Stop::new("--image-opts and --format are mutually exclusive"));
    }
    image_name::read(name, format.as_deref(), image_opts)
}

/// Opens an image for reading. One that is raw may be written to by others meanwhile, as with QEMU.
pub(super) fn reading(name: &ImageName, force_share: bool) -> Result<Image, Stop> {
    reading_with(name, read_options(name.format, force_share))
}

/// As [`reading`], in a way of its own.
pub(super) fn reading_with(name: &ImageName, options: OpenOptions) -> Result<Image, Stop> {
    let error = match Image::open_node(&name.node, &options) {
        Ok(image) => return Ok(image),
        Err(error) => error,
    };
    if matches!(error, Error::Storage(disksmith_storage::Error::Locked { .. })) {
        let shared = Image::open_node(&name.node, &options.lock(LockMode::ForceShare));
        let raw = |image: &Image| image.top().is_some_and(|top| top.format() == Format::Raw);
        if let Some(image) = shared.ok().filter(raw) {
            return Ok(image);
        }
    }
    Err(name.cannot_open(cause(&error, Use::Read)))
}

/// Opens an image for reading while nobody writes to it, whatever its format.
pub(super) fn reading_alone(name: &ImageName, force_share: bool) -> Result<Image, Stop> {
    Image::open_node(&name.node, &read_options(name.format, force_share))
        .map_err(|error| name.cannot_open(cause(&error, Use::Read)))
}

/// How images are opened for reading.
pub(super) fn read_options(format: Option<Format>, force_share: bool) -> OpenOptions {
    let options = OpenOptions::read().format(format).keys(object::keys());
    if force_share {
        options.lock(LockMode::ForceShare)
    } else {
        options
    }
}

/// Opens an image for writing. Says what QEMU says where the format was guessed to be raw.
pub(super) fn writing(name: &ImageName) -> Result<Image, Stop> {
    let image = Image::open_node(
        &name.node,
        &OpenOptions::write().format(name.format).keys(object::keys()),
    )
    .map_err(|error| name.cannot_open(cause(&error, Use::Write)))?;
    warn_of_guess(&image, &name.shown);
    Ok(image)
}

/// The warning about a format that was only guessed to be raw.
pub(super) fn warn_of_guess(image: &Image, shown: &str) {
    if image
        .top()
        .is_some_and(|top| top.was_probed() && top.format() == Format::Raw)
    {
        eprintln!(
            "WARNING: Image format was not specified for '{shown}' and probing guessed raw.\n         \
             Automatically detecting the format is dangerous for raw images, write operations on block 0 will be \
             restricted.\n         Specify the 'raw' format explicitly to remove the restrictions."
        );
    }
}

/// Checks that nobody holds a file that is to be replaced, or that is told about.
pub(super) fn try_lock(path: &std::path::Path, intent: Use) -> Result<(), String> {
    let mode = match intent {
        Use::Read => OpenMode::Read,
        Use::Write => OpenMode::Write,
    };
    match HostFile::open(path, mode, LockMode::Lock) {
        Err(error @ disksmith_storage::Error::Locked { .. }) => Err(cause(&error.into(), intent)),
        _ => Ok(()),
    }
}
