//! Tables as comma-separated values (RFC 4180).

use crate::error::{Error, Result};

/// Columns that a table may have.
const MAX_COLUMNS: usize = 1000;

/// The rows of a table, each with the number of the line on which it starts. Empty lines are passed over.
///
/// # Errors
/// [`Error::Row`] for a quote that is not closed, or that stands in the middle of a field.
pub(crate) fn rows(text: &str) -> Result<Vec<(u64, Vec<String>)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Vec::new();
    let mut fields: Vec<String> = Vec::new();
    let mut field = String::new();
    let (mut line, mut first, mut quoted) = (1u64, 1u64, false);
    let fail = |row, reason: &str| Error::Row {
        row,
        reason: reason.into(),
    };
    let mut chars = text.chars().peekable();
    loop {
        match chars.next() {
            Some('"') if field.is_empty() && !quoted => {
                quoted = true;
                loop {
                    match chars.next() {
                        None => return Err(fail(first, "a quote is not closed")),
                        Some('"') if chars.next_if_eq(&'"').is_some() => field.push('"'),
                        Some('"') => break,
                        Some(c) => {
                            line += u64::from(c == '\n');
                            field.push(c);
                        }
                    }
                }
            }
            Some('"') => return Err(fail(first, "a quote stands in the middle of a field")),
            Some(',') => {
                fields.push(std::mem::take(&mut field));
                quoted = false;
                if fields.len() > MAX_COLUMNS {
                    return Err(fail(first, "has more than 1000 fields"));
                }
            }
            Some('\r') if chars.peek() == Some(&'\n') => {}
            end @ (Some('\n') | None) => {
                if !fields.is_empty() || !field.is_empty() || quoted {
                    fields.push(std::mem::take(&mut field));
                    out.push((first, std::mem::take(&mut fields)));
                }
                quoted = false;
                line += 1;
                first = line;
                if end.is_none() {
                    return Ok(out);
                }
            }
            Some(_) if quoted => return Err(fail(first, "something follows a quoted field")),
            Some(c) => field.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let read = rows("a,b\r\n\"x, \"\"y\"\"\nz\",\n\nlast,\"\"").unwrap();
        let expected: Vec<(u64, Vec<String>)> = vec![
            (1, vec!["a".into(), "b".into()]),
            (2, vec!["x, \"y\"\nz".into(), String::new()]),
            (5, vec!["last".into(), String::new()]),
        ];
        assert_eq!(read, expected);
        for wrong in ["\"a", "a\"b", "\"a\"b"] {
            assert!(rows(wrong).is_err(), "{wrong}");
        }
    }
}
