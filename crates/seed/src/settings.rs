//! The settings of a seed that are no documents: label, host name, instance id.

use crate::error::{Error, Result};
use crate::media::MediaFormat;

/// Bytes of an ISO 9660 volume label (ECMA-119, 8.4.7).
const MAX_LABEL: usize = 32;
/// Bytes of a FAT label.
const MAX_FAT_LABEL: usize = 11;
/// Bytes of a host name, Linux's limit.
const MAX_HOSTNAME: usize = 64;
/// Characters of a part of a host name (RFC 1035, 2.3.4).
const MAX_HOSTNAME_PART: usize = 63;

/// Checks a label: that it can be written and, where `searched`, that NoCloud looks for it.
pub(crate) fn check_label(label: &str, format: MediaFormat, searched: bool) -> Result<()> {
    let reason = if label.trim().is_empty() {
        "is empty"
    } else if !label.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        "holds characters that are not ASCII, or cannot be printed"
    } else if label.len() > MAX_LABEL {
        "is longer than 32 characters, all that a volume has room for"
    } else if format != MediaFormat::Iso && label.len() > MAX_FAT_LABEL {
        "is longer than 11 characters, all that a FAT volume has room for"
    } else if searched && !matches!(label, "cidata" | "CIDATA") {
        return Err(Error::LabelNotSearched { label: label.into() });
    } else {
        return Ok(());
    };
    Err(refused("label", label, reason))
}

/// Checks a host name by the rules of Linux and DNS.
pub(crate) fn check_hostname(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let reason = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_HOSTNAME {
        "is longer than 64 bytes, Linux's limit for a host name"
    } else if name.split('.').any(str::is_empty) {
        "has an empty part between dots"
    } else if name.split('.').any(|part| part.len() > MAX_HOSTNAME_PART) {
        "has a part of more than 63 characters"
    } else if name
        .split('.')
        .any(|part| part.starts_with('-') || part.ends_with('-'))
    {
        "has a part that begins or ends with a hyphen"
    } else if !name.bytes().all(|b| allowed(b) || b == b'.') {
        "holds characters that a host name cannot have"
    } else {
        return Ok(());
    };
    Err(refused("host name", name, reason))
}

/// Checks an instance id, which becomes the name of a folder in the guest.
pub(crate) fn check_instance_id(id: &str) -> Result<()> {
    let reason = if id.trim().is_empty() {
        "is empty"
    } else if id.chars().any(char::is_control) {
        "holds characters that cannot be printed"
    } else {
        return Ok(());
    };
    Err(refused("instance-id", id, reason))
}

fn refused(setting: &'static str, value: &str, reason: &'static str) -> Error {
    Error::Setting {
        setting,
        value: value.into(),
        reason,
    }
}
