//! `qemu-img convert`.

use super::create::target_path;
use super::image_name::{self, ImageName};
use super::image_options::{self, ImageOptions};
use super::new_image::{self, Wording, create_options};
use super::open::{read_options, reading, try_lock};
use super::percent::Percent;
use super::stop::{Done, Stop};
use super::wording::{Use, cause, locked};
use super::{caches, help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, short_flag, value};
use crate::output::print;
use disksmith_image::{BackingFile, ConvertOptions, Error, Format, convert};
use disksmith_storage::{Durability, Existing};
use std::ffi::OsString;
use std::path::PathBuf;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("object", 0),
    flag("image-opts", 0),
    flag("source-image-opts", 0),
    value("source-format", b'f'),
    value("source-cache", b'T'),
    value("snapshot", b'l'),
    value("sparse-size", b'S'),
    value("output-format", b'O'),
    value("options", b'o'),
    value("output-cache", b't'),
    value("backing", b'B'),
    value("backing-format", b'F'),
    flag("force-share", b'U'),
    flag("target-image-opts", 0),
    flag("salvage", 0),
    flag("target-is-zero", 0),
    flag("bitmaps", 0),
    flag("skip-broken-bitmaps", 0),
    value("rate", b'r'),
    value("parallel", b'm'),
    flag("oob-writes", b'W'),
    flag("copy-range-offloading", b'C'),
    short_flag("compress", b'c'),
    short_flag("no-create", b'n'),
    short_flag("progress", b'p'),
];

/// The greatest `-S`.
const MAX_SPARSE: u64 = 16 << 20;
/// The greatest `-S` that the library takes; above it zeroes are looked for in units of this.
const LIBRARY_SPARSE: u64 = 2 << 20;

/// The numbers among the options.
#[derive(Debug)]
struct Numbers {
    sparse: Option<u64>,
    threads: Option<usize>,
}

impl Numbers {
    fn read(arguments: &Arguments) -> Result<Self, Stop> {
        let sparse = arguments
            .text("sparse-size")
            .map(|text| sparse_size(&text))
            .transpose()?;
        let threads = arguments
            .text("parallel")
            .map(|text| size::limited("number of coroutines", &text, 1, 16))
            .transpose()?;
        if let Some(rate) = arguments.text("rate") {
            size::disk("rate limit", &rate)?;
        }
        Ok(Self {
            sparse,
            threads: threads.map(|n| n as usize),
        })
    }
}

fn sparse_size(text: &str) -> Result<u64, Stop> {
    match size::parse(text) {
        Ok(size) if size % 512 == 0 && size <= MAX_SPARSE => Ok(size),
        Err(size::NoSize::Malformed) => Err(Stop::new(format!(
            "Invalid buffer size for sparse output specified: '{text}'."
        ))),
        _ => Err(Stop::new(format!(
            "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to {MAX_SPARSE}. \
             Select 0 to disable sparse detection (fully allocates output)."
        ))),
    }
}

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img convert", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("convert");
    }
    let lists = arguments.texts("options");
    if let Some(list) = image_options::malformed(&lists) {
        return Err(Stop::new(format!("Invalid option list: {list}")));
    }
    let numbers = Numbers::read(&arguments)?;
    object::check(&arguments)?;
    check_together(&arguments)?;
    let format_name = arguments.text("output-format");
    if image_options::wants_help(&lists) {
        let format = new_image::format(format_name.as_deref(), unknown_format)?;
        print(image_options::help(format, arguments.operands.len() > 1))?;
        return Ok(0);
    }
    let (target, sources) = match arguments.operands.split_last() {
        Some((target, sources)) if !sources.is_empty() => (target, sources),
        _ => return Err(Stop::new("Must specify image file name")),
    };
    if arguments.has("no-create") && !lists.is_empty() {
        return Err(Stop::new("-o has no effect when skipping image creation"));
    }
    caches::source(&arguments, "source-cache")?;
    let sources = look_at_sources(&arguments, sources)?;
    let target = if arguments.has("target-image-opts") {
        image_name::read(target, None, true)?
    } else {
        let format = new_image::format(format_name.as_deref(), unknown_format)?;
        let path = target_path(target).map_err(|why| {
            Stop::new(format!(
                "{}: error while converting {format}: {why}",
                target.to_string_lossy()
            ))
        })?;
        ImageName {
            path,
            format: Some(format),
            shown: target.to_string_lossy().into_owned(),
        }
    };
    let options = convert_options(&arguments, &numbers, &lists, &target, sources.len())?;
    carry_over(&arguments, &sources, &target, &options)
}

