//! The images that a command works on: opened when first named, their changes committed at the end.

use super::Stop;
use super::configuration::{Drive, find};
use crate::clock;
use crate::faces::dos_time::to_local;
use disksmith_fat::{CodePage, Fat, OpenOptions};
use disksmith_image::{DiskSpec, Image, Transaction, TransactionOptions};
use disksmith_storage::{LockMode, StorageRef, Window, read_vec};
use disksmith_vfs::{FileSystem, Timestamp};
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The deepest directory that is gone into.
const MAX_DEPTH: usize = 256;

/// An open filesystem.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) letter: char,
    pub(super) fat: Arc<Fat>,
    pub(super) storage: StorageRef,
    /// How many directories were gone through.
    visits: Arc<AtomicU64>,
}

impl Volume {
    /// Notes that a directory is gone through, so many levels below the root. In a damaged filesystem directories can hold each other,
    /// and there would be no end.
    pub(super) fn visit(&self, depth: usize) -> Result<(), Stop> {
        let visits = self.visits.fetch_add(1, Ordering::Relaxed);
        // Each directory has a cluster of its own; a command can name some several times.
        let most = u64::from(self.fat.boot_sector().clusters) * 4 + 4096;
        match depth > MAX_DEPTH || visits > most {
            true => Err(Stop::failed("Fat error: directories hold each other")),
            false => Ok(()),
        }
    }
}

/// A filesystem with the image that it lies in.
#[derive(Debug)]
struct Opened {
    volume: Volume,
    edit: Option<Transaction>,
    _image: Option<Image>,
}

/// A command at work.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: String,
    image: Option<Drive>,
    writes: bool,
    volumes: Vec<Opened>,
    /// What clocks show, as if it were UTC.
    pub(super) now: Timestamp,
}

impl Session {
    pub(super) fn new(name: &str, image: Option<&OsStr>, writes: bool) -> Result<Self, Stop> {
        let now = clock::now().map_err(|_| {
            let text = std::env::var_os("SOURCE_DATE_EPOCH").unwrap_or_default();
            Stop::failed(format!("SOURCE_DATE_EPOCH \"{}\" invalid", text.display()))
        })?;
        Ok(Self {
            name: name.to_owned(),
            image: image.map(Drive::of_option).transpose()?,
            writes,
            volumes: Vec::new(),
            now: to_local(now),
        })
    }

    /// What a letter stands for.
    pub(super) fn drive(&self, letter: char) -> Result<Drive, Stop> {
        let found = match letter {
            ':' => self.image.clone(),
            letter => find(letter),
        };
        found.ok_or_else(|| {
            Stop::failed(format!(
                "Drive '{letter}:' not supported\nCannot initialize '{letter}:'"
            ))
        })
    }

    /// The filesystem of a drive.
    pub(super) fn volume(&mut self, letter: char) -> Result<&Volume, Stop> {
        if let Some(at) = self
            .volumes
            .iter()
            .position(|opened| opened.volume.letter == letter)
        {
            return self
                .volumes
                .get(at)
                .map(|opened| &opened.volume)
                .ok_or(Stop::Silent);
        }
        let drive = self.drive(letter)?;
        let volume = self
            .open(letter, &drive)
            .map_err(|reason| Stop::failed(format!("{reason}\nCannot initialize '{letter}:'")))?;
        self.volumes.push(volume);
        self.volumes
            .last()
            .map(|opened| &opened.volume)
            .ok_or(Stop::Silent)
    }

    fn open(&self, letter: char, drive: &Drive) -> Result<Opened, String> {
        let shown = drive.file.display();
        if let Err(error) = std::fs::File::open(&drive.file) {
            return Err(format!("Can't open {shown}: {}", reason(&error)));
        }
        let text = |error: disksmith_image::Error| format!("Can't open {shown}: {error}");
        let (storage, edit, image) = if self.writes {
            let disks = [DiskSpec::in_place(&drive.file)];
            let edit = Transaction::begin(&disks, &TransactionOptions::default()).map_err(text)?;
            let storage = edit.storage(0).ok_or_else(|| format!("Can't open {shown}"))?;
            (storage, Some(edit), None)
        } else {
            // A machine may run from it; what is read is what it holds now.
            let options = disksmith_image::OpenOptions::read().lock(LockMode::ForceShare);
            let image = Image::open(&drive.file, &options).map_err(text)?;
            (image.storage().clone(), None, Some(image))
        };
        let foreign = || format!("init {letter}: non DOS media");
        let window = window(storage, drive).ok_or_else(foreign)?;
        let now = self.now;
        let options = OpenOptions {
            code_page: CodePage::CP850,
            touch_directories: false,
            ..OpenOptions::new(self.writes, Arc::new(move || now))
        };
        let fat = Fat::open_with(Arc::clone(&window), options).map_err(|error| {
            log::debug!("{error}");
            foreign()
        })?;
        Ok(Opened {
            volume: Volume {
                letter,
                fat: Arc::new(fat),
                storage: window,
                visits: Arc::default(),
            },
            edit,
            _image: image,
        })
    }

    /// Makes all changes.
    pub(super) fn commit(self) -> Result<(), Stop> {
        for opened in self.volumes {
            let Some(edit) = opened.edit else { continue };
            opened
                .volume
                .fat
                .sync()
                .map_err(|error| Stop::failed(format!("{}: {error}", self.name)))?;
            edit.commit()
                .map_err(|error| Stop::failed(format!("{}: {error}", self.name)))?;
        }
        Ok(())
    }
}

/// The part of an image that is the filesystem.
fn window(storage: StorageRef, drive: &Drive) -> Option<StorageRef> {
    let mut start = drive.offset;
    let mut len = storage.size().checked_sub(start)?;
    if drive.partition > 0 {
        let entry = 446 + 16 * u64::from(drive.partition.min(4) - 1);
        let entry = read_vec(&*storage, start.checked_add(entry)?, 16).ok()?;
        let number = |at: usize| {
            let bytes = entry.get(at..at + 4)?.first_chunk::<4>()?;
            Some(u64::from(u32::from_le_bytes(*bytes)) * 512)
        };
        start = start.checked_add(number(8)?)?;
        len = number(12)?.min(storage.size().checked_sub(start)?);
    }
    if start == 0 && len == storage.size() {
        return Some(storage);
    }
    Some(Arc::new(
        Window::new(storage, start, len, drive.file.display().to_string()).ok()?,
    ))
}

/// An error of the operating system without its number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}
