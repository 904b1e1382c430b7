//! Changes that are never kept.

use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::run_map::{RunMap, RunValue};
use crate::shadow::{Prepared, Shadow};
use crate::storage::{Alignment, Storage, StorageRef, ZeroMode};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A [`Shadow`] for dry runs: over any storage, which is only read. What is written goes to a temporary file that
/// has no name and is gone when this is dropped, or the process ends. It cannot be prepared.
///
/// Takes writes of any size at any offset; memory use follows the number of separate ranges written.
#[derive(Debug)]
pub struct Scratch {
    base: StorageRef,
    directory: PathBuf,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    size: u64,
    /// Beyond this the base is not seen any more: the smallest size there ever was.
    base_end: u64,
    /// By byte offset.
    runs: RunMap<Piece>,
    file: Option<File>,
    /// Where the next bytes go in the file.
    end: u64,
    changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    /// At this offset of the temporary file.
    Stored(u64),
    Zero,
}

impl RunValue for Piece {
    fn advance(self, by: u64) -> Self {
        match self {
            Self::Stored(offset) => Self::Stored(offset + by),
            Self::Zero => Self::Zero,
        }
    }
}

impl Scratch {
    /// A scratch over `base`, with its temporary file in `$TMPDIR`, else in `/var/tmp`.
    pub fn new(base: StorageRef) -> Self {
        let directory = match std::env::var_os("TMPDIR") {
            Some(directory) if !directory.is_empty() => PathBuf::from(directory),
            _ if Path::new("/var/tmp").is_dir() => PathBuf::from("/var/tmp"),
            _ => std::env::temp_dir(),
        };
        Self::in_directory(base, directory)
    }

    /// A scratch over `base`, with its temporary file in `directory`.
    pub fn in_directory(base: StorageRef, directory: impl Into<PathBuf>) -> Self {
        let size = base.size();
        Self {
            base,
            directory: directory.into(),
            state: RwLock::new(State {
                size,
                base_end: size,
                runs: RunMap::new(),
                file: None,
                end: 0,
                changed: false,
            }),
        }
    }

    /// How many bytes were written to the temporary file.
    pub fn stored(&self) -> u64 {
        self.state().end
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn fail(&self, operation: &'static str, source: std::io::Error) -> Error {
        Error::io(
            format!("a temporary file in {}", self.directory.display()),
            operation,
            None,
            source,
        )
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

/// Makes a file for reading and writing that has no name.
fn nameless_file(directory: &Path) -> std::io::Result<File> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".disksmith-{}-{count}.tmp", std::process::id()));
        match OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && count < 10_000 => {}
            Err(error) => return Err(error),
        }
    }
}

impl Storage for Scratch {
    fn size(&self) -> u64 {
        self.state().size
    }

    fn name(&self) -> String {
        self.base.name()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let state = self.state();
        self.check(&state, offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (piece, end) = match state.runs.get(at) {
                Some((piece, end)) => (Some(piece), end),
                None if at >= state.base_end => {
                    (Some(Piece::Zero), state.runs.next_start(at).unwrap_or(u64::MAX))
                }
                None => (
                    None,
                    state.runs.next_start(at).unwrap_or(u64::MAX).min(state.base_end),
                ),
            };
            let n = (end - at).min(rest.len() as u64) as usize;
            let (head, tail) = rest.split_at_mut(n);
            match (piece, &state.file) {
                (None, _) => self.base.read_at(at, head)?,
                (Some(Piece::Stored(place)), Some(file)) => {
                    file.read_exact_at(head, place)
                        .map_err(|e| self.fail("read", e))?;
                }
                (Some(_), _) => head.fill(0),
            }
            at += n as u64;
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut state = self.state_mut();
        self.check(&state, offset, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(());
        }
        let State {
            file,
            runs,
            end: stored,
            changed,
            ..
        } = &mut *state;
        let file = match file {
            Some(file) => file,
            none => none.insert(nameless_file(&self.directory).map_err(|e| self.fail("create", e))?),
        };
        *changed = true;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            // Over what is stored already, else at the end of the file.
            let (place, len) = match runs.get(at) {
                Some((Piece::Stored(place), end)) => (place, end - at),
                Some((Piece::Zero, end)) => (*stored, end - at),
                None => (*stored, runs.next_start(at).unwrap_or(u64::MAX) - at),
            };
            let n = len.min(rest.len() as u64) as usize;
            let (head, tail) = rest.split_at(n);
            file.write_all_at(head, place)
                .map_err(|e| self.fail("write", e))?;
            if place == *stored {
                *stored += n as u64;
                runs.set(at, at + n as u64, Piece::Stored(place));
            }
            at += n as u64;
            rest = tail;
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64, _mode: ZeroMode) -> Result<()> {
        let mut state = self.state_mut();
        self.check(&state, offset, len)?;
        state.changed |= len > 0;
        state.runs.set(offset, offset + len, Piece::Zero);
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.write_zeroes(offset, len, ZeroMode::Unmap)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let mut state = self.state_mut();
        state.runs.clear(size, u64::MAX);
        state.base_end = state.base_end.min(size);
        state.changed |= state.size != size;
        state.size = size;
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        let state = self.state();
        self.check(&state, offset, 1)?;
        let limit = limit.max(1).min(state.size - offset);
        match state.runs.get(offset) {
            Some((Piece::Stored(_), end)) => Ok(Extent::data(limit.min(end - offset))),
            Some((Piece::Zero, end)) => Ok(Extent::zero(limit.min(end - offset))),
            None => {
                let next = state.runs.next_start(offset).unwrap_or(u64::MAX) - offset;
                if offset >= state.base_end {
                    return Ok(Extent::zero(limit.min(next)));
                }
                self.base
                    .extent_at(offset, limit.min(next).min(state.base_end - offset))
            }
        }
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: 1,
            allocation: self.base.alignment().allocation,
        }
    }
}

