//! A thorough check of seeds and documents: what cloud-init's schema does not allow is an error here, names and label are looked at, and
//! the differences between versions are told.

use crate::config_drive::{GuestSystem, check_object};
use crate::contents::{Contents, DataSource};
use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::document::{Document, text_of};
use crate::versions::{self, Version};
use crate::yaml::{self, Type};
use crate::{meta_data, network_config, network_data, openstack_version, user_data, windows};
use serde_json::Value;

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// user-data.
    UserData,
    /// vendor-data.
    VendorData,
    /// meta-data of NoCloud.
    MetaData,
    /// network-config.
    NetworkConfig,
    /// meta_data.json of ConfigDrive.
    MetaDataJson,
    /// network_data.json of ConfigDrive.
    NetworkDataJson,
    /// vendor_data.json of ConfigDrive.
    VendorDataJson,
}

impl DocumentKind {
    /// What a file is for, by its name, else by what is in it.
    pub fn of(document: &Document) -> Self {
        let name = document
            .name
            .rsplit(['/', ':'])
            .next()
            .unwrap_or("")
            .to_ascii_lowercase();
        let has = |word: &str| name.contains(word);
        if has("meta_data") {
            return Self::MetaDataJson;
        }
        if has("network_data") {
            return Self::NetworkDataJson;
        }
        if has("vendor_data") {
            return Self::VendorDataJson;
        }
        if has("meta-data") || has("metadata") {
            return Self::MetaData;
        }
        if has("network") {
            return Self::NetworkConfig;
        }
        if has("vendor") {
            return Self::VendorData;
        }
        if has("user-data") || has("user_data") || has("userdata") {
            return Self::UserData;
        }
        if user_data::UserDataKind::of(&document.bytes).is_some() {
            return Self::UserData;
        }
        let text = std::str::from_utf8(&document.bytes).unwrap_or("");
        match yaml::parse(text, &mut Findings::new("")) {
            Ok(Some(root)) if root.value_type() == Type::Mapping => {
                if root.get("instance-id").is_some() || root.get("local-hostname").is_some() {
                    Self::MetaData
                } else if root.get("version").is_some() || root.get("network").is_some() {
                    Self::NetworkConfig
                } else {
                    Self::UserData
                }
            }
            _ => Self::UserData,
        }
    }
}

/// Checks one document. `version` tells of keys that this cloud-init does not know.
pub fn check_document(
    document: &Document,
    kind: DocumentKind,
    guest: GuestSystem,
    version: Option<Version>,
) -> Vec<Diagnostic> {
    let mut findings = Findings::strict(&document.name);
    let bytes = &document.bytes;
    match (kind, guest) {
        (DocumentKind::UserData, GuestSystem::CloudbaseInit) => windows::check(bytes, &mut findings),
        (DocumentKind::UserData | DocumentKind::VendorData, _) => user_data::check(bytes, &mut findings),
        (DocumentKind::MetaData, _) => {
            if let Some(text) = text_of(bytes, &mut findings) {
                meta_data::check(text, &mut findings);
                meta_data::check_complete(text, &mut findings);
            }
        }
        (DocumentKind::NetworkConfig, _) => {
            if let Some(text) = text_of(bytes, &mut findings) {
                network_config::check(text, &mut findings);
            }
        }
        (DocumentKind::MetaDataJson, _) => {
            if let Some(object) = check_object(bytes, &mut findings)
                && object
                    .get("uuid")
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
            {
                let message = "has no uuid, without which cloud-init does not take the seed";
                findings.error("instance-id", (1, 1), message, "add a uuid".to_string());
            }
        }
        (DocumentKind::NetworkDataJson, guest) => network_data::check_data(bytes, guest, &mut findings),
        (DocumentKind::VendorDataJson, _) => {
            if let Err(error) = serde_json::from_slice::<Value>(bytes) {
                let at = (error.line().max(1), error.column().max(1));
                findings.error("json-syntax", at, format!("not valid JSON: {error}"), None);
            }
        }
    }
    if guest == GuestSystem::CloudInit
        && let Some(version) = version
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        versions::check(text, kind, version, &mut findings);
    }
    findings.finish()
}

/// Checks a whole seed: its label, the names of its files, and every document.
pub fn check(contents: &Contents, guest: GuestSystem, version: Option<Version>) -> Vec<Diagnostic> {
    let mut findings = Findings::strict(&contents.name);
    check_label(contents, version, &mut findings);
    let folder = openstack_version::folder_read(&contents.files, guest);
    let documents: Vec<(String, DocumentKind)> = match contents.data_source {
        DataSource::NoCloud => NOCLOUD.map(|(name, kind)| (name.into(), kind)).into(),
        DataSource::ConfigDrive => CONFIG_DRIVE
            .map(|(name, kind)| (format!("openstack/{folder}/{name}"), kind))
            .into(),
    };
    let required = match contents.data_source {
        DataSource::NoCloud => vec!["meta-data".to_string(), "user-data".to_string()],
        DataSource::ConfigDrive => vec![format!("openstack/{folder}/meta_data.json")],
    };
    check_names(contents, &documents, &required, &mut findings);
    if contents.data_source == DataSource::ConfigDrive {
        check_injected(contents, folder, &mut findings);
        check_latest(contents, folder, &mut findings);
    }
    let mut out = findings.finish();
    for (path, kind) in &documents {
        if let Some(document) = contents.document(path) {
            out.extend(check_document(&document, *kind, guest, version));
        }
    }
    out
}

