//! ConfigDrive seeds (OpenStack's layout, version 2): a volume labelled `config-2` with `openstack/latest/…`, which cloud-init
//! and, on Windows guests, cloudbase-init read.

use crate::diagnostic::{Diagnostic, Findings};
use crate::document::Document;
use crate::error::{Error, Result};
use crate::media::{Media, SeedFile};
use crate::seed::{BuildOptions, InstanceId, Seed};
use crate::{network_data, openstack_version, settings, user_data, windows};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The label that is looked for.
pub const CONFIG_DRIVE_LABEL: &str = "config-2";
/// Files that a config drive may inject.
const MAX_FILES: usize = 9999;

/// Which program reads a config drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuestSystem {
    /// cloud-init.
    #[default]
    CloudInit,
    /// cloudbase-init, on Windows.
    CloudbaseInit,
}

/// A file that the guest shall have (`files` of meta_data.json, `content/NNNN`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectedFile {
    /// Where, in the guest.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What a ConfigDrive seed is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDrive {
    /// Who reads it.
    pub guest: GuestSystem,
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
    /// A `meta_data.json` of the user's own: a JSON object that the settings above are added to.
    pub meta_data: Option<Document>,
    /// user-data; for Windows also `#ps1_sysnative`, `#ps1_x86`, `rem cmd`.
    pub user_data: Option<Document>,
    /// `vendor_data.json`: a JSON object, or a document as user-data is one, which is wrapped.
    pub vendor_data: Option<Document>,
    /// `network_data.json`, or a network configuration of version 1 or 2, which is translated.
    pub network_data: Option<Document>,
    /// Files to be put into the guest.
    pub files: Vec<InjectedFile>,
    /// Whether the `ec2/latest` folder is there too.
    pub ec2: bool,
    /// Whether each version of the metadata has a folder of its own beside `openstack/latest`, as OpenStack writes them.
    pub dated: bool,
}

