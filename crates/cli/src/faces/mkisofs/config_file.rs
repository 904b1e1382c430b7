//! `.genisoimagerc`: texts of the volume descriptor that hold where the command line says nothing.

use disksmith_iso9660::VolumeTexts;
use std::path::PathBuf;

/// The first file that there is.
fn path() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut places = Vec::new();
    for name in ["GENISOIMAGERC", "MKISOFSRC"] {
        places.extend(std::env::var_os(name).map(PathBuf::from));
    }
    for name in [".genisoimagerc", ".mkisofsrc"] {
        places.push(PathBuf::from(name));
        places.extend(home.iter().map(|home| home.join(name)));
    }
    places.into_iter().find(|place| place.is_file())
}

/// Sets texts as the file says. One that cannot be read is none.
pub(super) fn apply(texts: &mut VolumeTexts) {
    let Some(text) = path().and_then(|path| std::fs::read_to_string(path).ok()) else {
        return;
    };
    for line in text.lines() {
        let line = line.trim();
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let value = value.trim().to_owned();
        match key.trim().to_ascii_uppercase().as_str() {
            "APPI" => texts.application = value,
            "COPY" => texts.copyright_file = value,
            "ABST" => texts.abstract_file = value,
            "BIBL" => texts.bibliographic_file = value,
            "PREP" => texts.preparer = value,
            "PUBL" => texts.publisher = value,
            "SYSI" => texts.system_id = value,
            "VOLI" => texts.volume_id = value,
            "VOLS" => texts.volume_set_id = value,
            _ => {}
        }
    }
}
