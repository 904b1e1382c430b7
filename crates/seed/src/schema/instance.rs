//! What JSON Schema sees in a YAML value: the types that PyYAML gives it (YAML 1.1).

use crate::yaml::{Value as Node, Yaml};
use serde_json::Value;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    /// A date, which JSON does not have.
    Date,
    Array,
    Object,
    /// Nothing is known of it.
    Opaque,
}

impl Kind {
    /// As it is said in a message.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Date => "a date",
            Self::Array => "a list",
            Self::Object => "a mapping",
            Self::Opaque => "unknown",
        }
    }

    /// Whether it is of a type that a schema names.
    pub(super) fn is(self, name: &str) -> bool {
        match name {
            "null" => self == Self::Null,
            "boolean" => self == Self::Boolean,
            "integer" => self == Self::Integer,
            "number" => matches!(self, Self::Integer | Self::Number),
            "string" => self == Self::Text,
            "array" => self == Self::Array,
            "object" => self == Self::Object,
            _ => true,
        }
    }
}

/// The type of a value.
pub(super) fn kind(node: &Yaml) -> Kind {
    let (text, plain) = match &node.value {
        Node::Sequence(_) => return Kind::Array,
        Node::Mapping(_) => return Kind::Object,
        Node::Opaque => return Kind::Opaque,
        Node::Scalar { text, plain } => (text.as_str(), *plain),
    };
    if !plain {
        return Kind::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        _ if boolean(text).is_some() => Kind::Boolean,
        _ if is_integer(text) => Kind::Integer,
        _ if is_float(text) => Kind::Number,
        _ if is_date(text) => Kind::Date,
        _ => Kind::Text,
    }
}

/// The value of a boolean.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// Binary, octal, decimal, hexadecimal, and base 60.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all = |rest: &str, allowed: fn(char) -> bool| {
        !rest.is_empty() && rest.chars().all(|c| c == '_' || allowed(c))
    };
    if let Some(rest) = digits.strip_prefix("0b") {
        return all(rest, |c| matches!(c, '0' | '1'));
    }
    if let Some(rest) = digits.strip_prefix("0x") {
        return all(rest, |c| c.is_ascii_hexdigit());
    }
    if digits == "0" {
        return true;
    }
    if let Some(rest) = digits.strip_prefix('0') {
        return all(rest, |c| matches!(c, '0'..='7'));
    }
    let mut groups = digits.split(':');
    let first = groups.next().unwrap_or("");
    first.starts_with(|c: char| matches!(c, '1'..='9'))
        && all(first, |c| c.is_ascii_digit())
        && groups.all(is_base_60)
}

fn is_base_60(group: &str) -> bool {
    matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
}

/// PyYAML wants a point, and a sign in the exponent.
fn is_float(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let exponent_fits = exponent.is_none_or(|e| {
        e.strip_prefix(['+', '-'])
            .is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
    });
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return false;
    };
    let starts = whole.starts_with(|c: char| c.is_ascii_digit())
        || (whole.is_empty()
            && !text.starts_with(['+', '-'])
            && fraction.starts_with(|c: char| c.is_ascii_digit()));
    starts && digits(whole) && digits(fraction) && exponent_fits
}

/// `2024-01-31`, with a time behind it or not.
fn is_date(text: &str) -> bool {
    let (date, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    let shape = date.len() == 10
        && date.bytes().enumerate().all(|(at, b)| {
            if matches!(at, 4 | 7) {
                b == b'-'
            } else {
                b.is_ascii_digit()
            }
        });
    let time = rest.trim_start_matches([' ', '\t', 'T', 't']);
    shape
        && (rest.is_empty()
            || (time.len() != rest.len()
                && time.contains(':')
                && time.starts_with(|c: char| c.is_ascii_digit())))
}

/// Whether a value is the one of a schema (`enum`).
pub(super) fn equals(node: &Yaml, value: &Value) -> bool {
    let text = node.text().unwrap_or("");
    match (kind(node), value) {
        (Kind::Opaque, _) | (Kind::Null, Value::Null) => true,
        (Kind::Boolean, Value::Bool(value)) => boolean(text) == Some(*value),
        (Kind::Integer | Kind::Number, Value::Number(value)) => text
            .parse::<f64>()
            .ok()
            .is_some_and(|t| value.as_f64() == Some(t)),
        (Kind::Text, Value::String(value)) => text == value,
        _ => false,
    }
}

/// Whether two values are the same.
pub(super) fn same(a: &Yaml, b: &Yaml) -> bool {
    match (&a.value, &b.value) {
        (Node::Scalar { text: x, .. }, Node::Scalar { text: y, .. }) => {
            let (kind_a, kind_b) = (kind(a), kind(b));
            kind_a == kind_b && (x == y || (kind_a == Kind::Boolean && boolean(x) == boolean(y)))
        }
        (Node::Sequence(x), Node::Sequence(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Node::Mapping(x), Node::Mapping(y)) => {
            x.len() == y.len()
                && x.iter().all(|(key, value)| {
                    let other = key.text().and_then(|k| b.get(k));
                    other.is_some_and(|other| same(value, other))
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_the_types_of_pyyaml() {
        for (text, expected) in [
            ("1", Kind::Integer),
            ("0644", Kind::Integer),
            ("0o644", Kind::Text),
            ("0689", Kind::Text),
            ("0b11", Kind::Integer),
            ("12:30", Kind::Integer),
            ("12:99", Kind::Text),
            ("1.5", Kind::Number),
            ("1e3", Kind::Text),
            ("1.0e+3", Kind::Number),
            (".5", Kind::Number),
            ("1.2.3", Kind::Text),
            ("2024-01-31", Kind::Date),
            ("2024-01-31 10:00:00", Kind::Date),
            ("2024-1", Kind::Text),
            ("off", Kind::Boolean),
            ("oFF", Kind::Text),
            ("~", Kind::Null),
        ] {
            let node = Yaml {
                value: Node::Scalar {
                    text: text.into(),
                    plain: true,
                },
                at: (1, 1),
                index: 0,
            };
            assert_eq!(kind(&node), expected, "{text}");
        }
    }
}
