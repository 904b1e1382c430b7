//! How an error is classed and what it advises, whatever crate it comes from.

/// What sort of failure an error is. The program's exit status follows from it (`docs/exit-status.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything not named below (an I/O error, say). Exit status 1.
    Failed,
    /// The request itself is wrong: bad arguments, a bad document. Exit status 2.
    Usage,
    /// The image or the filesystem in it is damaged, or not of the format it was said to be. Exit status 3.
    Corrupt,
    /// The image is valid but needs a feature that disksmith lacks. Exit status 4.
    Unsupported,
    /// Somebody else has the image open. Exit status 5.
    InUse,
    /// Refused because it would destroy something (a base that has clones, an existing output). Exit status 6.
    Refused,
    /// No space left: in the host's filesystem, in the image, or in the guest's filesystem. Exit status 7.
    NoSpace,
    /// A file, user or path that was named does not exist. Exit status 1.
    NotFound,
}

/// An error that knows its class and what the user can do next. Every crate's error type implements it.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    /// The class of this error.
    fn kind(&self) -> ErrorKind;

    /// What to do next, as one or two sentences or a command; `None` where there is nothing useful to say.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Whether what was to be changed may hold the new state in spite of this error.
    fn may_have_changed(&self) -> bool {
        false
    }
}
