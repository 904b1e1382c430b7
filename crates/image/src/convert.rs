//! `convert`: an image, or several in a row, into a new image of any format.
//!
//! Only what is allocated in the source is read. Zeroes are found and not written; what is a hole stays one. Memory is
//! bounded whatever the size: each thread holds one piece of 2 MiB.

mod concat;
mod plan;
mod transfer;

use crate::clone::check_replaceable;
use crate::create::{CreateOptions, check_backing_name, fill_empty, start_output};
use crate::error::{Error, Result};
use crate::file_name::resolve_beside;
use crate::format::Format;
use crate::image::Image;
use crate::open::OpenOptions;
use crate::worker::{self, Progress, check_cancelled};
use concat::Concat;
use disksmith_qcow2::Qcow2;
use disksmith_storage::{Durability, Existing, HostFile, Storage, StorageRef};
use plan::{PIECE, Piece, Planner};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use transfer::{Target, transfer};

/// The unit of zero detection where nothing else is said, as qemu-img's.
pub const DEFAULT_SPARSE_SIZE: u64 = 4096;

/// A backing file that the new image shall have. The caller warrants that it holds what the source has below its top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingFile {
    /// The name to be recorded; relative to the new image's directory.
    pub name: Vec<u8>,
    /// Its format, detected where it is not said.
    pub format: Option<Format>,
}

/// How an image is converted.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The new image's format.
    pub format: Format,
    /// The new image's properties.
    pub create: CreateOptions,
    /// Compresses the data (qcow2 only).
    pub compress: bool,
    /// Makes an overlay: only what the source's top layer holds is copied.
    pub backing: Option<BackingFile>,
    /// Runs of so many zero bytes become holes (a multiple of 512); 0 looks for no zeroes and leaves no holes.
    pub sparse_size: Option<u64>,
    /// Writes into the image that is there instead of making one.
    pub into_existing: bool,
    /// The image that is there reads as zeroes (only with `into_existing`).
    pub target_is_zero: bool,
    /// How many threads work, at most 8.
    pub threads: Option<usize>,
    /// Has the operating system copy where it can; zeroes in the data are not looked for then.
    pub copy_range: bool,
    /// Whether a file that has the target's name already is replaced.
    pub existing: Existing,
    /// Replaces, or writes into, even an image that has clones.
    pub force: bool,
    /// How far the new image is made durable. One that replaces another is always synced.
    pub durability: Durability,
}

impl ConvertOptions {
    /// Converts to `format`, everything else as usual.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            create: CreateOptions::default(),
            compress: false,
            backing: None,
            sparse_size: None,
            into_existing: false,
            target_is_zero: false,
            threads: None,
            copy_range: false,
            existing: Existing::Refuse,
            force: false,
            durability: Durability::Deferred,
        }
    }
}

/// What a conversion did. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertReport {
    /// The new image's virtual size.
    pub virtual_size: u64,
    /// How much data was written (before compression).
    pub data: u64,
}

/// Converts the images at `sources`, one behind the other, into one at `target`. The target appears under its name only
/// when it is complete; after an error nothing is left behind and what had the name before still has it.
///
/// # Errors
/// Those of opening, reading and writing; [`Error::OutputExists`], [`Error::BadOption`], [`Error::Unfit`],
/// [`Error::Cancelled`].
pub fn convert(
    sources: &[PathBuf],
    source_options: &OpenOptions,
    target: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    check_options(sources, options)?;
    let mut images = Vec::with_capacity(sources.len());
    for path in sources {
        images.push(Image::open(path, source_options)?);
    }
    let source = join(&images)?;
    if options.into_existing {
        return convert_into(&images, &source, target, options, progress);
    }
    let replaces = target.symlink_metadata().is_ok();
    if replaces && options.existing == Existing::Replace {
        check_not_a_source(&images, target)?;
        check_replaceable(target, options.force)?;
    }
    let new = start_output(target, options.existing)?;
    let mut create = options.create.clone();
    let backing = open_backing(target, options, &mut create)?;
    let report = fill(
        &images,
        &source,
        new.file(),
        backing,
        &create,
        target,
        options,
        progress,
    )?;
    let durability = if replaces {
        Durability::Sync
    } else {
        options.durability
    };
    new.commit(options.existing, durability)?;
    Ok(report)
}

