//! `convert`: an image, or several in a row, into a new image of any format.
//!
//! Only what is allocated in the source is read. Zeroes are found and not written; what is a hole stays one. Memory is
//! bounded whatever the size: each thread holds one piece of 2 MiB.

mod concat;
mod plan;
mod salvage;
mod source;
mod throttle;
mod transfer;

pub use source::Source;

use crate::clone::check_replaceable;
use crate::create::{
    CreateOptions, check_backing_name, check_not_own_backing, fill_empty, start_data_file, start_output,
};
use crate::device;
use crate::error::{Error, Result};
use crate::file_name::resolve_beside;
use crate::format::Format;
use crate::image::Image;
use crate::keys::Keys;
use crate::node::Node;
use crate::open::OpenOptions;
use crate::worker::{self, Progress, check_cancelled};
use concat::Concat;
use disksmith_luks::Payload;
use disksmith_qcow2::{NewEncryption, Preallocation, Qcow2, Unlock};
use disksmith_storage::{Durability, Existing, HostFile, NewFile, Storage, StorageRef};
use plan::{PIECE, Piece, Planner};
use salvage::Salvaged;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use throttle::Throttled;
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

/// What is done about bitmaps that were not saved properly, so that nobody knows what they should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyBitmaps {
    /// The work fails.
    All,
    /// They are left out, and [`Progress::skipped_bitmap`] hears of it.
    Consistent,
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
    /// Copies only what the source's top layer holds: the target that is there stands on what the source stands on (only with
    /// `into_existing`).
    pub top_only: bool,
    /// Copies the persistent dirty bitmaps too.
    pub bitmaps: Option<CopyBitmaps>,
    /// At most so many bytes are carried over in a second.
    pub rate: Option<u64>,
    /// What cannot be read becomes zeroes, and [`Progress::unreadable`] hears of it, instead of ending the work.
    pub salvage: bool,
    /// What the target is made of, where it is not just a file (only with `into_existing`).
    pub target_node: Option<Node>,
    /// The passphrases for it.
    pub keys: Keys,
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
            top_only: false,
            bitmaps: None,
            rate: None,
            salvage: false,
            target_node: None,
            keys: Keys::none(),
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
    let mut opened = Vec::with_capacity(sources.len());
    for path in sources {
        opened.push(Source::new(Image::open(path, source_options)?));
    }
    convert_from(&opened, target, options, progress)
}

/// As [`convert`], from sources that are open already.
///
/// # Errors
/// Those of [`convert`].
pub fn convert_from(
    sources: &[Source],
    target: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    check_options(sources.len(), options)?;
    if options.into_existing {
        return convert_into(sources, target, options, progress);
    }
    let replaces = target.symlink_metadata().is_ok();
    if replaces && options.existing == Existing::Replace {
        check_not_a_source(sources, target)?;
        check_replaceable(target, options.force)?;
        if device::takes(target, options.format) {
            device::check(&options.create)?;
            return convert_into(sources, target, options, progress);
        }
    }
    if let Some(backing) = &options.backing {
        check_not_own_backing(target, &backing.name)?;
    }
    let new = start_output(target, options.existing)?;
    let mut create = options.create.clone();
    let data = match &create.qcow2.data_file {
        Some(name) if options.format == Format::Qcow2 => {
            let path = resolve_beside(target, name);
            check_not_a_source(sources, Path::new(OsStr::from_bytes(&path)))?;
            Some(start_data_file(target, name, options.existing)?)
        }
        _ => None,
    };
    let backing = open_backing(target, options, &mut create)?;
    let place = Place {
        file: new.file(),
        data: data.as_ref().map(NewFile::file),
        path: target,
    };
    let report = fill(sources, &place, backing, &create, options, progress)?;
    let durability = if replaces {
        Durability::Sync
    } else {
        options.durability
    };
    // the data file first: an image without it cannot be opened, the other way round nothing is wrong
    if let Some(data) = data {
        data.commit(options.existing, durability)?;
    }
    new.commit(options.existing, durability)?;
    Ok(report)
}

/// Where a new image goes.
struct Place<'a> {
    file: &'a Arc<HostFile>,
    /// Its external data file.
    data: Option<&'a Arc<HostFile>>,
    path: &'a Path,
}

