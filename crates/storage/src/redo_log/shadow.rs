//! The writable view of a raw image whose changes go to a log.

use super::header::LogHeader;
use super::index::{Index, Logged};
use super::log_file::LogFile;
use super::prepared::{RawPrepared, take_space};
use super::table::{ENTRIES, Entry, PageKind, Table};
use super::{LARGEST_MOVE, PAGE, place};
use crate::diagnose::{Diagnose, ErrorKind};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::host_file::{FileId, HostFile};
use crate::run_map::{RunMap, RunValue};
use crate::shadow::{Prepared, Shadow, Unprepared};
use crate::storage::{Alignment, HostSpan, Storage, StorageRef, ZeroMode, is_zero};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A [`Shadow`] of a raw image or block device. What is written goes to a log file as it comes; memory holds only an
/// index of it. The module's documentation tells how it becomes the image's state.
#[derive(Debug)]
pub struct RawShadow {
    image: Image,
    state: RwLock<State>,
}

/// The image, and where its log shall be.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) storage: StorageRef,
    /// The same, where it is a file of the host.
    pub(super) file: Option<Arc<HostFile>>,
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) log: LogSource,
}

#[derive(Debug)]
pub(super) enum LogSource {
    Path(PathBuf),
    /// Tests put it where they can cut its power.
    #[cfg(test)]
    Given(StorageRef),
}

#[derive(Debug)]
struct State {
    size: u64,
    /// From this page on the image's own contents are not seen any more: the storage was smaller once.
    floor: u64,
    index: Index,
    /// Pages that the log holds, but that were cut off since.
    stale: RunMap<Stale>,
    changed: bool,
    log: Option<OpenLog>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stale;

impl RunValue for Stale {
    fn advance(self, _by: u64) -> Self {
        self
    }
}

/// A log that is being written.
#[derive(Debug)]
struct OpenLog {
    file: LogFile,
    header: LogHeader,
    /// The segment that is being filled; its table is written when it is full.
    table: Table,
    /// Page of the log where that segment's table goes.
    table_at: u64,
    /// Page of the log where the next data goes.
    end: u64,
}

impl OpenLog {
    fn begin(image: &Image) -> Result<Self> {
        let file = match &image.log {
            LogSource::Path(path) => {
                let named = image
                    .file
                    .as_ref()
                    .map_or(Path::new(""), |file| file.path().as_ref());
                LogFile::create(path, named)?
            }
            #[cfg(test)]
            LogSource::Given(storage) => LogFile::over(Arc::clone(storage), false),
        };
        let header = LogHeader::begin(image.id, image.size);
        file.write(0, &header.encode())?;
        Ok(Self {
            file,
            header,
            table: Table::default(),
            table_at: 1,
            end: 2,
        })
    }

    /// Writes the table of the current segment and begins the next one.
    fn close_segment(&mut self) -> Result<()> {
        if self.table.entries.is_empty() {
            return Ok(());
        }
        self.file
            .write(self.table_at * PAGE, &self.table.encode(self.header.segments))?;
        self.header.segments += 1;
        self.header.length = self.end * PAGE;
        self.table.entries.clear();
        self.table_at = self.end;
        self.end += 1;
        Ok(())
    }

    /// How many more entries the current segment takes; begins a new one if it is full.
    fn room(&mut self) -> Result<u64> {
        if self.table.is_full() {
            self.close_segment()?;
        }
        Ok((ENTRIES - self.table.entries.len()) as u64)
    }
}

impl RawShadow {
    /// A shadow of `file`, which is open for writing (see [`super::open_for_change`]). Its log goes to `log_dir`,
    /// else beside the file; it is made at the first change.
    ///
    /// # Errors
    /// [`Error::NoPlaceForLog`] for a block device where no `log_dir` is given and the usual one cannot be made: a log in
    /// `/dev` would not outlast a power
    /// cut.
    pub fn new(file: Arc<HostFile>, log_dir: Option<&Path>) -> Result<Self> {
        if !file.is_writable() {
            return Err(Error::ReadOnly { object: file.name() });
        }
        if file.is_block_device() && log_dir.is_none() {
            place::prepare_device_logs(file.path())?;
        }
        let log = place::log_path(file.path(), file.id(), log_dir)?;
        Ok(Self::assemble(Image {
            storage: Arc::clone(&file) as StorageRef,
            id: file.id(),
            size: file.size(),
            file: Some(file),
            log: LogSource::Path(log),
        }))
    }

    pub(super) fn assemble(image: Image) -> Self {
        let size = image.size;
        Self {
            image,
            state: RwLock::new(State {
                size,
                floor: u64::MAX,
                index: Index::new(),
                stale: RunMap::new(),
                changed: false,
                log: None,
            }),
        }
    }

