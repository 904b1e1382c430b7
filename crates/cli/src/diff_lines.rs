//! What differs between two guests, line by line, as virt-diff prints it.

use crate::failure::{Failure, Outcome};
use crate::output::finish;
use crate::table_text::{csv_field, human_size};
use disksmith_guest::{Attribute, Checksum, Compared, DiffOptions, Difference, FileState, write_text_diff};
use disksmith_vfs::{FileType, Timestamp, Tree};
use jiff::tz::TimeZone;
use std::io::Write;

/// How times are shown.
#[derive(Debug, Clone)]
pub(crate) enum DiffTimes {
    /// Date and time of day in a zone.
    Date(TimeZone),
    /// Seconds since 1970.
    Seconds,
    /// Seconds before a time.
    Relative(Timestamp),
    /// Days before a time.
    Days(Timestamp),
}

/// What a line holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiffLook {
    pub(crate) compared: DiffOptions,
    pub(crate) csv: bool,
    pub(crate) human_readable: bool,
    pub(crate) uids: bool,
    pub(crate) times: Option<DiffTimes>,
    pub(crate) extra_stats: bool,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) xattrs: bool,
}

const SECONDS_OF_DAY: i64 = 86_400;

impl DiffLook {
    /// Prints every difference; gives whether there was any, and names files too large to be compared line by line on standard error.
    pub(crate) fn print(&self, program: &str, compared: &Compared<'_>, out: &mut dyn Write) -> Outcome<bool> {
        let (old_tree, new_tree) = (compared.old_tree(), compared.new_tree());
        let mut any = false;
        compared.for_each::<Failure>(|difference| {
            any = true;
            let mut text = Vec::new();
            match difference {
                Difference::Removed(old) => self.record(b'-', old_tree, old, &mut text)?,
                Difference::Added(new) => self.record(b'+', new_tree, new, &mut text)?,
                Difference::Changed {
                    old,
                    new,
                    contents: true,
                    ..
                } => {
                    self.record(b'=', old_tree, old, &mut text)?;
                    if !self.csv {
                        if !write_text_diff(compared, old, new, &mut text)? {
                            let path = String::from_utf8_lossy(&old.path);
                            eprintln!("{program}: warning: {path} is too large to be compared line by line");
                        }
                        text.extend_from_slice(b"@@ End of diff @@\n");
                    }
                }
                Difference::Changed {
                    old, new, attributes, ..
                } => {
                    self.record(b'-', old_tree, old, &mut text)?;
                    self.record(b'+', new_tree, new, &mut text)?;
                    text.extend_from_slice(if self.csv { b"#,changed:" } else { b"# changed:" });
                    // The length or the times of a link tell of it, but not always.
                    let is_told = |a: &Attribute| *a == Attribute::Target && attributes.len() > 1;
                    for attribute in attributes.iter().filter(|a| !is_told(a)) {
                        text.push(self.separator());
                        text.extend_from_slice(attribute.stat_name().as_bytes());
                    }
                    text.push(b'\n');
                }
            }
            finish(out.write_all(&text))
        })?;
        finish(out.flush())?;
        Ok(any)
    }

    fn separator(&self) -> u8 {
        if self.csv { b',' } else { b' ' }
    }

    /// A line for a file.
    fn record(&self, mark: u8, tree: &Tree, file: &FileState, text: &mut Vec<u8>) -> Outcome<()> {
        let stat = file.counted(self.compared);
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let padded = |value: String, width: usize| match self.csv {
            true => value.into_bytes(),
            false => format!("{value:>width$}").into_bytes(),
        };
        fields.push(vec![mark]);
        fields.push(vec![type_letter(stat.file_type)]);
        fields.push(format!("{:04o}", stat.permissions).into_bytes());
        let size = match self.human_readable {
            true => human_size(stat.size),
            false => stat.size.to_string(),
        };
        fields.push(padded(size, 10));
        if self.uids {
            fields.push(padded(stat.uid.to_string(), 4));
            fields.push(padded(stat.gid.to_string(), 4));
        }
        if let Some(style) = &self.times {
            let accessed = self.compared.access_times.then_some(stat.accessed);
            for time in accessed.into_iter().chain([stat.modified, stat.changed]) {
                fields.push(style.text(time.seconds).into_bytes());
            }
        }
        if self.extra_stats {
            let (major, minor) = file.device;
            fields.push(format!("{major}:{minor}").into_bytes());
            fields.push(stat.inode.to_string().into_bytes());
            fields.push(stat.links.to_string().into_bytes());
            fields.push(format!("{}:{}", stat.device.0, stat.device.1).into_bytes());
            fields.push(stat.blocks.to_string().into_bytes());
        }
        if let Some(checksum) = self.checksum.filter(|_| stat.is_file()) {
            let (fs, inode) = tree.open_node(file.node);
            let sum = checksum
                .of_file(&**fs, inode, stat.size)
                .map_err(|error| error.at_path(&file.path))?;
            fields.push(sum.into_bytes());
        }
        fields.push(self.name(&file.path));
        text.extend_from_slice(&fields.join(&self.separator()));
        if let Some(target) = &file.target {
            text.extend_from_slice(if self.csv { b"," } else { b" -> " });
            text.extend_from_slice(&self.name(target));
        }
        for (name, value) in file.xattrs.iter().filter(|_| self.xattrs) {
            text.push(self.separator());
            text.extend_from_slice(&self.name(name));
            text.push(self.separator());
            text.extend_from_slice(&self.name(&printable(value)));
        }
        text.push(b'\n');
        Ok(())
    }

    fn name(&self, name: &[u8]) -> Vec<u8> {
        match self.csv {
            true => csv_field(name),
            false => name.to_vec(),
        }
    }
}

impl DiffTimes {
    fn text(&self, seconds: i64) -> String {
        match self {
            Self::Date(zone) => match jiff::Timestamp::from_second(seconds) {
                Ok(time) => time
                    .to_zoned(zone.clone())
                    .strftime("%Y-%m-%d %H:%M:%S")
                    .to_string(),
                Err(_) => seconds.to_string(),
            },
            Self::Seconds => format!("{seconds:>10}"),
            Self::Relative(now) => format!("{:>8}", now.seconds.saturating_sub(seconds)),
            Self::Days(now) => format!("{:>3}", now.seconds.saturating_sub(seconds) / SECONDS_OF_DAY),
        }
    }
}

/// Bytes that are no printable ASCII as `\x00`.
fn printable(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b' '..=b'~' => out.push(*byte),
            other => out.extend_from_slice(format!("\\x{other:02x}").as_bytes()),
        }
    }
    out
}

fn type_letter(file_type: FileType) -> u8 {
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
