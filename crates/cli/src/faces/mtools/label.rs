//! `mlabel`: shows and sets label and serial number.

use super::arguments::Given;
use super::path::DosPath;
use super::session::Session;
use super::{Done, Stop, print};
use std::io::{BufRead, Write};

/// The longest label.
const MAX_LABEL: usize = 11;

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let names = given.names();
    let name = match names.as_slice() {
        [] => if given.image().is_some() { "::" } else { "A:" }.to_owned(),
        [name] => name.clone(),
        _ => return Err(Stop::Usage(None)),
    };
    let (drive, label) = match DosPath::parse(&name) {
        // The label is all behind the drive, whatever stands in it.
        Some(path) => {
            let behind: String = name.chars().skip(2).collect();
            (path.drive, behind)
        }
        None => ('A', name.clone()),
    };
    let serial = match given.text(b'N') {
        Some(text) => {
            let digits = text.replace('-', "");
            let serial = u32::from_str_radix(&digits, 16)
                .ok()
                .filter(|_| digits.len() == 8);
            Some(serial.ok_or_else(|| Stop::failed(format!("{text} not a valid serial number")))?)
        }
        None if given.has(b'n') => Some(serial_of_now(session)),
        None => None,
    };
    if label.chars().count() > MAX_LABEL {
        return Err(Stop::failed("New label too long"));
    }
    let (clear, show) = (given.has(b'c'), given.has(b's'));
    if clear && !label.is_empty() {
        return Err(Stop::failed("Both clear and new label specified"));
    }
    let now = session.now;
    let volume = session.volume(drive);
    let volume = volume.map_err(|stop| match stop {
        Stop::Failed(message) => Stop::Failed(format!("{message}\nmlabel: Cannot initialize drive")),
        other => other,
    })?;
    let old = volume.fat.root_label().map_err(Stop::failed)?;
    let interactive = label.is_empty() && !clear && !show && serial.is_none();
    if show || interactive {
        match &old {
            Some(old) => print(&format!(" Volume label is {old}\n")),
            None => print(" Volume has no label\n"),
        }
    }
    let mut label = label;
    if interactive {
        eprint!("Enter the new volume label : ");
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(Stop::failed)?;
        label = line.trim_end_matches('\n').to_owned();
        if label.chars().count() > MAX_LABEL {
            return Err(Stop::failed("New label too long"));
        }
    }
    if !show {
        if !label.is_empty() {
            let upper = valid_label(&label);
            volume.fat.set_label(Some(&upper), now).map_err(Stop::failed)?;
        } else if clear || interactive {
            volume.fat.set_label(None, now).map_err(Stop::failed)?;
        }
    }
    if let Some(serial) = serial {
        volume.fat.set_serial(serial).map_err(Stop::failed)?;
    }
    Ok(true)
}

/// A label in upper case, with `_` for what it cannot hold.
pub(super) fn valid_label(label: &str) -> String {
    let text: String = label
        .trim_end_matches(' ')
        .chars()
        .map(|c| match c {
            c if c < ' ' || "\"*+,./:;<=>?[\\]|".contains(c) => '_',
            c => c.to_uppercase().next().unwrap_or(c),
        })
        .collect();
    match text.strip_prefix(' ') {
        Some(rest) => format!("_{rest}"),
        None => text,
    }
}

fn serial_of_now(session: &Session) -> u32 {
    let mixed = session.now.seconds.cast_unsigned() ^ u64::from(session.now.nanoseconds) << 20;
    // The lower half changes most.
    (mixed ^ mixed >> 32) as u32
}
