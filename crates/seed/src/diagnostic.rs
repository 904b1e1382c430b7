//! What is wrong with a document, and where.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably not what was meant.
    Warning,
    /// cloud-init would ignore the document or a part of it, or fail.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding in a document. Shown as `file:line:column: severity: message [code]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The document, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// A short stable name of the finding, for programs: `header-missing`.
    pub code: &'static str,
    /// What is wrong and what comes of it.
    pub message: String,
    /// What to do, where that can be said.
    pub fix: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            severity,
            code,
            message,
            fix,
        } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {message} [{code}]")?;
        match fix {
            Some(fix) => write!(f, " ({fix})"),
            None => Ok(()),
        }
    }
}

/// Gathers the findings of one document.
#[derive(Debug)]
pub(crate) struct Findings {
    file: String,
    /// Lines before the part that is looked at (a part of a MIME archive).
    pub(crate) line_offset: usize,
    pub(crate) list: Vec<Diagnostic>,
}

impl Findings {
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            line_offset: 0,
            list: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        (line, column): (usize, usize),
        message: impl Into<String>,
        fix: Option<String>,
    ) {
        self.list.push(Diagnostic {
            file: self.file.clone(),
            line: line.saturating_add(self.line_offset),
            column,
            severity,
            code,
            message: message.into(),
            fix,
        });
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        at: (usize, usize),
        message: impl Into<String>,
        fix: impl Into<Option<String>>,
    ) {
        self.add(Severity::Error, code, at, message, fix.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: (usize, usize),
        message: impl Into<String>,
        fix: impl Into<Option<String>>,
    ) {
        self.add(Severity::Warning, code, at, message, fix.into());
    }

    pub(crate) fn note(&mut self, code: &'static str, at: (usize, usize), message: impl Into<String>) {
        self.add(Severity::Note, code, at, message, None);
    }

    /// The findings in the order of the document.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|d| (d.line, d.column));
        self.list
    }
}
