//! `qemu-img convert`.

use super::create::target_path;
use super::encryption;
use super::image_name::{self, ImageName};
use super::image_options::{self, ImageOptions};
use super::new_image::{self, Wording, create_options};
use super::open::{reading_alone, try_lock};
use super::percent::Percent;
use super::snapshot_key::SnapshotChoice;
use super::stop::{Done, Stop};
use super::wording::{Use, cause, locked};
use super::{caches, help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, short_flag, value};
use crate::output::print;
use disksmith_image::{
    BackingFile, ConvertOptions, CopyBitmaps, CreateOptions, Error, Format, Image, Source, bitmaps_of,
    convert_from,
};
use disksmith_qcow2::BitmapRefusal;
use disksmith_storage::{Diagnose, Durability, ErrorKind, Existing, FileId};
use std::ffi::OsString;
use std::path::Path;

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
    rate: Option<u64>,
}

impl Numbers {
    fn read(arguments: &Arguments) -> Result<Self, Stop> {
        let sparse = arguments
            .text("sparse-size")
            .map(|text| sparse_size(&text))
            .transpose()?;
        let threads = arguments
            .text("parallel")
            .map(|text| size::number("number of coroutines", &text, 1, 16))
            .transpose()?;
        let rate = arguments
            .text("rate")
            .map(|text| size::disk("rate limit", &text))
            .transpose()?;
        Ok(Self {
            rate,
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
        Err(size::NoSize::OutOfRange) => Err(Stop::new(format!(
            "Invalid buffer size for sparse output specified. Must be between 0 and {}.",
            i64::MAX
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
    let snapshot = SnapshotChoice::read(&arguments)?;
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
    let (sources, bitmaps) = open_sources(&arguments, sources, snapshot.as_ref())?;
    let options =
        |target: &ImageName| convert_options(&arguments, &numbers, &lists, target, &sources, bitmaps);
    let target = if arguments.has("target-image-opts") {
        image_name::read(target, None, true)?
    } else {
        let format = new_image::format(format_name.as_deref(), unknown_format)?;
        if arguments.has("no-create") {
            let target = image_name::read(target, Some(format.name()), false)?;
            let options = options(&target)?;
            return carry_over(&arguments, &sources, &target, &options);
        }
        let path = target_path(target).map_err(|why| match why.starts_with("Protocol driver") {
            true => Stop::new(why),
            false => Stop::new(format!(
                "{}: error while converting {format}: {why}",
                target.to_string_lossy()
            )),
        })?;
        image_name::of_path(path, Some(format), target.to_string_lossy().into_owned())
    };
    let options = options(&target)?;
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

/// Opens the sources: what is wrong with one of them is told before anything is made. What is wrong with their bitmaps is told
/// later, and given back.
fn open_sources(
    arguments: &Arguments,
    names: &[OsString],
    snapshot: Option<&SnapshotChoice>,
) -> Result<(Vec<Source>, Result<(), Stop>), Stop> {
    let image_opts = arguments.has("image-opts") || arguments.has("source-image-opts");
    let format = arguments.text("source-format");
    if image_opts && format.is_some() {
        return Err(Stop::new("--image-opts and --format are mutually exclusive"));
    }
    let mut images = Vec::new();
    for name in names {
        let name = image_name::read(name, format.as_deref(), image_opts)?;
        images.push(reading_alone(&name, arguments.has("force-share"))?);
    }
    let bitmaps = match arguments.has("bitmaps") {
        true => check_bitmaps(&images, arguments.has("skip-broken-bitmaps")),
        false => Ok(()),
    };
    let sources = match (snapshot, images.len()) {
        (None, _) => images.into_iter().map(Source::new).collect(),
        (Some(_), 2..) => return Err(Stop::new("No support for concatenating multiple snapshot")),
        (Some(choice), _) => images
            .into_iter()
            .map(|image| choice.source(image))
            .collect::<Result<_, _>>()?,
    };
    Ok((sources, bitmaps))
}

/// Whether the bitmaps of the source can be copied.
fn check_bitmaps(images: &[Image], skip_broken: bool) -> Result<(), Stop> {
    let [image] = images else {
        return Err(Stop::new("Copying bitmaps only possible with single source"));
    };
    let qcow2 = image.top().and_then(|top| top.as_qcow2());
    if qcow2.is_none_or(|qcow2| qcow2.header().version < 3) {
        return Err(Stop::new("Source lacks bitmap support"));
    }
    let list = bitmaps_of(image).map_err(|error| Stop::new(cause(&error, Use::Read)))?;
    match list.iter().find(|bitmap| !bitmap.is_consistent()) {
        Some(bitmap) if !skip_broken => Err(Stop::new(format!(
            "Cannot copy inconsistent bitmap '{}'\nTry --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it",
            String::from_utf8_lossy(&bitmap.name)
        ))),
        _ => Ok(()),
    }
}

/// Why a bitmap could not be copied.
fn bitmap_failure(sources: &[Source], refusal: &BitmapRefusal) -> Stop {
    let first = sources
        .first()
        .and_then(|source| {
            bitmaps_of(source.image()?)
                .ok()?
                .into_iter()
                .find(|b| b.is_consistent())
        })
        .map(|bitmap| String::from_utf8_lossy(&bitmap.name).into_owned())
        .unwrap_or_default();
    Stop::new(match refusal {
        BitmapRefusal::Version2 => "Format driver 'qcow2' does not support bitmaps".to_owned(),
        BitmapRefusal::Exists(name) => format!("Failed to create bitmap {name}: {refusal}"),
        BitmapRefusal::Sizes { .. } => format!("Failed to populate bitmap {first}: {refusal}"),
        _ => format!("Failed to create bitmap {first}: {refusal}"),
    })
}

fn convert_options(
    arguments: &Arguments,
    numbers: &Numbers,
    lists: &[String],
    target: &ImageName,
    sources: &[Source],
    bitmaps: Result<(), Stop>,
) -> Result<ConvertOptions, Stop> {
    let no_create = arguments.has("no-create");
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
    if backing.is_some() && sources.len() > 1 {
        let why =
            "Having a backing file for the target makes no sense when concatenating multiple input images";
        return Err(Stop::new(why));
    }
    if backing.is_some() && image.text("backing_fmt").is_none() {
        return Err(Stop::new("Use of backing file requires explicit backing format"));
    }
    let compresses = arguments.has("compress");
    let cannot_compress = || Stop::new("Compression not supported for this file format");
    if compresses && format != Format::Qcow2 && !no_create {
        return Err(cannot_compress());
    }
    let together = |what: &str| Stop::new(format!("Compression and {what} not supported at the same time"));
    if compresses && encryption::asked_for(&image) {
        return Err(together("encryption"));
    }
    let taken_beforehand = |mode: &str| !mode.is_empty() && mode != "off";
    if compresses && image.text("preallocation").is_some_and(taken_beforehand) {
        return Err(together("preallocation"));
    }
    bitmaps?;
    caches::target(arguments, "output-cache")?;
    // qemu-img takes hold of the file before it looks at what shall be in it
    if !no_create {
        is_free(&target.path, sources).map_err(fail)?;
    }
    let mut create = match arguments.has("no-create") {
        true => CreateOptions::default(),
        false => create_options(&image, Wording::Create).map_err(fail)?,
    };
    create.qcow2.backing = None;
    let old = matches!(image.text("compat"), Some("0.10" | "v2"));
    if arguments.has("bitmaps") && (format != Format::Qcow2 || old && !no_create) {
        return Err(Stop::new(format!(
            "Format driver '{format}' does not support bitmaps"
        )));
    }
    if compresses && format != Format::Qcow2 {
        return Err(cannot_compress());
    }
    let backing = match backing {
        None => None,
        Some(name) => {
            let format = image.text("backing_fmt").unwrap_or_default().to_owned();
            let format = Format::from_name(format.as_bytes()).ok_or_else(|| {
                fail(match image_name::is_foreign(&format) {
                    true => format!("the format '{format}' is not supported yet"),
                    false => format!("Parameter 'backing-fmt' does not accept value '{format}'"),
                })
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
        target_node: arguments.has("no-create").then(|| target.node.clone()),
        keys: object::keys(),
        rate: numbers.rate,
        top_only: arguments.has("no-create") && arguments.has("backing"),
        bitmaps: arguments
            .has("bitmaps")
            .then(|| match arguments.has("skip-broken-bitmaps") {
                true => CopyBitmaps::Consistent,
                false => CopyBitmaps::All,
            }),
        salvage: arguments.has("salvage"),
        threads: numbers.threads,
        copy_range: arguments.has("copy-range-offloading"),
        existing: Existing::Replace,
        force: true,
        durability: Durability::Deferred,
        ..ConvertOptions::new(format)
    })
}

/// Whether a file may be made anew: nobody works with it, and no source is in it.
fn is_free(path: &Path, sources: &[Source]) -> Result<(), String> {
    if !path.is_file() {
        return Ok(());
    }
    let id = |path: &Path| FileId::of_path(path).ok();
    let here = id(path);
    let layers = sources.iter().filter_map(Source::image).flat_map(Image::layers);
    if layers.map(|layer| id(layer.path())).any(|id| id == here) {
        return Err(locked(path, Use::Write));
    }
    try_lock(path, Use::Write)
}

fn carry_over(
    arguments: &Arguments,
    sources: &[Source],
    target: &ImageName,
    options: &ConvertOptions,
) -> Done {
    let making = |why: &str| {
        Stop::new(format!(
            "{}: error while converting {}: {why}",
            target.shown, options.format
        ))
    };
    let percent = Percent::start(arguments.has("progress") && !arguments.has("quiet"));
    let result = convert_from(sources, &target.path, options, &percent);
    if result.is_ok() {
        percent.complete();
        percent.complete();
    }
    percent.end();
    match result {
        Ok(_) => Ok(0),
        Err(Error::Unfit { path, reason }) if reason.contains("own backing file") => {
            let why = locked(&path, Use::Read);
            Err(target.cannot_open(format!("Could not open backing file: {why}")))
        }
        Err(Error::Unfit { path, reason }) if reason.contains("part of the source") => {
            let why = locked(&path, Use::Write);
            Err(match options.into_existing {
                true => target.cannot_open(why),
                false => making(&why),
            })
        }
        Err(Error::Unfit { reason, .. }) if reason.starts_with("it holds") && options.into_existing => {
            Err(Stop::new("output file is smaller than input file"))
        }
        Err(Error::Transfer {
            writing,
            offset,
            source,
        }) => {
            let (doing, intent) = match writing {
                true => ("writing", Use::Write),
                false => ("reading", Use::Read),
            };
            Err(Stop::new(format!(
                "error while {doing} at byte {offset}: {}",
                match source.kind() {
                    ErrorKind::Unsupported => "Operation not supported".into(),
                    _ => cause(&source, intent),
                }
            )))
        }
        Err(Error::Qcow2 {
            source: disksmith_qcow2::Error::Bitmap(refusal),
            ..
        }) => Err(bitmap_failure(sources, &refusal)),
        Err(error) if options.into_existing => Err(target.cannot_open(cause(&error, Use::Write))),
        Err(Error::MissingMember { source, .. }) => Err(target.cannot_open(format!(
            "Could not open backing file: {}",
            cause(&source, Use::Read)
        ))),
        Err(error) => Err(making(&new_image::failure(&error))),
    }
}
