//! What is wrong with a document, and where.

use crate::suggest::nearest;
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

/// So many findings of each severity are told of one document; the rest is only counted.
const MAX_OF_EACH: usize = 50;
/// So many bytes of a message are kept: what it quotes may be as long as the document.
const MAX_MESSAGE: usize = 400;
/// For so many words of one document a nearest one is looked for.
const MAX_SUGGESTIONS: usize = 100;

/// Findings of one severity that are not told one by one.
#[derive(Debug, Clone, Copy)]
struct Dropped {
    severity: Severity,
    count: usize,
    /// Line and column of the first.
    at: (usize, usize),
}

/// Gathers the findings of one document.
#[derive(Debug)]
pub(crate) struct Findings {
    file: String,
    dropped: Vec<Dropped>,
    suggestions: usize,
    /// How bad it is when a document does not fit cloud-init's own schema; `None` does not compare them.
    pub(crate) schema: Option<Severity>,
    /// How many documents stand around the part that is looked at.
    pub(crate) depth: usize,
    /// Lines before the part that is looked at (a part of a MIME archive).
    pub(crate) line_offset: usize,
    pub(crate) list: Vec<Diagnostic>,
}

impl Findings {
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            dropped: Vec::new(),
            suggestions: 0,
            schema: None,
            depth: 0,
            line_offset: 0,
            list: Vec::new(),
        }
    }

    /// Findings for making a seed: what cloud-init's own schema does not allow is a warning, as in the guest, where cloud-init logs
    /// it and goes on.
    pub(crate) fn of_making(file: &str) -> Self {
        Self {
            schema: Some(Severity::Warning),
            ..Self::new(file)
        }
    }

    /// Findings for a thorough check: what cloud-init's own schema does not allow is an error.
    pub(crate) fn strict(file: &str) -> Self {
        Self {
            schema: Some(Severity::Error),
            ..Self::new(file)
        }
    }

    /// Adds a finding, unless something is said of that place already; then only its severity may rise. Where not everything of this
    /// severity was told one by one, it may be among that.
    pub(crate) fn unless_told(
        &mut self,
        severity: Severity,
        code: &'static str,
        (line, column): (usize, usize),
        message: impl Into<String>,
    ) {
        let place = (line.saturating_add(self.line_offset), column);
        let told = self
            .list
            .iter_mut()
            .find(|d| (d.line, d.column) == place && d.severity > Severity::Note && d.code != "schema");
        match told {
            Some(told) => told.severity = told.severity.max(severity),
            None if self.dropped.iter().any(|d| d.severity == severity) => {}
            None => self.add(severity, code, (line, column), message, None),
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
        let line = line.saturating_add(self.line_offset);
        let message = message.into();
        let told =
            |d: &Diagnostic| (d.line, d.column, d.code) == (line, column, code) && d.message == message;
        if self.list.iter().any(told) {
            return; // a value with an anchor, seen from several places
        }
        if self.list.iter().filter(|d| d.severity == severity).count() >= MAX_OF_EACH {
            match self.dropped.iter_mut().find(|d| d.severity == severity) {
                Some(dropped) => dropped.count = dropped.count.saturating_add(1),
                None => self.dropped.push(Dropped {
                    severity,
                    count: 1,
                    at: (line, column),
                }),
            }
            return;
        }
        self.list.push(Diagnostic {
            file: self.file.clone(),
            line,
            column,
            severity,
            code,
            message: shortened(message),
            fix: fix.map(shortened),
        });
    }

    /// The word of `known` that is nearest to `word`, while there are not too many such words in the document.
    pub(crate) fn suggestion<'a>(
        &mut self,
        word: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        if self.suggestions >= MAX_SUGGESTIONS {
            return None;
        }
        self.suggestions += 1;
        nearest(word, known)
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
        self.dropped.sort_by_key(|d| std::cmp::Reverse(d.severity));
        for Dropped {
            severity,
            count,
            at: (line, column),
        } in self.dropped
        {
            let ending = if count == 1 { "" } else { "s" };
            self.list.push(Diagnostic {
                file: self.file.clone(),
                line,
                column,
                severity,
                code: "and-more",
                message: format!("and {count} more {severity}{ending} from here on"),
                fix: None,
            });
        }
        self.list
    }
}

/// A message without its middle where that is long.
fn shortened(message: String) -> String {
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    let boundary = |from: usize| (from..message.len()).find(|at| message.is_char_boundary(*at));
    let start = boundary(MAX_MESSAGE / 2).unwrap_or(0);
    let end = boundary(message.len() - MAX_MESSAGE / 2).unwrap_or(message.len());
    let (first, last) = (message.get(..start), message.get(end..));
    format!("{}…{}", first.unwrap_or(""), last.unwrap_or(""))
}