fn unknown_format(name: &str) -> Stop {
    Stop::new(format!("Unknown file format '{name}'"))
}

/// Options that cannot go together, in the order in which qemu-img looks.
fn check_together(arguments: &Arguments) -> Result<(), Stop> {
    let has = |option: &str| arguments.has(option);
    let refuse = |condition: bool, why: &str| if condition { Err(Stop::new(why)) } else { Ok(()) };
    refuse(
        has("skip-broken-bitmaps") && !has("bitmaps"),
        "Use of --skip-broken-bitmaps requires --bitmaps",
    )?;
    refuse(
        has("target-image-opts") && has("output-format"),
        "--image-opts and --format are mutually exclusive",
    )?;
    refuse(
        has("target-image-opts") && !has("no-create"),
        "--target-image-opts requires use of -n flag",
    )?;
    refuse(
        has("compress") && has("copy-range-offloading"),
        "Cannot enable copy offloading when -c is used",
    )?;
    refuse(
        has("sparse-size") && has("copy-range-offloading"),
        "Cannot enable copy offloading when -S is used",
    )?;
    refuse(
        has("salvage") && has("copy-range-offloading"),
        "Cannot use copy offloading in salvaging mode",
    )?;
    refuse(
        has("target-is-zero") && !has("no-create"),
        "--target-is-zero requires use of -n flag",
    )
}

/// Opens each source once: what is wrong with one of them is told before anything is made.
fn look_at_sources(arguments: &Arguments, names: &[OsString]) -> Result<Vec<ImageName>, Stop> {
    let image_opts = arguments.has("image-opts") || arguments.has("source-image-opts");
    let format = arguments.text("source-format");
    if image_opts && format.is_some() {
        return Err(Stop::new("--image-opts and --format are mutually exclusive"));
    }
    let mut sources = Vec::new();
    for name in names {
        let source = image_name::read(name, format.as_deref(), image_opts)?;
        let image = reading(&source, arguments.has("force-share"))?;
        if arguments.has("bitmaps") {
            let list = image
                .top()
                .and_then(|top| top.as_qcow2())
                .map(|qcow2| qcow2.bitmaps());
            match list {
                None => {
                    let name = image.top().map_or("raw", |top| top.format().name());
                    return Err(Stop::new(format!(
                        "Format driver '{name}' does not support bitmaps"
                    )));
                }
                Some(Ok(list)) if list.is_empty() => {}
                Some(_) => return Err(Stop::not_yet("convert --bitmaps of an image that has some")),
            }
        }
        sources.push(source);
    }
    for option in ["snapshot", "rate", "salvage"] {
        if arguments.has(option) {
            return Err(Stop::not_yet(&format!("convert --{option}")));
        }
    }
    Ok(sources)
}

