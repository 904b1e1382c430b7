//! `mformat`: makes a FAT filesystem in an image.

use super::arguments::Given;
use super::configuration::{Drive, find, size};
use super::label::valid_label;
use super::path::DosPath;
use super::{Done, Stop};
use crate::clock;
use crate::faces::dos_time::to_local;
use disksmith_fat::{FatKind, FormatOptions, format, plan_format};
use disksmith_image::{DiskSpec, Format, Output, Transaction, TransactionOptions};
use disksmith_storage::{Durability, Existing, NewFile, Storage, StorageRef, Window};
use disksmith_vfs::Error;
use std::sync::Arc;

/// A disk's size: KiB, then tracks, heads, and sectors of a track; sectors of a cluster, entries of the root directory, media byte.
const FLOPPIES: [(u64, u64, u16, u16, u8, u16, u8); 8] = [
    (160, 40, 1, 8, 1, 64, 0xfe),
    (180, 40, 1, 9, 1, 64, 0xfc),
    (320, 40, 2, 8, 2, 112, 0xff),
    (360, 40, 2, 9, 2, 112, 0xfd),
    (720, 80, 2, 9, 2, 112, 0xf9),
    (1200, 80, 2, 15, 1, 224, 0xf9),
    (1440, 80, 2, 18, 1, 224, 0xf0),
    (2880, 80, 2, 36, 2, 240, 0xf0),
];
const SECTOR: u64 = 512;

fn number(given: &Given, letter: u8) -> Result<Option<u64>, Stop> {
    let Some(text) = given.text(letter) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Stop::failed(format!("Bad number {text}"))),
    }
}

/// What is to be made: options, and how many bytes where that was said.
fn options(given: &Given) -> Result<(FormatOptions, Option<u64>), Stop> {
    let now = clock::now().map_err(|_| Stop::failed("SOURCE_DATE_EPOCH invalid"))?;
    let mixed = now.seconds.cast_unsigned() ^ u64::from(now.nanoseconds) << 20;
    // The lower half changes most.
    let mut options = FormatOptions::new((mixed ^ mixed >> 32) as u32, to_local(now));
    options.align = false;
    options.maker = *b"MTOO4032";
    options.drive_number = Some(0);
    let mut tracks = number(given, b't')?;
    let mut heads = number(given, b'h')?;
    let mut track = number(given, b's')?.or(number(given, b'n')?);
    if let Some(text) = given.text(b'f') {
        let bad = || Stop::failed(format!("Bad size {text}"));
        let kib: u64 = text.trim_end_matches(['k', 'K']).parse().map_err(|_| bad())?;
        let floppy = FLOPPIES.iter().find(|(size, ..)| *size == kib).ok_or_else(bad)?;
        tracks = Some(floppy.1);
        heads = Some(u64::from(floppy.2));
        track = Some(u64::from(floppy.3));
    }
    for (letter, count) in [(b'1', 40), (b'4', 40), (b'8', 40)] {
        if given.has(letter) {
            tracks.get_or_insert(count);
            heads.get_or_insert(if letter == b'4' { 2 } else { 1 });
            track.get_or_insert(if letter == b'8' { 8 } else { 9 });
        }
    }
    let geometry = match (heads, track) {
        (Some(heads), Some(track)) => u16::try_from(heads).ok().zip(u16::try_from(track).ok()),
        _ => None,
    };
    options.geometry = geometry;
    let total = number(given, b'T')?;
    if total.is_some() && given.has(b't') {
        return Err(Stop::failed("Only one of -t or -T may be specified"));
    }
    let sectors = total.or_else(|| {
        let (heads, track) = geometry?;
        tracks?.checked_mul(u64::from(heads) * u64::from(track))
    });
    let bytes = sectors.and_then(|sectors| sectors.checked_mul(SECTOR));
    let floppy = FLOPPIES.iter().find(|floppy| bytes == Some(floppy.0 * 1024));
    if let Some((.., cluster, root, media)) = floppy.filter(|_| !given.has(b'F')) {
        options.sectors_per_cluster = Some(*cluster);
        options.root_entries = Some(*root);
        options.media = Some(*media);
    }
    // A disk whose geometry is not told has this one.
    if floppy.is_none() {
        options.geometry.get_or_insert((16, 63));
    }
    refine(given, &mut options)?;
    Ok((options, bytes))
}

