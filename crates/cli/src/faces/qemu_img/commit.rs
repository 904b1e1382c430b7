//! `qemu-img commit`.

use super::open::{named, writing};
use super::rate::{Paced, rate};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{caches, help, object};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{CommitOptions, Error, commit};
use std::ffi::OsString;
use std::path::PathBuf;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    flag("progress", b'p'),
    value("object", 0),
    value("format", b'f'),
    flag("image-opts", 0),
    value("cache", b't'),
    flag("drop", b'd'),
    value("base", b'b'),
    value("rate", b'r'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img commit", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("commit");
    }
    let rate = rate(&arguments)?;
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img commit", "Expecting one image file name"));
    };
    caches::target(&arguments, "cache")?;
    let name = named(&arguments, name)?;
    name.chain_of_files()?;
    drop(writing(&name)?);
    let base = arguments.last("base").map(PathBuf::from);
    let options = CommitOptions {
        node: Some(name.node.clone()),
        format: name.format,
        keep_top: arguments.has("drop") || base.is_some(),
        base,
        names_as_recorded: true,
        force: true,
        keys: object::keys_for(&name)?,
        ..CommitOptions::default()
    };
    let show = arguments.has("progress") && !arguments.has("quiet");
    let paced = Paced::start(show, rate);
    let result = commit(&name.path, &options, &paced);
    if result.is_ok() {
        paced.percent.complete();
    }
    paced.percent.end();
    match result {
        Ok(_) => {
            if !arguments.has("quiet") {
                print("Image committed.\n")?;
            }
            Ok(0)
        }
        Err(Error::NoBackingFile { .. }) => Err(Stop::new("Image does not have a backing file")),
        Err(Error::NotInChain { name: base, .. }) => Err(Stop::new(format!(
            "Did not find '{}' in the backing chain of '{}'",
            base.display(),
            name.shown
        ))),
        Err(error) => Err(Stop::new(cause(&error, Use::Write))),
    }
}
