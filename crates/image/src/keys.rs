//! Passphrases for encrypted images, and which image gets which.

use crate::error::{Error, Result};
use disksmith_luks::Passphrase;
use std::collections::BTreeMap;

/// The passphrases that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    by_id: BTreeMap<String, Passphrase>,
    any: Option<Passphrase>,
}

impl Keys {
    /// No passphrase.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One passphrase for every encrypted image that is opened.
    #[must_use]
    pub fn for_all(passphrase: Passphrase) -> Self {
        Self {
            any: Some(passphrase),
            ..Self::default()
        }
    }

    /// Adds a passphrase that options name by `id` (`key-secret=ID`, `encrypt.key-secret=ID`).
    pub fn insert(&mut self, id: impl Into<String>, passphrase: Passphrase) {
        self.by_id.insert(id.into(), passphrase);
    }

    /// Takes the passphrase of that name for every encrypted image whose options name none.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn also_for_all(mut self, id: &str) -> Result<Self> {
        self.any = Some(self.get(id)?.clone());
        Ok(self)
    }

    /// The passphrase of that name.
    ///
    /// # Errors
    /// [`Error::Node`] in QEMU's words where there is none.
    pub fn get(&self, id: &str) -> Result<&Passphrase> {
        self.by_id.get(id).ok_or_else(|| Error::Node {
            reason: format!("No secret with id '{id}'"),
        })
    }

    /// The passphrase for an image whose options are these, of the format that its header says (`aes`, `luks`).
    pub(crate) fn choose(&self, crypto: &[(String, String)], format: &str) -> Result<Option<Passphrase>> {
        let option = |wanted: &str| {
            crypto
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        if let Some(said) = option("encrypt.format").filter(|said| *said != format) {
            return Err(Error::Node {
                reason: format!("Header reported '{format}' encryption format but options specify '{said}'"),
            });
        }
        match option("encrypt.key-secret").or_else(|| option("key-secret")) {
            // The one for all is for images with names of keys, too, that mean nothing here.
            Some(id) => match (self.get(id), &self.any) {
                (Err(_), Some(any)) => Ok(Some(any.clone())),
                (found, _) => found.cloned().map(Some),
            },
            None => Ok(self.any.clone()),
        }
    }
}
