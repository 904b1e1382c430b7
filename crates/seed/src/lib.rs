//! Seed media for cloud-init.
//!
//! [`NoCloud`] takes the documents, says what cloud-init would not like in them ([`NoCloud::validate`]), and makes the volume
//! ([`NoCloud::build`]). The same documents and options give the same bytes.

mod cloud_config;
mod diagnostic;
mod error;
mod meta_data;
mod mime;
mod network_config;
mod nocloud;
mod suggest;
mod user_data;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use error::{Error, Result};
pub use mime::{Part, archive};
pub use nocloud::{BuildOptions, Document, InstanceId, LABEL, NoCloud, Seed};
pub use user_data::UserDataKind;
