//! `mdir`: lists directories.

use super::arguments::Given;
use super::path::{DosPath, Found, describes, expand, is_pattern};
use super::session::{Session, Volume};
use super::{Done, Stop, print_bytes};
use disksmith_fat::{Attributes, EntryDetails};
use disksmith_vfs::{FileSystem, Timestamp};
use std::fmt::Write;

/// Names in a row of a wide listing, and the columns of each.
const PER_ROW: usize = 5;
const WIDE: usize = 15;

/// How a listing looks.
struct Style {
    wide: bool,
    concise: bool,
    recursive: bool,
    hidden: bool,
    fast: bool,
}

/// A listing in the making.
struct Listing {
    style: Style,
    text: String,
    drive: Option<char>,
    /// Directories of the drive that were listed.
    dirs: u32,
    files: u64,
    bytes: u64,
}

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let mut listing = Listing {
        style: Style {
            wide: given.has(b'w'),
            concise: given.has(b'b') || given.has(b'X'),
            recursive: given.has(b's') || given.has(b'/'),
            hidden: given.has(b'a'),
            fast: given.has(b'f'),
        },
        text: String::new(),
        drive: None,
        dirs: 0,
        files: 0,
        bytes: 0,
    };
    let mut names = given.names();
    if names.is_empty() {
        // The image of `-i` is meant where there is one.
        names.push(if given.image().is_some() { "::" } else { "A:" }.into());
    }
    let mut all = true;
    for name in &names {
        let path = DosPath::on_drive(name);
        let not_found = path.not_found(session);
        let volume = session.volume(path.drive)?;
        if listing.drive.is_some_and(|drive| drive != path.drive) {
            listing.finish(session)?;
            let volume = session.volume(path.drive)?;
            all &= listing.argument(volume, &path, &not_found)?;
        } else {
            all &= listing.argument(volume, &path, &not_found)?;
        }
        listing.flush();
    }
    listing.finish(session)?;
    listing.flush();
    Ok(all)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Year, month, day, hour and minute.
fn date(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.seconds) {
        Ok(moment) => {
            let shown = moment.to_zoned(jiff::tz::TimeZone::UTC).datetime();
            format!(
                "{:04}-{:02}-{:02}  {:2}:{:02} ",
                shown.year(),
                shown.month(),
                shown.day(),
                shown.hour(),
                shown.minute()
            )
        }
        Err(_) => String::new(),
    }
}

impl Listing {
    fn flush(&mut self) {
        print_bytes(self.text.as_bytes());
        self.text.clear();
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }

    fn argument(&mut self, volume: &Volume, path: &DosPath, not_found: &str) -> Result<bool, Stop> {
        let (last, parents) = match path.parts.split_last() {
            // With a slash behind it, the directories that it describes are listed themselves.
            Some((last, parents)) if is_pattern(last) && !path.slash => {
                (Some(last.as_str()), parents.to_vec())
            }
            _ => (None, path.parts.clone()),
        };
        let mut any = false;
        if let Some(pattern) = last {
            for dir in expand(volume, &parents)? {
                if dir.is_dir() {
                    any |= self.directory(volume, &dir, Some(pattern), pattern == "*")?;
                }
            }
        } else {
            let described = path.parts.last().is_some_and(|last| is_pattern(last));
            for found in expand(volume, &parents)? {
                if described && !found.is_dir() {
                    continue;
                }
                any = true;
                if found.is_dir() {
                    self.directory(volume, &found, None, true)?;
                } else {
                    let (_, above) = path.parts.split_last().ok_or(Stop::Silent)?;
                    let name = String::from_utf8_lossy(found.name()).into_owned();
                    for dir in expand(volume, above)?.iter().filter(|dir| dir.inode == found.dir) {
                        self.directory(volume, dir, Some(&name), false)?;
                    }
                }
            }
        }
        if !any {
            self.flush();
            eprintln!("{not_found}");
        }
        Ok(any)
    }

    /// Lists what a pattern describes in a directory; tells whether that is anything.
    fn directory(
        &mut self,
        volume: &Volume,
        dir: &Found,
        pattern: Option<&str>,
        even_empty: bool,
    ) -> Result<bool, Stop> {
        volume.visit(dir.depth())?;
        let mut entries = volume.fat.details(dir.inode).map_err(Stop::failed)?;
        let below: Vec<Found> = match self.style.recursive {
            true => entries
                .iter()
                .filter(|entry| entry.is_dir() && self.shows(entry))
                .map(|entry| dir.child(entry.clone()))
                .collect(),
            false => Vec::new(),
        };
        if !self.style.concise {
            let mut dots = volume.fat.dot_details(dir.inode).map_err(Stop::failed)?;
            dots.append(&mut entries);
            entries = dots;
        }
        let exact = pattern.filter(|pattern| !is_pattern(pattern));
        entries.retain(|entry| {
            let named = match (exact, pattern) {
                (Some(name), _) => entry.name == name.as_bytes(),
                (None, Some(pattern)) => describes(pattern, entry),
                (None, None) => true,
            };
            named && (self.shows(entry) || exact.is_some())
        });
        let mut any = !entries.is_empty() || even_empty;
        if any {
            self.print(volume, dir, &entries)?;
        }
        for dir in below {
            any |= self.directory(volume, &dir, pattern, even_empty)?;
        }
        Ok(any)
    }

