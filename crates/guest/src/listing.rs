//! Lists files as virt-ls does.

use crate::error::Result;
use crate::files::{parse_group, parse_passwd, text};
use disksmith_vfs::{Error as FileError, FileType, Metadata, Node, Timestamp, Tree, WalkStep};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// What a recursive listing shows besides type, mode, size and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// User and group id.
    pub uids: bool,
    /// Times of last access, modification and change, in seconds since 1970.
    pub times: bool,
    /// Sizes with a unit: 1.5K.
    pub human_readable: bool,
    /// Fields between commas, quoted where needed.
    pub csv: bool,
}

/// The names in a directory, sorted, as plain `ls` gives them; dot files too, as virt-ls does.
pub fn list_names(tree: &Tree, dir: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
    Ok(tree.read_dir(dir)?.into_iter().map(|entry| entry.name).collect())
}

/// The paths of everything below a directory, relative to it, sorted (`ls -R`).
pub fn list_paths(tree: &Tree, dir: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
    let dir = dir.as_ref();
    let mut paths = Vec::new();
    walk_reachable(tree, dir, |path, _, _| {
        let relative = path.strip_prefix(dir).unwrap_or(path);
        let relative = relative.strip_prefix(b"/").unwrap_or(relative);
        if !relative.is_empty() {
            paths.push(relative.to_vec());
        }
        Ok(())
    })?;
    Ok(paths)
}

/// One line for each file of a directory, as `ls -la` (`ls -l`); owners by their names in the guest. Times are shown in UTC.
pub fn list_long(tree: &Tree, dir: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
    let dir = dir.as_ref();
    let users: BTreeMap<u32, String> = tree
        .read("/etc/passwd")
        .map(|t| {
            parse_passwd(&t)
                .into_iter()
                .rev()
                .map(|u| (u.uid, u.name))
                .collect()
        })
        .unwrap_or_default();
    let groups: BTreeMap<u32, String> = tree
        .read("/etc/group")
        .map(|t| {
            parse_group(&t)
                .into_iter()
                .rev()
                .map(|g| (g.gid, g.name))
                .collect()
        })
        .unwrap_or_default();
    let name_of =
        |names: &BTreeMap<u32, String>, id: u32| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
    let own = tree.metadata(dir)?;
    let above = tree.metadata([dir, b"/.."].concat())?;
    let mut rows = vec![(b".".to_vec(), own, None), (b"..".to_vec(), above, None)];
    for entry in tree.read_dir(dir)? {
        let path = crate::editor::join(dir, &entry.name);
        let metadata = tree.symlink_metadata(&path)?;
        let target = if metadata.is_symlink() {
            Some(tree.read_link(&path)?)
        } else {
            None
        };
        rows.push((entry.name, metadata, target));
    }
    let total: u64 = rows.iter().map(|(_, m, _)| m.blocks / 2).sum();
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|(_, m, _)| {
            let size = match m.file_type {
                FileType::CharDevice | FileType::BlockDevice => format!("{}, {}", m.device.0, m.device.1),
                _ => m.size.to_string(),
            };
            [
                m.links.to_string(),
                name_of(&users, m.uid),
                name_of(&groups, m.gid),
                size,
                date(m.modified),
            ]
        })
        .collect();
    let width = |column: usize| {
        cells
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let (links_width, user_width, group_width, size_width) = (width(0), width(1), width(2), width(3));
    let mut lines = vec![format!("total {total}").into_bytes()];
    for ((name, metadata, target), [links, user, group, size, date]) in rows.iter().zip(&cells) {
        let mut line = format!(
            "{} {links:>links_width$} {user:<user_width$} {group:<group_width$} {size:>size_width$} {date} ",
            mode_text(metadata)
        )
        .into_bytes();
        line.extend_from_slice(name);
        if let Some(target) = target {
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(target);
        }
        lines.push(line);
    }
    Ok(lines)
}

/// One line for each file at and below a directory in virt-ls's own format (`ls -lR`): type, mode, size, what the options ask for, and the
/// path.
pub fn list_recursive(tree: &Tree, dir: impl AsRef<[u8]>, options: ListOptions) -> Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    walk_reachable(tree, dir.as_ref(), |path, node, metadata| {
        let mut fields = vec![
            type_letter(metadata.file_type).to_string(),
            format!("{:04o}", metadata.permissions),
        ];
        let size = if options.human_readable {
            human_size(metadata.size)
        } else {
            metadata.size.to_string()
        };
        fields.push(if options.csv { size } else { format!("{size:>10}") });
        if options.uids {
            fields.push(metadata.uid.to_string());
            fields.push(metadata.gid.to_string());
        }
        if options.times {
            for time in [metadata.accessed, metadata.modified, metadata.changed] {
                fields.push(time.seconds.to_string());
            }
        }
        let target = match metadata.file_type {
            FileType::Symlink => {
                let (fs, inode) = tree.open_node(node);
                Some(fs.read_link(inode).map_err(|e| e.at_path(path))?)
            }
            _ => None,
        };
        let mut line = fields.join(if options.csv { "," } else { " " }).into_bytes();
        line.push(if options.csv { b',' } else { b' ' });
        line.extend_from_slice(&if options.csv {
            csv_field(path)
        } else {
            path.to_vec()
        });
        if let Some(target) = target {
            line.extend_from_slice(if options.csv { b"," } else { b" -> " });
            line.extend_from_slice(&if options.csv { csv_field(&target) } else { target });
        }
        lines.push(line);
        Ok(())
    })?;
    Ok(lines)
}

