//! ConfigDrive seeds (OpenStack's layout, version 2): a volume labelled `config-2` with `openstack/latest/…`, which cloud-init
//! and, on Windows guests, cloudbase-init read.

use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::error::{Error, Result};
use crate::nocloud::{BuildOptions, Document, volume};
use crate::user_data;
use disksmith_iso9660::IsoImage;
use disksmith_storage::{Durability, Existing};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The label that is looked for.
pub const CONFIG_DRIVE_LABEL: &str = "config-2";

/// What a ConfigDrive seed is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDrive {
    /// `uuid`, the identity of the instance; made from the rest where it is missing.
    pub uuid: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Name of the instance.
    pub name: Option<String>,
    /// Public keys by name.
    pub public_keys: Vec<(String, String)>,
    /// Password of the administrator, in plain text, as cloudbase-init takes it.
    pub admin_pass: Option<String>,
    /// Further entries of `meta`.
    pub meta: Vec<(String, String)>,
    /// user-data; for Windows also `#ps1_sysnative`, `#ps1_x86`, `rem cmd`.
    pub user_data: Option<Document>,
    /// `vendor_data.json`.
    pub vendor_data: Option<Document>,
    /// `network_data.json`.
    pub network_data: Option<Document>,
}

/// A seed that is ready to be written.
#[derive(Debug)]
pub struct ConfigDriveSeed {
    /// The volume.
    pub image: IsoImage,
    /// The files in it, by path.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Its `uuid`.
    pub uuid: String,
    /// What was found in the documents; no errors unless validation was off.
    pub diagnostics: Vec<Diagnostic>,
}

impl ConfigDriveSeed {
    /// Writes the seed to a file that appears whole or not at all.
    ///
    /// # Errors
    /// The file exists and may not be replaced; it cannot be written.
    pub fn write_file(&self, path: &Path, existing: Existing, durability: Durability) -> Result<()> {
        Ok(self.image.write_file(path, existing, durability)?)
    }
}

impl ConfigDrive {
    /// Looks for what the guest would ignore or misunderstand.
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut out = Vec::new();
        if let Some(document) = self.user_data.as_ref().filter(|d| !is_for_windows(&d.bytes)) {
            let mut findings = Findings::new(&document.name);
            user_data::check(&document.bytes, &mut findings);
            out.extend(findings.finish());
        }
        for document in [&self.vendor_data, &self.network_data].into_iter().flatten() {
            let mut findings = Findings::new(&document.name);
            match serde_json::from_slice::<Value>(&document.bytes) {
                Ok(Value::Object(_)) => {}
                Ok(_) => findings.error("not-a-mapping", (1, 1), "should be a JSON object", None),
                Err(error) => {
                    let at = (error.line().max(1), error.column().max(1));
                    findings.error("json-syntax", at, format!("not valid JSON: {error}"), None);
                }
            }
            out.extend(findings.finish());
        }
        out
    }

    /// Makes the seed. The label is `config-2` whatever the options say.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all findings where a document has errors and `options.validate` is set.
    pub fn build(&self, options: &BuildOptions) -> Result<ConfigDriveSeed> {
        let diagnostics = self.validate();
        if options.validate && diagnostics.iter().any(|d| d.severity == Severity::Error) {
            return Err(Error::Invalid { diagnostics });
        }
        let uuid = self.uuid.clone().unwrap_or_else(|| self.make_uuid());
        let mut meta_data = serde_json::to_vec_pretty(&self.meta_data(&uuid)).unwrap_or_default();
        meta_data.push(b'\n');
        let mut files = vec![("openstack/latest/meta_data.json", meta_data)];
        for (path, document) in [
            ("openstack/latest/user_data", &self.user_data),
            ("openstack/latest/vendor_data.json", &self.vendor_data),
            ("openstack/latest/network_data.json", &self.network_data),
        ] {
            if let Some(document) = document {
                files.push((path, document.bytes.clone()));
            }
        }
        let image = volume(CONFIG_DRIVE_LABEL, options.time, &files)?;
        Ok(ConfigDriveSeed {
            image,
            files,
            uuid,
            diagnostics,
        })
    }

    fn meta_data(&self, uuid: &str) -> Value {
        let mut out = Map::new();
        out.insert("uuid".into(), json!(uuid));
        for (key, value) in [
            ("hostname", &self.hostname),
            ("name", &self.name),
            ("admin_pass", &self.admin_pass),
        ] {
            if let Some(value) = value {
                out.insert(key.into(), json!(value));
            }
        }
        let object = |pairs: &[(String, String)]| -> Value {
            pairs
                .iter()
                .map(|(k, v)| (k.clone(), json!(v.trim_end())))
                .collect::<Map<_, _>>()
                .into()
        };
        if !self.public_keys.is_empty() {
            out.insert("public_keys".into(), object(&self.public_keys));
        }
        if !self.meta.is_empty() {
            out.insert("meta".into(), object(&self.meta));
        }
        out.insert("launch_index".into(), json!(0));
        out.into()
    }

    /// A UUID (version 8) that is the same for the same seed.
    fn make_uuid(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.meta_data("").to_string());
        for document in [&self.user_data, &self.vendor_data, &self.network_data] {
            let bytes = document.as_ref().map_or(&[][..], |d| &d.bytes);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let part = |from: usize, len: usize| hex.get(from..from + len).unwrap_or("").to_string();
        format!(
            "{}-{}-8{}-a{}-{}",
            part(0, 8),
            part(8, 4),
            part(12, 3),
            part(15, 3),
            part(18, 12)
        )
    }
}

/// Whether a document is one of those that only cloudbase-init runs.
fn is_for_windows(bytes: &[u8]) -> bool {
    let start = bytes.get(..64).unwrap_or(bytes).to_ascii_lowercase();
    [
        &b"#ps1"[..],
        b"#ps1_sysnative",
        b"#ps1_x86",
        b"rem cmd",
        b"<powershell>",
        b"<script>",
    ]
    .iter()
    .any(|header| start.starts_with(header))
}