    /// How many bytes the log takes.
    pub fn log_length(&self) -> u64 {
        self.state().log.as_ref().map_or(0, |log| log.end * PAGE)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn check(&self, state: &State, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= state.size => Ok(()),
            _ => Err(Error::OutOfBounds {
                object: self.name(),
                offset,
                len,
                size: state.size,
            }),
        }
    }
}

impl Image {
    /// Reads the image as it is, with zeroes beyond its end.
    fn read_before(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let n = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (head, tail) = buf.split_at_mut(n);
        tail.fill(0);
        if head.is_empty() {
            Ok(())
        } else {
            self.storage.read_at(offset, head)
        }
    }

    /// How far from `page` on (at most `limit` pages) the image is one hole, or one run of data.
    fn hole_or_data(&self, page: u64, limit: u64) -> Result<(bool, u64)> {
        let offset = page.saturating_mul(PAGE);
        if offset >= self.size {
            return Ok((true, limit));
        }
        let extent = self.storage.extent_at(offset, limit.saturating_mul(PAGE))?;
        let end = offset.saturating_add(extent.len);
        if extent.reads_as_zero() {
            let whole = if end >= self.size {
                limit
            } else {
                end / PAGE - page
            };
            if whole > 0 {
                return Ok((true, whole.min(limit)));
            }
            return Ok((false, 1));
        }
        Ok((false, end.div_ceil(PAGE).saturating_sub(page).clamp(1, limit)))
    }
}

impl State {
    /// Reads the new state. The range lies inside its size.
    fn read(&self, image: &Image, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let page = at / PAGE;
            let (logged, end) = self.lookup(page);
            let n = end.saturating_mul(PAGE).saturating_sub(at).min(rest.len() as u64) as usize;
            let (head, tail) = rest.split_at_mut(n);
            match (logged, &self.log) {
                (Some(Logged::At(place)), Some(log)) => {
                    log.file.storage().read_at(place * PAGE + at % PAGE, head)?;
                }
                (Some(_), _) => head.fill(0),
                (None, _) => image.read_before(at, head)?,
            }
            at += n as u64;
            rest = tail;
        }
        Ok(())
    }

    /// How a page is held, and up to which page that goes. `None` is: as in the image.
    fn lookup(&self, page: u64) -> (Option<Logged>, u64) {
        if let Some((logged, end)) = self.index.get(page) {
            return (Some(logged), end);
        }
        let next = self.index.next_start(page).unwrap_or(u64::MAX);
        if page >= self.floor {
            (Some(Logged::Zero(ZeroMode::Unmap)), next)
        } else {
            (None, next.min(self.floor))
        }
    }

