//! Listing directories (`-l`, `-f`), path tables (`-p`), and extracting a file (`-x`).

use super::{Request, Stop};
use disksmith_iso9660::{Inspection, RawRecord, View};
use std::collections::{HashSet, VecDeque};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Names of Joliet in the character set of the output.
fn characters(name: &[u8], view: View, utf8: bool) -> Vec<u8> {
    if view != View::Joliet || name == [0] || name == [1] {
        return name.to_vec();
    }
    let units: Vec<u16> = name
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)))
        .collect();
    if utf8 {
        return String::from_utf16_lossy(&units).into_bytes();
    }
    units
        .iter()
        .map(|unit| u8::try_from(*unit).unwrap_or(b'_'))
        .collect()
}

/// Prints the path table.
pub(super) fn path_table(
    image: &Inspection,
    view: View,
    utf8: bool,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    let (block, len, entries) = image.path_table(view)?;
    writeln!(out, "Path table starts at block {block}, size {len}")?;
    for (index, entry) in entries.iter().enumerate() {
        write!(out, "{:4}: {:4} {:x} ", index + 1, entry.parent, entry.extent)?;
        if entry.name != [0] {
            out.write_all(&characters(&entry.name, view, utf8))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Goes through all directories, breadth first, and prints what was asked for.
pub(super) fn walk(
    request: &Request,
    image: &Inspection,
    view: View,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    let wanted = request.extract.as_deref().map(OsStrExt::as_bytes);
    if !request.list && !request.find && wanted.is_none() {
        return Ok(());
    }
    let Some(root) = image.root(view) else {
        return Ok(());
    };
    let mut seen = HashSet::from([root.0]);
    let mut queue = VecDeque::from([(b"/".to_vec(), root)]);
    let mut left = image.file_size();
    while let Some((path, place)) = queue.pop_front() {
        let Some(rest) = left.checked_sub(u64::from(place.1)) else {
            return Err(Stop::bad(
                "the directories overlap: together they are longer than the image",
            ));
        };
        left = rest;
        if request.list {
            out.write_all(b"\nDirectory listing of ")?;
            out.write_all(&path)?;
            out.write_all(b"\n")?;
        }
        for record in image.read_dir(view, place)? {
            let name = match record.name.as_slice() {
                [0] => b".".to_vec(),
                [1] => b"..".to_vec(),
                name => characters(name, view, request.utf8),
            };
            let whole = [path.as_slice(), &name].concat();
            if record.is_directory() && !record.is_dot() && seen.insert(record.extent) {
                let below = [whole.as_slice(), b"/"].concat();
                queue.push_back((below, (record.extent, record.len)));
            }
            if request.find && !record.is_dot() {
                out.write_all(&whole)?;
                out.write_all(b"\n")?;
            }
            if wanted == Some(whole.as_slice()) {
                let mut failed = None;
                image.stream(&record, &mut |piece| {
                    if failed.is_none() {
                        failed = out.write_all(piece).err();
                    }
                    Ok(())
                })?;
                if let Some(error) = failed {
                    return Err(error.into());
                }
            }
            if request.list {
                line(&record, &name, request.in_sectors, out)?;
            }
        }
    }
    Ok(())
}

/// One line as `ls -l` has it, with block and flags.
fn line(record: &RawRecord, name: &[u8], in_sectors: bool, out: &mut dyn Write) -> Result<(), Stop> {
    let mode = match record.posix {
        Some((mode, ..)) => permissions(mode),
        None if record.is_directory() => "d---------".to_owned(),
        None => "----------".to_owned(),
    };
    let (_, links, uid, gid) = record.posix.unwrap_or_default();
    // Columns have fixed places; what is too wide runs into the next.
    let mut text = vec![b' '; 40];
    let mut put = |at: usize, field: &str| {
        if text.len() < at + field.len() {
            text.resize(at + field.len(), b' ');
        }
        if let Some(to) = text.get_mut(at..at + field.len()) {
            to.copy_from_slice(field.as_bytes());
        }
    };
    put(0, &mode);
    put(11, &format!("{links:3}"));
    put(15, &format!("{uid:4o}"));
    put(20, &format!("{gid:4o}"));
    let size = if in_sectors {
        record.len.div_ceil(2048)
    } else {
        record.len
    };
    put(30, &format!("{size:10}"));
    out.write_all(&text)?;
    let [year, month, day, ..] = record.date;
    let month = usize::from(month).checked_sub(1).and_then(|m| MONTHS.get(m));
    write!(
        out,
        " {} {day:2} {:4} [{:7} {:02X}]  ",
        month.unwrap_or(&"???"),
        u32::from(year) + 1900,
        record.extent,
        record.flags
    )?;
    out.write_all(name)?;
    out.write_all(b" ")?;
    if let Some(target) = &record.target {
        out.write_all(b"-> ")?;
        out.write_all(target)?;
    }
    out.write_all(b"\n")?;
    Ok(())
}

/// Type and permissions of a mode.
fn permissions(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o100_000 => '-',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'f',
        0o140_000 => 's',
        _ => '?',
    };
    let mut out = String::from(kind);
    for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        out.push(if mode >> bit & 1 == 1 { letter } else { '-' });
    }
    out
}
