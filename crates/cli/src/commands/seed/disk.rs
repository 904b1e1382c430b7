//! Opening what is to be checked or shown: a folder, an image of any format, or a single document.

use crate::failure::{Failure, Outcome};
use disksmith_image::{Image, OpenOptions};
use disksmith_seed::{Contents, Document};
use disksmith_storage::LockMode;
use std::io::Read;
use std::path::Path;

/// The longest document that is looked at by itself.
const MAX_DOCUMENT: u64 = 16 << 20;

/// What was named.
pub(super) enum Target {
    Seed(Contents),
    Document(Document),
}

/// Opens what a path names; `is_document` where it is known to be one. Otherwise a file that begins as text is a document, any other one an image.
pub(super) fn open(path: &Path, is_document: bool) -> Outcome<Target> {
    if path.as_os_str() == "-" {
        return document(path, Box::new(std::io::stdin()));
    }
    if path.is_dir() {
        return Ok(Target::Seed(Contents::of_folder(path)?));
    }
    let fail = |error| Failure::io("read", path, &error);
    let mut file = std::fs::File::open(path).map_err(fail)?;
    if is_document {
        return document(path, Box::new(file));
    }
    let size = file.metadata().map_err(fail)?.len();
    let mut start = Vec::new();
    let mut beginning = (&mut file).take(512);
    beginning.read_to_end(&mut start).map_err(fail)?;
    // an ISO image begins with zeroes, a FAT filesystem with a jump
    let compressed = start.starts_with(&[0x1F, 0x8B]);
    if compressed || (size <= MAX_DOCUMENT && !start.contains(&0) && !start.starts_with(b"QFI\xfb")) {
        let rest = std::io::Cursor::new(start).chain(file);
        return document(path, Box::new(rest));
    }
    drop(file);
    let options = OpenOptions::read().lock(LockMode::None);
    let image = Image::open(path, &options)?;
    Ok(Target::Seed(Contents::of_disk(
        &path.display().to_string(),
        image.storage(),
    )?))
}

fn document(path: &Path, source: Box<dyn Read>) -> Outcome<Target> {
    let mut bytes = Vec::new();
    let mut source = source.take(MAX_DOCUMENT + 1);
    source
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("read", path, &error))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Failure::usage(format!(
            "{} is larger than 16 MiB, and no seed",
            path.display()
        )));
    }
    Ok(Target::Document(Document::new(path.display().to_string(), bytes)))
}