    fn shows(&self, entry: &EntryDetails) -> bool {
        self.style.hidden
            || !(entry.attributes.has(Attributes::HIDDEN) || entry.attributes.has(Attributes::SYSTEM))
    }

    fn print(&mut self, volume: &Volume, dir: &Found, entries: &[EntryDetails]) -> Result<(), Stop> {
        if self.style.concise {
            self.drive = Some(volume.letter);
            for entry in entries {
                let found = dir.child(entry.clone());
                let slash = if found.is_dir() { "/" } else { "" };
                self.push(format_args!("{}{slash}", found.path));
            }
            return Ok(());
        }
        if self.drive.is_none() {
            self.drive = Some(volume.letter);
            self.header(volume)?;
        } else {
            self.text.push('\n');
        }
        self.push(format_args!("Directory for {}\n", dir.path));
        let mut bytes = 0;
        for (at, entry) in entries.iter().enumerate() {
            bytes += u64::from(entry.size);
            if self.style.wide {
                self.wide(at, entry);
            } else {
                self.line(entry);
            }
        }
        if self.style.wide && !entries.is_empty() {
            self.text.push('\n');
        }
        self.dirs += 1;
        self.files += entries.len() as u64;
        self.bytes += bytes;
        self.footer(entries.len() as u64, bytes);
        Ok(())
    }

    fn header(&mut self, volume: &Volume) -> Result<(), Stop> {
        let letter = volume.letter;
        let shown = if letter == ':' { ':' } else { letter };
        match volume.fat.root_label().map_err(Stop::failed)? {
            Some(label) => self.push(format_args!(" Volume in drive {shown} is {label}")),
            None => self.push(format_args!(" Volume in drive {shown} has no label")),
        }
        if let Some(serial) = volume.fat.boot_sector().serial {
            self.push(format_args!(
                " Volume Serial Number is {:04X}-{:04X}",
                serial >> 16,
                serial & 0xffff
            ));
        }
        Ok(())
    }

    fn line(&mut self, entry: &EntryDetails) {
        let size = match entry.is_dir() {
            true => " <DIR>    ".to_owned(),
            false => format!("{:10}", entry.size),
        };
        let name = match entry.has_long_name {
            true => format!(" {}", String::from_utf8_lossy(&entry.name)),
            false => String::new(),
        };
        let (base, extension) = (&entry.short_base, &entry.short_extension);
        self.push(format_args!(
            "{base:8} {extension:3}{size} {}{name}",
            date(entry.modified)
        ));
    }

    fn wide(&mut self, at: usize, entry: &EntryDetails) {
        if at > 0 {
            self.text
                .push(if at.is_multiple_of(PER_ROW) { '\n' } else { ' ' });
        }
        let name = entry.short_name();
        let name = if entry.is_dir() { format!("[{name}]") } else { name };
        self.text.push_str(&name);
        let columns = WIDE.saturating_sub(name.len());
        self.text.push_str(&" ".repeat(columns));
    }

    fn footer(&mut self, files: u64, bytes: u64) {
        if files == 0 {
            self.push(format_args!("No files"));
            return;
        }
        let plural = if files == 1 { ' ' } else { 's' };
        let bytes = grouped(bytes);
        self.push(format_args!("      {files:3} file{plural}{bytes:>20} bytes"));
    }

    /// Ends the listing of a drive.
    fn finish(&mut self, session: &mut Session) -> Result<(), Stop> {
        let Some(drive) = self.drive.take() else {
            return Ok(());
        };
        if self.style.concise {
            return Ok(());
        }
        if self.dirs > 1 {
            self.push(format_args!("\nTotal files listed:"));
            self.footer(self.files, self.bytes);
        }
        (self.dirs, self.files, self.bytes) = (0, 0, 0);
        if !self.style.fast {
            let volume = session.volume(drive)?;
            let space = volume.fat.stat_fs().map_err(Stop::failed)?;
            let free = grouped(space.free_blocks * space.block_size);
            self.push(format_args!("                  {free:>17} bytes free\n"));
        }
        Ok(())
    }
}
