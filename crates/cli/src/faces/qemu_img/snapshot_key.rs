//! `-l`: which internal snapshot of a source is meant.

use super::stop::Stop;
use super::wording::{Use, cause};
use crate::faces::getopt::Arguments;
use disksmith_image::{Error, Image, SnapshotKey, Source};

/// A choice by id, by name, by both, or by a word that is either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SnapshotChoice {
    /// A word: the id, or else the name, of a snapshot.
    Word(String),
    /// `snapshot.id=…`, `snapshot.name=…`.
    Members {
        /// The id, if one was given.
        id: Option<String>,
        /// The name, if one was given.
        name: Option<String>,
    },
}

impl SnapshotChoice {
    /// The last choice of a command line.
    pub(super) fn read(arguments: &Arguments) -> Result<Option<Self>, Stop> {
        arguments
            .text("snapshot")
            .map(|text| Self::parse(&text))
            .transpose()
    }

    fn parse(text: &str) -> Result<Self, Stop> {
        if !text.starts_with("snapshot.") {
            return Ok(Self::Word(text.into()));
        }
        let (mut id, mut name) = (None, None);
        let marked = text.replace(",,", "\0");
        for item in marked.split(',').filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, "on"));
            let value = value.replace('\0', ",");
            match key {
                "snapshot.id" => id = Some(value),
                "snapshot.name" => name = Some(value),
                _ => {
                    return Err(Stop::new(format!(
                        "Invalid parameter '{key}'\nqemu-img: Failed in parsing snapshot param '{text}'"
                    )));
                }
            }
        }
        Ok(Self::Members { id, name })
    }

    /// The disk of an image as the snapshot holds it.
    pub(super) fn source(&self, image: Image) -> Result<Source, Stop> {
        let failed = |why: &str| Stop::new(format!("Failed to load snapshot: {why}"));
        let missing = || failed("Can't find snapshot");
        let found = match self {
            Self::Word(word) => Source::at_snapshot(image, SnapshotKey::IdOrName(word.as_bytes())),
            Self::Members { id: None, name: None } => return Err(missing()),
            Self::Members { id: Some(id), name } => {
                let agrees = |image: &Image| {
                    let list = image.top()?.as_qcow2()?.snapshots().ok()?;
                    Some(list.iter().any(|s| {
                        s.id == id.as_bytes() && name.as_ref().is_none_or(|name| s.name == name.as_bytes())
                    }))
                };
                if agrees(&image) == Some(false) {
                    return Err(missing());
                }
                Source::at_snapshot(image, SnapshotKey::Id(id.as_bytes()))
            }
            Self::Members {
                id: None,
                name: Some(name),
            } => Source::at_snapshot(image, SnapshotKey::Name(name.as_bytes())),
        };
        match found {
            Ok(Some(source)) => Ok(source),
            Ok(None) => Err(missing()),
            Err(Error::NotForFormat { format, .. }) => Err(failed(&format!(
                "Block format '{format}' used by device '' does not support temporarily loading internal snapshots"
            ))),
            Err(error) => Err(failed(&cause(&error, Use::Read))),
        }
    }
}
