//! Where paths of the guest lead: links are the guest's, and may lead an edit astray.

use super::{Editor, join, split};
use crate::error::Result;

const MAX_LINKS: usize = 40;
/// Directories of the system itself.
const SYSTEM: &[&[u8]] = &[
    b"bin", b"boot", b"dev", b"efi", b"etc", b"lib", b"lib32", b"lib64", b"libx32", b"nix", b"proc", b"sbin",
    b"sys", b"usr",
];

/// Whether a first part of a path is that of a directory of the system.
pub(crate) fn is_of_system(first: &[u8]) -> bool {
    SYSTEM.contains(&first)
}

/// The first part of a path.
fn top(path: &[u8]) -> &[u8] {
    path.split(|b| *b == b'/').nth(1).unwrap_or_default()
}

impl Editor<'_> {
    /// A path with the links among its directories followed, the last part as it stands; `None` for one that leads nowhere.
    pub(crate) fn place_of(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if !path.starts_with(b"/") {
            return Ok(None);
        }
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            let parts = path
                .split(|b| *b == b'/')
                .filter(|part| !part.is_empty() && *part != b".");
            parts.rev().map(<[u8]>::to_vec).collect()
        };
        let (mut todo, mut place, mut links) = (parts(path), Vec::new(), 0);
        while let Some(part) = todo.pop() {
            if part == b".." {
                let parent = split(&place).0.to_vec();
                place = if parent == b"/" { Vec::new() } else { parent };
                continue;
            }
            let next = [place.as_slice(), b"/", part.as_slice()].concat();
            let is_link = self.link_metadata(&next)?.is_some_and(|m| m.is_symlink());
            if todo.is_empty() || !is_link {
                place = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Ok(None);
            }
            let target = self.tree().read_link(&next)?;
            if target.starts_with(b"/") {
                place.clear();
            }
            todo.extend(parts(&target));
        }
        Ok((!place.is_empty()).then_some(place))
    }

    /// Where a directory really is, if links lead to where nobody would look for what it holds; `None` where all is well. `/var/run` may
    /// lead to `/run`, `/var/log` to `/data/log`, but not to `/etc`.
    pub(crate) fn led_astray(&self, dir: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(inside) = self.place_of(&join(dir, b"x"))? else {
            return Ok(None);
        };
        let place = split(&inside).0.to_vec();
        if place == dir || top(&place) == top(dir) && is_of_system(top(dir)) {
            return Ok(None);
        }
        let is_known =
            top(&place) == b"run" || matches!(place.as_slice(), b"/tmp" | b"/var/tmp" | b"/var/spool/mail");
        let keeps_name = split(&place).1 == split(dir).1 && !is_of_system(top(&place)) && place != b"/";
        let is_home = dir == b"/root" && top(&place) == b"var";
        Ok((!is_known && !keeps_name && !is_home).then_some(place))
    }
}
