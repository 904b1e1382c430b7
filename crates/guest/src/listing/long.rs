//! A directory as `ls -la` shows it.

use super::ListSink;
use super::record::type_letter;
use crate::error::Result;
use crate::files::{parse_group, parse_passwd};
use disksmith_vfs::{FileType, Metadata, Node, Timestamp, Tree};
use jiff::tz::TimeZone;
use std::collections::HashMap;

/// How a directory is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongOptions {
    /// Times up to half a year before this one are shown with the time of day, others with the year.
    pub now: Timestamp,
    /// The time zone of what is shown.
    pub zone: TimeZone,
    /// Whether owners are shown by the names that they have in the guest; otherwise by number.
    pub guest_names: bool,
}

/// Half a year, as `ls` counts it, in seconds.
const HALF_A_YEAR: i64 = 31_556_952 / 2;

struct Row {
    name: Vec<u8>,
    metadata: Metadata,
    target: Option<Vec<u8>>,
    /// What stands behind the mode: nothing, `.` for a label, `+` for an access control list.
    mark: u8,
}

/// One line for each file of a directory, with `.` and `..`, behind a line with the sum of their blocks. Anything but a directory has
/// one line.
///
/// # Errors
/// Those of reading and of writing.
pub fn list_long(
    tree: &Tree,
    dir: impl AsRef<[u8]>,
    options: &LongOptions,
    sink: &mut ListSink<'_>,
) -> Result<()> {
    let dir = dir.as_ref();
    let mut rows = Vec::new();
    let mut add = |name: Vec<u8>, node: Node| -> Result<()> {
        let metadata = tree.node_metadata(node)?;
        let (fs, inode) = tree.open_node(node);
        let target = match metadata.file_type {
            FileType::Symlink => Some(fs.read_link(inode)?),
            _ => None,
        };
        let attributes = fs.list_xattrs(inode)?;
        let has = |name: &[u8]| attributes.iter().any(|a| a == name);
        let mark = if has(b"system.posix_acl_access") || has(b"system.posix_acl_default") {
            b'+'
        } else if has(b"security.selinux") {
            b'.'
        } else {
            b' '
        };
        rows.push(Row {
            name,
            metadata,
            target,
            mark,
        });
        Ok(())
    };
    if !tree.metadata(dir)?.is_dir() {
        add(dir.to_vec(), tree.resolve_no_follow(dir)?)?;
        let names = Names::of(tree, options.guest_names);
        let widths = Widths::of(&rows, &names);
        return rows
            .iter()
            .try_for_each(|row| sink.put(&widths.line(row, &names, options)));
    }
    let entries = tree.read_dir(dir)?;
    add(b".".to_vec(), tree.resolve(dir)?)?;
    add(b"..".to_vec(), tree.resolve([dir, b"/.."].concat())?)?;
    for entry in entries {
        let path = crate::editor::join(dir, &entry.name);
        add(entry.name, tree.resolve_no_follow(&path)?)?;
    }
    // in the byte order of names, among which the two dots have their places
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let names = Names::of(tree, options.guest_names);
    let blocks: u64 = rows.iter().map(|row| row.metadata.blocks).sum();
    sink.put(format!("total {}\n", blocks.div_ceil(2)).as_bytes())?;
    let widths = Widths::of(&rows, &names);
    for row in &rows {
        sink.put(&widths.line(row, &names, options))?;
    }
    Ok(())
}

/// Names of users and groups.
struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    fn of(tree: &Tree, guest_names: bool) -> Self {
        if !guest_names {
            return Self {
                users: HashMap::new(),
                groups: HashMap::new(),
            };
        }
        let users = tree.read("/etc/passwd").unwrap_or_default();
        let groups = tree.read("/etc/group").unwrap_or_default();
        // the first of several names counts
        let users = parse_passwd(&users).into_iter().rev().map(|u| (u.uid, u.name));
        let groups = parse_group(&groups).into_iter().rev().map(|g| (g.gid, g.name));
        Self {
            users: users.collect(),
            groups: groups.collect(),
        }
    }

    fn user_width(&self, id: u32) -> usize {
        self.users
            .get(&id)
            .map_or_else(|| digits(id), |name| name.chars().count())
    }

    fn group_width(&self, id: u32) -> usize {
        self.groups
            .get(&id)
            .map_or_else(|| digits(id), |name| name.chars().count())
    }
}

