//! The programs that have these options, and where they differ.

/// Whose behaviour is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::faces) enum Flavour {
    /// genisoimage and mkisofs.
    Genisoimage,
    /// xorriso in its emulation of mkisofs: Rock Ridge is on, and files may be of any size.
    Xorriso,
}
