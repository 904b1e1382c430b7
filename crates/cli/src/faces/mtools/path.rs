//! Names on drives: `x:dir/name`, with patterns.

use super::Stop;
use super::session::{Session, Volume};
use disksmith_fat::EntryDetails;
use disksmith_vfs::{Error, FileSystem, InodeNo};

/// A name on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DosPath {
    /// As it was given.
    pub(super) text: String,
    pub(super) drive: char,
    /// The parts of the path, `.` and `..` taken out.
    pub(super) parts: Vec<String>,
    /// Whether it ends with a slash.
    pub(super) slash: bool,
}

impl DosPath {
    /// Reads `x:path` or `::path`; `None` for a name of the host.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut characters = text.chars();
        let drive = characters.next()?;
        if characters.next()? != ':' || !(drive == ':' || drive.is_ascii_alphabetic()) {
            return None;
        }
        let path = characters.as_str();
        let mut parts: Vec<String> = Vec::new();
        for part in path.split(['/', '\\']) {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part.to_owned()),
            }
        }
        Some(Self {
            text: text.to_owned(),
            drive: drive.to_ascii_uppercase(),
            parts,
            slash: path.ends_with(['/', '\\']) || path.ends_with("/.") || path == ".",
        })
    }

    /// As [`parse`](Self::parse), where only names on drives make sense: without a drive it is drive A.
    pub(super) fn on_drive(text: &str) -> Self {
        Self::parse(text)
            .or_else(|| {
                let mut path = Self::parse(&format!("A:{text}"))?;
                path.text = text.to_owned();
                Some(path)
            })
            .unwrap_or(Self {
                text: text.to_owned(),
                drive: 'A',
                parts: Vec::new(),
                slash: false,
            })
    }

    /// What is said where nothing has this name.
    pub(super) fn not_found(&self, session: &Session) -> String {
        format!("{}: File \"{}\" not found", session.name, self.text)
    }
}

/// A file or directory on a drive.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) inode: InodeNo,
    /// The directory that holds it.
    pub(super) dir: InodeNo,
    /// Its entry; the root has none.
    pub(super) entry: Option<EntryDetails>,
    /// The path as it is shown, without a slash at its end unless it is the root.
    pub(super) path: String,
}

impl Found {
    pub(super) fn root(volume: &Volume) -> Self {
        Self {
            inode: volume.fat.root(),
            dir: volume.fat.root(),
            entry: None,
            path: format!("{}:/", volume.letter),
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.entry.as_ref().is_none_or(EntryDetails::is_dir)
    }

    /// Its name; empty for the root.
    pub(super) fn name(&self) -> &[u8] {
        self.entry.as_ref().map_or(&[], |entry| entry.name.as_slice())
    }

    /// How many levels it is below the root.
    pub(super) fn depth(&self) -> usize {
        self.path.bytes().filter(|byte| *byte == b'/').count()
    }

    /// An entry of this directory.
    pub(super) fn child(&self, entry: EntryDetails) -> Self {
        let name = String::from_utf8_lossy(&entry.name);
        let path = match self.entry {
            None => format!("{}{name}", self.path),
            Some(_) => format!("{}/{name}", self.path),
        };
        Self {
            inode: entry.inode,
            dir: self.inode,
            entry: Some(entry),
            path,
        }
    }

    /// All that a directory holds.
    pub(super) fn children(&self, volume: &Volume) -> Result<Vec<Self>, Stop> {
        volume.visit(self.depth())?;
        let entries = volume.fat.details(self.inode).map_err(Stop::failed)?;
        Ok(entries.into_iter().map(|entry| self.child(entry)).collect())
    }
}

/// Whether a part is a pattern.
pub(super) fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Whether a pattern describes an entry's long or short name, whatever the case.
pub(super) fn describes(pattern: &str, entry: &EntryDetails) -> bool {
    matches(pattern, &String::from_utf8_lossy(&entry.name)) || matches(pattern, &entry.short_name())
}

/// Whether a pattern describes a name: `*` any characters, `?` one, `[…]` one of some.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let fold = |text: &str| -> Vec<char> { text.chars().flat_map(char::to_uppercase).collect() };
    let (pattern, name) = (fold(pattern), fold(name));
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => bracket(pattern.get(p + 1..).unwrap_or_default(), name.get(n)),
            Some('\\') if pattern.get(p + 1) == name.get(n) => Some(2),
            Some(c) if name.get(n) == Some(c) => Some(1),
            _ => None,
        };
        match (step, &mut star) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((after, from))) => {
                *from += 1;
                p = *after;
                n = *from;
            }
            (None, None) => return false,
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// How long a bracket is, where it describes a character.
fn bracket(pattern: &[char], character: Option<&char>) -> Option<usize> {
    let character = *character?;
    let negated = matches!(pattern.first(), Some('^' | '!'));
    let start = usize::from(negated);
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let inner = pattern.get(start..end)?;
    let mut hit = false;
    let mut at = 0;
    while let Some(first) = inner.get(at) {
        match (inner.get(at + 1), inner.get(at + 2)) {
            (Some('-'), Some(last)) => {
                hit |= (*first..=*last).contains(&character);
                at += 3;
            }
            _ => {
                hit |= *first == character;
                at += 1;
            }
        }
    }
    (hit != negated).then_some(end + 2)
}

/// Everything that a path describes; nothing where there is nothing.
pub(super) fn expand(volume: &Volume, parts: &[String]) -> Result<Vec<Found>, Stop> {
    let mut found = vec![Found::root(volume)];
    for part in parts {
        let mut next = Vec::new();
        for dir in found.iter().filter(|found| found.is_dir()) {
            if is_pattern(part) {
                let children = dir.children(volume)?;
                next.extend(
                    children
                        .into_iter()
                        .filter(|child| child.entry.as_ref().is_some_and(|entry| describes(part, entry))),
                );
            } else {
                match volume.fat.entry_details(dir.inode, part.as_bytes()) {
                    Ok(entry) => next.push(dir.child(entry)),
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(Stop::failed(error)),
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// The one thing that a path without patterns names.
pub(super) fn lookup(volume: &Volume, parts: &[String]) -> Result<Option<Found>, Stop> {
    Ok(expand(volume, parts)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_describe_names() {
        for (pattern, name, is) in [
            ("*", "a.b", true),
            ("*.txt", "README.TXT", true),
            ("u*-d?ta", "user-data", true),
            ("[a-c]x", "Bx", true),
            ("[^a-c]x", "Bx", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_read() {
        let path = DosPath::parse("x:a/./b\\..//c/").unwrap();
        assert_eq!(
            (path.drive, path.parts, path.slash),
            ('X', vec!["a".into(), "c".into()], true)
        );
        assert!(DosPath::parse("host/file").is_none() && DosPath::parse("").is_none());
        assert_eq!(DosPath::parse("::").unwrap().parts.len(), 0);
    }
}