    fn log<'a>(log: &'a mut Option<OpenLog>, image: &Image) -> Result<&'a mut OpenLog> {
        match log {
            Some(log) => Ok(log),
            none => Ok(none.insert(OpenLog::begin(image)?)),
        }
    }

    /// Puts whole pages into the log.
    fn put(&mut self, image: &Image, first: u64, bytes: &[u8]) -> Result<()> {
        let (mut page, mut rest) = (first, bytes);
        while !rest.is_empty() {
            let count = rest.len() as u64 / PAGE;
            let stretch = match self.index.get(page) {
                Some((Logged::At(place), end)) => {
                    let n = count.min(end - page);
                    let (head, tail) = rest.split_at((n * PAGE) as usize);
                    Self::log(&mut self.log, image)?.file.write(place * PAGE, head)?;
                    (page, rest) = (page + n, tail);
                    continue;
                }
                Some((Logged::Zero(_), end)) => end - page,
                None => self.index.next_start(page).map_or(u64::MAX, |next| next - page),
            };
            let n = count.min(stretch).min(ENTRIES as u64);
            let (head, tail) = rest.split_at((n * PAGE) as usize);
            self.append(image, page, head)?;
            (page, rest) = (page + n, tail);
        }
        Ok(())
    }

    /// Puts pages into the log that are not in it as data yet; not more than a segment takes.
    fn append(&mut self, image: &Image, first: u64, bytes: &[u8]) -> Result<()> {
        let mut old = vec![0; bytes.len()];
        image.read_before(first * PAGE, &mut old)?;
        let mut pages = (first..)
            .zip(bytes.chunks(PAGE as usize).zip(old.chunks(PAGE as usize)))
            .peekable();
        while let Some((page, (new, before))) = pages.next() {
            if new == before && page < self.floor && self.index.get(page).is_none() {
                continue;
            }
            // As many as follow each other and go into this segment, with one write.
            let log = Self::log(&mut self.log, image)?;
            let room = log.room()?;
            let place = log.end;
            let mut entries = vec![Entry::new(page, PageKind::Data, before)];
            let from = ((page - first) * PAGE) as usize;
            let mut to = from + new.len();
            while (entries.len() as u64) < room
                && let Some((page, (new, before))) = pages.next_if(|(_, (new, before))| new != before)
            {
                entries.push(Entry::new(page, PageKind::Data, before));
                to += new.len();
            }
            let count = entries.len() as u64;
            log.file.write(place * PAGE, bytes.get(from..to).unwrap_or(&[]))?;
            log.end += count;
            log.table.entries.append(&mut entries);
            self.index.set(page, page + count, Logged::At(place));
            self.stale.clear(page, page + count);
            self.changed = true;
        }
        Ok(())
    }

    /// Makes whole pages read as zeroes.
    fn zero(&mut self, image: &Image, start: u64, end: u64, mode: ZeroMode) -> Result<()> {
        let mut page = start;
        while page < end {
            let (logged, run_end) = self.lookup(page);
            let run = run_end.min(end) - page;
            match logged {
                Some(Logged::At(place)) => {
                    let n = run.min(LARGEST_MOVE / PAGE);
                    let log = Self::log(&mut self.log, image)?;
                    log.file.write(place * PAGE, &vec![0; (n * PAGE) as usize])?;
                    page += n;
                }
                Some(Logged::Zero(_)) => page += run,
                None => match image.hole_or_data(page, run)? {
                    (true, n) => page += n,
                    (false, n) => {
                        let n = n.min(ENTRIES as u64);
                        self.append_zeroes(image, page, n, mode)?;
                        page += n;
                    }
                },
            }
        }
        Ok(())
    }

    /// Notes pages as zeroes in the log, whatever they are.
    fn append_zeroes(&mut self, image: &Image, first: u64, count: u64, mode: ZeroMode) -> Result<()> {
        let mut old = vec![0; (count * PAGE) as usize];
        image.read_before(first * PAGE, &mut old)?;
        for (page, before) in (first..).zip(old.chunks(PAGE as usize)) {
            if mode == ZeroMode::Keep && is_zero(before) && self.stale.get(page).is_none() {
                continue;
            }
            let log = Self::log(&mut self.log, image)?;
            log.room()?;
            log.table
                .entries
                .push(Entry::new(page, PageKind::Zero(mode), before));
            self.index.set(page, page + 1, Logged::Zero(mode));
            self.stale.clear(page, page + 1);
            self.changed = true;
        }
        Ok(())
    }

    /// Changes a part of a page.
    fn patch(&mut self, image: &Image, offset: u64, bytes: &[u8]) -> Result<()> {
        let page = offset / PAGE;
        let mut whole = vec![0; PAGE as usize];
        let len = self.size.saturating_sub(page * PAGE).min(PAGE) as usize;
        self.read(image, page * PAGE, whole.get_mut(..len).unwrap_or(&mut []))?;
        let within = (offset % PAGE) as usize;
        if let Some(part) = whole.get_mut(within..within + bytes.len()) {
            part.copy_from_slice(bytes);
        }
        self.put(image, page, &whole)
    }

    fn write(&mut self, image: &Image, offset: u64, bytes: &[u8]) -> Result<()> {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = at % PAGE;
            let n = if within == 0 && rest.len() as u64 >= PAGE {
                let n = rest.len() - rest.len() % PAGE as usize;
                self.put(image, at / PAGE, rest.get(..n).unwrap_or(&[]))?;
                n
            } else {
                let n = rest.len().min((PAGE - within) as usize);
                self.patch(image, at, rest.get(..n).unwrap_or(&[]))?;
                n
            };
            at += n as u64;
            rest = rest.get(n..).unwrap_or(&[]);
        }
        Ok(())
    }

    fn set_size(&mut self, image: &Image, size: u64) -> Result<()> {
        if size < self.size {
            if !size.is_multiple_of(PAGE) {
                // What is cut off of the last page reads as zeroes if the storage grows again.
                let tail = (PAGE - size % PAGE).min(self.size - size);
                self.patch(image, size, &vec![0; tail as usize])?;
            }
            let first = size.div_ceil(PAGE);
            for run in self.index.within(first, u64::MAX) {
                self.stale.set(run.start, run.end, Stale);
            }
            self.index.clear(first, u64::MAX);
            self.floor = self.floor.min(first);
        }
        self.changed |= self.size != size;
        self.size = size;
        Ok(())
    }

    /// After the storage was smaller once: notes what must read as zeroes now and does not.
    fn settle(&mut self, image: &Image) -> Result<()> {
        let pages = self.size.div_ceil(PAGE);
        for run in self.stale.within(0, pages) {
            let mut page = run.start;
            while page < run.end {
                let n = (run.end - page).min(ENTRIES as u64);
                self.append_zeroes(image, page, n, ZeroMode::Unmap)?;
                page += n;
            }
        }
        if self.floor < pages {
            let floor = std::mem::replace(&mut self.floor, u64::MAX);
            let end = pages.min(image.size.div_ceil(PAGE));
            let mut page = floor;
            while page < end {
                // What was written since stays.
                let next = match self.index.get(page) {
                    Some((_, run_end)) => run_end,
                    None => {
                        let gap = self.index.next_start(page).unwrap_or(u64::MAX).min(end);
                        self.zero(image, page, gap, ZeroMode::Unmap)?;
                        gap
                    }
                };
                page = next;
            }
        }
        Ok(())
    }
}

