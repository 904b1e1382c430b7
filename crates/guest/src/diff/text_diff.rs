//! How the text of two files differs, as `diff -u` shows it.

use super::line_match::match_lines;
use super::{Compared, FileState};
use crate::error::{Error, Result};
use disksmith_vfs::Tree;
use std::io::Write;

/// Lines shown before and after each change.
const CONTEXT: usize = 3;
/// The largest file that is compared line by line, in bytes, and the most lines.
const MAX_TEXT: u64 = 12 << 20;
const MAX_LINES: usize = 400_000;
/// A zero byte in so many bytes at the start makes a file a binary one.
const TEXT_PROBE: usize = 4096;

/// Writes how two regular files differ, line by line, without the two lines that name them. Nothing is written for binary files, and for
/// ones that are too large to compare by lines; `false` is given for the latter.
///
/// # Errors
/// Those of reading and of writing.
pub fn write_text_diff(
    compared: &Compared<'_>,
    old: &FileState,
    new: &FileState,
    out: &mut dyn Write,
) -> Result<bool> {
    if old.metadata.size.max(new.metadata.size) > MAX_TEXT {
        return Ok(false);
    }
    let old = contents(compared.old_tree(), old)?;
    let new = contents(compared.new_tree(), new)?;
    let is_binary = |text: &[u8]| text.iter().take(TEXT_PROBE).any(|b| *b == 0);
    if old == new || is_binary(&old) || is_binary(&new) {
        return Ok(true);
    }
    let (old, new) = (lines(&old), lines(&new));
    if old.len().max(new.len()) > MAX_LINES {
        return Ok(false);
    }
    write_hunks(&old, &new, out).map_err(|source| Error::host("write", "the differences", source))?;
    Ok(true)
}

fn contents(tree: &Tree, file: &FileState) -> Result<Vec<u8>> {
    let (fs, inode) = tree.open_node(file.node);
    // Its size is below the limit.
    let mut bytes = vec![0; usize::try_from(file.metadata.size).unwrap_or(0)];
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match fs
            .read(inode, at as u64, rest)
            .map_err(|e| e.at_path(&file.path))?
        {
            0 => break,
            read => at += read,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// Lines with their ends, of which the last may have none.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

/// A change: these lines of the one text in place of those of the other.
#[derive(Debug, Clone, Copy)]
struct Change {
    old: (usize, usize),
    new: (usize, usize),
}

fn write_hunks(old: &[&[u8]], new: &[&[u8]], out: &mut dyn Write) -> std::io::Result<()> {
    let changes = changes(old, new);
    let mut left = changes.as_slice();
    while let [first, ..] = left {
        // Changes whose context would touch are one hunk.
        let joined = left
            .windows(2)
            .take_while(|pair| matches!(pair, [a, b] if b.old.0 - a.old.1 <= 2 * CONTEXT))
            .count();
        let (hunk, rest) = left.split_at(joined + 1);
        left = rest;
        let last = hunk.last().unwrap_or(first);
        let before = first.old.0.min(CONTEXT);
        let after = (old.len() - last.old.1).min(CONTEXT);
        let of_old = (first.old.0 - before, last.old.1 + after);
        let of_new = (first.new.0 - before, last.new.1 + after);
        writeln!(out, "@@ -{} +{} @@", range(of_old), range(of_new))?;
        let mut at = of_old.0;
        for change in hunk {
            write_lines(b' ', &old[at..change.old.0], out)?;
            write_lines(b'-', &old[change.old.0..change.old.1], out)?;
            write_lines(b'+', &new[change.new.0..change.new.1], out)?;
            at = change.old.1;
        }
        write_lines(b' ', &old[at..of_old.1], out)?;
    }
    Ok(())
}

fn changes(old: &[&[u8]], new: &[&[u8]]) -> Vec<Change> {
    let matched = match_lines(old, new);
    let mut changes = Vec::new();
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        let (start_a, start_b) = (a, b);
        a += matched.removed[a..]
            .iter()
            .take_while(|changed| **changed)
            .count();
        b += matched.added[b..].iter().take_while(|changed| **changed).count();
        if a > start_a || b > start_b {
            changes.push(Change {
                old: (start_a, a),
                new: (start_b, b),
            });
        } else {
            a += 1;
            b += 1;
        }
    }
    changes
}

/// First line and number of lines, as hunks have them: the number is left out where it is 1, and no lines stand behind the line before.
fn range((start, end): (usize, usize)) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => (start + 1).to_string(),
        many => format!("{},{many}", start + 1),
    }
}

