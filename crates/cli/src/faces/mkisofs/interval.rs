//! xorriso's way to name a part of a file, or a partition behind the image: `--interval:FLAGS:RANGE:ZEROIZERS:SOURCE`.

use super::stop::Stop;
use disksmith_iso9660::Source;
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, StorageRef};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a sector, and of a block.
const SECTOR: u64 = 512;
const BLOCK: u64 = 2048;

/// What such a word names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interval {
    /// The partition of this number behind the image.
    Appended(u8),
    /// Bytes of a file.
    Part(Part),
}

/// Bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    path: PathBuf,
    start: u64,
    /// `None`: up to the file's end.
    len: Option<u64>,
    /// Whether the partition table of the master boot record is read as zeroes, and the GUID partition table.
    zero_mbr: bool,
    zero_gpt: bool,
}

impl Interval {
    /// Takes such a word apart; `None` where it is a plain path.
    pub(super) fn parse(word: &OsStr) -> Option<Result<Self, Stop>> {
        let rest = word.as_bytes().strip_prefix(b"--interval:")?;
        let wrong = |why: &str| Stop::bad(format!("'{}': {why}", word.display()));
        let mut fields = rest.splitn(4, |b| *b == b':');
        let mut field = || fields.next().unwrap_or_default();
        let (flags, range, zeroizers, source) = (field(), field(), field(), field());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let flags = text(flags);
        Some((|| {
            if let Some(number) = flags.strip_prefix("appended_partition_") {
                // What follows the number says where the partition lay in another image.
                let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
                let number = digits
                    .parse()
                    .map_err(|_| wrong("there is no partition number"))?;
                return Ok(Self::Appended(number));
            }
            if flags != "local_fs" {
                return Err(wrong("only local_fs and appended_partition_N are read"));
            }
            let range = text(range);
            let (start, len) = match range.split_once('-') {
                _ if range.is_empty() || range == "all" => (0, None),
                Some((start, end)) => {
                    let (start, _) = bytes(start).ok_or_else(|| wrong("that is no range"))?;
                    let (end, unit) = bytes(end).ok_or_else(|| wrong("that is no range"))?;
                    let len = end.checked_add(unit).and_then(|end| end.checked_sub(start));
                    let len = len.filter(|len| *len > 0);
                    (start, Some(len.ok_or_else(|| wrong("the range is empty"))?))
                }
                None => return Err(wrong("that is no range")),
            };
            let mut part = Part {
                path: PathBuf::from(OsStr::from_bytes(unquoted(source))),
                start,
                len,
                zero_mbr: false,
                zero_gpt: false,
            };
            for zeroizer in text(zeroizers).split(',').filter(|z| !z.is_empty()) {
                match zeroizer {
                    "zero_mbrpt" => part.zero_mbr = true,
                    "zero_gpt" => part.zero_gpt = true,
                    // There is no such map in what is written.
                    "zero_apm" => {}
                    other => return Err(wrong(&format!("'{other}' is not supported"))),
                }
            }
            Ok(Self::Part(part))
        })())
    }
}

impl Part {
    fn open(&self) -> Result<(StorageRef, u64), Stop> {
        let file = HostFile::open(&self.path, OpenMode::Read, LockMode::None)
            .map_err(|e| Stop::bad(e.to_string()))?;
        let left = file.size().saturating_sub(self.start);
        let len = self.len.unwrap_or(left);
        if len > left {
            return Err(Stop::bad(format!(
                "'{}': {len} bytes from {} on were asked for, but it has {}",
                self.path.display(),
                self.start,
                file.size()
            )));
        }
        Ok((Arc::new(file), len))
    }

    /// The bytes, to be read when they are written.
    pub(super) fn source(&self) -> Result<Source, Stop> {
        if self.zero_mbr || self.zero_gpt {
            return Err(Stop::bad(format!(
                "'{}': zero_mbrpt and zero_gpt are for boot records",
                self.path.display()
            )));
        }
        let (storage, len) = self.open()?;
        Ok(Source::storage(storage, self.start, len)?)
    }

    /// The first bytes, at most `most`, with zeroes where they are asked for.
    pub(super) fn start(&self, most: usize) -> Result<Vec<u8>, Stop> {
        let (storage, len) = self.open()?;
        let mut out = vec![0; usize::try_from(len).unwrap_or(most).min(most)];
        storage
            .read_at(self.start, &mut out)
            .map_err(|e| Stop::bad(e.to_string()))?;
        if self.zero_mbr {
            clear(&mut out, 446, 64);
        }
        if self.zero_gpt && out.get(512..520) == Some(b"EFI PART") {
            let number = |at: usize, len: usize| {
                let bytes = out.get(at..at + len).unwrap_or(&[]);
                bytes.iter().rev().fold(0u64, |all, b| all << 8 | u64::from(*b))
            };
            let table = number(512 + 72, 8).saturating_mul(SECTOR);
            let len = number(512 + 80, 4).saturating_mul(number(512 + 84, 4));
            clear(&mut out, 512, SECTOR);
            clear(&mut out, table, len);
        }
        Ok(out)
    }
}

fn clear(bytes: &mut [u8], start: u64, len: u64) {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
    let range = at(start)..at(start.saturating_add(len));
    if let Some(part) = bytes.get_mut(range) {
        part.fill(0);
    }
}

/// A number with its unit: bytes, `d` for sectors, `s` for blocks, or powers of 1024.
fn bytes(text: &str) -> Option<(u64, u64)> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "d" => SECTOR,
        "s" => BLOCK,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    Some((digits.parse::<u64>().ok()?.checked_mul(unit)?, unit))
}

/// Without the quotes that xorriso prints around paths.
fn unquoted(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"'")
        .and_then(|p| p.strip_suffix(b"'"))
        .unwrap_or(path)
}
