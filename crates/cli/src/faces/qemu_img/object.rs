//! `--object`: things that QEMU makes beside images. Secrets hold the passphrases of encrypted images; the others are accepted
//! where images can do without them.

use super::image_name::ImageName;
use super::stop::Stop;
use super::wording::system;
use crate::faces::getopt::Arguments;
use disksmith_image::Keys;
use disksmith_luks::{Passphrase, unwrap_secret};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const KINDS: &[&str] = &[
    "authz-list",
    "authz-simple",
    "iothread",
    "main-loop",
    "secret",
    "secret_keyring",
    "throttle-group",
    "tls-cipher-suites",
    "tls-creds-anon",
    "tls-creds-psk",
    "tls-creds-x509",
];

/// The secrets of this command line. One command runs in a process.
static KEYS: OnceLock<Keys> = OnceLock::new();

/// The passphrases that were given.
pub(super) fn keys() -> Keys {
    KEYS.get().cloned().unwrap_or_default()
}

/// The same for an image that is opened by its path alone: what its options name counts for it.
pub(super) fn keys_for(name: &ImageName) -> Result<Keys, Stop> {
    let secret = name.node.key_secret().or_else(|| name.node.backing_key_secret());
    match secret {
        Some(id) => keys()
            .also_for_all(id)
            .map_err(|error| name.cannot_open(error.to_string())),
        None => Ok(keys()),
    }
}

/// Reads the objects that were asked for.
pub(super) fn check(arguments: &Arguments) -> Result<(), Stop> {
    let mut objects = Objects::default();
    for text in arguments.texts("object") {
        objects.add(&text).map_err(Stop::new)?;
    }
    let _ = KEYS.set(objects.keys);
    Ok(())
}

#[derive(Default)]
struct Objects {
    keys: Keys,
    ids: Vec<String>,
}

type Properties = BTreeMap<String, String>;

impl Objects {
    fn add(&mut self, text: &str) -> Result<(), String> {
        let mut properties = if text.starts_with('{') {
            from_json(text)?
        } else {
            from_list(text)?
        };
        let kind = properties
            .remove("qom-type")
            .ok_or("Parameter 'qom-type' is missing")?;
        if !KINDS.contains(&kind.as_str()) {
            return Err(format!("Parameter 'qom-type' does not accept value '{kind}'"));
        }
        let id = properties.remove("id").ok_or("Parameter 'id' is missing")?;
        let secret = (kind == "secret").then(|| Secret::read(properties)).transpose()?;
        if !is_identifier(&id) {
            return Err(
                "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting \
                 with a letter."
                    .into(),
            );
        }
        let passphrase = secret.map(|secret| secret.passphrase(&self.keys)).transpose()?;
        if self.ids.contains(&id) {
            return Err(format!(
                "attempt to add duplicate property '{id}' to object (type 'container')"
            ));
        }
        if let Some(passphrase) = passphrase {
            self.keys.insert(id.clone(), passphrase);
        }
        self.ids.push(id);
        Ok(())
    }
}

fn is_identifier(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

fn from_list(text: &str) -> Result<Properties, String> {
    let marked = text.replace(",,", "\0");
    let mut properties = Properties::new();
    for (index, item) in marked.split(',').enumerate() {
        let item = item.replace('\0', ",");
        match item.split_once('=') {
            Some((key, value)) => properties.insert(key.into(), value.into()),
            None if index == 0 => properties.insert("qom-type".into(), item),
            None if item.is_empty() => None,
            None => return Err(format!("Expected '=' after parameter '{item}'")),
        };
    }
    Ok(properties)
}

fn from_json(text: &str) -> Result<Properties, String> {
    let wrong = |_| "JSON parse error, expecting value".to_owned();
    let Value::Object(object) = serde_json::from_str(text).map_err(wrong)? else {
        return Err("JSON parse error, expecting value".into());
    };
    let members = object.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    });
    Ok(members.collect())
}

/// A `secret` object.
struct Secret {
    data: Option<String>,
    file: Option<String>,
    base64: bool,
    key: Option<String>,
    iv: Option<String>,
}

impl Secret {
    fn read(mut properties: Properties) -> Result<Self, String> {
        let secret = Self {
            data: properties.remove("data"),
            file: properties.remove("file"),
            base64: match properties.remove("format").as_deref() {
                None | Some("raw") => false,
                Some("base64") => true,
                Some(other) => return Err(format!("Parameter 'format' does not accept value '{other}'")),
            },
            key: properties.remove("keyid"),
            iv: properties.remove("iv"),
        };
        // An old switch that QEMU still accepts.
        properties.remove("loaded");
        match properties.keys().next() {
            Some(name) => Err(format!("Parameter '{name}' is unexpected")),
            None => Ok(secret),
        }
    }

    fn passphrase(self, known: &Keys) -> Result<Passphrase, String> {
        let bytes = match (self.file, self.data) {
            (Some(_), Some(_)) => return Err("'file' and 'data' are mutually exclusive".into()),
            (None, None) => return Err("Either 'file' or 'data' must be provided".into()),
            (None, Some(data)) => data.into_bytes(),
            (Some(file), None) => std::fs::read(&file).map_err(|error| {
                let why = system(&error);
                format!("Unable to read {file}: Failed to open file “{file}”: {why}")
            })?,
        };
        let decoded = if self.base64 {
            decode_base64(&bytes)?
        } else {
            bytes
        };
        let Some(key) = self.key else {
            return Ok(Passphrase::new(decoded));
        };
        let key = known.get(&key).map_err(|error| error.to_string())?;
        let iv = self.iv.ok_or("IV is required to decrypt secret")?;
        let iv = decode_base64(iv.as_bytes())?;
        unwrap_secret(key.bytes(), &iv, &decoded).map_err(|error| error.to_string())
    }
}

/// Decodes base64 as GLib does: line breaks are skipped, a group that is not complete is left out.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let (mut group, mut digits) = (0u32, 0);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'\n' | b'\r' => continue,
            b'=' => break,
            _ => return Err("Base64 data contains invalid characters".into()),
        };
        group = group << 6 | u32::from(digit);
        digits += 1;
        if digits == 4 {
            out.extend_from_slice(group.to_be_bytes().get(1..).unwrap_or_default());
            (group, digits) = (0, 0);
        }
    }
    match digits {
        2 => out.push((group >> 4) as u8),
        3 => out.extend_from_slice(((group >> 2) as u16).to_be_bytes().as_slice()),
        _ => {}
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(texts: &[&str]) -> Result<Keys, String> {
        let mut objects = Objects::default();
        for text in texts {
            objects.add(text)?;
        }
        Ok(objects.keys)
    }

    #[test]
    fn secrets_are_read_from_lists_and_json() {
        let keys = add(&[
            "secret,id=a,data=x,,y",
            r#"{"qom-type":"secret","id":"b","data":"YWJjZA==","format":"base64"}"#,
        ])
        .unwrap();
        assert_eq!(keys.get("a").unwrap().bytes(), b"x,y");
        assert_eq!(keys.get("b").unwrap().bytes(), b"abcd");
        assert_eq!(
            add(&["secret,id=a"]).unwrap_err(),
            "Either 'file' or 'data' must be provided"
        );
    }
}