fn write_lines(mark: u8, lines: &[&[u8]], out: &mut dyn Write) -> std::io::Result<()> {
    for line in lines {
        out.write_all(&[mark])?;
        out.write_all(line)?;
        if !line.ends_with(b"\n") {
            out.write_all(b"\n\\ No newline at end of file\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn ours(old: &[u8], new: &[u8]) -> String {
        let mut out = Vec::new();
        write_hunks(&lines(old), &lines(new), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// What `diff -u` prints, without its first two lines.
    fn theirs(old: &[u8], new: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), old).unwrap();
        std::fs::write(folder.path().join("b"), new).unwrap();
        let output = Command::new("diff")
            .args(["-u", "a", "b"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_inclusive('\n').skip(2).collect()
    }

    #[test]
    fn hunks_are_those_of_diff() {
        let numbered = |lines: &[u32]| lines.iter().map(|n| format!("line {n}\n")).collect::<String>();
        let all: Vec<u32> = (0..40).collect();
        let mut fewer = all.clone();
        fewer.remove(20);
        fewer.remove(3);
        let mut more = all.clone();
        more.insert(10, 100);
        more.insert(17, 101);
        more.push(102);
        for (old, new) in [
            (numbered(&all), numbered(&fewer)),
            (numbered(&all), numbered(&more)),
            (numbered(&fewer), numbered(&more)),
            (String::new(), numbered(&all)),
            (numbered(&all), String::new()),
            ("a\nb".into(), "a\nc".into()),
            ("a\nb\n".into(), "a\nb".into()),
            ("a\na\na\na\n".into(), "a\na\n".into()),
            ("{\n}\n\n{\n}\n".into(), "{\n}\n\n{\nx\n}\n\n{\n}\n".into()),
        ] {
            assert_eq!(
                ours(old.as_bytes(), new.as_bytes()),
                theirs(old.as_bytes(), new.as_bytes()),
                "{old} -> {new}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// The edits that people make: some lines replaced, added or gone in a longer text.
        #[test]
        fn edits_look_as_diff_shows_them(
            length in 1usize..80,
            edits in prop::collection::vec((0usize..80, 0u8..3, 0u32..5), 0..5),
        ) {
            let old: Vec<String> = (0..length).map(|n| format!("unique {n}\n")).collect();
            let mut new = old.clone();
            for (place, what, text) in edits {
                let place = place % (new.len() + 1);
                match what {
                    0 => new.insert(place, format!("new {text}\n")),
                    1 if place < new.len() => drop(new.remove(place)),
                    _ if place < new.len() => new[place] = format!("changed {text} {place}\n"),
                    _ => {}
                }
            }
            let (old, new) = (old.concat(), new.concat());
            prop_assert_eq!(ours(old.as_bytes(), new.as_bytes()), theirs(old.as_bytes(), new.as_bytes()));
        }

        /// Whatever is shown, patch makes the new text of the old one.
        #[test]
        fn what_is_shown_leads_from_old_to_new(
            old in "([abc]\n){0,40}",
            new in "([abc]\n){0,40}",
        ) {
            let (a, b) = (lines(old.as_bytes()), lines(new.as_bytes()));
            let mut made = Vec::new();
            let mut at = 0;
            for change in changes(&a, &b) {
                made.extend_from_slice(&a[at..change.old.0]);
                made.extend_from_slice(&b[change.new.0..change.new.1]);
                at = change.old.1;
            }
            made.extend_from_slice(&a[at..]);
            prop_assert_eq!(made, b);
        }
    }
}
