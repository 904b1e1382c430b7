//! `qemu-img map`.

use super::info::output_format;
use super::open::{named, reading};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::{OutputFormat, print};
use disksmith_image::{Format, Image, MapEntry, map, map_to_human, map_to_json};
use disksmith_storage::{Extent, ExtentState, HostLocation, Storage};
use std::ffi::OsString;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    value("format", b'f'),
    value("output", 0),
    value("object", 0),
    flag("image-opts", 0),
    flag("force-share", b'U'),
    value("start-offset", b's'),
    value("max-length", b'l'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img map", OPTIONS, words)?;
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
    part_sector(&mut entries, &image);
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

/// A raw file may end inside its last sector: what is behind its end is a hole.
fn part_sector(entries: &mut Vec<MapEntry>, image: &Image) {
    let Some(top) = image.top().filter(|top| top.format() == Format::Raw) else {
        return;
    };
    let end = top.file().size();
    let Some(last) = entries.last_mut() else { return };
    let over = (last.start + last.extent.len).saturating_sub(end);
    if last.extent.state != ExtentState::Data || over == 0 || over >= last.extent.len {
        return;
    }
    last.extent.len -= over;
    let host = last.extent.host.as_ref().map(|host| HostLocation {
        file: host.file.clone(),
        offset: host.offset.saturating_add(last.extent.len),
    });
    entries.push(MapEntry {
        start: end,
        extent: Extent {
            host,
            ..Extent::zero(over)
        },
    });
}
