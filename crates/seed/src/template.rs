//! Placeholders in documents, settings and file names: `@{name}` is the row's value of that name, `@{name|json}` the same as a JSON
//! (and YAML) string, and `@@{` stands for `@{`.
//!
//! jinja, shells and cloud-init itself use `{{`, `{%`, `${` and `$`, so that a template in their languages can hold placeholders besides.

use crate::error::{Error, Result};
use crate::fleet::Row;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Value { name: String, json: bool },
}

impl Template {
    /// Reads a text. What looks like a placeholder and is none (`@{`, then anything but a name) stays as it is.
    pub fn parse(text: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some((byte, behind)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(b"@@{") {
                plain.extend_from_slice(b"@{");
                rest = after;
            } else if let Some((piece, after)) = placeholder(rest) {
                if !plain.is_empty() {
                    pieces.push(Piece::Bytes(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
                rest = after;
            } else {
                plain.push(*byte);
                rest = behind;
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Bytes(plain));
        }
        Self { pieces }
    }

    /// Whether there is a placeholder in it.
    pub fn has_placeholders(&self) -> bool {
        self.pieces.iter().any(|p| matches!(p, Piece::Value { .. }))
    }

    /// Whether a value goes into it.
    pub fn uses(&self, wanted: &str) -> bool {
        self.pieces
            .iter()
            .any(|p| matches!(p, Piece::Value { name, .. } if name == wanted))
    }

    /// The text with the values of a row.
    ///
    /// # Errors
    /// [`Error::Row`] for a name that the row does not have.
    pub fn fill(&self, row: &Row) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Value { name, json } => {
                    let value = row.get(name).ok_or_else(|| Error::Row {
                        row: row.number,
                        reason: format!("has no value {name:?}, which @{{{name}}} asks for"),
                    })?;
                    if *json {
                        out.extend_from_slice(serde_json::Value::from(value).to_string().as_bytes());
                    } else {
                        out.extend_from_slice(value.as_bytes());
                    }
                }
            }
        }
        Ok(out)
    }
}

/// A placeholder at the start of a text, and what follows it.
fn placeholder(text: &[u8]) -> Option<(Piece, &[u8])> {
    let inner = text.strip_prefix(b"@{")?;
    let end = inner.iter().take(256).position(|b| *b == b'}')?;
    let (inner, behind) = inner.split_at_checked(end)?;
    let inner = std::str::from_utf8(inner).ok()?;
    let (name, json) = match inner.strip_suffix("|json") {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let piece = Piece::Value {
        name: name.into(),
        json,
    };
    is_name.then_some((piece, behind.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_languages_left_alone() {
        let row = Row {
            number: 3,
            values: vec![("name".into(), "web1".into()), ("motd".into(), "a \"b\"".into())],
        };
        let text = "h: @{name} m: @{motd|json} {{ ds.x }} ${HOME} @@{name} @{} @{a=1} a@b {%";
        let filled = Template::parse(text.as_bytes()).fill(&row).unwrap();
        assert_eq!(
            String::from_utf8(filled).unwrap(),
            "h: web1 m: \"a \\\"b\\\"\" {{ ds.x }} ${HOME} @{name} @{} @{a=1} a@b {%"
        );
        let error = Template::parse(b"@{nobody}").fill(&row).unwrap_err();
        assert!(error.to_string().contains("row 3") && error.to_string().contains("nobody"));
    }
}