/// Walks, and goes round the filesystems that could not be opened.
fn walk_reachable(
    tree: &Tree,
    dir: &[u8],
    mut visit: impl FnMut(&[u8], Node, &Metadata) -> Result<()>,
) -> Result<()> {
    if !tree.metadata(dir)?.is_dir() {
        return Err(FileError::NotADirectory { path: text(dir) }.into());
    }
    tree.walk(dir, |entry| {
        visit(&entry.path, entry.node, &entry.metadata)?;
        let (fs, _) = tree.open_node(entry.node);
        Ok::<_, crate::Error>(if fs.kind() == crate::inspect::UNREACHABLE {
            WalkStep::Skip
        } else {
            WalkStep::Continue
        })
    })
}

fn type_letter(file_type: FileType) -> char {
    match file_type {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    }
}

/// `drwxr-sr-t`.
fn mode_text(metadata: &Metadata) -> String {
    let mode = metadata.permissions;
    let mut text = String::from(type_letter(metadata.file_type));
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

fn date(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.seconds) {
        Ok(time) => time
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%d %H:%M")
            .to_string(),
        Err(_) => time.seconds.to_string(),
    }
}

/// As `ls -h` writes sizes: rounded up, one digit below ten.
fn human_size(bytes: u64) -> String {
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

fn csv_field(field: &[u8]) -> Vec<u8> {
    if !field.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        return field.to_vec();
    }
    let mut out = vec![b'"'];
    for byte in field {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_vfs::{MemoryFs, Owner};
    use std::sync::Arc;

    fn tree() -> Tree {
        let clock = Timestamp {
            seconds: 1_750_000_000,
            nanoseconds: 0,
        };
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        tree.create_dir_all("/etc/d", Owner::ROOT, 0o1777).unwrap();
        tree.write(
            "/etc/passwd",
            b"root:x:0:0:::\nalice:x:1000:1000:::\n",
            Owner::ROOT,
            0o644,
        )
        .unwrap();
        tree.write("/etc/group", b"root:x:0:\n", Owner::ROOT, 0o644)
            .unwrap();
        tree.write("/etc/d/a,b", &[0; 1536], Owner { uid: 1000, gid: 7 }, 0o4750)
            .unwrap();
        tree.symlink("a,b", "/etc/d/link", Owner::ROOT).unwrap();
        tree
    }

    fn texts(lines: Vec<Vec<u8>>) -> Vec<String> {
        lines.into_iter().map(|l| String::from_utf8(l).unwrap()).collect()
    }

    #[test]
    fn the_formats_are_those_of_virt_ls() {
        let tree = tree();
        assert_eq!(
            texts(list_names(&tree, "/etc").unwrap()),
            ["d", "group", "passwd"]
        );
        assert_eq!(
            texts(list_paths(&tree, "/etc").unwrap()),
            ["d", "d/a,b", "d/link", "group", "passwd"]
        );
        let lines = texts(list_recursive(&tree, "/etc/d", ListOptions::default()).unwrap());
        assert_eq!(lines[1], "- 4750       1536 /etc/d/a,b");
        assert_eq!(lines[2], "l 0777          3 /etc/d/link -> a,b");
        assert!(lines[0].starts_with("d 1777 "));
        let all = ListOptions {
            uids: true,
            times: true,
            human_readable: true,
            csv: true,
        };
        let lines = texts(list_recursive(&tree, "/etc/d", all).unwrap());
        assert_eq!(
            lines[1],
            "-,4750,1.5K,1000,7,1750000000,1750000000,1750000000,\"/etc/d/a,b\""
        );
        let lines = texts(list_long(&tree, "/etc/d").unwrap());
        assert!(lines[0].starts_with("total "));
        assert_eq!(lines[3], "-rwsr-x--- 1 alice 7    1536 2025-06-15 15:06 a,b");
        assert_eq!(
            lines[4],
            "lrwxrwxrwx 1 root  root    3 2025-06-15 15:06 link -> a,b"
        );
        assert!(lines[1].starts_with("drwxrwxrwt 2 root  root"));
        assert!(list_recursive(&tree, "/etc/passwd", all).is_err());
    }

    #[test]
    fn sizes_are_rounded_as_ls_does() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10_240, "10K"),
            (10_241, "11K"),
            (1_048_575, "1024K"),
            (1_048_576, "1.0M"),
            (5_000_000_000, "4.7G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human_size(bytes), text, "{bytes}");
        }
    }
}
