//! virt-ls's own format of lines (`ls -lR`): type, mode, size, what the options ask for, and the path.

use super::checksum::Checksum;
use super::{ListSink, walk_reachable};
use crate::error::Result;
use disksmith_vfs::{FileType, Metadata, Node, Timestamp, Tree};
use jiff::tz::TimeZone;
use std::io::Write;

/// How times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeStyle {
    /// Date and time of day in a time zone.
    Date(TimeZone),
    /// Seconds since 1970.
    Seconds,
    /// Seconds before this time; negative after it.
    Relative(Timestamp),
    /// Days before this time, cut to whole days.
    Days(Timestamp),
}

/// What a recursive listing shows besides type, mode, size and path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// User and group id.
    pub uids: bool,
    /// Times of last access, modification and change.
    pub times: Option<TimeStyle>,
    /// Device, inode, number of links, device number, blocks of 512 bytes. The devices (major and minor number) are those of the tree's
    /// filesystems, in the order of mounting.
    pub extra_stats: Option<Vec<(u32, u32)>>,
    /// Checksums of regular files.
    pub checksum: Option<Checksum>,
    /// Sizes with a unit: 1.5K.
    pub human_readable: bool,
    /// Fields between commas, quoted where needed.
    pub csv: bool,
}

/// One line for each file at and below a directory; a symbolic link to one is shown itself in the first line.
///
/// # Errors
/// Those of reading and of writing. What is no directory is shown before the error tells so.
pub fn list_recursive(
    tree: &Tree,
    dir: impl AsRef<[u8]>,
    options: &ListOptions,
    sink: &mut ListSink<'_>,
) -> Result<()> {
    let dir = dir.as_ref();
    let mut line = Line {
        bytes: Vec::with_capacity(256),
        csv: options.csv,
    };
    let top = tree.resolve_no_follow(dir)?;
    let metadata = tree.node_metadata(top)?;
    put_row(&mut line, tree, options, dir, top, &metadata)?;
    sink.put(&line.bytes)?;
    let mut is_top = true;
    walk_reachable(tree, dir, |path, node, metadata| {
        if std::mem::take(&mut is_top) {
            return Ok(());
        }
        put_row(&mut line, tree, options, path, node, metadata)?;
        sink.put(&line.bytes)
    })
}

/// Puts the line of one file together.
fn put_row(
    line: &mut Line,
    tree: &Tree,
    options: &ListOptions,
    path: &[u8],
    node: Node,
    metadata: &Metadata,
) -> Result<()> {
    let (fs, inode) = tree.open_node(node);
    line.bytes.clear();
    line.bytes.push(type_letter(metadata.file_type));
    line.field(format_args!("{:04o}", metadata.permissions));
    let width = if options.csv { 0 } else { 10 };
    if options.human_readable {
        line.padded(width, format_args!("{}", human_size(metadata.size)));
    } else {
        line.padded(width, format_args!("{}", metadata.size));
    }
    if options.uids {
        line.padded(4, format_args!("{}", metadata.uid));
        line.padded(4, format_args!("{}", metadata.gid));
    }
    if let Some(style) = &options.times {
        for time in [metadata.accessed, metadata.modified, metadata.changed] {
            line.time(time, style);
        }
    }
    if let Some(devices) = &options.extra_stats {
        let own = devices.get(node.mount.index()).copied().unwrap_or((0, 0));
        line.field(format_args!("{}:{}", own.0, own.1));
        line.field(format_args!("{}", metadata.inode));
        line.field(format_args!("{}", metadata.links));
        line.field(format_args!("{}:{}", metadata.device.0, metadata.device.1));
        line.field(format_args!("{}", metadata.blocks));
    }
    match options.checksum {
        Some(checksum) if metadata.is_file() => {
            let sum = checksum
                .of_file(fs.as_ref(), inode, metadata.size)
                .map_err(|e| e.at_path(path))?;
            line.field(format_args!("{sum}"));
        }
        // an empty field between commas, none between spaces
        Some(_) if options.csv => line.field(format_args!("")),
        _ => {}
    }
    line.name(path, b" ");
    if metadata.is_symlink() {
        let target = fs.read_link(inode).map_err(|e| e.at_path(path))?;
        line.name(&target, b" -> ");
    }
    line.bytes.push(b'\n');
    Ok(())
}

/// A line that is being put together.
struct Line {
    bytes: Vec<u8>,
    csv: bool,
}

impl Line {
    fn field(&mut self, text: std::fmt::Arguments<'_>) {
        self.bytes.push(if self.csv { b',' } else { b' ' });
        // a vector takes everything
        let _ = self.bytes.write_fmt(text);
    }

    /// A field that is filled up on the left.
    fn padded(&mut self, width: usize, text: std::fmt::Arguments<'_>) {
        let start = self.bytes.len() + 1;
        self.field(text);
        let missing = width.saturating_sub(self.bytes.len() - start);
        self.bytes
            .splice(start..start, std::iter::repeat_n(b' ', missing));
    }

    fn time(&mut self, time: Timestamp, style: &TimeStyle) {
        match style {
            TimeStyle::Date(zone) => match jiff::Timestamp::from_second(time.seconds) {
                Ok(instant) => {
                    let local = instant.to_zoned(zone.clone());
                    let (date, clock) = (local.date(), local.time());
                    self.field(format_args!(
                        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                        date.year(),
                        date.month(),
                        date.day(),
                        clock.hour(),
                        clock.minute(),
                        clock.second()
                    ));
                }
                Err(_) => self.field(format_args!("{}", time.seconds)),
            },
            TimeStyle::Seconds => self.padded(10, format_args!("{}", time.seconds)),
            TimeStyle::Relative(now) => {
                let before = now.seconds.saturating_sub(time.seconds);
                self.padded(8, format_args!("{before}"));
            }
            TimeStyle::Days(now) => {
                let before = now.seconds.saturating_sub(time.seconds) / 86_400;
                self.padded(3, format_args!("{before}"));
            }
        }
    }

    fn name(&mut self, name: &[u8], before: &[u8]) {
        if !self.csv {
            self.bytes.extend_from_slice(before);
            self.bytes.extend_from_slice(name);
            return;
        }
        self.bytes.push(b',');
        if !name.iter().any(|b| matches!(b, b' ' | b',' | b'"' | b'\n')) {
            self.bytes.extend_from_slice(name);
            return;
        }
        self.bytes.push(b'"');
        for byte in name {
            if *byte == b'"' {
                self.bytes.push(b'"');
            }
            self.bytes.push(*byte);
        }
        self.bytes.push(b'"');
    }
}

pub(super) fn type_letter(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => b'-',
        FileType::Directory => b'd',
        FileType::Symlink => b'l',
        FileType::CharDevice => b'c',
        FileType::BlockDevice => b'b',
        FileType::Fifo => b'p',
        FileType::Socket => b's',
    }
}

/// As `ls -h` writes sizes: rounded up, one digit below ten.
pub(super) fn human_size(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 1024u64;
    let mut letters = "KMGTPE".chars();
    let mut letter = letters.next().unwrap_or('K');
    while bytes / unit >= 1024 {
        unit = unit.saturating_mul(1024);
        letter = letters.next().unwrap_or('E');
    }
    // Tenths, rounded up.
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    if tenths < 100 {
        format!("{}.{}{letter}", tenths / 10, tenths % 10)
    } else {
        format!("{}{letter}", u128::from(bytes).div_ceil(u128::from(unit)))
    }
}
