//! Edit expressions: the part of Perl that people use to edit files line by line.
//!
//! An expression runs once for each line, which stands in `$_` with its newline, and what `$_` then holds is
//! written. Known are `s///` (flags g i m s x r), `m//`, `tr///` and `y///`, conditions before and behind
//! statements, `if`/`unless` blocks, `next` and `last`, scalar variables, `$lineno`, `$1`, `$&`, strings with
//! variables and `\U \L \u \l \Q \E`, the usual operators, `lc uc ucfirst lcfirst length quotemeta defined chomp
//! print`. Everything else is refused before anything is changed. Text is bytes.

mod byte_set;
mod error;
mod parser;
mod pattern;
mod regex;
mod run;
mod syntax;

#[cfg(test)]
mod tests;

pub use error::EditError;

/// An edit expression that was understood.
#[derive(Debug, Clone)]
pub struct EditExpression {
    source: String,
    statements: Vec<syntax::Statement>,
}

impl EditExpression {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`EditError::Syntax`] where it is no Perl, [`EditError::Unsupported`] where it is beyond the part that is known here.
    pub fn parse(source: &str) -> Result<Self, EditError> {
        Ok(Self {
            source: source.to_owned(),
            statements: parser::parse(source.as_bytes())?,
        })
    }

    /// The expression as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Edits a file's text.
    ///
    /// # Errors
    /// [`EditError::TooMuchWork`] where a pattern goes astray on the text; a division by zero.
    pub fn apply(&self, text: &[u8]) -> Result<Vec<u8>, EditError> {
        run::run(&self.statements, text, run::MATCH_BUDGET)
    }
}
