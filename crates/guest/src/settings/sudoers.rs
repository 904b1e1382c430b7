//! Which group of a guest may become root: as its sudoers says (sudoers(5)), else as its distribution has it.

use super::MAX;
use crate::files::{lines, text};
use crate::inspect::{Distribution, Family};
use disksmith_vfs::Tree;

/// Groups that distributions use for it, in the order in which they are looked for.
const KNOWN: &[&str] = &["sudo", "wheel", "admin"];

/// How many files of `sudoers.d` are read.
const MAX_FILES: usize = 1000;

pub(super) fn of_guest(tree: &Tree, distribution: &Distribution) -> Option<String> {
    let mut granted = Vec::new();
    let mut found = false;
    for dir in ["/etc", "/usr/etc"] {
        if let Ok(contents) = tree.read_limited(format!("{dir}/sudoers"), MAX) {
            found = true;
            granted.extend(groups(&contents));
        }
        let more = tree.glob(format!("{dir}/sudoers.d/*")).unwrap_or_default();
        for path in more.into_iter().take(MAX_FILES) {
            if let Ok(contents) = tree.read_limited(&path, MAX) {
                granted.extend(groups(&contents));
            }
        }
    }
    if let Some(known) = KNOWN.iter().find(|known| granted.iter().any(|g| g == *known)) {
        return Some((*known).to_owned());
    }
    if let Some(first) = granted.into_iter().next() {
        return Some(first);
    }
    // A sudoers that grants nothing to groups (SUSE asks for root's password) is an answer as well.
    if found {
        return None;
    }
    match distribution.family {
        Family::Debian => Some("sudo".into()),
        Family::RedHat | Family::Alpine | Family::Arch | Family::Gentoo | Family::Void | Family::NixOs => {
            Some("wheel".into())
        }
        Family::Suse | Family::Other => None,
    }
}

/// Groups in lines like `%sudo ALL=(ALL:ALL) ALL`.
fn groups(contents: &[u8]) -> Vec<String> {
    lines(contents)
        .filter_map(|line| {
            let line = text(line);
            let rest = line.trim().strip_prefix('%')?;
            let (group, rest) = rest.split_once(char::is_whitespace)?;
            let (hosts, commands) = rest.split_once('=')?;
            let all = hosts.trim() == "ALL" && commands.trim_end().ends_with("ALL");
            (all && !group.is_empty()).then(|| group.to_owned())
        })
        .collect()
}
