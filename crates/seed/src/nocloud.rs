//! NoCloud seeds: a volume labelled `cidata` with `user-data`, `meta-data`, and at will `network-config` and `vendor-data`.

use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::error::{Error, Result};
use crate::{meta_data, network_config, settings, user_data};
use disksmith_iso9660::{Attributes, ImageTree, IsoImage, Options, Source};
use disksmith_storage::{Durability, Existing};
use disksmith_vfs::Timestamp;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The label that cloud-init looks for.
pub const LABEL: &str = "cidata";
/// Hexadecimal digits of an instance id that is made.
const ID_DIGITS: usize = 16;

/// A document that goes into a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// How findings name it: the path that the user gave.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl Document {
    /// A document and the name that findings give it.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// What a NoCloud seed is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoCloud {
    /// What the user wants. Without it the seed has an empty `#cloud-config`.
    pub user_data: Option<Document>,
    /// Identity of the instance. Without it, and without an `instance-id` in it, one is made.
    pub meta_data: Option<Document>,
    /// Network configuration, version 1 or 2.
    pub network_config: Option<Document>,
    /// What the provider wants.
    pub vendor_data: Option<Document>,
    /// `local-hostname` of meta-data.
    pub local_hostname: Option<String>,
    /// `instance-id` of meta-data.
    pub instance_id: Option<String>,
    /// A name that goes into an instance id that is made, so that machines with the same documents differ: the seed's
    /// file name, say.
    pub name: Option<String>,
}

/// How a seed is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOptions {
    /// Label of the volume; cloud-init finds only `cidata` and `CIDATA` unless its `fs_label` says otherwise.
    pub label: String,
    /// The time that everything in the seed gets.
    pub time: Timestamp,
    /// Whether errors in the documents refuse the seed.
    pub validate: bool,
}

impl BuildOptions {
    /// Labelled `cidata`, with validation.
    pub fn new(time: Timestamp) -> Self {
        Self {
            label: LABEL.into(),
            time,
            validate: true,
        }
    }
}

/// Where the instance id of a seed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceId {
    /// It stood in meta-data.
    Given(String),
    /// It was made from the documents and added.
    Made(String),
    /// meta-data cannot be read, and validation was off.
    Unknown,
}

impl InstanceId {
    /// The id itself, where it is known.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Given(id) | Self::Made(id) => Some(id),
            Self::Unknown => None,
        }
    }
}

/// A seed that is ready to be written.
#[derive(Debug)]
pub struct Seed {
    /// The volume.
    pub image: IsoImage,
    /// The files in it, by name.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Its instance id.
    pub instance_id: InstanceId,
    /// What was found in the documents; no errors unless validation was off.
    pub diagnostics: Vec<Diagnostic>,
}

impl Seed {
    /// Writes the seed to a file that appears whole or not at all.
    ///
    /// # Errors
    /// The file exists and may not be replaced; it cannot be written.
    pub fn write_file(&self, path: &Path, existing: Existing, durability: Durability) -> Result<()> {
        Ok(self.image.write_file(path, existing, durability)?)
    }
}

