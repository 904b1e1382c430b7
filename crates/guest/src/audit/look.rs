//! A look at a guest by one check: finding things, and writing them down.

use super::checks::AuditCheck;
use super::{AuditReport, CheckResult, Finding, Severity};
use crate::editor::{Editor, join};
use crate::error::{Error, Result};
use crate::files::{User, text};
use crate::inspect::Guest;
use disksmith_vfs::{Metadata, WalkStep};
use std::collections::BTreeSet;

/// How many things one check lists; those beyond are counted in one last line.
const MAX_LISTED: usize = 50;
/// How much of a file is read to see what it is, in bytes.
const MAX_PEEK: u64 = 1 << 20;

/// One check at work.
#[derive(Debug)]
pub(super) struct Look<'g> {
    pub(super) guest: &'g Guest,
    check: &'static AuditCheck,
    editor: Editor<'g>,
    findings: Vec<Finding>,
    unlisted: usize,
}

impl<'g> Look<'g> {
    pub(super) fn new(guest: &'g Guest, check: &'static AuditCheck) -> Self {
        Self {
            guest,
            check,
            editor: Editor::new(guest.tree()),
            findings: Vec::new(),
            unlisted: 0,
        }
    }

    /// Writes a finding down, with the check's own severity and remedy.
    pub(super) fn found(&mut self, path: &[u8], message: impl Into<String>) {
        self.found_as(self.check.severity, path, message);
    }

    pub(super) fn found_as(&mut self, severity: Severity, path: &[u8], message: impl Into<String>) {
        if self.findings.len() >= MAX_LISTED {
            self.unlisted += 1;
            return;
        }
        self.findings.push(Finding {
            check: self.check.name,
            severity,
            place: text(path),
            message: message.into(),
            remedy: self.check.remedy,
        });
    }

    /// The check could not see everything.
    pub(super) fn failed(&mut self, error: &Error) {
        self.findings.push(Finding {
            check: self.check.name,
            severity: Severity::Error,
            place: "the guest".into(),
            message: format!("could not be looked through: {error}"),
            remedy: "",
        });
    }

    pub(super) fn into_report(mut self, ignored: bool) -> AuditReport {
        if self.unlisted > 0 {
            self.findings.push(Finding {
                check: self.check.name,
                severity: self.check.severity,
                place: "the guest".into(),
                message: format!("{} more of these", self.unlisted),
                remedy: "",
            });
        }
        AuditReport {
            guest: String::new(),
            checks: vec![CheckResult {
                name: self.check.name,
                summary: self.check.summary,
                findings: self.findings.len() + self.unlisted.saturating_sub(1),
                ignored,
            }],
            findings: self.findings,
        }
    }

    // Looking

    pub(super) fn glob(&self, pattern: &str) -> Result<Vec<Vec<u8>>> {
        self.editor.glob(pattern.as_bytes())
    }

    pub(super) fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        self.editor.metadata(path)
    }

    pub(super) fn link_metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        self.editor.link_metadata(path)
    }

    pub(super) fn users(&self) -> Result<Vec<User>> {
        self.editor.users()
    }

    /// What a regular file holds, of a long one its beginning; `None` where there is none.
    pub(super) fn read(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(metadata) = self.metadata(path)?.filter(Metadata::is_file) else {
            return Ok(None);
        };
        if metadata.size <= MAX_PEEK {
            return Ok(Some(self.guest.tree().read_limited(path, MAX_PEEK)?));
        }
        let node = self.guest.tree().resolve(path)?;
        let (fs, inode) = self.guest.tree().open_node(node);
        let mut head = vec![0; MAX_PEEK as usize];
        let read = fs.read(inode, 0, &mut head).map_err(|e| e.at_path(path))?;
        head.truncate(read);
        Ok(Some(head))
    }

    /// The paths of regular files that match and are not empty.
    pub(super) fn files(&self, pattern: &str) -> Result<Vec<Vec<u8>>> {
        let mut files = Vec::new();
        for path in self.glob(pattern)? {
            if self
                .link_metadata(&path)?
                .is_some_and(|m| m.is_file() && m.size > 0)
            {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// How many regular files lie below a directory, and their bytes; those that `skip` names by path are passed over.
    pub(super) fn weigh(&self, dir: &[u8], skip: impl Fn(&[u8]) -> bool) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0u64);
        if !self.metadata(dir)?.is_some_and(|m| m.is_dir()) {
            return Ok((0, 0));
        }
        self.guest.tree().walk(dir, |entry| {
            if entry.metadata.is_file() && entry.metadata.size > 0 && !skip(&entry.path) {
                files += 1;
                bytes = bytes.saturating_add(entry.metadata.size);
            }
            Ok::<_, Error>(WalkStep::Continue)
        })?;
        Ok((files, bytes))
    }

    /// The home directories of root and of people.
    pub(super) fn homes(&self) -> Result<BTreeSet<Vec<u8>>> {
        let mut homes = BTreeSet::from([b"/root".to_vec()]);
        for path in self.glob("/home/*")? {
            if self.link_metadata(&path)?.is_some_and(|m| m.is_dir()) {
                homes.insert(path);
            }
        }
        for user in self.users()? {
            let person = user.uid == 0 || (1000..60_000).contains(&user.uid);
            if person && user.home.starts_with(b"/") && user.home.len() > 1 {
                homes.insert(user.home);
            }
        }
        Ok(homes)
    }

    /// The regular files of a name in every home directory that are not empty.
    pub(super) fn in_homes(&self, name: &str) -> Result<Vec<Vec<u8>>> {
        let mut files = Vec::new();
        for home in self.homes()? {
            let path = join(&home, name.as_bytes());
            if self.metadata(&path)?.is_some_and(|m| m.is_file() && m.size > 0) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// Whether bytes hold a word.
pub(super) fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|w| w == word.as_bytes())
}