/// Lays an image out in a new file and copies the sources into it.
fn fill(
    sources: &[Source],
    place: &Place<'_>,
    backing: Option<StorageRef>,
    create: &CreateOptions,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    let source = join(sources)?;
    let virtual_size = source.size();
    fill_empty(
        place.file,
        place.data,
        place.path,
        options.format,
        virtual_size,
        create,
    )?;
    if reflinked(sources, place.file, options)? {
        return Ok(ConvertReport {
            virtual_size,
            data: virtual_size,
        });
    }
    let opened = open_target(place, options, backing)?;
    let data = carry_over(&source, &opened, options, progress)?;
    copy_bitmaps(sources, &opened, options, progress)?;
    if let Some(image) = &opened.qcow2 {
        image.write_back().map_err(Error::qcow2(place.path))?;
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
    let place = Place {
        file,
        data: None,
        path: target,
    };
    fill(
        &[Source::view(image)],
        &place,
        None,
        &options.create,
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
fn check_options(sources: usize, options: &ConvertOptions) -> Result<()> {
    let bad = |text: &str| Err(Error::BadOption(text.into()));
    if sources == 0 {
        return bad("nothing to convert");
    }
    if options.compress && (options.create.qcow2.encryption.is_some() || options.format == Format::Luks) {
        return bad("Compression and encryption not supported at the same time");
    }
    if options.compress && options.format == Format::Raw {
        return bad("a raw image cannot be compressed");
    }
    if options.backing.is_some() && options.format != Format::Qcow2 {
        return bad("a raw image cannot have a backing file");
    }
    if options.backing.is_some() && sources > 1 {
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

fn join(sources: &[Source]) -> Result<StorageRef> {
    match sources {
        [only] => Ok(only.disk().clone()),
        several => Ok(Arc::new(Concat::new(
            several.iter().map(|source| source.disk().clone()).collect(),
        )?)),
    }
}

/// The target must not be a file that the sources are made of: other images may stand on it.
fn check_not_a_source(sources: &[Source], target: &Path) -> Result<()> {
    let Ok(real) = target.canonicalize() else {
        return Ok(());
    };
    let is_source = sources
        .iter()
        .flat_map(Source::files)
        .any(|path| path.canonicalize().is_ok_and(|path| path == real));
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
    )
    .map_err(|source| Error::MissingMember {
        overlay: target.into(),
        role: "backing file",
        recorded: String::from_utf8_lossy(&backing.name).into_owned(),
        resolved: PathBuf::from(OsStr::from_bytes(&full)),
        source: Box::new(source),
    })?;
    let format = image.top().map_or(Format::Raw, |top| top.format());
    create.qcow2.backing = Some(disksmith_qcow2::Backing {
        name: backing.name.clone(),
        format: Some(format.name().into()),
    });
    Ok(Some(image.storage().clone()))
}

/// Shares the blocks of a raw source with a raw target, where the filesystem can.
fn reflinked(sources: &[Source], file: &HostFile, options: &ConvertOptions) -> Result<bool> {
    let [source] = sources else { return Ok(false) };
    let Some(top) = source.whole_file() else {
        return Ok(false);
    };
    if options.format != Format::Raw
        || options.rate.is_some()
        || options.salvage
        || options.sparse_size.is_some()
        || options.create.qcow2.preallocation != disksmith_qcow2::Preallocation::Off
        || top.is_block_device()
        || top.size() != source.disk().size()
    {
        return Ok(false);
    }
    Ok(file.reflink_from(top)?)
}

/// An image that is open for writing.
struct OpenTarget<'a> {
    path: &'a Path,
    storage: StorageRef,
    qcow2: Option<Arc<Qcow2>>,
    /// From where on it reads as zeroes.
    zero_from: u64,
}

fn open_target<'a>(
    place: &Place<'a>,
    options: &ConvertOptions,
    backing: Option<StorageRef>,
) -> Result<OpenTarget<'a>> {
    // space that was taken and filled beforehand stays so
    let zero_from = backing.as_ref().map_or(0, |backing| backing.size());
    let path = place.path;
    let file: StorageRef = place.file.clone();
    match options.format {
        Format::Raw => Ok(OpenTarget {
            path,
            storage: file,
            qcow2: None,
            zero_from,
        }),
        Format::Luks => {
            let Some(header) = &options.create.luks else {
                return Err(Error::BadOption("a LUKS image needs a passphrase".into()));
            };
            let storage = Arc::new(Payload::new(file, header.len, header.cipher.clone()));
            Ok(OpenTarget {
                path,
                storage,
                qcow2: None,
                // What was never written does not decrypt to zeroes.
                zero_from: u64::MAX,
            })
        }
        Format::Qcow2 => {
            let encryption = options.create.qcow2.encryption.as_ref();
            let cipher = encryption
                .map(NewEncryption::cipher)
                .transpose()
                .map_err(Error::luks(path))?;
            let encrypted_zeroes =
                encryption.is_some() && options.create.qcow2.preallocation != Preallocation::Off;
            let zero_from = if encrypted_zeroes { u64::MAX } else { zero_from };
            let open = disksmith_qcow2::OpenOptions {
                unlock: Unlock {
                    cipher,
                    ..Unlock::default()
                },
                backing,
                data_file: place.data.map(|data| Arc::clone(data) as StorageRef),
                writable: true,
                // The file is thrown away when this fails.
                ordered: false,
            };
            let image = Arc::new(Qcow2::open(file, open).map_err(Error::qcow2(path))?);
            Ok(OpenTarget {
                path,
                storage: image.clone(),
                qcow2: Some(image),
                zero_from,
            })
        }
    }
}

fn carry_over(
    source: &StorageRef,
    opened: &OpenTarget<'_>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<u64> {
    let sparse = options.sparse_size.unwrap_or(DEFAULT_SPARSE_SIZE);
    let allocation = opened.storage.alignment().allocation.clamp(512, PIECE);
    // A qcow2 cluster is allocated whole; in a file, zeroes are found down to the sparse size.
    let granule = match options.format {
        Format::Qcow2 => allocation,
        Format::Raw | Format::Luks => sparse.next_power_of_two().clamp(DEFAULT_SPARSE_SIZE, PIECE),
    };
    let detect = match options.format {
        _ if sparse == 0 => None,
        Format::Qcow2 => Some(granule.max(sparse.next_multiple_of(granule))),
        Format::Raw | Format::Luks => Some(sparse),
    };
    let target = Target {
        path: opened.path,
        storage: opened.storage.clone(),
        compressed: options.compress.then(|| opened.qcow2.clone()).flatten(),
        zero_from: opened.zero_from,
        detect,
        granule,
        top_only: options.backing.is_some() || options.top_only,
        copy_range: options.copy_range,
    };
    let threads = options.threads.unwrap_or_else(worker::default_threads);
    let size = source.size();
    let mut source = source.clone();
    if let Some(rate) = options.rate.filter(|rate| *rate > 0) {
        source = Arc::new(Throttled::new(source, rate));
    }
    if options.salvage {
        let salvaged = Salvaged::new(source, progress);
        return transfer(&salvaged, &target, size, threads, progress);
    }
    transfer(&*source, &target, size, threads, progress)
}

/// `convert -n`: into an image that is there.
fn convert_into(
    sources: &[Source],
    target: &Path,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    check_not_a_source(sources, target)?;
    if !options.force {
        crate::guard::refuse_if_cloned(target)?;
    }
    let source = join(sources)?;
    let write = OpenOptions::write()
        .format(Some(options.format))
        .keys(options.keys.clone());
    let image = match &options.target_node {
        Some(node) => Image::open_node(node, &write)?,
        None => Image::open(target, &write)?,
    };
    let size = source.size();
    if image.size() < size {
        return Err(device::too_small(target, image.size(), size));
    }
    let opened = OpenTarget {
        path: target,
        storage: image.storage().clone(),
        qcow2: image.top().and_then(|top| top.as_qcow2().cloned()),
        zero_from: if options.target_is_zero || reads_as_zero(image.storage())? {
            0
        } else {
            u64::MAX
        },
    };
    let data = carry_over(&source, &opened, options, progress)?;
    opened.storage.flush()?;
    copy_bitmaps(sources, &opened, options, progress)?;
    Ok(ConvertReport {
        virtual_size: image.size(),
        data,
    })
}

/// Copies the bitmaps of a source that has some.
fn copy_bitmaps(
    sources: &[Source],
    target: &OpenTarget<'_>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let (Some(wanted), [source]) = (options.bitmaps, sources) else {
        return Ok(());
    };
    let from = source.image().and_then(|image| image.top()?.as_qcow2());
    let (Some(from), Some(to)) = (from, &target.qcow2) else {
        return Ok(());
    };
    let skipped = to
        .copy_bitmaps(from, wanted == CopyBitmaps::Consistent)
        .map_err(Error::qcow2(target.path))?;
    for name in skipped {
        progress.skipped_bitmap(&name);
    }
    Ok(())
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
