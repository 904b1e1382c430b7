//! meta-data: a YAML (or JSON) mapping with `instance-id`, and adding to it what is missing.

use crate::diagnostic::Findings;
use crate::suggest::nearest;
use crate::yaml::{self, Type, Value, Yaml};

/// Keys that the NoCloud datasource reads.
const KEYS: &[&str] = &[
    "availability-zone",
    "cloud-name",
    "dsmode",
    "instance-id",
    "local-hostname",
    "network-config",
    "network-interfaces",
    "platform",
    "public-hostname",
    "public-ipv4",
    "public-keys",
    "region",
    "seedfrom",
    "hostname",
    "launch-index",
];

/// Checks a meta-data document.
pub(crate) fn check(text: &str, findings: &mut Findings) {
    let Ok(Some(root)) = yaml::parse(text, findings) else {
        return;
    };
    if root.value_type() != Type::Mapping {
        let message = format!(
            "meta-data is a mapping of keys, and this is {}; cloud-init would not take the seed",
            root.value_type().name()
        );
        findings.error(
            "not-a-mapping",
            root.at,
            message,
            "write \"instance-id: NAME\"".to_string(),
        );
        return;
    }
    match root.entry("instance-id") {
        Some((_, id)) => match id.value_type() {
            Type::Sequence | Type::Mapping => {
                let message = format!(
                    "instance-id should be a text, and this is {}",
                    id.value_type().name()
                );
                findings.error("instance-id", id.at, message, None);
            }
            Type::Null => findings.error(
                "instance-id",
                id.at,
                "instance-id is empty",
                "give it a value".to_string(),
            ),
            Type::Text | Type::Unknown => {}
            other => {
                let message = format!(
                    "instance-id is {} to YAML, which may be written otherwise than it stands here",
                    other.name()
                );
                findings.warning("instance-id", id.at, message, "put it in quotes".to_string());
            }
        },
        None => {
            if let Some((key, _)) = root.entries().iter().find(|(k, _)| {
                k.text()
                    .is_some_and(|k| k != "instance-id" && nearest(k, ["instance-id"]).is_some())
            }) {
                let message = format!("{:?} is not instance-id", key.text().unwrap_or(""));
                findings.error("instance-id", key.at, message, "write instance-id".to_string());
            }
        }
    }
    for (key, value) in root.entries() {
        let Some(name) = key.text() else { continue };
        if !KEYS.contains(&name)
            && name != "<<"
            && let Some(near) = findings
                .suggestion(name, KEYS.iter().copied())
                .filter(|n| *n != "instance-id")
        {
            let message = format!("cloud-init reads no key {name:?} of meta-data");
            findings.warning("unknown-key", key.at, message, format!("did you mean {near}?"));
        }
        match name {
            "local-hostname" if matches!(value.value_type(), Type::Sequence | Type::Mapping | Type::Null) => {
                let message = format!(
                    "local-hostname should be a text, and this is {}",
                    value.value_type().name()
                );
                findings.error("local-hostname", value.at, message, None);
            }
            "dsmode" if !matches!(value.text(), Some("local" | "net" | "pass")) => {
                let message = match value.text() {
                    Some("disabled") => "dsmode: disabled makes cloud-init ignore the seed".to_string(),
                    _ => "dsmode is neither local nor net".to_string(),
                };
                findings.warning("dsmode", value.at, message, None);
            }
            _ => {}
        }
    }
}

/// Warns where a document that nothing is added to any more has no identity.
pub(crate) fn check_complete(text: &str, findings: &mut Findings) {
    let Ok(root) = yaml::parse(text, &mut Findings::new("")) else {
        return;
    };
    if root.is_none_or(|root| root.value_type() == Type::Mapping && root.get("instance-id").is_none()) {
        let message = "there is no instance-id: the instance is \"nocloud\" to cloud-init, and a changed seed no new one";
        findings.warning(
            "instance-id-missing",
            (1, 1),
            message,
            "add instance-id: NAME".to_string(),
        );
    }
}

/// The text of a key, if the document is a mapping and has it.
pub(crate) fn value(text: &str, key: &str) -> Option<String> {
    let root = yaml::parse(text, &mut Findings::new("")).ok()??;
    root.get(key)
        .filter(|v| v.value_type() != Type::Null)
        .and_then(Yaml::text)
        .map(Into::into)
}

/// The document with a key added before the others, in the style of the document. `None` where it is no mapping, or
/// has the key.
pub(crate) fn with_key(text: &str, key: &str, value: &str) -> Option<String> {
    let line = format!("{key}: {}", quoted(value));
    let Some(root) = yaml::parse(text, &mut Findings::new("")).ok()? else {
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return Some(format!("{text}{end}{line}\n"));
    };
    let Value::Mapping(entries) = &root.value else {
        return None;
    };
    if root.entry(key).is_some() {
        return None;
    }
    let split = text
        .char_indices()
        .nth(root.index)
        .map_or(text.len(), |(at, _)| at);
    let (before, rest) = text.split_at_checked(split)?;
    let mut out = before.to_string();
    if let Some(inner) = rest.strip_prefix('{') {
        let separator = if entries.is_empty() { "" } else { ", " };
        out.push_str(&format!("{{\"{key}\": {}{separator}{inner}", json(value)));
    } else {
        let indent = " ".repeat(root.at.1.saturating_sub(1));
        out.push_str(&format!("{line}\n{indent}{rest}"));
    }
    Some(out)
}

/// A value as YAML: plain where nothing can be misread, else in double quotes.
pub(crate) fn quoted(value: &str) -> String {
    let plain = value.chars().next().is_some_and(char::is_alphabetic)
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let as_read = Yaml {
        value: Value::Scalar {
            text: value.into(),
            plain: true,
        },
        at: (1, 1),
        index: 0,
    };
    if plain && as_read.value_type() == Type::Text {
        value.into()
    } else {
        json(value)
    }
}

/// A JSON string, which is YAML too.
fn json(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}