impl NoCloud {
    /// Looks for what cloud-init would ignore or misunderstand, in all documents.
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut out = Vec::new();
        for document in [&self.user_data, &self.vendor_data].into_iter().flatten() {
            let mut findings = Findings::new(&document.name);
            user_data::check(&document.bytes, &mut findings);
            out.extend(findings.finish());
        }
        for (document, check) in [
            (&self.meta_data, meta_data::check as fn(&str, &mut Findings)),
            (&self.network_config, network_config::check),
        ] {
            let Some(document) = document else { continue };
            let mut findings = Findings::new(&document.name);
            if let Some(text) = text_of(&document.bytes, &mut findings) {
                check(text, &mut findings);
            }
            out.extend(findings.finish());
        }
        out
    }

    /// Checks everything that is no document: label, host name, instance id. [`NoCloud::build`] does so too.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::LabelNotSearched`] where `options.validate` is set.
    pub fn check_settings(&self, options: &BuildOptions) -> Result<()> {
        settings::check_label(&options.label, options.validate)?;
        if let Some(name) = &self.local_hostname {
            settings::check_hostname(name)?;
        }
        if let Some(id) = &self.instance_id {
            settings::check_instance_id(id)?;
        }
        Ok(())
    }

    /// Makes the seed.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all findings where a document has errors and `options.validate` is set;
    /// [`Error::MetaData`] where something must be added to meta-data that is no mapping; [`Error::Setting`] for a label, host
    /// name or instance id that nothing can use; [`Error::LabelNotSearched`] where `options.validate` is set.
    pub fn build(&self, options: &BuildOptions) -> Result<Seed> {
        self.check_settings(options)?;
        let diagnostics = self.validate();
        if options.validate && diagnostics.iter().any(|d| d.severity == Severity::Error) {
            return Err(Error::Invalid { diagnostics });
        }
        let (meta_data, instance_id) = match (self.complete_meta_data(), &self.meta_data) {
            (Ok((text, id)), _) => (text.into_bytes(), id),
            // Who does not want it checked gets it as it is.
            (Err(_), Some(document)) if !options.validate => (document.bytes.clone(), InstanceId::Unknown),
            (Err(error), _) => return Err(error),
        };
        let user_data = self
            .user_data
            .as_ref()
            .map_or_else(|| b"#cloud-config\n{}\n".to_vec(), |d| d.bytes.clone());
        let mut files = vec![("user-data", user_data), ("meta-data", meta_data)];
        for (name, document) in [
            ("network-config", &self.network_config),
            ("vendor-data", &self.vendor_data),
        ] {
            if let Some(document) = document {
                files.push((name, document.bytes.clone()));
            }
        }
        let image = volume(&options.label, options.time, &files)?;
        Ok(Seed {
            image,
            files,
            instance_id,
            diagnostics,
        })
    }

    /// meta-data with everything that was asked for.
    fn complete_meta_data(&self) -> Result<(String, InstanceId)> {
        let (name, bytes) = self
            .meta_data
            .as_ref()
            .map_or(("meta-data", &[][..]), |d| (&d.name, &d.bytes));
        let fault = |reason: &str| Error::MetaData {
            name: name.into(),
            reason: reason.into(),
        };
        let mut text = String::from_utf8(bytes.to_vec()).map_err(|_| fault("is not UTF-8 text"))?;
        if let Some(hostname) = &self.local_hostname {
            match meta_data::value(&text, "local-hostname") {
                Some(there) if there == *hostname => {}
                Some(there) => return Err(fault(&format!("has the local-hostname {there:?} already"))),
                None => {
                    text = meta_data::with_key(&text, "local-hostname", hostname)
                        .ok_or_else(|| fault("is no mapping that local-hostname could be added to"))?;
                }
            }
        }
        let there = meta_data::value(&text, "instance-id");
        let (id, made) = match (there, &self.instance_id) {
            (Some(there), Some(wanted)) if there != *wanted => {
                return Err(fault(&format!("has the instance-id {there:?} already")));
            }
            (Some(there), _) => return Ok((text, InstanceId::Given(there))),
            (None, Some(wanted)) => (wanted.clone(), false),
            (None, None) => (self.make_instance_id(), true),
        };
        let text = meta_data::with_key(&text, "instance-id", &id)
            .ok_or_else(|| fault("is no mapping that instance-id could be added to"))?;
        Ok((
            text,
            if made {
                InstanceId::Made(id)
            } else {
                InstanceId::Given(id)
            },
        ))
    }

    /// An id that is the same for the same documents and name, and another for others: cloud-init then treats a seed that
    /// was changed as a new instance.
    fn make_instance_id(&self) -> String {
        let mut hash = Sha256::new();
        let documents = [
            &self.user_data,
            &self.network_config,
            &self.vendor_data,
            &self.meta_data,
        ];
        let texts = [&self.name, &self.local_hostname];
        let parts = documents
            .iter()
            .map(|d| d.as_ref().map(|d| d.bytes.as_slice()))
            .chain(texts.iter().map(|t| t.as_ref().map(|t| t.as_bytes())));
        for part in parts {
            let bytes = part.unwrap_or(&[]);
            hash.update([u8::from(part.is_some())]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        format!("iid-{}", hex.chars().take(ID_DIGITS).collect::<String>())
    }
}

/// The text of a document that is YAML; findings where it is none.
fn text_of<'a>(bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    let bytes = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => {
            findings.warning(
                "byte-order-mark",
                (1, 1),
                "starts with a byte order mark",
                "save it as UTF-8 without BOM".to_string(),
            );
            rest
        }
        None => bytes,
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(_) => {
            findings.error(
                "encoding",
                (1, 1),
                "not UTF-8 text",
                "save it as UTF-8".to_string(),
            );
            None
        }
    }
}

/// An ISO 9660 volume with Joliet and Rock Ridge, so that every guest reads the exact names.
pub(crate) fn volume(label: &str, time: Timestamp, files: &[(&'static str, Vec<u8>)]) -> Result<IsoImage> {
    let mut tree = ImageTree::new(Attributes::new(0o755, time));
    for (path, bytes) in files {
        let mut dir = tree.root();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                let attributes = Attributes::new(0o644, time);
                tree.add_file(dir, part.as_bytes(), attributes, Source::bytes(bytes.as_slice()))?;
            } else {
                dir = match tree.child(dir, part.as_bytes()) {
                    Some(found) => found,
                    None => tree.add_directory(dir, part.as_bytes(), Attributes::new(0o755, time))?,
                };
            }
        }
    }
    let options = Options {
        joliet: true,
        rock_ridge: true,
        ..Options::new(label, time)
    };
    Ok(IsoImage::plan(tree, options)?)
}
