//! The guest's own files that are read or changed line by line.

mod crypttab;
mod fstab;
mod hosts;
mod login_defs;
mod os_release;
mod passwd;
mod shadow;

pub(crate) use crypttab::parse_crypttab;
pub use fstab::{FstabEntry, parse_fstab};
pub(crate) use hosts::rename_host;
pub(crate) use login_defs::{password_scheme_of_login_defs, password_scheme_of_pam};
pub use os_release::parse_os_release;
pub use passwd::{Group, User, parse_group, parse_passwd};
pub(crate) use shadow::{set_passwd_field, set_shadow_password};

/// Lines without their newline; the last one may lack it.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Bytes as text, for messages and names.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
