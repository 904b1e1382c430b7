//! `qemu-img measure`.

use super::encryption;
use super::image_options::{self, ImageOptions};
use super::info::output_format;
use super::new_image::{self, Wording, create_options};
use super::open::{named, reading};
use super::snapshot_key::SnapshotChoice;
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::{OutputFormat, print};
use disksmith_image::{Format, Image, Measurement, Qcow2Layout, Source, measure, measure_empty};
use disksmith_qcow2::{Error as Qcow2Error, Preallocation};
use std::ffi::OsString;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    value("target-format", b'O'),
    value("format", b'f'),
    flag("image-opts", 0),
    value("options", b'o'),
    value("snapshot", b'l'),
    value("object", 0),
    value("output", 0),
    value("size", 0),
    flag("force-share", b'U'),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img measure", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("measure");
    }
    let output = output_format(&arguments, "measure")?;
    let lists = arguments.texts("options");
    if let Some(list) = image_options::malformed(&lists) {
        return Err(Stop::new(format!("Invalid option list: {list}")));
    }
    let virtual_size = arguments
        .text("size")
        .map(|text| size::disk("image size", &text))
        .transpose()?;
    let snapshot = SnapshotChoice::read(&arguments)?;
    object::check(&arguments)?;
    let name = match arguments.operands.as_slice() {
        [] => None,
        [name] => Some(name),
        _ => return Err(Stop::new("At most one filename argument is allowed.")),
    };
    let of_file = ["image-opts", "format", "snapshot"]
        .iter()
        .any(|option| arguments.has(option));
    if name.is_none() && of_file {
        return Err(Stop::new("--image-opts, -f, and -l require a filename argument."));
    }
    let image = match (name, virtual_size) {
        (None, None) => return Err(Stop::new("Either --size N or one filename must be specified.")),
        (Some(_), Some(_)) => return Err(Stop::new("--size N cannot be used together with a filename.")),
        (None, Some(_)) => None,
        (Some(name), None) => {
            let name = named(&arguments, name)?;
            let image = reading(&name, arguments.has("force-share"))?;
            Some(match &snapshot {
                None => Source::new(image),
                Some(choice) => choice.source(image)?,
            })
        }
    };
    let format = new_image::format(arguments.text("target-format").as_deref(), |name| {
        Stop::new(format!("Unknown file format '{name}'"))
    })?;
    let options = ImageOptions::parse(&arguments.texts("options"), format)
        .map_err(|why| Stop::new(why + &format!("\nqemu-img: Invalid options for file format '{format}'")))?;
    let measured = measured(image.as_ref(), virtual_size.unwrap_or(0), &options)?;
    print(match output {
        OutputFormat::Json => measured.to_json(),
        OutputFormat::Human => measured.to_human(),
    })?;
    Ok(0)
}

fn measured(image: Option<&Source>, virtual_size: u64, options: &ImageOptions) -> Result<Measurement, Stop> {
    let format = options.format();
    let size = image.map_or(virtual_size, |image| image.disk().size());
    let given = size;
    let size = size.checked_next_multiple_of(512).unwrap_or(size);
    if format == Format::Raw {
        return Ok(Measurement {
            required: size,
            fully_allocated: size,
            bitmaps: None,
        });
    }
    let header = encryption::header_len(options).map_err(Stop::new)?;
    if format == Format::Luks {
        // to the byte, as an image is made
        let needed = given.saturating_add(header);
        return Ok(Measurement {
            required: needed,
            fully_allocated: needed,
            bitmaps: None,
        });
    }
    let create = create_options(options, Wording::Measure)
        .map_err(Stop::new)?
        .qcow2;
    let layout = Qcow2Layout {
        cluster_size: 1 << create.cluster_bits,
        refcount_bits: create.refcount_bits,
        extended_l2: create.extended_l2,
    };
    let checked = disksmith_qcow2::CreateOptions {
        size,
        ..create.clone()
    };
    let entries = size.div_ceil(1 << (2 * create.cluster_bits - if create.extended_l2 { 4 } else { 3 }));
    if entries * 8 > disksmith_qcow2::MAX_L1_BYTES
        || matches!(checked.check(), Err(Qcow2Error::TooLarge { .. }))
    {
        return Err(Stop::new(
            "The image size is too large (try using a larger cluster size)",
        ));
    }
    let header = header.next_multiple_of(layout.cluster_size);
    let empty = measure_empty(size, layout).with_header(header);
    let Some(image) = image else {
        let required = match create.preallocation {
            Preallocation::Off | Preallocation::Metadata => empty.required,
            Preallocation::Falloc | Preallocation::Full => empty.fully_allocated,
        };
        return Ok(Measurement { required, ..empty });
    };
    let mut found = measure(&**image.disk(), format, layout)
        .map_err(|error| Stop::new(cause(&error, Use::Read)))?
        .with_header(header);
    // With a backing file nobody can tell what will be equal to it.
    if create.backing.is_some() || matches!(create.preallocation, Preallocation::Falloc | Preallocation::Full)
    {
        found.required = found.fully_allocated;
    }
    // version 2 has no place for bitmaps
    found.bitmaps = if create.version < 3 {
        None
    } else {
        match image.image() {
            Some(image) => bitmaps(image, layout.cluster_size)?,
            None => None,
        }
    };
    Ok(found)
}

/// What the persistent bitmaps of the source would take in clusters of this size; `None` where the source cannot have any.
fn bitmaps(image: &Image, cluster: u64) -> Result<Option<u64>, Stop> {
    let Some(qcow2) = image.top().and_then(|top| top.as_qcow2()) else {
        return Ok(None);
    };
    if qcow2.header().version < 3 {
        return Ok(None);
    }
    let list = qcow2.bitmaps().map_err(|error| Stop::new(error.to_string()))?;
    let (mut total, mut directory) = (0u64, 0u64);
    for bitmap in list {
        let bits = image.size().div_ceil(
            1u64.checked_shl(bitmap.granularity_bits.into())
                .unwrap_or(u64::MAX),
        );
        let clusters = bits.div_ceil(8).div_ceil(cluster);
        total = total
            .saturating_add(clusters.saturating_mul(cluster))
            .saturating_add((clusters.saturating_mul(8)).next_multiple_of(cluster));
        directory += (24 + bitmap.name.len() as u64).next_multiple_of(8);
    }
    Ok(Some(total.saturating_add(directory.next_multiple_of(cluster))))
}
