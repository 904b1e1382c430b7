//! `qemu-img snapshot`: so far its list.

use super::arguments::{Arguments, Spec, flag, value};
use super::open::{named, reading};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object};
use crate::commands::local_date;
use crate::output::print;
use disksmith_image::{InfoOptions, info, snapshot_table};
use std::ffi::OsString;

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
    let arguments = Arguments::parse("snapshot", OPTIONS, words)?;
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
    if let Some(action @ ("apply" | "create" | "delete")) = actions.first().copied() {
        return Err(Stop::not_yet(&format!("snapshot --{action}")));
    }
    let name = named(&arguments, name)?;
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
