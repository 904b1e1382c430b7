//! The arguments of a command: options of one letter, as getopt reads them, and operands.

use super::Stop;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What was on a command line.
#[derive(Debug, Default)]
pub(super) struct Given {
    options: Vec<(u8, OsString)>,
    pub(super) operands: Vec<OsString>,
}

/// The options of each command as getopt has them: a colon follows those with a value.
fn letters(name: &str) -> &'static [u8] {
    match name {
        "mcopy" | "mtype" => b"i:abB/sptTnmvorRAqQD:V",
        "mdir" => b"i:ws/afbXV",
        "mmd" => b"i:D:oamosSrRAV",
        "mdel" | "mrd" | "mdeltree" => b"i:vV",
        "mren" | "mmove" => b"i:voD:asSrRAV",
        "mattrib" => b"i:ahrsX/pV",
        "mlabel" => b"i:vcsnN:V",
        "minfo" => b"i:vV",
        "mdu" => b"i:asV",
        "mformat" => b"i:148f:t:n:v:qub:kK:R:B:r:L:I:FCc:Xh:s:T:l:N:H:M:S:2:30:Aad:m:V",
        _ => b"V",
    }
}

impl Given {
    /// Reads the words behind a command's name.
    pub(super) fn parse(name: &str, words: &[OsString]) -> Result<Self, Stop> {
        let letters = letters(name);
        let mut given = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                given.operands.extend(words.by_ref().cloned());
                break;
            }
            // An operand that adds attributes, or a name.
            let Some(mut cluster) = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty()) else {
                given.operands.push(word.clone());
                continue;
            };
            while let Some((letter, rest)) = cluster.split_first() {
                cluster = rest;
                let known = letters
                    .iter()
                    .position(|known| known == letter && *letter != b':');
                let Some(at) = known else {
                    let shown = char::from(*letter);
                    return Err(Stop::Usage(Some(format!("{name}: invalid option -- '{shown}'"))));
                };
                let mut value = OsString::new();
                if letters.get(at + 1) == Some(&b':') {
                    value = match rest {
                        [] => words.next().cloned().ok_or_else(|| {
                            let shown = char::from(*letter);
                            Stop::Usage(Some(format!("{name}: option requires an argument -- '{shown}'")))
                        })?,
                        attached => OsString::from_vec(attached.to_vec()),
                    };
                    cluster = &[];
                }
                given.options.push((*letter, value));
            }
        }
        Ok(given)
    }

    /// Whether an option was given.
    pub(super) fn has(&self, letter: u8) -> bool {
        self.options.iter().any(|(given, _)| *given == letter)
    }

    /// All options in their order.
    pub(super) fn options(&self) -> impl Iterator<Item = (u8, &OsStr)> {
        self.options
            .iter()
            .map(|(letter, value)| (*letter, value.as_os_str()))
    }

    /// The last value of an option.
    pub(super) fn last(&self, letter: u8) -> Option<&OsStr> {
        let mut options = self.options.iter().rev();
        options
            .find(|(given, _)| *given == letter)
            .map(|(_, value)| value.as_os_str())
    }

    /// The last value of an option as text.
    pub(super) fn text(&self, letter: u8) -> Option<String> {
        self.last(letter)
            .map(|value| value.to_string_lossy().into_owned())
    }

    /// The image of `::`.
    pub(super) fn image(&self) -> Option<&OsStr> {
        self.last(b'i')
    }

    /// The operands as text.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.operands.iter();
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}
