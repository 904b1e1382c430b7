//! Seed media for cloud-init.
//!
//! [`NoCloud`] takes the documents, says what cloud-init would not like in them ([`NoCloud::validate`]), and makes the volume
//! ([`NoCloud::build`]). The same documents and options give the same bytes.

mod cloud_config;
mod config_drive;
mod diagnostic;
mod error;
mod meta_data;
mod mime;
mod network_config;
mod nocloud;
mod quick;
mod settings;
mod suggest;
mod user_data;
mod yaml;

pub use config_drive::{CONFIG_DRIVE_LABEL, ConfigDrive, ConfigDriveSeed};
pub use diagnostic::{Diagnostic, Severity};
pub use error::{Error, Result};
pub use mime::{Part, archive};
pub use nocloud::{BuildOptions, Document, InstanceId, LABEL, NoCloud, Seed};
pub use quick::{DeviceMatch, Quick, QuickUser, StaticNetwork};
pub use user_data::UserDataKind;
