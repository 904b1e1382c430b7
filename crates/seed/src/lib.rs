//! Seed media for cloud-init and cloudbase-init.
//!
//! [`NoCloud`] and [`ConfigDrive`] take the documents, say what the guest would not like in them ([`NoCloud::validate`]), and make
//! the volume ([`NoCloud::build`]). The same documents and options give the same bytes. [`Contents`] reads a seed that was
//! made by anything, to be shown ([`show`]) or checked ([`check`]).

mod check;
mod cloud_config;
mod config_drive;
mod contents;
mod csv;
mod diagnostic;
mod document;
mod error;
mod fleet;
mod media;
mod meta_data;
mod mime;
mod network_config;
mod network_data;
mod nocloud;
mod openstack_version;
mod quick;
mod schema;
mod seed;
mod settings;
mod show;
mod suggest;
mod template;
mod transfer_encoding;
mod user_data;
mod versions;
mod windows;
mod yaml;

pub use check::{DocumentKind, check, check_document};
pub use config_drive::{CONFIG_DRIVE_LABEL, ConfigDrive, GuestSystem, InjectedFile};
pub use contents::{Contents, DataSource};
pub use diagnostic::{Diagnostic, Severity};
pub use document::Document;
pub use error::{Error, Result};
pub use fleet::{Fleet, Row, read_csv, read_json_lines};
pub use media::{Media, MediaFormat, SeedFile};
pub use mime::{Part, archive, gzip};
pub use network_data::network_data;
pub use nocloud::{LABEL, NoCloud};
pub use quick::{DeviceMatch, Quick, QuickFile, QuickUser, StaticNetwork};
pub use seed::{BuildOptions, InstanceId, Seed, SeedSource};
pub use show::{Shown, show};
pub use template::Template;
pub use user_data::UserDataKind;
pub use versions::{Version, VersionFact, version_facts};
