//! `qemu-img check`.

use super::finding::{stopped, worded};
use super::info::output_format;
use super::open::{named, read_options, warn_of_guess};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{caches, help, object};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::{OutputFormat, print};
use disksmith_image::{EXIT_NOT_CHECKABLE, Error, Image, check_telling};
use disksmith_qcow2::{Finding, Repair};
use disksmith_storage::LockMode;
use std::ffi::OsString;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("format", b'f'),
    value("cache", b'T'),
    value("repair", b'r'),
    value("output", 0),
    value("object", 0),
    flag("image-opts", 0),
    flag("force-share", b'U'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img check", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("check");
    }
    let repair = match arguments.text("repair").as_deref() {
        None => Repair::None,
        Some("leaks") => Repair::Leaks,
        Some("all") => Repair::All,
        Some(other) => {
            let message = format!("--repair (-r) expects 'leaks' or 'all' not '{other}'");
            return Err(Stop::usage("qemu-img check", &message));
        }
    };
    let output = output_format(&arguments, "check")?;
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img check", "Expecting one image file name"));
    };
    caches::source(&arguments, "cache")?;
    let name = named(&arguments, name)?;
    let share = arguments.has("force-share");
    if share && repair != Repair::None {
        return Err(name.cannot_open("force-share=on can only be used with read-only images"));
    }
    let intent = if repair == Repair::None {
        Use::Read
    } else {
        Use::Write
    };
    // qemu-img opens the chain as well. Other damage is what the check is for.
    let open = read_options(name.format, true);
    let opened = Image::open_node(&name.node, &open);
    if let Err(
        error @ (Error::MissingMember { .. }
        | Error::Luks { .. }
        | Error::Node { .. }
        | Error::Qcow2 {
            source: disksmith_qcow2::Error::Encryption { .. },
            ..
        }),
    ) = &opened
    {
        return Err(name.cannot_open(cause(error, intent)));
    }
    let lock = if share {
        LockMode::ForceShare
    } else {
        LockMode::Lock
    };
    let mut tell = |finding: &Finding| {
        if let Some(text) = worded(finding, repair) {
            eprintln!("{text}");
        }
    };
    let mut report = match check_telling(&name.path, name.format, repair, lock, &mut tell) {
        Ok(report) => report,
        Err(Error::NotForFormat { .. }) => {
            if repair != Repair::None
                && let Ok(image) = &opened
            {
                warn_of_guess(image, &name.shown);
            }
            return Err(Stop::new("This image format does not support checks").status(EXIT_NOT_CHECKABLE));
        }
        Err(error) => return Err(name.cannot_open(cause(&error, intent))),
    };
    report.filename = name.shown;
    if let Some(why) = report.stopped {
        return Err(Stop::new(format!("Check failed: {}", stopped(why))));
    }
    let quiet = arguments.has("quiet");
    match output {
        OutputFormat::Json if !quiet => print(report.to_json())?,
        OutputFormat::Human if !quiet => print(report.to_human())?,
        _ => {}
    }
    if report.check_errors > 0 {
        return Err(Stop::new("Check failed"));
    }
    Ok(report.exit_status())
}
