//! The face of `fatlabel` (dosfstools 4.2): shows and sets the label, and the serial number with `-i`.

use super::dos_time::to_local;
use super::getopt::{Arguments, Spec, flag, value};
use crate::clock;
use disksmith_fat::{CodePage, Fat, OpenOptions};
use disksmith_image::{DiskSpec, Format, Image, Output, Transaction, TransactionOptions};
use disksmith_vfs::FileSystem;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const SPECS: &[Spec] = &[
    flag("volume-id", b'i'),
    flag("reset", b'r'),
    value("codepage", b'c'),
    flag("version", b'V'),
    flag("help", b'h'),
];

/// Runs the face.
pub(super) fn run(name: &str, words: &[OsString]) -> ExitCode {
    match work(name, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [OPTIONS] DEVICE [NEW]\n\
Change the FAT filesystem label or serial on DEVICE to NEW or display the\n\
existing label or serial if NEW is not given.\n\n\
Options:\n  \
-i, --volume-id     Work on serial number instead of label\n  \
-r, --reset         Remove label or generate new serial number\n  \
-c N, --codepage=N  use DOS codepage N to encode/decode label (default: 850)\n  \
-V, --version       Show version number and terminate\n  \
-h, --help          Print this message and terminate"
    )
}

fn work(name: &str, words: &[OsString]) -> Result<(), String> {
    let given = Arguments::parse(name, SPECS, words)
        .map_err(|misused| format!("{}: {}", misused.who, misused.message))?;
    if given.has("help") {
        println!("{}", usage(name));
        return Ok(());
    }
    if given.has("version") {
        println!("fatlabel 4.2 (2021-01-31)");
        return Ok(());
    }
    let page = given.text("codepage").unwrap_or_else(|| "850".into());
    let page = page.parse().ok().and_then(CodePage::new);
    let page = page.ok_or_else(|| "Invalid codepage".to_owned())?;
    let (file, new) = match given.operands.as_slice() {
        [file] => (PathBuf::from(file), None),
        [file, new] => (PathBuf::from(file), Some(new.to_string_lossy().into_owned())),
        _ => return Err(usage(name)),
    };
    let now = clock::now().map_err(|_| "SOURCE_DATE_EPOCH is no number of seconds".to_owned())?;
    let local = to_local(now);
    let open = |storage, writable| {
        let options = OpenOptions {
            code_page: page,
            ..OpenOptions::new(writable, Arc::new(move || local))
        };
        Fat::open_with(storage, options).map_err(|error| format!("{name}: {error}"))
    };
    let (serial, reset) = (given.has("volume-id"), given.has("reset"));
    if new.is_none() && !reset {
        let image = disksmith_image::OpenOptions::read().format(Some(Format::Raw));
        let image = Image::open(&file, &image).map_err(|error| format!("open: {error}"))?;
        let fat = open(image.storage().clone(), false)?;
        if serial {
            println!("{:08x}", fat.boot_sector().serial.unwrap_or(0));
        } else {
            let label = fat.label().unwrap_or_default();
            println!("{}", String::from_utf8_lossy(&label));
        }
        return Ok(());
    }
    let disk = DiskSpec {
        path: file,
        format: Some(Format::Raw),
        output: Output::InPlace,
    };
    let edit = Transaction::begin(&[disk], &TransactionOptions::default())
        .map_err(|error| format!("open: {error}"))?;
    let storage = edit.storage(0).ok_or_else(|| "open: no image".to_owned())?;
    let fat = open(storage, true)?;
    let changed = if serial {
        let number = match &new {
            Some(text) => u32::from_str_radix(text, 16)
                .map_err(|_| format!("{name}: volume ID must be a hexadecimal number"))?,
            // The lower half changes most.
            None => (now.seconds.cast_unsigned() ^ u64::from(now.nanoseconds) << 12) as u32,
        };
        fat.set_serial(number)
    } else {
        fat.set_label(new.as_deref().filter(|label| !label.is_empty()), local)
    };
    changed.map_err(|error| format!("{name}: {error}"))?;
    edit.commit().map_err(|error| format!("{name}: {error}"))?;
    Ok(())
}