impl ConfigDrive {
    /// Looks for what the guest would ignore or misunderstand.
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut out = Vec::new();
        if let Some(document) = &self.user_data {
            let mut findings = Findings::of_making(&document.name);
            match self.guest {
                GuestSystem::CloudInit => user_data::check(&document.bytes, &mut findings),
                GuestSystem::CloudbaseInit => windows::check(&document.bytes, &mut findings),
            }
            out.extend(findings.finish());
        }
        if let Some(document) = &self.meta_data {
            let mut findings = Findings::of_making(&document.name);
            check_object(&document.bytes, &mut findings);
            out.extend(findings.finish());
        }
        if let Some(document) = self.vendor_data.as_ref().filter(|d| looks_like_json(&d.bytes)) {
            let mut findings = Findings::of_making(&document.name);
            check_object(&document.bytes, &mut findings);
            out.extend(findings.finish());
        }
        if let Some(document) = &self.network_data {
            let mut findings = Findings::of_making(&document.name);
            network_data::check(&document.bytes, self.guest, &mut findings);
            out.extend(findings.finish());
        }
        if self.guest == GuestSystem::CloudbaseInit {
            let mut findings = Findings::new("settings");
            windows::check_settings(
                self.hostname.as_deref(),
                self.admin_pass.as_deref(),
                &mut findings,
            );
            out.extend(findings.finish());
        }
        out
    }

    /// Checks everything that is no document: host name, uuid, files. [`ConfigDrive::build`] does so too.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check_settings(&self) -> Result<()> {
        if let Some(name) = &self.hostname {
            settings::check_hostname(name)?;
        }
        if let Some(id) = &self.uuid {
            settings::check_instance_id(id)?;
        }
        let refused = |value: &str, reason| Error::Setting {
            setting: "file",
            value: value.into(),
            reason,
        };
        if self.files.len() > MAX_FILES {
            return Err(refused(
                "",
                "is one of more than 9999, all that a config drive numbers",
            ));
        }
        for file in &self.files {
            let absolute = file.path.starts_with('/') || self.guest == GuestSystem::CloudbaseInit;
            if !absolute {
                return Err(refused(&file.path, "has no absolute path"));
            }
            if self.files.iter().filter(|other| other.path == file.path).count() > 1 {
                return Err(refused(&file.path, "is given twice"));
            }
        }
        Ok(())
    }

    /// Makes the seed. The label is `config-2` whatever the options say.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all findings where a document has errors and `options.validate` is set; [`Error::Network`] for a
    /// network configuration that cannot be translated; [`Error::MetaData`] for a meta_data.json that is no JSON object;
    /// [`Error::Setting`].
    pub fn build(&self, options: &BuildOptions) -> Result<Seed> {
        let diagnostics = self.validate();
        if options.validate && diagnostics.iter().any(|d| d.severity >= options.refuse) {
            return Err(Error::Invalid { diagnostics });
        }
        self.build_validated(options, diagnostics)
    }

    /// Makes the seed, with what [`ConfigDrive::validate`] has found already, so that nothing is looked at twice.
    ///
    /// # Errors
    /// Those of [`ConfigDrive::build`], but for [`Error::Invalid`].
    pub fn build_validated(&self, options: &BuildOptions, diagnostics: Vec<Diagnostic>) -> Result<Seed> {
        self.check_settings()?;
        let mut meta_data = self.meta_data_object()?;
        let instance_id = match meta_data.get("uuid").and_then(Value::as_str) {
            Some(given) => InstanceId::Given(given.into()),
            None => InstanceId::Made(self.make_uuid(&meta_data)),
        };
        let uuid = instance_id.as_str().unwrap_or_default().to_string();
        meta_data.insert("uuid".into(), json!(uuid));
        let mut files: Vec<SeedFile> = vec![(
            "openstack/latest/meta_data.json".into(),
            json_text(&meta_data.into()),
        )];
        if let Some(document) = &self.user_data {
            files.push(("openstack/latest/user_data".into(), document.bytes.clone()));
        }
        if let Some(document) = &self.vendor_data {
            files.push(("openstack/latest/vendor_data.json".into(), vendor_data(document)));
        }
        if let Some(document) = &self.network_data {
            let bytes = match network_data::is_network_data(&document.bytes) {
                true => document.bytes.clone(),
                false => json_text(&network_data::network_data(document)?),
            };
            files.push(("openstack/latest/network_data.json".into(), bytes));
        }
        if self.dated {
            files.extend(openstack_version::dated(&files));
        }
        for (number, file) in self.files.iter().enumerate() {
            files.push((format!("openstack/content/{number:04}"), file.bytes.clone()));
        }
        if self.ec2 {
            let mut ec2 = Map::new();
            ec2.insert("instance-id".into(), json!(uuid));
            for key in ["hostname", "local-hostname"] {
                if let Some(name) = &self.hostname {
                    ec2.insert(key.into(), json!(name));
                }
            }
            files.push(("ec2/latest/meta-data.json".into(), json_text(&ec2.into())));
            if let Some(document) = &self.user_data {
                files.push(("ec2/latest/user-data".into(), document.bytes.clone()));
            }
        }
        let image = Media::new(options.format, CONFIG_DRIVE_LABEL, options.time, &files)?;
        Ok(Seed {
            image,
            label: CONFIG_DRIVE_LABEL.into(),
            files,
            instance_id,
            diagnostics,
        })
    }

    /// meta_data.json without a `uuid` that would have to be made.
    fn meta_data_object(&self) -> Result<Map<String, Value>> {
        let mut out = match &self.meta_data {
            None => Map::new(),
            Some(document) => match serde_json::from_slice(&document.bytes) {
                Ok(Value::Object(object)) => object,
                _ => {
                    return Err(Error::MetaData {
                        name: document.name.clone(),
                        reason: "is no JSON object".into(),
                    });
                }
            },
        };
        for (key, value) in [
            ("uuid", &self.uuid),
            ("hostname", &self.hostname),
            ("name", &self.name),
            ("admin_pass", &self.admin_pass),
        ] {
            if let Some(value) = value {
                out.insert(key.into(), json!(value));
            }
        }
        for (key, pairs) in [("public_keys", &self.public_keys), ("meta", &self.meta)] {
            if pairs.is_empty() {
                continue;
            }
            let there = out.entry(key).or_insert_with(|| json!({}));
            if let Value::Object(object) = there {
                for (name, value) in pairs {
                    object.insert(name.clone(), json!(value.trim_end()));
                }
            }
        }
        if !self.files.is_empty() {
            let list: Vec<Value> = self
                .files
                .iter()
                .enumerate()
                .map(|(number, file)| json!({ "content_path": format!("/content/{number:04}"), "path": file.path }))
                .collect();
            out.insert("files".into(), list.into());
        }
        out.entry("launch_index").or_insert_with(|| json!(0));
        Ok(out)
    }

    /// A UUID (version 8) that is the same for the same seed.
    fn make_uuid(&self, meta_data: &Map<String, Value>) -> String {
        let mut hash = Sha256::new();
        hash.update(Value::from(meta_data.clone()).to_string());
        let documents = [&self.user_data, &self.vendor_data, &self.network_data];
        let documents = documents
            .into_iter()
            .map(|d| d.as_ref().map_or(&[][..], |d| d.bytes.as_slice()));
        for bytes in documents.chain(self.files.iter().map(|f| f.bytes.as_slice())) {
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

/// vendor_data.json: an object as it is; anything else under the key that cloud-init takes it from.
fn vendor_data(document: &Document) -> Vec<u8> {
    if looks_like_json(&document.bytes) {
        return document.bytes.clone();
    }
    json_text(&json!({ "cloud-init": String::from_utf8_lossy(&document.bytes) }))
}

fn looks_like_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

fn json_text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Checks that a document is a JSON object.
pub(crate) fn check_object(bytes: &[u8], findings: &mut Findings) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) => {
            findings.error("not-a-mapping", (1, 1), "should be a JSON object", None);
            None
        }
        Err(error) => {
            let at = (error.line().max(1), error.column().max(1));
            findings.error("json-syntax", at, format!("not valid JSON: {error}"), None);
            None
        }
    }
}