impl Shadow for Scratch {
    fn is_dirty(&self) -> bool {
        self.state().changed
    }

    fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        Err(Error::Unsupported {
            object: self.name(),
            operation: "keeping the changes of a dry run",
        })
    }

    fn abandon(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use std::sync::Arc;

    #[test]
    fn the_base_stays_as_it_is() {
        let base = Arc::new(Memory::from_bytes(&[1; 10_000]));
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::in_directory(base.clone(), directory.path());
        scratch.write_at(100, &[2; 50]).unwrap();
        scratch.write_zeroes(120, 10, ZeroMode::Unmap).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut buf = [9; 60];
        scratch.read_at(95, &mut buf).unwrap();
        assert_eq!(buf[..5], [1; 5]);
        assert_eq!(buf[5..25], [2; 20]);
        assert_eq!(buf[25..35], [0; 10]);
        assert_eq!(buf[35..55], [2; 20]);
        assert_eq!(buf[55..], [1; 5]);
        assert!(scratch.is_dirty());
        assert_eq!(base.to_vec(), vec![1; 10_000]);
        assert!(Box::new(scratch).prepare().is_err());
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let scratch = Scratch::new(Arc::new(Memory::from_bytes(&[1; 1000])));
        scratch.set_size(500).unwrap();
        scratch.set_size(2000).unwrap();
        let mut buf = [9; 2000];
        scratch.read_at(0, &mut buf).unwrap();
        assert_eq!(buf[..500], [1; 500]);
        assert_eq!(buf[500..], [0; 1500]);
        assert!(scratch.write_at(1999, &[1, 2]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn behaves_as_an_array(
            ops in proptest::collection::vec((0u8..4, 0usize..60_000, 0usize..20_000, 1u8..), 1..40),
        ) {
            let base = Arc::new(Memory::from_bytes(&[0xee; 50_000]));
            let scratch = Scratch::new(base.clone());
            let mut model = base.to_vec();
            for (op, offset, len, value) in ops {
                let at = offset.min(model.len());
                let len = len.min(model.len() - at);
                match op {
                    0 | 1 => {
                        scratch.write_at(at as u64, &vec![value; len]).unwrap();
                        model[at..at + len].fill(value);
                    }
                    2 => {
                        scratch.write_zeroes(at as u64, len as u64, ZeroMode::Keep).unwrap();
                        model[at..at + len].fill(0);
                    }
                    _ => {
                        scratch.set_size(offset as u64).unwrap();
                        model.resize(offset, 0);
                    }
                }
                let now = crate::read_vec(&scratch, 0, model.len()).unwrap();
                proptest::prop_assert!(now == model);
            }
            let mut at = 0;
            while at < model.len() {
                let extent = scratch.extent_at(at as u64, u64::MAX).unwrap();
                let end = at + extent.len as usize;
                proptest::prop_assert!(!extent.reads_as_zero() || crate::is_zero(&model[at..end]));
                at = end;
            }
            proptest::prop_assert!(base.to_vec() == [0xee; 50_000]);
        }
    }
}
