//! How names of the plain hierarchy are made: what ECMA-119 allows at each level, and in which ways it may be stretched.

use crate::options::Level;

/// How long plain names may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlainLength {
    /// 8 characters and 3 (ECMA-119 10.1).
    Short,
    /// 31 characters.
    Long,
    /// 37 characters: the room that the version leaves is used too.
    Longer,
    /// As long as a directory record allows: 207 bytes, and 193 with Rock Ridge.
    Whole,
}

/// How names of the plain hierarchy are made. Everything beyond [`of_level`](Self::of_level) violates ISO 9660.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainRules {
    /// How long names may be.
    pub length: PlainLength,
    /// Lower case stays.
    pub lower_case: bool,
    /// More than one dot stays.
    pub several_dots: bool,
    /// A dot at the beginning stays.
    pub leading_dots: bool,
    /// No dot is added to names without an extension.
    pub omit_dot: bool,
    /// No version is added.
    pub omit_version: bool,
    /// All printable ASCII characters stay, except lower case letters.
    pub ascii: bool,
    /// `~`, `-` and `#` stay.
    pub no_translation: bool,
    /// Names of directories may have an extension.
    pub directory_extension: bool,
    /// Bytes stay whatever they are.
    pub any_bytes: bool,
    /// A character of UTF-8 that cannot be said becomes one `_`, instead of one for each of its bytes.
    pub by_character: bool,
    /// `.tar.gz` becomes `.tgz` where only one dot can stay.
    pub tgz: bool,
}

impl PlainRules {
    /// What the level allows.
    pub fn of_level(level: Level) -> Self {
        let relaxed = level == Level::Four;
        Self {
            length: match level {
                Level::One => PlainLength::Short,
                Level::Two | Level::Three => PlainLength::Long,
                Level::Four => PlainLength::Whole,
            },
            lower_case: relaxed,
            several_dots: relaxed,
            leading_dots: relaxed,
            omit_dot: relaxed,
            omit_version: relaxed,
            ascii: relaxed,
            no_translation: relaxed,
            directory_extension: relaxed,
            any_bytes: relaxed,
            by_character: false,
            tgz: true,
        }
    }
}