/// Lays an image out in a new file and copies the sources into it.
#[expect(
    clippy::too_many_arguments,
    reason = "two callers, each with its own way to these"
)]
fn fill(
    images: &[Image],
    source: &StorageRef,
    file: &Arc<HostFile>,
    backing: Option<StorageRef>,
    create: &CreateOptions,
    target: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    let virtual_size = source.size();
    fill_empty(file, None, target, options.format, virtual_size, create)?;
    if reflinked(images, file, options)? {
        return Ok(ConvertReport {
            virtual_size,
            data: virtual_size,
        });
    }
    let opened = open_target(target, file.clone(), options, backing)?;
    let data = carry_over(&**source, &opened, options, progress)?;
    if let Some(image) = &opened.qcow2 {
        image.write_back().map_err(Error::qcow2(target))?;
    }
    Ok(ConvertReport { virtual_size, data })
}

/// Copies an image that is open already into a new file.
pub(crate) fn copy_image(
    image: &Image,
    file: &Arc<HostFile>,
    target: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    let images = std::slice::from_ref(image);
    fill(
        images,
        image.storage(),
        file,
        None,
        &options.create,
        target,
        options,
        progress,
    )
}

/// Writes the disk at `source`, raw, to something that can only be written in order. Zeroes are written out.
///
/// # Errors
/// Those of reading; what `out` reports, as [`Error::File`].
pub fn write_raw(source: &dyn Storage, out: &mut dyn Write, progress: &dyn Progress) -> Result<()> {
    let size = source.size();
    let mut planner = Planner::new(source, size, DEFAULT_SPARSE_SIZE, false);
    let mut buffer = Vec::new();
    let fail = |e| Error::file("write", "the output", e);
    while let Some(piece) = planner.next()? {
        let (mut at, end, zero) = match piece {
            Piece::Data { offset, len } => (offset, offset + len, false),
            Piece::Zero { offset, len } => (offset, offset + len, true),
        };
        while at < end {
            check_cancelled(progress)?;
            buffer.clear();
            buffer.resize((end - at).min(PIECE) as usize, 0);
            if !zero {
                source.read_at(at, &mut buffer)?;
            }
            out.write_all(&buffer).map_err(fail)?;
            at += buffer.len() as u64;
            progress.advance(at, size);
        }
    }
    out.flush().map_err(fail)
}

/// Refuses options that cannot be together, before anything is made.
fn check_options(sources: &[PathBuf], options: &ConvertOptions) -> Result<()> {
    let bad = |text: &str| Err(Error::BadOption(text.into()));
    if sources.is_empty() {
        return bad("nothing to convert");
    }
    if options.compress && options.format == Format::Raw {
        return bad("a raw image cannot be compressed");
    }
    if options.backing.is_some() && options.format == Format::Raw {
        return bad("a raw image cannot have a backing file");
    }
    if options.backing.is_some() && sources.len() > 1 {
        return bad("an overlay can be made of one image only, not of several in a row");
    }
    if options.sparse_size.is_some_and(|s| s % 512 != 0 || s > PIECE) {
        return bad("the sparse size must be a multiple of 512 and at most 2 MiB");
    }
    if options.target_is_zero && !options.into_existing {
        return bad("that the target is zero can be said only of one that exists");
    }
    Ok(())
}

fn join(images: &[Image]) -> Result<StorageRef> {
    match images {
        [only] => Ok(only.storage().clone()),
        several => Ok(Arc::new(Concat::new(
            several.iter().map(|i| i.storage().clone()).collect(),
        )?)),
    }
}

/// The target must not be a file that the sources are made of: other images may stand on it.
fn check_not_a_source(images: &[Image], target: &Path) -> Result<()> {
    let Ok(real) = target.canonicalize() else {
        return Ok(());
    };
    let is_source = images
        .iter()
        .flat_map(Image::layers)
        .any(|layer| layer.path().canonicalize().is_ok_and(|path| path == real));
    if is_source {
        return Err(Error::Unfit {
            path: target.into(),
            reason: "the target is a part of the source".into(),
        });
    }
    Ok(())
}

/// Opens the backing file that the new image shall have, and enters it into the properties.
fn open_backing(
    target: &Path,
    options: &ConvertOptions,
    create: &mut CreateOptions,
) -> Result<Option<StorageRef>> {
    let Some(backing) = &options.backing else {
        return Ok(None);
    };
    check_backing_name(target, &backing.name)?;
    let full = resolve_beside(target, &backing.name);
    let image = Image::open(
        Path::new(OsStr::from_bytes(&full)),
        &OpenOptions::read().format(backing.format),
    )?;
    let format = image.top().map_or(Format::Raw, |top| top.format());
    create.qcow2.backing = Some(disksmith_qcow2::Backing {
        name: backing.name.clone(),
        format: Some(format.name().into()),
    });
    Ok(Some(image.storage().clone()))
}

