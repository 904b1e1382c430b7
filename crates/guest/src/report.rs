//! What was changed in a guest, or would be.

use disksmith_vfs::FileType;
use serde::{Serialize, Serializer};
use std::fmt;

/// How many changes one step lists; those beyond are only counted.
const MAX_LISTED: usize = 10_000;

/// Everything that an edit of a guest did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The operations in the order in which they were done, each with its changes.
    pub steps: Vec<Step>,
    /// What the user should know, and what could not be looked at.
    pub warnings: Vec<String>,
    /// What was done about SELinux labels.
    pub selinux: SelinuxOutcome,
    /// Passwords that were made up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passwords: Vec<GeneratedPassword>,
}

/// One operation.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Step {
    /// The operation as the user wrote it; secrets are left out.
    pub operation: String,
    /// Its changes, in order.
    pub changes: Vec<Change>,
    /// Changes beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted: u64,
    /// What there is to say about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Step {
    pub(crate) fn push(&mut self, change: Change) {
        if self.changes.len() < MAX_LISTED {
            self.changes.push(change);
        } else {
            self.unlisted += 1;
        }
    }
}

/// A password that was made up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedPassword {
    /// Whose.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What was done about SELinux labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelinuxOutcome {
    /// The guest does not use SELinux.
    #[default]
    NotUsed,
    /// Every file has a label that is certain.
    LabelsKept,
    /// The guest relabels all files at its next boot (`/.autorelabel`).
    RelabelAtBoot,
    /// Labels of new files are guessed, and the caller asked not to relabel.
    RelabelDeclined,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Created,
    /// Its contents changed.
    Modified,
    /// It is gone, with everything in it.
    Deleted,
    /// It has another name.
    Renamed,
    /// Its permission bits changed.
    Mode,
    /// Its owner changed.
    Owner,
    /// Its times changed.
    Times,
}

/// One change of one file. Fields that do not apply are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happened.
    pub action: Action,
    /// The path in the guest.
    pub path: String,
    /// What kind of file it is.
    #[serde(rename = "type", serialize_with = "type_name")]
    pub file_type: FileType,
    /// Bytes before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_before: Option<u64>,
    /// Bytes after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_after: Option<u64>,
    /// Permission bits before, in octal.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "octal")]
    pub mode_before: Option<u16>,
    /// Permission bits after, in octal.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "octal")]
    pub mode_after: Option<u16>,
    /// User and group id before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_before: Option<(u32, u32)>,
    /// User and group id after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_after: Option<(u32, u32)>,
    /// The target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The old name of what was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How many files went with a deleted directory, itself included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The SELinux label that a new file got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Change {
    pub(crate) fn new(action: Action, path: &[u8], file_type: FileType) -> Self {
        Self {
            action,
            path: String::from_utf8_lossy(path).into_owned(),
            file_type,
            bytes_before: None,
            bytes_after: None,
            mode_before: None,
            mode_after: None,
            owner_before: None,
            owner_after: None,
            target: None,
            from: None,
            files: None,
            label: None,
        }
    }
}

fn octal<S: Serializer>(mode: &Option<u16>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{:04o}", mode.unwrap_or(0)))
}

fn type_name<S: Serializer>(file_type: &FileType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(file_type_name(*file_type))
}

pub(crate) fn file_type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::CharDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.action {
            Action::Created => '+',
            Action::Deleted => '-',
            Action::Renamed => '>',
            _ => '~',
        };
        write!(f, "{sign} {}", self.path)?;
        if let Some(from) = &self.from {
            write!(f, " (was {from})")?;
        }
        match (self.action, self.file_type) {
            (Action::Created | Action::Deleted, FileType::Regular) => {}
            (Action::Created, FileType::Symlink) => {}
            (Action::Created | Action::Deleted, kind) => write!(f, ", {}", file_type_name(kind))?,
            (Action::Times, _) => write!(f, ", times")?,
            _ => {}
        }
        if let Some(target) = &self.target {
            write!(f, " -> {target}")?;
        }
        // The directory itself is one of them.
        if let Some(inside) = self.files.map(|n| n.saturating_sub(1)).filter(|n| *n > 0) {
            write!(f, " with {inside} in it")?;
        }
        match (self.bytes_before, self.bytes_after) {
            (Some(before), Some(after)) => write!(f, ", {before} -> {after} bytes")?,
            (Some(bytes), None) | (None, Some(bytes)) => write!(f, ", {bytes} bytes")?,
            (None, None) => {}
        }
        match (self.mode_before, self.mode_after) {
            (Some(before), Some(after)) => write!(f, ", mode {before:04o} -> {after:04o}")?,
            (None, Some(mode)) => write!(f, ", mode {mode:04o}")?,
            _ => {}
        }
        match (self.owner_before, self.owner_after) {
            (Some((u, g)), Some((nu, ng))) => write!(f, ", owner {u}:{g} -> {nu}:{ng}")?,
            (None, Some((u, g))) => write!(f, ", owner {u}:{g}")?,
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    /// One line for each operation that changes something, each change, note and warning, and one for the operations that change
    /// nothing. Passwords that were made up are not part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idle, busy): (Vec<&Step>, Vec<&Step>) = self
            .steps
            .iter()
            .partition(|s| s.changes.is_empty() && s.notes.is_empty());
        for step in busy {
            writeln!(f, "{}", step.operation)?;
            for change in &step.changes {
                writeln!(f, "  {change}")?;
            }
            if step.unlisted > 0 {
                writeln!(f, "  … and {} more", step.unlisted)?;
            }
            for note in &step.notes {
                writeln!(f, "  note: {note}")?;
            }
        }
        if !idle.is_empty() {
            let names: Vec<&str> = idle.iter().map(|s| s.operation.as_str()).collect();
            writeln!(f, "nothing to change: {}", names.join(", "))?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        match self.selinux {
            SelinuxOutcome::NotUsed => Ok(()),
            SelinuxOutcome::LabelsKept => writeln!(f, "SELinux: all labels are in place"),
            SelinuxOutcome::RelabelAtBoot => {
                writeln!(f, "SELinux: the guest relabels its files at the next boot")
            }
            SelinuxOutcome::RelabelDeclined => {
                writeln!(
                    f,
                    "SELinux: labels of new files are guessed from their neighbours"
                )
            }
        }
    }
}