/// A name, or on the right of the column a number.
fn owner(names: &HashMap<u32, String>, id: u32, width: usize) -> String {
    match names.get(&id) {
        Some(name) => format!("{name:<width$}"),
        None => format!("{id:>width$}"),
    }
}

/// Widths of the columns.
struct Widths {
    marks: bool,
    links: usize,
    user: usize,
    group: usize,
    size: usize,
    major: usize,
    minor: usize,
}

fn is_device(metadata: &Metadata) -> bool {
    matches!(metadata.file_type, FileType::CharDevice | FileType::BlockDevice)
}

fn digits(number: impl ToString) -> usize {
    number.to_string().len()
}

impl Widths {
    fn of(rows: &[Row], names: &Names) -> Self {
        let most = |width: &dyn Fn(&Row) -> usize| rows.iter().map(width).max().unwrap_or(0);
        let device = |row: &Row, number: u32| {
            if is_device(&row.metadata) {
                digits(number)
            } else {
                0
            }
        };
        let major = most(&|row| device(row, row.metadata.device.0));
        let minor = most(&|row| device(row, row.metadata.device.1));
        let sizes = most(&|row| {
            if is_device(&row.metadata) {
                0
            } else {
                digits(row.metadata.size)
            }
        });
        let devices = if major > 0 { major + 2 + minor } else { 0 };
        Self {
            marks: rows.iter().any(|row| row.mark != b' '),
            links: most(&|row| digits(row.metadata.links)),
            user: most(&|row| names.user_width(row.metadata.uid)),
            group: most(&|row| names.group_width(row.metadata.gid)),
            size: sizes.max(devices),
            major,
            minor,
        }
    }

    fn line(&self, row: &Row, names: &Names, options: &LongOptions) -> Vec<u8> {
        let metadata = &row.metadata;
        let size = if is_device(metadata) {
            let (major, minor) = metadata.device;
            let more = self.size.saturating_sub(self.major + 2 + self.minor);
            format!("{major:>0$}, {minor:>1$}", self.major + more, self.minor)
        } else {
            format!("{:>1$}", metadata.size, self.size)
        };
        let mark = if self.marks {
            char::from(row.mark).to_string()
        } else {
            String::new()
        };
        let links = self.links;
        let line = format!(
            "{}{mark} {:>links$} {} {} {size} {} ",
            mode_text(metadata),
            metadata.links,
            owner(&names.users, metadata.uid, self.user),
            owner(&names.groups, metadata.gid, self.group),
            when(metadata.modified, options),
        );
        let mut line = line.into_bytes();
        line.extend_from_slice(&row.name);
        if let Some(target) = &row.target {
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(target);
        }
        line.push(b'\n');
        line
    }
}

/// `drwxr-sr-t`.
fn mode_text(metadata: &Metadata) -> String {
    let mode = metadata.permissions;
    let mut text = String::from(char::from(type_letter(metadata.file_type)));
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// `Nov 21 03:10`, or `Feb 20  2020` where that is long ago or to come.
fn when(time: Timestamp, options: &LongOptions) -> String {
    let Ok(instant) = jiff::Timestamp::from_second(time.seconds) else {
        return time.seconds.to_string();
    };
    let now = (options.now.seconds, options.now.nanoseconds);
    let recent = time.seconds > now.0.saturating_sub(HALF_A_YEAR) && (time.seconds, time.nanoseconds) <= now;
    let local = instant.to_zoned(options.zone.clone());
    let format = if recent { "%b %e %H:%M" } else { "%b %e  %Y" };
    local.strftime(format).to_string()
}
