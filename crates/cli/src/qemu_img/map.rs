//! `qemu-img map`.

use super::arguments::{Arguments, Spec, flag, value};
use super::info::output_format;
use super::open::{named, reading};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::output::{OutputFormat, print};
use disksmith_image::{map, map_to_human, map_to_json};
use disksmith_storage::ExtentState;
use std::ffi::OsString;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    value("format", b'f'),
    flag("image-opts", 0),
    value("start-offset", b's'),
    value("max-length", b'l'),
    value("output", 0),
    flag("force-share", b'U'),
    value("object", 0),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("map", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("map");
    }
    let output = output_format(&arguments, "map")?;
    let limit = |option: &str, what: &str| {
        arguments
            .text(option)
            .map(|text| size::disk(what, &text))
            .transpose()
    };
    let start = limit("start-offset", "start offset")?.unwrap_or(0);
    let length = limit("max-length", "max length")?;
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img map", "Expecting one image file name"));
    };
    let name = named(&arguments, name)?;
    let image = reading(&name, arguments.has("force-share"))?;
    let length = length.unwrap_or(u64::MAX).min(image.size().saturating_sub(start));
    let mut entries = map(&**image.storage(), start, length).map_err(|error| {
        Stop::new(format!(
            "Failed to get the map of the image: {}",
            cause(&error, Use::Read)
        ))
    })?;
    if output == OutputFormat::Json {
        print(match entries.is_empty() {
            // qemu-img tells of the place where the map would start
            true => format!(
                "[{{ \"start\": {start}, \"length\": 0, \"depth\": 0, \"present\": false, \"zero\": false, \
                 \"data\": false, \"compressed\": false}}]\n"
            ),
            false => map_to_json(&entries),
        })?;
        return Ok(0);
    }
    let hidden = entries
        .iter()
        .position(|e| e.extent.state == ExtentState::Data && e.extent.host.is_none());
    entries.truncate(hidden.unwrap_or(usize::MAX));
    print(map_to_human(&entries).unwrap_or_default())?;
    match hidden {
        None => Ok(0),
        Some(_) => Err(Stop::new(
            "File contains external, encrypted or compressed clusters.",
        )),
    }
}