fn convert_options(
    arguments: &Arguments,
    numbers: &Numbers,
    lists: &[String],
    target: &ImageName,
    sources: usize,
) -> Result<ConvertOptions, Stop> {
    let format = target.format.unwrap_or(Format::Raw);
    let fail = |why: String| {
        Stop::new(format!(
            "{}: error while converting {format}: {why}",
            target.shown
        ))
    };
    let mut image = ImageOptions::parse(lists, format).map_err(Stop::new)?;
    let no_backing = || Stop::new(format!("Backing file not supported for file format '{format}'"));
    for (option, property) in [("backing", "backing_file"), ("backing-format", "backing_fmt")] {
        if let Some(value) = arguments.text(option).filter(|_| !arguments.has("no-create")) {
            image.set(property, &value).map_err(|_| no_backing())?;
        }
    }
    let backing = image.text("backing_file").map(str::to_owned);
    if backing.is_some() && sources > 1 {
        let why =
            "Having a backing file for the target makes no sense when concatenating multiple input images";
        return Err(Stop::new(why));
    }
    if backing.is_some() && image.text("backing_fmt").is_none() {
        return Err(Stop::new("Use of backing file requires explicit backing format"));
    }
    if arguments.has("compress") && format == Format::Raw {
        return Err(Stop::new("Compression not supported for this file format"));
    }
    if arguments.has("bitmaps") && format == Format::Raw {
        return Err(Stop::new("Format driver 'raw' does not support bitmaps"));
    }
    caches::target(arguments, "output-cache")?;
    if image.text("size").is_some() {
        return Err(Stop::not_yet("convert -o size"));
    }
    if image.text("data_file").is_some() {
        return Err(Stop::not_yet("convert -o data_file"));
    }
    let mut create = create_options(&image, Wording::Create).map_err(fail)?;
    create.qcow2.backing = None;
    let backing = match backing {
        None => None,
        Some(name) => {
            let format = image.text("backing_fmt").unwrap_or_default().to_owned();
            let format = Format::from_name(format.as_bytes()).ok_or_else(|| {
                target.cannot_open(format!("Could not open backing file: Unknown driver '{format}'"))
            })?;
            Some(BackingFile {
                name: name.into_bytes(),
                format: Some(format),
            })
        }
    };
    Ok(ConvertOptions {
        create,
        compress: arguments.has("compress"),
        backing,
        sparse_size: numbers.sparse.map(|size| size.min(LIBRARY_SPARSE)),
        into_existing: arguments.has("no-create"),
        target_is_zero: arguments.has("target-is-zero"),
        threads: numbers.threads,
        copy_range: arguments.has("copy-range-offloading"),
        existing: Existing::Replace,
        force: true,
        durability: Durability::Deferred,
        ..ConvertOptions::new(format)
    })
}

fn carry_over(
    arguments: &Arguments,
    sources: &[ImageName],
    target: &ImageName,
    options: &ConvertOptions,
) -> Done {
    let making = |why: &str| {
        Stop::new(format!(
            "{}: error while converting {}: {why}",
            target.shown, options.format
        ))
    };
    if !options.into_existing && target.path.is_file() {
        try_lock(&target.path, Use::Write).map_err(|why| making(&why))?;
    }
    let paths: Vec<PathBuf> = sources.iter().map(|source| source.path.clone()).collect();
    let format = sources.first().and_then(|source| source.format);
    let share = arguments.has("force-share");
    let percent = Percent::start(arguments.has("progress") && !arguments.has("quiet"));
    let result = convert(
        &paths,
        &read_options(format, share),
        &target.path,
        options,
        &percent,
    );
    if result.is_ok() {
        percent.complete();
        percent.complete();
    }
    percent.end();
    match result {
        Ok(_) => Ok(0),
        Err(Error::Unfit { reason, .. }) if reason.contains("part of the source") => {
            Err(making(&locked(&target.path, Use::Write)))
        }
        Err(Error::Unfit { reason, .. }) if reason.starts_with("it holds") => {
            Err(Stop::new("output file is smaller than input file"))
        }
        Err(error) if options.into_existing => Err(target.cannot_open(cause(&error, Use::Write))),
        Err(Error::MissingMember { source, .. }) => Err(target.cannot_open(format!(
            "Could not open backing file: {}",
            cause(&source, Use::Read)
        ))),
        Err(
            error @ Error::Storage(disksmith_storage::Error::Io {
                operation: "open", ..
            }),
        ) => Err(target.cannot_open(format!(
            "Could not open backing file: {}",
            cause(&error, Use::Read)
        ))),
        Err(error) => Err(making(&new_image::failure(&error))),
    }
}
