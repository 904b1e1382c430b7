//! `qemu-img resize`.

use super::open::{named, writing};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{Format, Image, NewSize, OpenOptions, ResizeOptions, resize};
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage};
use std::ffi::OsString;
use std::path::Path;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("object", 0),
    value("format", b'f'),
    flag("image-opts", 0),
    value("preallocation", 0),
    flag("shrink", 0),
];

const SHRINKING: &str = "Use the --shrink option to perform a shrink operation.\n\
    qemu-img: warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing such \
    an operation, make sure there is no important data there.";

/// What stands before the size.
#[derive(Debug, Clone, Copy)]
enum Sign {
    None,
    Plus,
    Minus,
}

pub(super) fn run(words: &[OsString]) -> Done {
    // A negative size at the end is no option.
    let (words, negative) = match words.split_last() {
        Some((last, rest)) if is_negative(&last.to_string_lossy()) => (rest, Some(last)),
        _ => (words, None),
    };
    let mut arguments = Arguments::parse("qemu-img resize", OPTIONS, words)?;
    arguments.operands.extend(negative.cloned());
    if arguments.has("help") {
        return help::command("resize");
    }
    let preallocation = arguments.text("preallocation").unwrap_or_else(|| "off".into());
    if !["off", "metadata", "falloc", "full"].contains(&preallocation.as_str()) {
        return Err(Stop::new(format!("Invalid preallocation mode '{preallocation}'")));
    }
    object::check(&arguments)?;
    let (name, new) = match arguments.operands.as_slice() {
        [name, new] => (name, new.to_string_lossy()),
        [] | [_] => {
            return Err(Stop::usage(
                "qemu-img resize",
                "Expecting image file name and size",
            ));
        }
        _ => {
            return Err(Stop::usage(
                "qemu-img resize",
                "Extra argument(s) in command line",
            ));
        }
    };
    let (sign, digits) = match (new.strip_prefix('+'), new.strip_prefix('-')) {
        (Some(digits), _) => (Sign::Plus, digits),
        (_, Some(digits)) => (Sign::Minus, digits),
        _ => (Sign::None, &*new),
    };
    let bytes = size::parse(digits).map_err(|e| Stop::new(size::option_problem("size", digits, e)))?;
    let name = named(&arguments, name)?;
    let image = writing(&name)?;
    let old = image.size();
    let format = image.top().map_or(Format::Raw, |top| top.format());
    let total = match sign {
        Sign::None => Some(bytes),
        Sign::Plus => old.checked_add(bytes),
        Sign::Minus => old.checked_sub(bytes),
    };
    let total = total
        .filter(|total| *total > 0)
        .ok_or_else(|| Stop::new("New image size must be positive"))?;
    if total <= old && preallocation != "off" {
        return Err(Stop::new("Preallocation can only be used for growing images"));
    }
    if total < old && !arguments.has("shrink") {
        return Err(Stop::new(SHRINKING));
    }
    if preallocation != "off" && format != Format::Raw {
        return Err(Stop::not_yet(&format!(
            "resize --preallocation={preallocation} of a {format} image"
        )));
    }
    if preallocation == "metadata" {
        return Err(Stop::new("Unsupported preallocation mode: metadata"));
    }
    drop(image);
    let options = ResizeOptions {
        format: Some(format),
        shrink: arguments.has("shrink"),
        force: true,
        log_dir: None,
        keys: object::keys_for(&name)?,
    };
    if total != old {
        resize(&name.path, NewSize::To(total), &options).map_err(|error| explain(&error))?;
    }
    if preallocation != "off" {
        fill(&name.path, old, total, preallocation == "full")
            .map_err(|error| Stop::new(cause(&error, Use::Write)))?;
    }
    if !arguments.has("quiet") {
        print("Image resized.\n")?;
    }
    Ok(0)
}

fn is_negative(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn explain(error: &disksmith_image::Error) -> Stop {
    let text = cause(error, Use::Write);
    if text.contains("L1 table would exceed") || text.contains("the new size is too large") {
        return Stop::new("Failed to grow the L1 table: File too large");
    }
    Stop::new(text)
}

/// Takes the space of the new part of a raw image.
fn fill(path: &Path, from: u64, to: u64, write: bool) -> Result<(), disksmith_image::Error> {
    if write {
        let image = Image::open(path, &OpenOptions::write().format(Some(Format::Raw)))?;
        let zeroes = vec![0; 1 << 20];
        let mut at = from;
        while at < to {
            let n = (to - at).min(1 << 20);
            image
                .storage()
                .write_at(at, zeroes.get(..n as usize).unwrap_or(&[]))?;
            at += n;
        }
        return Ok(image.storage().flush()?);
    }
    let file = HostFile::open(path, OpenMode::Write, LockMode::Lock)?;
    file.preallocate(from, to - from)?;
    Ok(file.flush()?)
}
