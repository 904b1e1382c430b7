//! `qemu-img dd`.

use super::create::target_path;
use super::new_image;
use super::open::{named, reading, try_lock};
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use disksmith_image::{CreateOptions, Format, Image, OpenOptions, create};
use disksmith_storage::Existing;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    value("object", 0),
    value("format", b'f'),
    value("output-format", b'O'),
    flag("image-opts", 0),
    flag("force-share", b'U'),
];

/// How much is copied at a time at most.
const PIECE: u64 = 1 << 20;

/// The operands.
#[derive(Debug)]
struct Operands {
    input: Option<OsString>,
    output: Option<OsString>,
    block: u64,
    count: Option<u64>,
    skip: u64,
}

impl Operands {
    fn parse(words: &[OsString]) -> Result<Self, Stop> {
        let mut operands = Self {
            input: None,
            output: None,
            block: 512,
            count: None,
            skip: 0,
        };
        for word in words {
            let bytes = word.as_bytes();
            let at = bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len());
            let (name, rest) = bytes.split_at(at);
            let name = String::from_utf8_lossy(name).into_owned();
            let given = (!rest.is_empty()).then(|| OsStr::from_bytes(rest.get(1..).unwrap_or_default()));
            let number = |given: &OsStr, least: u64, most: u64| {
                size::limited(&name, &given.to_string_lossy(), least, most)
            };
            let plain = |given: &OsStr| size::number(&name, &given.to_string_lossy(), 0, i64::MAX as u64);
            match (name.as_str(), given) {
                ("if", Some(given)) => operands.input = Some(given.to_owned()),
                ("of", Some(given)) => operands.output = Some(given.to_owned()),
                ("bs", Some(given)) => operands.block = number(given, 1, i32::MAX as u64)?,
                ("count", Some(given)) => operands.count = Some(plain(given)?),
                ("skip", Some(given)) => operands.skip = plain(given)?,
                _ => return Err(Stop::new(format!("unrecognized operand {name}"))),
            }
        }
        Ok(operands)
    }
}

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img dd", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("dd");
    }
    object::check(&arguments)?;
    let operands = Operands::parse(&arguments.operands)?;
    let (Some(input), Some(output)) = (&operands.input, &operands.output) else {
        return Err(Stop::new("Must specify both input and output files"));
    };
    let name = named(&arguments, input)?;
    let source = reading(&name, arguments.has("force-share"))?;
    let format = new_image::format(arguments.text("output-format").as_deref(), |_| {
        Stop::new("Unknown file format")
    })?;
    let shown = output.to_string_lossy();
    let fail = |why: String| Stop::new(format!("{shown}: error while creating output image: {why}"));
    let target = target_path(output).map_err(fail)?;
    if target.is_file() {
        try_lock(&target, Use::Write).map_err(fail)?;
    }
    let end = operands
        .count
        .map_or(u64::MAX, |count| count.saturating_mul(operands.block))
        .min(source.size());
    let start = operands.skip.saturating_mul(operands.block);
    let size = end.saturating_sub(start);
    create(
        &target,
        format,
        size.next_multiple_of(512),
        &CreateOptions::default(),
        Existing::Replace,
    )
    .map_err(|error| fail(new_image::failure(&error)))?;
    if start > end {
        // not a failure for qemu-img
        eprintln!(
            "qemu-img: {}: cannot skip to specified offset",
            input.to_string_lossy()
        );
        return Ok(0);
    }
    copy(&source, start, size, &target, format).map_err(|error| {
        Stop::new(format!(
            "error while copying to '{shown}': {}",
            cause(&error, Use::Write)
        ))
    })?;
    Ok(0)
}

fn copy(
    source: &Image,
    start: u64,
    size: u64,
    target: &Path,
    format: Format,
) -> Result<(), disksmith_image::Error> {
    let target = Image::open(target, &OpenOptions::write().format(Some(format)))?;
    let mut buffer = vec![0; PIECE as usize];
    let mut done = 0;
    while done < size {
        let n = (size - done).min(PIECE) as usize;
        let piece = buffer.get_mut(..n).unwrap_or_default();
        source.storage().read_at(start + done, piece)?;
        target.storage().write_at(done, piece)?;
        done += n as u64;
    }
    Ok(target.storage().flush()?)
}
