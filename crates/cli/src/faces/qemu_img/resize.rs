//! `qemu-img resize`.

use super::open::{named, writing};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{Format, NewSize, ResizeOptions, resize};
use disksmith_qcow2::Preallocation;
use std::ffi::OsString;

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
    let raw = format != Format::Qcow2;
    if raw && preallocation == "metadata" {
        return Err(Stop::new("Unsupported preallocation mode: metadata"));
    }
    if !raw && !total.is_multiple_of(512) {
        return Err(Stop::new("The new size must be a multiple of 512"));
    }
    // the verb locks it itself
    drop(image);
    let options = ResizeOptions {
        format: Some(format),
        shrink: arguments.has("shrink"),
        force: true,
        log_dir: None,
        preallocation: match preallocation.as_str() {
            "metadata" => Preallocation::Metadata,
            "falloc" => Preallocation::Falloc,
            "full" => Preallocation::Full,
            _ => Preallocation::Off,
        },
        keys: object::keys_for(&name)?,
        gate: disksmith_image::Gate::FollowAll,
    };
    if total != old {
        resize(&name.path, NewSize::To(total), &options).map_err(|error| explain(&error))?;
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
