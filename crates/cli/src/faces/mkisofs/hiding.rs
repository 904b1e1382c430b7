//! Which files are left out of the image, or of one of its hierarchies.

use super::name_pattern::NamePatterns;
use disksmith_iso9660::Visibility;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The patterns of a command line.
#[derive(Debug, Default)]
pub(super) struct Hiding {
    pub(super) exclude: NamePatterns,
    pub(super) plain: NamePatterns,
    pub(super) joliet: NamePatterns,
    pub(super) flagged: NamePatterns,
    /// Whether files that editors leave behind are left out.
    pub(super) backups: bool,
}

impl Hiding {
    /// Whether a path of the host is left out, with everything below it.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        if self.backups {
            let name = path.file_name().map_or(&[][..], OsStr::as_bytes);
            if name.contains(&b'~')
                || name.contains(&b'#')
                || name.ends_with(b".bak")
                || name.ends_with(b".BAK")
            {
                return true;
            }
        }
        !self.exclude.is_empty() && self.exclude.matches(path)
    }

    /// Where a path of the host does not show.
    pub(super) fn visibility(&self, path: &Path) -> Visibility {
        Visibility {
            not_plain: !self.plain.is_empty() && self.plain.matches(path),
            not_joliet: !self.joliet.is_empty() && self.joliet.matches(path),
            hidden_flag: !self.flagged.is_empty() && self.flagged.matches(path),
        }
    }

    /// Whether nothing is hidden at all.
    pub(super) fn hides_nothing(&self) -> bool {
        self.plain.is_empty() && self.joliet.is_empty() && self.flagged.is_empty()
    }
}
