//! The options of a node: names with dots, each with a value, from JSON or from a list `name=value,…`.

use super::parse::NodeError;
use serde_json::Value;
use std::collections::BTreeMap;

/// How many options a name may hold, and how deep they may be nested.
const MAX_MEMBERS: usize = 1000;
const MAX_DEPTH: usize = 16;

/// Options by their full names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Members(BTreeMap<String, Value>);

impl Members {
    /// Reads a JSON object.
    pub(super) fn from_json(text: &str) -> Result<Self, NodeError> {
        let problem = |what: &str| NodeError::new(format!("Could not parse the JSON options: {what}"));
        if text.trim().is_empty() {
            return Err(problem("Expecting a JSON value"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            if error.is_eof() {
                problem("JSON parse error, premature EOI")
            } else {
                problem(&format!("JSON parse error: {error}"))
            }
        })?;
        if !value.is_object() {
            return Err(NodeError::new("Invalid JSON object given"));
        }
        let mut members = Self::default();
        members.flatten("", value, 0)?;
        Ok(members)
    }

    fn flatten(&mut self, prefix: &str, value: Value, depth: usize) -> Result<(), NodeError> {
        if depth > MAX_DEPTH || self.0.len() > MAX_MEMBERS {
            return Err(NodeError::new("too many options, or too deep"));
        }
        let name = |key: &str| match prefix {
            "" => key.to_owned(),
            _ => format!("{prefix}.{key}"),
        };
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    self.flatten(&name(&key), value, depth + 1)?;
                }
            }
            Value::Array(list) => {
                for (index, value) in list.into_iter().enumerate() {
                    self.flatten(&name(&index.to_string()), value, depth + 1)?;
                }
            }
            other => {
                self.0.insert(prefix.into(), other);
            }
        }
        Ok(())
    }

    /// Reads a list as `--image-opts` takes it; a comma in a value is doubled.
    pub(super) fn from_list(text: &str) -> Result<Self, NodeError> {
        let marked = text.replace(",,", "\0");
        let mut members = Self::default();
        for (index, item) in marked.split(',').filter(|item| !item.is_empty()).enumerate() {
            let (key, value) = match item.split_once('=') {
                Some((key, value)) => (key, value.replace('\0', ",")),
                None if index == 0 => return Err(NodeError::no_node(&item.replace('\0', ","))),
                None => match item.strip_prefix("no") {
                    Some(key) => (key, "off".into()),
                    None => (item, "on".into()),
                },
            };
            if members.0.len() > MAX_MEMBERS {
                return Err(NodeError::new("too many options"));
            }
            members.0.insert(key.into(), value.into());
        }
        Ok(members)
    }

    /// Takes an option out.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// Takes an option out, as text.
    pub(super) fn take_text(&mut self, key: &str) -> Option<String> {
        self.take(key).map(|value| text_of(&value))
    }

    /// Takes out all options whose names begin with `prefix` and a dot, without that.
    /// Whether there are some, and none but these.
    pub(super) fn has_only(&self, names: &[&str]) -> bool {
        !self.0.is_empty() && self.0.keys().all(|key| names.contains(&key.as_str()))
    }

    pub(super) fn take_below(&mut self, prefix: &str) -> Self {
        let dotted = format!("{prefix}.");
        let keys: Vec<String> = self
            .0
            .keys()
            .filter(|key| key.starts_with(&dotted))
            .cloned()
            .collect();
        let mut below = Self::default();
        for key in keys {
            if let (Some(value), Some(rest)) = (self.0.remove(&key), key.strip_prefix(&dotted)) {
                below.0.insert(rest.to_owned(), value);
            }
        }
        below
    }

    /// An option that nobody took.
    pub(super) fn left_over(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }

    /// Whether an option below `prefix` is there.
    pub(super) fn has(&self, prefix: &str) -> bool {
        let dotted = format!("{prefix}.");
        self.0.keys().any(|key| key.starts_with(&dotted))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an option unless it is there.
    pub(super) fn default_to(&mut self, key: &str, value: &str) {
        self.0.entry(key.into()).or_insert_with(|| value.into());
    }
}

/// A value as a list of options would hold it.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".into(),
        Value::Bool(false) => "off".into(),
        other => other.to_string(),
    }
}

/// JSON as QEMU shows it in names: its dictionaries come in the order of a hash of their keys.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_by_key(|key| bucket(key));
            let members: Vec<String> = keys
                .iter()
                .filter_map(|key| {
                    Some(format!(
                        "{}: {}",
                        Value::from(key.as_str()),
                        show(object.get(*key)?)
                    ))
                })
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}

/// The place of a key among the 512 of a QEMU dictionary.
fn bucket(key: &str) -> u32 {
    let start = 0x238f_13af_u32.wrapping_mul(key.len() as u32);
    let sum = key.bytes().enumerate().fold(start, |sum, (index, byte)| {
        sum.wrapping_add(u32::from(byte) << (index * 5 % 24))
    });
    sum.wrapping_mul(1_103_515_243).wrapping_add(12345) % 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_shown_in_qemus_order() {
        let value = serde_json::json!({"driver": "raw", "file": {"filename": "a", "driver": "file"}, "offset": 512, "size": 1});
        assert_eq!(
            show(&value),
            r#"{"offset": 512, "driver": "raw", "size": 1, "file": {"driver": "file", "filename": "a"}}"#
        );
    }

    #[test]
    fn lists_and_json_mean_the_same() {
        let json =
            Members::from_json(r#"{"driver":"raw","file":{"driver":"file","filename":"a,b"}}"#).unwrap();
        let list = Members::from_list("driver=raw,file.driver=file,file.filename=a,,b").unwrap();
        assert_eq!(json, list);
    }
}