/// What single options say.
fn refine(given: &Given, options: &mut FormatOptions) -> Result<(), Stop> {
    if given.has(b'F') {
        options.kind = Some(FatKind::Fat32);
    }
    let small = |value: Option<u64>| value.and_then(|value| u16::try_from(value).ok());
    let tiny = |value: Option<u64>| value.and_then(|value| u8::try_from(value).ok());
    if let Some(cluster) = tiny(number(given, b'c')?) {
        options.sectors_per_cluster = Some(cluster);
    }
    if let Some(root) = small(number(given, b'r')?) {
        options.root_entries = root.checked_mul(16);
    }
    if let Some(reserved) = small(number(given, b'R')?) {
        options.reserved_sectors = Some(reserved);
    }
    if let Some(fats) = tiny(number(given, b'd')?) {
        options.fats = fats;
    }
    if let Some(hidden) = number(given, b'H')?.and_then(|hidden| u32::try_from(hidden).ok()) {
        options.hidden_sectors = hidden;
    }
    if let Some(text) = given.text(b'm') {
        let media = size(&text).and_then(|media| u8::try_from(media).ok());
        options.media = Some(media.ok_or_else(|| Stop::failed(format!("Bad mediadesc {text}")))?);
    }
    if let Some(text) = given.text(b'N') {
        let serial = u32::from_str_radix(&text.replace('-', ""), 16).ok();
        options.volume_id = serial.ok_or_else(|| Stop::failed(format!("Bad number {text}")))?;
    }
    if let Some(label) = given.text(b'v') {
        let label = valid_label(&label);
        if label.chars().count() > 11 {
            return Err(Stop::failed("Label too long"));
        }
        options.label = Some(label).filter(|label| !label.is_empty());
    }
    Ok(())
}

pub(super) fn run(given: &Given) -> Done {
    let name = match given.names().as_slice() {
        [] if given.image().is_some() => "::".to_owned(),
        [name] => name.clone(),
        [] => return Err(Stop::failed("Drive letter missing")),
        _ => return Err(Stop::Usage(None)),
    };
    let (options, bytes) = options(given)?;
    let path = DosPath::parse(&name).ok_or_else(|| Stop::failed("Drive letter missing"))?;
    let drive = match (path.drive, given.image()) {
        (':', Some(image)) => Some(Drive::of_option(image)?),
        (':', None) => None,
        (letter, _) => find(letter),
    };
    let drive = drive.ok_or_else(|| Stop::failed(format!("Drive '{}:' not supported", path.drive)))?;
    let file = &drive.file;
    if given.has(b'C') {
        let bytes = bytes.ok_or_else(|| Stop::failed("mformat: Number of sectors not known"))?;
        let held = std::fs::metadata(file).map_or(0, |found| found.len());
        let needed = bytes
            .checked_add(drive.offset)
            .ok_or_else(|| Stop::failed("Requested size too large"))?;
        if held < needed {
            return create(&drive, needed, bytes, &options);
        }
    }
    let disk = DiskSpec {
        path: file.clone(),
        format: given.has(b'C').then_some(Format::Raw),
        output: Output::InPlace,
    };
    let edit = Transaction::begin(&[disk], &TransactionOptions::default())
        .map_err(|error| Stop::failed(format!("mformat: {error}")))?;
    let storage = edit.storage(0).ok_or(Stop::Silent)?;
    let available = storage.size().saturating_sub(drive.offset);
    let bytes = bytes.unwrap_or(available).min(available);
    make(storage, drive.offset, bytes, &options)?;
    edit.commit().map_err(Stop::failed)?;
    Ok(true)
}

fn create(drive: &Drive, len: u64, bytes: u64, options: &FormatOptions) -> Done {
    let file = NewFile::create(&drive.file, Existing::Replace).map_err(Stop::failed)?;
    file.file().set_size(len).map_err(Stop::failed)?;
    let storage: StorageRef = Arc::clone(file.file()) as StorageRef;
    make(storage, drive.offset, bytes, options)?;
    file.commit(Existing::Replace, Durability::Deferred)
        .map_err(Stop::failed)?;
    Ok(true)
}

/// Chooses table and clusters as mtools does: the narrowest table, and then the smallest clusters.
fn choose(bytes: u64, options: &mut FormatOptions) {
    if options.kind.is_some() || options.sectors_per_cluster.is_some() {
        return;
    }
    let few = [1, 2, 4, 8].map(|cluster| (FatKind::Fat12, cluster));
    let many = [1, 2, 4, 8, 16, 32, 64, 128].map(|cluster| (FatKind::Fat16, cluster));
    for (kind, cluster) in few.into_iter().chain(many) {
        let mut wanted = options.clone();
        wanted.kind = Some(kind);
        wanted.sectors_per_cluster = Some(cluster);
        if plan_format(bytes, &wanted, &mut Vec::new()).is_ok() {
            *options = wanted;
            return;
        }
    }
    options.kind = Some(FatKind::Fat32);
}

fn make(storage: StorageRef, offset: u64, bytes: u64, options: &FormatOptions) -> Result<(), Stop> {
    let mut options = options.clone();
    choose(bytes, &mut options);
    let window: StorageRef = match offset == 0 && bytes == storage.size() {
        true => storage,
        false => Arc::new(Window::new(storage, offset, bytes, "the filesystem").map_err(Stop::failed)?),
    };
    match format(&*window, &options) {
        Ok(_) => Ok(()),
        Err(Error::InvalidArgument { reason, .. } | Error::InvalidName { reason, .. }) => {
            Err(Stop::failed(format!("mformat: {reason}")))
        }
        Err(error) => Err(Stop::failed(format!("mformat: {error}"))),
    }
}
