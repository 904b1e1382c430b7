//! rpm's databases: which one there is, and the packages in it.

use super::database_file::DatabaseFile;
use super::rpm_header::{self, Parsed};
use super::{Application, berkeley_hash, ndb, sqlite};
use crate::error::Result;
use disksmith_vfs::Tree;

/// Folders in which distributions keep the database: the classic one, that of Fedora 36 and openSUSE, that of rpm-ostree.
const FOLDERS: &[&str] = &["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"];

/// Bytes of a header that are read first: those of most packages have all that is wanted there.
const FIRST_READ: usize = 16 << 10;

/// The largest part of a header that is read, in bytes.
const MAX_HEADER: usize = 16 << 20;

/// Gives the first bytes of a header: as many as are asked for, or fewer where it is shorter.
pub(super) type ReadPrefix<'a> = &'a dyn Fn(usize) -> Result<Vec<u8>>;

/// Takes a header: its length, and how its first bytes are read.
pub(super) type HeaderSink<'a> = &'a mut dyn FnMut(usize, ReadPrefix<'_>) -> Result<()>;

pub(super) fn list(tree: &Tree) -> Result<Vec<Application>> {
    for folder in FOLDERS {
        let at = |name: &str| format!("{folder}/{name}");
        if let Some(file) = DatabaseFile::open(tree, &at("rpmdb.sqlite"))? {
            let log = DatabaseFile::open(tree, &at("rpmdb.sqlite-wal"))?;
            return collect(&file, |sink| sqlite::packages(&file, log.as_ref(), sink));
        }
        if let Some(file) = DatabaseFile::open(tree, &at("Packages.db"))? {
            return collect(&file, |sink| ndb::packages(&file, sink));
        }
        if let Some(file) = DatabaseFile::open(tree, &at("Packages"))? {
            return collect(&file, |sink| berkeley_hash::packages(&file, sink));
        }
    }
    Ok(Vec::new())
}

fn collect(
    file: &DatabaseFile,
    packages: impl FnOnce(HeaderSink<'_>) -> Result<()>,
) -> Result<Vec<Application>> {
    let mut found = Vec::new();
    packages(&mut |whole, read| {
        let mut wanted = FIRST_READ;
        loop {
            let bytes = read(wanted.min(whole))?;
            match rpm_header::parse(&bytes, whole) {
                Parsed::Package(package) => {
                    found.push(*package);
                    return Ok(());
                }
                Parsed::Needs(more) if more > wanted && wanted < MAX_HEADER => wanted = more.min(MAX_HEADER),
                Parsed::Needs(more) => {
                    return Err(file.corrupt(format!("a package header needs {more} of its {whole} bytes")));
                }
                Parsed::Damaged(what) => return Err(file.corrupt(what)),
            }
        }
    })?;
    Ok(found)
}
