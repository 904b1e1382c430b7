//! The log of a guest: its journal as lines of text, or the file that syslog writes.

use crate::error::{Error, Result};
use disksmith_journal::{Journal, JournalFile, JournalSource};
use disksmith_vfs::{Error as FileError, FileSystemRef, FileType, InodeNo, Tree};
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// Where systemd keeps its journal.
const JOURNAL: &str = "/var/log/journal";

/// Files of syslog daemons: the first that there is counts.
const SYSLOGS: &[&str] = &["/var/log/syslog", "/var/log/messages"];

/// The most journal files that are read together.
const MAX_FILES: usize = 4096;

/// Fields that a line shows.
const FIELDS: &[&[u8]] = &[b"SYSLOG_IDENTIFIER", b"_COMM", b"_PID", b"PRIORITY", b"MESSAGE"];

/// Names of syslog's priorities (RFC 5424, 6.2.1).
const PRIORITIES: &[&str] = &[
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// The priority of what has none.
const INFO: usize = 6;

/// Where a log was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The journal, with so many structures that were damaged and left out.
    Journal {
        /// How many.
        damaged: u64,
        /// Files that are no journal files, and why.
        refused: Vec<String>,
    },
    /// A file.
    File(String),
    /// Nowhere.
    None,
}

/// Writes the log of a guest, the oldest line first: of each entry of the journal time, program, process, priority and message. Times are
/// shown in `zone`.
///
/// # Errors
/// Those of reading and of writing.
pub fn print_log(tree: &Tree, zone: &TimeZone, out: &mut dyn Write, out_name: &str) -> Result<LogSource> {
    let mut refused = Vec::new();
    let files = journal_files(tree, &mut refused)?;
    if files.is_empty() && refused.is_empty() {
        for path in SYSLOGS {
            if tree.is_file(path) {
                tree.copy_to(path, out, out_name)?;
                return Ok(LogSource::File((*path).to_owned()));
            }
        }
        return Ok(LogSource::None);
    }
    let fail = |error: disksmith_journal::Error| Error::guest_path(JOURNAL.as_bytes(), error.to_string());
    let mut journal = Journal::new(files).map_err(fail)?;
    let mut line = Vec::new();
    while let Some((entry, fields)) = journal.next_with(FIELDS).map_err(fail)? {
        line.clear();
        put_line(&mut line, entry.realtime, zone, &fields);
        out.write_all(&line).map_err(|source| {
            Error::Files(disksmith_storage::Error::io(out_name, "write", None, source).into())
        })?;
    }
    Ok(LogSource::Journal {
        damaged: journal.damaged(),
        refused,
    })
}

/// `Nov 21 03:15:18 sshd[42] info: message`.
fn put_line(line: &mut Vec<u8>, realtime: u64, zone: &TimeZone, fields: &[Option<Vec<u8>>]) {
    let [identifier, command, pid, priority, message] = fields else {
        return;
    };
    let seconds = i64::try_from(realtime / 1_000_000).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => {
            let local = time.to_zoned(zone.clone());
            line.extend_from_slice(local.strftime("%b %d %H:%M:%S").to_string().as_bytes());
        }
        Err(_) => line.extend_from_slice(seconds.to_string().as_bytes()),
    }
    if let Some(name) = identifier.as_ref().or(command.as_ref()) {
        line.push(b' ');
        line.extend_from_slice(name);
    }
    if let Some(pid) = pid {
        line.push(b'[');
        line.extend_from_slice(pid);
        line.push(b']');
    }
    let priority = match priority.as_deref() {
        Some([digit @ b'0'..=b'7']) => usize::from(digit - b'0'),
        _ => INFO,
    };
    line.push(b' ');
    line.extend_from_slice(PRIORITIES.get(priority).copied().unwrap_or_default().as_bytes());
    line.push(b':');
    if let Some(message) = message {
        line.push(b' ');
        line.extend_from_slice(message);
    }
    line.push(b'\n');
}

/// The journal files of a guest. What is none, or is damaged from its first bytes on, is named in `refused`.
fn journal_files(tree: &Tree, refused: &mut Vec<String>) -> Result<Vec<JournalFile<TreeFile>>> {
    let mut paths = Vec::new();
    for entry in absent_is_empty(tree.read_dir(JOURNAL))? {
        let path = [JOURNAL.as_bytes(), b"/", &entry.name].concat();
        if is_journal(&entry.name) {
            paths.push(path);
        } else if is_machine(&entry.name) && tree.is_dir(&path) {
            for inner in absent_is_empty(tree.read_dir(&path))? {
                if is_journal(&inner.name) {
                    paths.push([&path, &b"/"[..], &inner.name].concat());
                }
            }
        }
    }
    let mut files = Vec::new();
    for path in paths.into_iter().take(MAX_FILES) {
        let node = tree.resolve_no_follow(&path)?;
        let metadata = tree.node_metadata(node)?;
        if metadata.file_type != FileType::Regular {
            continue;
        }
        let (fs, inode) = tree.open_node(node);
        let source = TreeFile {
            fs: fs.clone(),
            inode,
            size: metadata.size,
        };
        match JournalFile::open(source) {
            Ok(file) => files.push(file),
            Err(error) => refused.push(format!("{}: {error}", String::from_utf8_lossy(&path))),
        }
    }
    Ok(files)
}

fn absent_is_empty<T>(found: disksmith_vfs::Result<Vec<T>>) -> Result<Vec<T>> {
    match found {
        Err(FileError::NotFound { .. } | FileError::NotADirectory { .. }) => Ok(Vec::new()),
        other => Ok(other?),
    }
}

/// `system.journal`, and `….journal~` of one that was not closed.
fn is_journal(name: &[u8]) -> bool {
    name.ends_with(b".journal") || name.ends_with(b".journal~")
}

/// A machine's directory: its identifier, and perhaps `.namespace`.
fn is_machine(name: &[u8]) -> bool {
    let id = name.split(|b| *b == b'.').next().unwrap_or_default();
    id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit)
}

/// A file of the guest as the source of a journal.
#[derive(Debug)]
struct TreeFile {
    fs: FileSystemRef,
    inode: InodeNo,
    size: u64,
}

impl JournalSource for TreeFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.fs.read(self.inode, offset, buf).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_show_what_there_is() {
        let text = |fields: [Option<&str>; 5]| {
            let fields: Vec<_> = fields.iter().map(|f| f.map(|f| f.as_bytes().to_vec())).collect();
            let mut line = Vec::new();
            put_line(&mut line, 1_795_230_918_873_529, &TimeZone::UTC, &fields);
            String::from_utf8(line).unwrap()
        };
        let all = text([Some("sshd"), Some("comm"), Some("7"), Some("3"), Some("m")]);
        assert_eq!(all, "Nov 21 03:15:18 sshd[7] err: m\n");
        assert_eq!(
            text([None, Some("comm"), None, Some("9"), None]),
            "Nov 21 03:15:18 comm info:\n"
        );
        assert_eq!(text([None; 5]), "Nov 21 03:15:18 info:\n");
    }
}
