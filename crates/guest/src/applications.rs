//! The programs that a guest's package database says are installed.

mod apk;
mod berkeley_hash;
mod database_file;
mod dpkg;
mod ndb;
mod pacman;
mod rpm;
mod rpm_header;
mod sqlite;
mod sqlite_wal;

use crate::error::Result;
use disksmith_vfs::Tree;
use serde::Serialize;

/// An installed package. Fields that the database does not have are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Application {
    /// The package's name.
    pub name: String,
    /// The epoch of its version; 0 where there is none.
    pub epoch: i32,
    /// Its version, without epoch and release.
    pub version: String,
    /// Its release: what the distribution adds to the version.
    pub release: String,
    /// The architecture that it is made for.
    pub arch: String,
    /// Where it comes from.
    pub url: String,
    /// The source package that it is made of.
    pub source_package: String,
    /// What it is, in a line.
    pub summary: String,
    /// What it is, at length.
    pub description: String,
}

/// Lists the packages of a guest, in the order of their names. `format` is the format of its packages as
/// [`Distribution::package_format`](crate::Distribution::package_format) gives it; a format without a database that can be read
/// gives an empty list, as does a guest without database.
///
/// # Errors
/// A damaged database, and errors of reading it.
pub fn list_applications(tree: &Tree, format: &str) -> Result<Vec<Application>> {
    let mut found = match format {
        "deb" => dpkg::list(tree)?,
        "rpm" => rpm::list(tree)?,
        "apk" => apk::list(tree)?,
        "pacman" => pacman::list(tree)?,
        _ => Vec::new(),
    };
    found.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(found)
}

/// Bytes of a database as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value of a number, with a sign, at the start of a text, as `atoi` reads it; 0 where there is none.
fn leading_number(text: &str) -> i32 {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits
        .get(..digits.bytes().take_while(u8::is_ascii_digit).count())
        .unwrap_or_default();
    digits.parse::<i32>().map_or(0, |n| n.saturating_mul(sign))
}

/// Epoch, version and release of `EPOCH:VERSION-RELEASE`, of which the first and last may be missing.
fn split_version(whole: &str) -> (i32, &str, &str) {
    let (epoch, rest) = match whole.split_once(':') {
        Some((epoch, rest)) => (leading_number(epoch), rest),
        None => (0, whole),
    };
    match rest.split_once('-') {
        Some((version, release)) => (epoch, version, release),
        None => (epoch, rest, ""),
    }
}