impl State {
    /// Closes the log, if there is anything to keep, and takes the space that the image will need: what was taken.
    fn settle_all(&mut self, image: &Image) -> Result<Vec<(u64, u64)>> {
        self.settle(image)?;
        if !self.changed {
            self.log = None;
            return Ok(Vec::new());
        }
        let log = Self::log(&mut self.log, image)?;
        log.close_segment()?;
        take_space(image, self.size, &self.index)
    }
}

impl Storage for RawShadow {
    fn size(&self) -> u64 {
        self.state().size
    }

    fn name(&self) -> String {
        self.image.storage.name()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let state = self.state();
        self.check(&state, offset, buf.len() as u64)?;
        state.read(&self.image, offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut state = self.state_mut();
        self.check(&state, offset, buf.len() as u64)?;
        state.write(&self.image, offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        let mut state = self.state_mut();
        self.check(&state, offset, len)?;
        let end = offset + len;
        let last = if end == state.size {
            end.div_ceil(PAGE)
        } else {
            end / PAGE
        };
        let first = offset.div_ceil(PAGE);
        if first >= last {
            return state.write(&self.image, offset, &vec![0; len as usize]);
        }
        let zeroes = [0; PAGE as usize];
        let part = |n: u64| zeroes.get(..n as usize).unwrap_or(&zeroes);
        let head = first * PAGE - offset;
        let tail = end.saturating_sub(last.saturating_mul(PAGE));
        if head > 0 {
            state.write(&self.image, offset, part(head))?;
        }
        state.zero(&self.image, first, last, mode)?;
        if tail > 0 {
            state.write(&self.image, last * PAGE, part(tail))?;
        }
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let mut state = self.state_mut();
        self.check(&state, offset, len)?;
        let end = offset + len;
        let last = if end == state.size {
            end.div_ceil(PAGE)
        } else {
            end / PAGE
        };
        state.zero(&self.image, offset.div_ceil(PAGE), last, ZeroMode::Unmap)
    }

    /// Does nothing: what is in the log becomes durable by [`Shadow::prepare`].
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        if self
            .image
            .file
            .as_ref()
            .is_some_and(|file| file.is_block_device())
        {
            return Err(Error::Unsupported {
                object: self.name(),
                operation: "changing the size of a block device",
            });
        }
        self.state_mut().set_size(&self.image, size)
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        let state = self.state();
        self.check(&state, offset, 1)?;
        let (logged, end) = state.lookup(offset / PAGE);
        let limit = limit
            .max(1)
            .min(state.size - offset)
            .min(end.saturating_mul(PAGE).saturating_sub(offset));
        match logged {
            Some(Logged::At(_)) => Ok(Extent::data(limit)),
            Some(Logged::Zero(_)) => Ok(Extent::zero(limit)),
            None if offset >= self.image.size => Ok(Extent::zero(limit)),
            None => self.image.storage.extent_at(offset, limit),
        }
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: PAGE,
            allocation: PAGE,
        }
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        let state = self.state();
        self.check(&state, offset, len).ok()?;
        match state.lookup(offset / PAGE) {
            (None, end) => {
                let len = end.saturating_mul(PAGE).saturating_sub(offset).min(len);
                self.image.storage.host_span(offset, len)
            }
            _ => None,
        }
    }
}

impl Shadow for RawShadow {
    fn is_dirty(&self) -> bool {
        self.state().changed
    }

    fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        self.try_prepare().map_err(|unprepared| unprepared.error)
    }

    fn try_prepare(self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Unprepared> {
        let Self { image, state } = *self;
        let mut state = state
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // All that takes space, and nothing that could not be done again.
        let taken = match state.settle_all(&image) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                let state = RwLock::new(state);
                let shadow: Option<Box<dyn Shadow>> = Some(Box::new(Self { image, state }));
                return Err(Unprepared { error, shadow });
            }
            Err(error) => return Err(Unprepared { error, shadow: None }),
        };
        let State { size, index, log, .. } = state;
        let Some(log) = log else {
            return Ok(Box::new(RawPrepared::nothing(image)));
        };
        let OpenLog { file, mut header, .. } = log;
        header.new_size = size;
        match RawPrepared::complete(image, file, header, index, taken) {
            Ok(prepared) => Ok(Box::new(prepared)),
            Err(error) => Err(Unprepared { error, shadow: None }),
        }
    }

    fn abandon(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
