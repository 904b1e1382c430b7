//! `qemu-img compare`.

use super::open::reading;
use super::percent::Percent;
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{caches, help, image_name, object};
use crate::faces::getopt::{Arguments, Spec, alias, flag, value};
use crate::output::print;
use disksmith_image::{Comparison, compare};
use std::ffi::OsString;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("object", 0),
    value("cache", b'T'),
    flag("image-opts", 0),
    value("a-format", b'f'),
    alias("left-format", "a-format"),
    value("b-format", b'F'),
    alias("right-format", "b-format"),
    flag("force-share", b'U'),
    flag("strict", b's'),
    flag("progress", b'p'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img compare", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("compare");
    }
    object::check(&arguments)?;
    let [first, second] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img compare", "Expecting two image file names"));
    };
    // an error is never taken for a difference
    compared(&arguments, first, second).map_err(|stop| stop.status(2))
}

fn compared(arguments: &Arguments, first: &OsString, second: &OsString) -> Done {
    caches::source(arguments, "cache")?;
    let (image_opts, share) = (arguments.has("image-opts"), arguments.has("force-share"));
    let (a_format, b_format) = (arguments.text("a-format"), arguments.text("b-format"));
    if image_opts && (a_format.is_some() || b_format.is_some()) {
        return Err(Stop::new("--image-opts and --format are mutually exclusive"));
    }
    let open = |name: &OsString, format: Option<String>| {
        image_name::read(name, format.as_deref(), image_opts).and_then(|name| reading(&name, share))
    };
    let first = open(first, a_format)?;
    let second = open(second, b_format)?;
    let quiet = arguments.has("quiet");
    let percent = Percent::start(arguments.has("progress") && !quiet);
    let result = compare(
        &**first.storage(),
        &**second.storage(),
        arguments.has("strict"),
        &percent,
    )
    .map_err(|error| Stop::new(format!("Error while reading: {}", cause(&error, Use::Read))))?;
    let text = result.to_human();
    // The size is told before the longer image's rest is looked at.
    let (warning, verdict) = match text.split_once('\n') {
        Some((warning, verdict)) if !verdict.is_empty() => (format!("{warning}\n"), verdict.to_owned()),
        _ => (String::new(), text),
    };
    if !quiet {
        print(warning)?;
    }
    if matches!(result, Comparison::Identical { .. }) {
        percent.complete();
    }
    if !quiet {
        print(verdict)?;
    }
    percent.end();
    Ok(result.exit_status())
}
