//! `qemu-img snapshot`.

use super::image_name::ImageName;
use super::open::{named, reading, warn_of_guess, writing};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object};
use crate::clock;
use crate::commands::local_date;
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{
    Error, Format, InfoOptions, SnapshotOptions, apply_snapshot, bitmaps_of, create_snapshot,
    delete_snapshot, info, snapshot_table,
};
use disksmith_qcow2::{MAX_SNAPSHOT_NAME, NewSnapshot, SnapshotKey};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

const NOT_FOUND: &str = "snapshot not found";

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("object", 0),
    value("format", b'f'),
    flag("image-opts", 0),
    flag("force-share", b'U'),
    flag("list", b'l'),
    value("apply", b'a'),
    value("create", b'c'),
    value("delete", b'd'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img snapshot", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("snapshot");
    }
    let actions: Vec<&str> = ["list", "apply", "create", "delete"]
        .into_iter()
        .filter(|action| arguments.has(action))
        .collect();
    if actions.len() > 1 {
        return Err(Stop::usage(
            "qemu-img snapshot",
            "Cannot mix '-l', '-a', '-c', '-d'",
        ));
    }
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img snapshot", "Expecting one image file name"));
    };
    let name = named(&arguments, name)?;
    if let Some(action @ ("apply" | "create" | "delete")) = actions.first().copied() {
        return change(&arguments, &name, action);
    }
    drop(reading(&name, arguments.has("force-share"))?);
    let images = info(
        &name.path,
        &InfoOptions {
            format: name.format,
            ..InfoOptions::default()
        },
    )
    .map_err(|error| name.cannot_open(cause(&error, Use::Read)))?;
    let snapshots = images
        .first()
        .map(|image| image.snapshots.as_slice())
        .unwrap_or_default();
    if !snapshots.is_empty() {
        print(snapshot_table(snapshots, &local_date))?;
    }
    Ok(0)
}

/// Creates, applies or deletes a snapshot.
fn change(arguments: &Arguments, name: &ImageName, action: &str) -> Done {
    let snapshot = arguments.last(action).unwrap_or_default();
    let shown = snapshot.to_string_lossy();
    let could_not = |why: &str| Stop::new(format!("Could not {action} snapshot '{shown}': {why}"));
    if arguments.has("force-share") {
        return Err(name.cannot_open("force-share=on can only be used with read-only images"));
    }
    let image = writing(name)?;
    let format = image.top().map_or(Format::Raw, |top| top.format());
    if format != Format::Qcow2 && action == "apply" {
        // qemu-img goes back to what it had, and opens it anew
        warn_of_guess(&image, &name.shown);
    }
    let has_bitmaps = || bitmaps_of(&image).is_ok_and(|list| !list.is_empty());
    if action == "apply" && has_bitmaps() {
        return Err(could_not("Device has active dirty bitmaps"));
    }
    // the verbs below lock it themselves
    drop(image);
    if format != Format::Qcow2 {
        return Err(could_not(match action {
            "create" => "Operation not supported",
            "apply" => "Block driver does not support snapshots",
            _ => NOT_FOUND,
        }));
    }
    let options = SnapshotOptions {
        format: Some(format),
        force: true,
        ..SnapshotOptions::default()
    };
    let key = snapshot.as_bytes();
    let done = match action {
        "create" => {
            let now = clock::now().map_err(|_| could_not("the time is not known"))?;
            let new = NewSnapshot {
                name: key.get(..MAX_SNAPSHOT_NAME).unwrap_or(key).to_vec(),
                date_seconds: u32::try_from(now.seconds).unwrap_or(u32::MAX),
                date_nanoseconds: now.nanoseconds,
                vm_clock: 0,
            };
            create_snapshot(&name.path, &new, &options)
        }
        "apply" => apply_snapshot(&name.path, SnapshotKey::IdOrName(key), &options),
        _ => delete_snapshot(&name.path, SnapshotKey::Name(key), &options),
    };
    match done {
        Ok(_) => Ok(0),
        Err(Error::Qcow2 {
            source: disksmith_qcow2::Error::NoSuchSnapshot { .. },
            ..
        }) => Err(could_not(if action == "apply" {
            "Failed to load snapshot: No such file or directory"
        } else {
            NOT_FOUND
        })),
        Err(Error::Qcow2 {
            source: disksmith_qcow2::Error::HasBitmaps { .. },
            ..
        }) => Err(could_not("Device has active dirty bitmaps")),
        Err(Error::Qcow2 {
            source: disksmith_qcow2::Error::Unsupported { what, .. },
            ..
        }) if what.contains("external data file") => Err(could_not(match action {
            "apply" => "Failed to load snapshot: Operation not supported",
            _ => "Operation not supported",
        })),
        Err(error) => Err(could_not(&cause(&error, Use::Write))),
    }
}
