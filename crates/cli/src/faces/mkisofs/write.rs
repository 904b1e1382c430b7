//! Planning the image, and writing it.

use super::messages::Messages;
use super::settings::Settings;
use super::stop::Stop;
use disksmith_iso9660::{ImageTree, IsoImage};
use disksmith_storage::{Durability, Existing};
use std::io::{BufWriter, Write};
use std::path::Path;

/// How much is written to standard output at once.
const BUFFER: usize = 256 * 1024;

/// Plans and writes the image of a tree, or says how large it would be.
pub(super) fn write(mut tree: ImageTree, settings: Settings, messages: &Messages) -> Result<(), Stop> {
    let mut options = settings.options.clone();
    settings
        .boot
        .apply(&mut tree, &settings, &mut options, messages)?;
    if let Some(path) = settings.output.as_deref().filter(|_| !settings.print_size) {
        check_output(path)?;
    }
    let image = IsoImage::plan(tree, options)?;
    let blocks = image.size() / 2048;
    if settings.print_size {
        messages.tell(|| format!("Total extents scheduled to be written = {blocks}"));
        println!("{blocks}");
        return Ok(());
    }
    match &settings.output {
        // An image can be made again: the disk need not be waited for.
        Some(path) => image.write_file(path, Existing::Replace, Durability::Deferred)?,
        None => {
            let mut out = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
            image.write_to(&mut out)?;
            out.flush()
                .map_err(|e| Stop::io(&e, "cannot write to standard output"))?;
        }
    }
    messages.tell(|| {
        let size = image.metadata_size();
        format!(
            "Total translation table size: 0\nTotal rockridge attributes bytes: {}\nTotal directory bytes: {}\n\
             Path table size(bytes): {}\n{blocks} extents written ({} MB)",
            size.rock_ridge,
            size.directories,
            size.path_table,
            blocks >> 9
        )
    });
    Ok(())
}

/// Says before any work that there is no folder for the output.
fn check_output(path: &Path) -> Result<(), Stop> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match std::fs::metadata(folder) {
        Ok(_) => Ok(()),
        Err(error) => Err(Stop::io(
            &error,
            format!("Unable to open disc image file '{}'.", path.display()),
        )),
    }
}
