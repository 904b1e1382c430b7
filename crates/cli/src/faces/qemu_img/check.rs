//! `qemu-img check`.

use super::finding::worded;
use super::info::output_format;
use super::open::{named, read_options};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{caches, help, object};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::{OutputFormat, print};
use disksmith_image::{EXIT_NOT_CHECKABLE, Error, Image, check};
use disksmith_qcow2::Repair;
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
    let cluster_size = match Image::open(&name.path, &read_options(name.format, true)) {
        Err(error @ Error::MissingMember { .. }) => return Err(name.cannot_open(cause(&error, intent))),
        Err(_) => None,
        Ok(image) => image
            .top()
            .and_then(|top| top.as_qcow2())
            .map(|q| q.geometry().cluster_size()),
    };
    let lock = if share {
        LockMode::ForceShare
    } else {
        LockMode::Lock
    };
    let mut report = match check(&name.path, name.format, repair, lock) {
        Ok(report) => report,
        Err(Error::NotForFormat { .. }) => {
            return Err(Stop::new("This image format does not support checks").status(EXIT_NOT_CHECKABLE));
        }
        Err(error) => return Err(name.cannot_open(cause(&error, intent))),
    };
    let told = |finding: &String, repair| {
        cluster_size.map_or_else(|| finding.clone(), |s| worded(finding, s, repair))
    };
    let found: Vec<String> = report
        .findings
        .iter()
        .map(|finding| told(finding, Repair::None))
        .collect();
    let repaired = report
        .findings
        .iter()
        .zip(&found)
        .map(|(finding, found)| (told(finding, repair), found));
    let repaired: Vec<String> = repaired
        .filter(|(text, found)| text != *found)
        .map(|(text, _)| text)
        .collect();
    for text in found.iter().chain(&repaired) {
        eprintln!("{text}");
    }
    if report.corruptions_fixed > 0 || report.leaks_fixed > 0 {
        // the image's end is where it is after the repair
        if let Ok(again) = check(&name.path, name.format, Repair::None, lock) {
            report.image_end_offset = again.image_end_offset;
        }
    }
    report.filename = name.shown;
    if output == OutputFormat::Json {
        print(report.to_json())?;
    } else if !arguments.has("quiet") {
        print(report.to_human())?;
    }
    Ok(report.exit_status())
}
