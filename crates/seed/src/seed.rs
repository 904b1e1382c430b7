//! A seed that is ready to be written, and how it is to be made.

use crate::config_drive::ConfigDrive;
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::Result;
use crate::media::{Media, MediaFormat, SeedFile};
use crate::nocloud::{LABEL, NoCloud};
use disksmith_storage::{Durability, Existing};
use disksmith_vfs::Timestamp;
use std::path::Path;

/// How a seed is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOptions {
    /// Label of a NoCloud volume; cloud-init finds only `cidata` and `CIDATA` unless its `fs_label` says otherwise. A ConfigDrive
    /// has its own, `config-2`.
    pub label: String,
    /// The time that everything in the seed gets.
    pub time: Timestamp,
    /// Whether errors in the documents refuse the seed.
    pub validate: bool,
    /// The least severity that refuses it.
    pub refuse: Severity,
    /// What it is put on.
    pub format: MediaFormat,
}

impl BuildOptions {
    /// An ISO image labelled `cidata`, with validation.
    pub fn new(time: Timestamp) -> Self {
        Self {
            label: LABEL.into(),
            time,
            validate: true,
            refuse: Severity::Error,
            format: MediaFormat::Iso,
        }
    }
}

/// Where the instance id of a seed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceId {
    /// It was given, in meta-data or as a setting.
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
    pub image: Media,
    /// Its label.
    pub label: String,
    /// The files in it, by path.
    pub files: Vec<SeedFile>,
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
        self.image.write_file(path, existing, durability)
    }
}

/// A seed of either kind, before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there are few of them")]
pub enum SeedSource {
    /// For the NoCloud datasource.
    NoCloud(NoCloud),
    /// For the ConfigDrive datasource, or cloudbase-init.
    ConfigDrive(ConfigDrive),
}

impl SeedSource {
    /// Looks for what the guest would ignore or misunderstand.
    pub fn validate(&self) -> Vec<Diagnostic> {
        match self {
            Self::NoCloud(seed) => seed.validate(),
            Self::ConfigDrive(seed) => seed.validate(),
        }
    }

    /// Checks everything that is no document.
    ///
    /// # Errors
    /// Those of [`NoCloud::check_settings`] and [`ConfigDrive::check_settings`].
    pub fn check_settings(&self, options: &BuildOptions) -> Result<()> {
        match self {
            Self::NoCloud(seed) => seed.check_settings(options),
            Self::ConfigDrive(seed) => seed.check_settings(),
        }
    }

    /// Makes the seed.
    ///
    /// # Errors
    /// Those of [`NoCloud::build`] and [`ConfigDrive::build`].
    pub fn build(&self, options: &BuildOptions) -> Result<Seed> {
        match self {
            Self::NoCloud(seed) => seed.build(options),
            Self::ConfigDrive(seed) => seed.build(options),
        }
    }

    /// Makes the seed, with what [`SeedSource::validate`] has found already.
    ///
    /// # Errors
    /// Those of [`NoCloud::build_validated`] and [`ConfigDrive::build_validated`].
    pub fn build_validated(&self, options: &BuildOptions, found: Vec<Diagnostic>) -> Result<Seed> {
        match self {
            Self::NoCloud(seed) => seed.build_validated(options, found),
            Self::ConfigDrive(seed) => seed.build_validated(options, found),
        }
    }
}
