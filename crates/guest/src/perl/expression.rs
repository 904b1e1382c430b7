//! An edit expression: run here where it is understood, else by the host's perl.

use super::error::EditError;
use super::{host_perl, parser, run, syntax};
use std::path::Path;

/// An edit expression.
#[derive(Debug, Clone)]
pub struct EditExpression {
    source: String,
    /// What it says, or why that is not known.
    program: Result<Vec<syntax::Statement>, EditError>,
}

impl EditExpression {
    /// Parses an expression that must be of the part of Perl that is known here.
    ///
    /// # Errors
    /// [`EditError::Syntax`] where it is no Perl, [`EditError::Unsupported`] where it is beyond the part that is known here.
    pub fn parse(source: &str) -> Result<Self, EditError> {
        Self::lenient(source).understood()
    }

    /// Takes an expression that may be beyond the part that is known here: [`prepare`](Self::prepare) says whether it can be run.
    pub fn lenient(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            program: parser::parse(source.as_bytes()),
        }
    }

    fn understood(self) -> Result<Self, EditError> {
        match &self.program {
            Ok(_) => Ok(self),
            Err(error) => Err(error.clone()),
        }
    }

    /// The expression as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it says; nothing where that is not known.
    #[cfg(test)]
    pub(super) fn statements(&self) -> &[syntax::Statement] {
        self.program.as_deref().unwrap_or_default()
    }

    /// Whether it is run by the host's perl, if at all.
    pub fn needs_perl(&self) -> bool {
        self.program.is_err()
    }

    /// Checks that it can be run, without any text: here, or by `perl`, a program of the host.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse) where there is no `perl`; [`EditError::Perl`] with what it complains of.
    pub fn prepare(&self, perl: Option<&Path>) -> Result<(), EditError> {
        match (&self.program, perl) {
            (Ok(_), _) => Ok(()),
            (Err(error), None) => Err(error.clone()),
            (Err(_), Some(perl)) => {
                host_perl::check(perl, &self.source).map_err(|complaint| EditError::Perl { complaint })
            }
        }
    }

    /// Edits a file's text, here or by `perl`, a program of the host.
    ///
    /// # Errors
    /// [`EditError::TooMuchWork`] where a pattern goes astray on the text; a division by zero; those of
    /// [`prepare`](Self::prepare).
    pub fn apply_with(&self, perl: Option<&Path>, text: &[u8]) -> Result<Vec<u8>, EditError> {
        match (&self.program, perl) {
            (Ok(statements), _) => run::run(statements, text, run::MATCH_BUDGET),
            (Err(error), None) => Err(error.clone()),
            (Err(_), Some(perl)) => {
                host_perl::apply(perl, &self.source, text).map_err(|complaint| EditError::Perl { complaint })
            }
        }
    }

    /// Edits a file's text without the help of a perl.
    ///
    /// # Errors
    /// Those of [`apply_with`](Self::apply_with).
    pub fn apply(&self, text: &[u8]) -> Result<Vec<u8>, EditError> {
        self.apply_with(None, text)
    }
}
