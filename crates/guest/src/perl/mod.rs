//! Edit expressions: the part of Perl that people use to edit files line by line.
//!
//! An expression runs once for each line, which stands in `$_` with its newline, and what `$_` then holds is
//! written. Known are `s///` (flags g i m s x r), `m//`, `tr///` and `y///`, conditions before and behind
//! statements, `if`/`unless` blocks, `next` and `last`, scalar variables, `$lineno`, `$1`, `$&`, strings with
//! variables and `\U \L \u \l \Q \E`, the usual operators, `lc uc ucfirst lcfirst length quotemeta defined chomp
//! print`. Everything else is for the host's perl, if there is one. Text is bytes.

mod byte_set;
mod error;
mod expression;
mod host_perl;
mod parser;
mod pattern;
mod regex;
mod run;
mod syntax;

#[cfg(test)]
mod tests;

pub use error::EditError;
pub use expression::EditExpression;
pub use host_perl::find_perl;
