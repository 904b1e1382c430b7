//! JSON text laid out byte for byte as QEMU's tools print it, so that scripts which compare texts see no difference.

use serde_json::Value;
use std::fmt::Write;

/// Lays `value` out with four spaces per level, one member per line, and everything outside printable ASCII escaped.
/// No newline at the end. Members keep the order they have in the value.
#[must_use]
pub fn pretty_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0);
    out
}

fn write_value(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{n}");
        }
        Value::String(s) => json_string(out, s),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                separator(out, i, level + 1);
                write_value(out, item, level + 1);
            }
            newline(out, level);
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (i, (key, member)) in members.iter().enumerate() {
                separator(out, i, level + 1);
                json_string(out, key);
                out.push_str(": ");
                write_value(out, member, level + 1);
            }
            newline(out, level);
            out.push('}');
        }
    }
}

fn separator(out: &mut String, index: usize, level: usize) {
    if index > 0 {
        out.push(',');
    }
    newline(out, level);
}

fn newline(out: &mut String, level: usize) {
    out.push('\n');
    for _ in 0..level {
        out.push_str("    ");
    }
}

fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_containers_take_two_lines() {
        assert_eq!(pretty_json(&json!({"a": []})), "{\n    \"a\": [\n    ]\n}");
    }

    #[test]
    fn everything_outside_ascii_is_escaped() {
        assert_eq!(
            pretty_json(&json!("é\u{1F600}\u{7f}\"")),
            "\"\\u00E9\\uD83D\\uDE00\\u007F\\\"\""
        );
    }
}
