//! What can be wrong with an edit expression.

/// Why an edit expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// It is no Perl.
    #[error("{what}")]
    Syntax {
        /// What is wrong, and where.
        what: String,
    },
    /// It is Perl, but beyond the part of it that disksmith runs itself.
    #[error("{what} is not supported in edit expressions")]
    Unsupported {
        /// Which part of the language.
        what: String,
    },
    /// The expression took too many steps on one line.
    #[error("the pattern needs too much backtracking on a line of the file")]
    TooMuchWork,
    /// The host's perl ran it, and failed.
    #[error("perl: {complaint}")]
    Perl {
        /// What perl said, its first line.
        complaint: String,
    },
}
