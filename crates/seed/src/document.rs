//! A document that goes into a seed.

use crate::diagnostic::Findings;

/// A document that goes into a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// How findings name it: the path that the user gave.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl Document {
    /// A document and the name that findings give it.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// The text of a document that is YAML; findings where it is none.
pub(crate) fn text_of<'a>(bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    let bytes = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => {
            findings.warning(
                "byte-order-mark",
                (1, 1),
                "starts with a byte order mark",
                "save it as UTF-8 without BOM".to_string(),
            );
            rest
        }
        None => bytes,
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(_) => {
            findings.error(
                "encoding",
                (1, 1),
                "not UTF-8 text",
                "save it as UTF-8".to_string(),
            );
            None
        }
    }
}