fn check_label(contents: &Contents, version: Option<Version>, findings: &mut Findings) {
    let (wanted, upper) = match contents.data_source {
        DataSource::NoCloud => ("cidata", "CIDATA"),
        DataSource::ConfigDrive => ("config-2", "CONFIG-2"),
    };
    if contents.filesystem.is_none() {
        return;
    }
    match contents.label.as_deref().map(str::trim_end) {
        Some(label) if label == wanted => {}
        Some(label) if label == upper => {
            let message = format!("the label {label} in capitals is found by cloud-init 19.1 and later only");
            let severity = match version {
                Some(version) if version < Version::new(19, 1) => Severity::Error,
                Some(_) => Severity::Note,
                None => Severity::Warning,
            };
            findings.add(
                severity,
                "label",
                (1, 1),
                message,
                Some(format!("label it {wanted}")),
            );
        }
        label => {
            let label = label.unwrap_or("");
            let message =
                format!("the volume is labelled {label:?}; cloud-init looks for {wanted} and {upper}");
            findings.error("label", (1, 1), message, format!("label it {wanted}"));
        }
    }
}

/// The files of a NoCloud seed.
const NOCLOUD: [(&str, DocumentKind); 4] = [
    ("user-data", DocumentKind::UserData),
    ("meta-data", DocumentKind::MetaData),
    ("network-config", DocumentKind::NetworkConfig),
    ("vendor-data", DocumentKind::VendorData),
];

/// The files of a folder of a config drive.
const CONFIG_DRIVE: [(&str, DocumentKind); 5] = [
    ("meta_data.json", DocumentKind::MetaDataJson),
    ("user_data", DocumentKind::UserData),
    ("vendor_data.json", DocumentKind::VendorDataJson),
    ("vendor_data2.json", DocumentKind::VendorDataJson),
    ("network_data.json", DocumentKind::NetworkDataJson),
];

/// A folder of a version and the one of the newest should say the same: who edits the one that is not read wonders why nothing changes.
fn check_latest(contents: &Contents, folder: &str, findings: &mut Findings) {
    if folder == openstack_version::LATEST {
        return;
    }
    for (name, _) in CONFIG_DRIVE {
        let find = |folder: &str| {
            let path = format!("openstack/{folder}/{name}");
            contents.files.iter().find(|(there, _)| *there == path)
        };
        let (read, latest) = (find(folder), find(openstack_version::LATEST));
        if latest.is_some() && read.map(|(_, bytes)| bytes) != latest.map(|(_, bytes)| bytes) {
            let message = format!(
                "cloud-init reads the folder openstack/{folder}, in which {name} is {}; openstack/latest/{name} has no effect",
                if read.is_some() { "another" } else { "missing" }
            );
            let fix = format!("copy it to openstack/{folder} as well, or delete that folder");
            findings.warning("folder-not-read", (1, 1), message, fix);
        }
    }
}

fn check_names(
    contents: &Contents,
    documents: &[(String, DocumentKind)],
    required: &[String],
    findings: &mut Findings,
) {
    let there = |path: &str| contents.files.iter().any(|(name, _)| name == path);
    for path in required {
        if there(path) {
            continue;
        }
        let near = contents
            .files
            .iter()
            .map(|(name, _)| name)
            .find(|name| resembles(name, path));
        let (message, fix) = match near {
            Some(near) => (
                format!("the file is called {near:?}, and cloud-init looks for {path:?}"),
                format!("name it exactly {path}; an ISO image needs Joliet or Rock Ridge for that"),
            ),
            None => (
                format!("there is no {path}, without which cloud-init does not take the seed"),
                format!("add {path}; it may be empty but for the instance id"),
            ),
        };
        findings.error("file-name", (1, 1), message, fix);
    }
    // what stands in another folder of a config drive is looked at elsewhere
    let elsewhere = |name: &str| {
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        folder.starts_with("openstack/") && CONFIG_DRIVE.iter().any(|(known, _)| *known == last)
    };
    for (name, _) in contents.files.iter().filter(|(name, _)| !elsewhere(name)) {
        let misnamed = documents.iter().find(|(path, _)| {
            name != path && resembles(name, path) && !required.contains(path) && !there(path)
        });
        if let Some((path, _)) = misnamed {
            let message = format!("cloud-init does not look at {name:?}");
            findings.warning("file-name", (1, 1), message, format!("name it exactly {path}"));
        }
    }
}

/// Whether a name is what people, or an ISO image without long names, make of another.
fn resembles(name: &str, wanted: &str) -> bool {
    let plain = |text: &str| -> String {
        let last = text.rsplit('/').next().unwrap_or(text);
        let stem = last.split([';', '.']).next().unwrap_or(last);
        stem.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let (name, wanted) = (plain(name), plain(wanted));
    // level 1 of ISO 9660 has eight characters: USER_DAT
    let cut = |text: &str| text.get(..7).unwrap_or(text).to_string();
    !name.is_empty() && (name == wanted || name == cut(&wanted))
}

/// The files that meta_data.json names.
fn check_injected(contents: &Contents, folder: &str, findings: &mut Findings) {
    let Some(document) = contents.document(&format!("openstack/{folder}/meta_data.json")) else {
        return;
    };
    let Ok(root) = serde_json::from_slice::<Value>(&document.bytes) else {
        return;
    };
    for file in root.get("files").and_then(Value::as_array).into_iter().flatten() {
        let (Some(content), Some(path)) = (
            file.get("content_path").and_then(Value::as_str),
            file.get("path").and_then(Value::as_str),
        ) else {
            let message = "an entry of files without content_path or path";
            findings.error("injected-file", (1, 1), message, None);
            continue;
        };
        let held = format!("openstack/{}", content.trim_start_matches('/'));
        if !contents.files.iter().any(|(name, _)| *name == held) {
            let message = format!("the file {path} is said to be in {held}, which is not there");
            findings.error("injected-file", (1, 1), message, None);
        }
    }
}
