//! NoCloud seeds: a volume labelled `cidata` with `user-data`, `meta-data`, and at will `network-config` and `vendor-data`.

use crate::diagnostic::{Diagnostic, Findings};
use crate::document::{Document, text_of};
use crate::error::{Error, Result};
use crate::media::Media;
use crate::seed::{BuildOptions, InstanceId, Seed};
use crate::{meta_data, network_config, settings, user_data};
use sha2::{Digest, Sha256};

/// The label that cloud-init looks for.
pub const LABEL: &str = "cidata";
/// Hexadecimal digits of an instance id that is made.
const ID_DIGITS: usize = 16;

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

impl NoCloud {
    /// Looks for what cloud-init would ignore or misunderstand, in all documents.
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut out = Vec::new();
        for document in [&self.user_data, &self.vendor_data].into_iter().flatten() {
            let mut findings = Findings::of_making(&document.name);
            user_data::check(&document.bytes, &mut findings);
            out.extend(findings.finish());
        }
        for (document, check) in [
            (&self.meta_data, meta_data::check as fn(&str, &mut Findings)),
            (&self.network_config, network_config::check),
        ] {
            let Some(document) = document else { continue };
            let mut findings = Findings::of_making(&document.name);
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
        settings::check_label(&options.label, options.format, options.validate)?;
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
        let diagnostics = self.validate();
        if options.validate && diagnostics.iter().any(|d| d.severity >= options.refuse) {
            return Err(Error::Invalid { diagnostics });
        }
        self.build_validated(options, diagnostics)
    }

    /// Makes the seed, with what [`NoCloud::validate`] has found already, so that nothing is looked at twice.
    ///
    /// # Errors
    /// Those of [`NoCloud::build`], but for [`Error::Invalid`].
    pub fn build_validated(&self, options: &BuildOptions, diagnostics: Vec<Diagnostic>) -> Result<Seed> {
        self.check_settings(options)?;
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
        let mut files = vec![
            ("user-data".to_string(), user_data),
            ("meta-data".to_string(), meta_data),
        ];
        for (name, document) in [
            ("network-config", &self.network_config),
            ("vendor-data", &self.vendor_data),
        ] {
            if let Some(document) = document {
                files.push((name.to_string(), document.bytes.clone()));
            }
        }
        let image = Media::new(options.format, &options.label, options.time, &files)?;
        Ok(Seed {
            image,
            label: options.label.clone(),
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