/// Shares the blocks of a raw source with a raw target, where the filesystem can.
fn reflinked(images: &[Image], file: &HostFile, options: &ConvertOptions) -> Result<bool> {
    let [image] = images else { return Ok(false) };
    let Some(top) = image.top() else { return Ok(false) };
    if options.format != Format::Raw
        || top.format() != Format::Raw
        || options.sparse_size.is_some()
        || options.create.qcow2.preallocation != disksmith_qcow2::Preallocation::Off
        || top.file().is_block_device()
        || top.file().size() != image.size()
    {
        return Ok(false);
    }
    Ok(file.reflink_from(top.file())?)
}

/// An image that is open for writing.
struct OpenTarget<'a> {
    path: &'a Path,
    storage: StorageRef,
    qcow2: Option<Arc<Qcow2>>,
    is_zero: bool,
}

fn open_target<'a>(
    path: &'a Path,
    file: StorageRef,
    options: &ConvertOptions,
    backing: Option<StorageRef>,
) -> Result<OpenTarget<'a>> {
    let is_zero = backing.is_none();
    match options.format {
        Format::Raw => Ok(OpenTarget {
            path,
            storage: file,
            qcow2: None,
            is_zero,
        }),
        Format::Qcow2 => {
            let open = disksmith_qcow2::OpenOptions {
                backing,
                writable: true,
                // The file is thrown away when this fails.
                ordered: false,
                ..Default::default()
            };
            let image = Arc::new(Qcow2::open(file, open).map_err(Error::qcow2(path))?);
            Ok(OpenTarget {
                path,
                storage: image.clone(),
                qcow2: Some(image),
                is_zero,
            })
        }
    }
}

fn carry_over(
    source: &dyn Storage,
    opened: &OpenTarget<'_>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<u64> {
    let sparse = options.sparse_size.unwrap_or(DEFAULT_SPARSE_SIZE);
    let allocation = opened.storage.alignment().allocation.clamp(512, PIECE);
    // A qcow2 cluster is allocated whole; in a file, zeroes are found down to the sparse size.
    let granule = match options.format {
        Format::Qcow2 => allocation,
        Format::Raw => sparse.next_power_of_two().clamp(DEFAULT_SPARSE_SIZE, PIECE),
    };
    let detect = match options.format {
        _ if sparse == 0 => None,
        Format::Qcow2 => Some(granule.max(sparse.next_multiple_of(granule))),
        Format::Raw => Some(sparse),
    };
    let target = Target {
        path: opened.path,
        storage: opened.storage.clone(),
        compressed: options.compress.then(|| opened.qcow2.clone()).flatten(),
        is_zero: opened.is_zero,
        detect,
        granule,
        top_only: options.backing.is_some(),
        copy_range: options.copy_range,
    };
    let threads = options.threads.unwrap_or_else(worker::default_threads);
    transfer(source, &target, source.size(), threads, progress)
}

/// `convert -n`: into an image that is there.
fn convert_into(
    images: &[Image],
    source: &StorageRef,
    target: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    check_not_a_source(images, target)?;
    if !options.force {
        crate::guard::refuse_if_cloned(target)?;
    }
    let image = Image::open(target, &OpenOptions::write().format(Some(options.format)))?;
    let size = source.size();
    if image.size() < size {
        return Err(Error::Unfit {
            path: target.into(),
            reason: format!("it holds {} bytes, and the source has {size}", image.size()),
        });
    }
    let opened = OpenTarget {
        path: target,
        storage: image.storage().clone(),
        qcow2: image.top().and_then(|top| top.as_qcow2().cloned()),
        is_zero: options.target_is_zero || reads_as_zero(image.storage())?,
    };
    let data = carry_over(&**source, &opened, options, progress)?;
    opened.storage.flush()?;
    Ok(ConvertReport {
        virtual_size: image.size(),
        data,
    })
}

/// Whether a storage is known to read as zeroes throughout.
fn reads_as_zero(storage: &StorageRef) -> Result<bool> {
    let (mut at, size) = (0, storage.size());
    while at < size {
        let extent = storage.extent_at(at, size - at)?;
        if !extent.reads_as_zero() {
            return Ok(false);
        }
        at += extent.len.max(1);
    }
    Ok(true)
}
