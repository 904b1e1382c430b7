//! Brings files of the host, and archives, into a guest, and sees to the labels of what is new.

use crate::context::CopyOwner;
use crate::error::{Error, Result};
use crate::report::SelinuxOutcome;
use crate::selinux::Labels;
use disksmith_vfs::{
    CopyInOptions, CopyReport, FileType, MadeFile, Node, Owner, OwnerPolicy, TarError, TarInOptions, Tree,
    XattrMode,
};
use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

const LABEL: &[u8] = b"security.selinux";

/// How files are brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeInOptions {
    /// Who owns what is copied from the host; archives say it themselves.
    pub owner: CopyOwner,
    /// Whether extended attributes are copied from the host, but labels, which mean something else there.
    pub xattrs: bool,
    /// Whether new files get labels in a guest with SELinux, and the guest is told to relabel where they are guesses.
    pub label: bool,
}

/// What was brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// How many files, and so on.
    pub report: CopyReport,
    /// What was done about labels.
    pub selinux: SelinuxOutcome,
}

/// Copies files and directories of the host into a directory of the guest that exists.
///
/// # Errors
/// Those of reading and writing; after one the guest must not be committed.
pub fn copy_in(tree: &Tree, sources: &[PathBuf], dir: &[u8], options: TakeInOptions) -> Result<TakenIn> {
    if !tree.metadata(dir)?.is_dir() {
        return Err(Error::guest_path(dir, "is not a directory"));
    }
    let copy = CopyInOptions {
        owner: match options.owner {
            CopyOwner::Host => OwnerPolicy::Host,
            CopyOwner::Root => OwnerPolicy::Root,
        },
        xattrs: options.xattrs,
    };
    let mut labels = NewLabels::of(tree, options.label);
    let mut total = CopyReport::default();
    for source in sources {
        let report = tree.copy_in_watched(source, dir, copy, &mut |made| labels.label(tree, made))?;
        total.files += report.files;
        total.directories += report.directories;
        total.others += report.others;
        total.links += report.links;
        total.bytes += report.bytes;
        total.skipped.extend(report.skipped);
    }
    let selinux = labels.finish(tree)?;
    Ok(TakenIn {
        report: total,
        selinux,
    })
}

/// Unpacks a tar archive that is not compressed into a directory of the guest that exists.
///
/// # Errors
/// Those of the archive, and of writing; after one the guest must not be committed.
pub fn tar_in(
    tree: &Tree,
    archive: impl Read,
    dir: &[u8],
    tar: TarInOptions,
    label: bool,
) -> Result<TakenIn> {
    let mut labels = NewLabels::of(tree, label);
    let report = tree
        .tar_in(archive, dir, tar, &mut |made| labels.label(tree, made))
        .map_err(tar_error)?;
    let selinux = labels.finish(tree)?;
    Ok(TakenIn { report, selinux })
}

/// An error of an archive as one of the guest floor.
pub fn tar_error(error: TarError) -> Error {
    match error {
        TarError::Files(error) => Error::Files(error),
        other => Error::below(other),
    }
}

/// Labels of many new files: what the first file of a kind got in a directory, the others get too.
struct NewLabels {
    labels: Labels,
    wanted: bool,
    known: HashMap<(Node, FileType), Option<Vec<u8>>>,
}

impl NewLabels {
    fn of(tree: &Tree, wanted: bool) -> Self {
        Self {
            labels: Labels::of(tree),
            wanted,
            known: HashMap::new(),
        }
    }

    fn label(&mut self, tree: &Tree, made: MadeFile<'_>) -> disksmith_vfs::Result<()> {
        if !(self.wanted && self.labels.in_use) {
            return Ok(());
        }
        let (fs, inode) = tree.open_node(made.node);
        if let Some(known) = self.known.get(&(made.dir, made.file_type)) {
            return match known {
                Some(label) => fs.set_xattr(inode, LABEL, label, XattrMode::Set),
                None => Ok(()),
            };
        }
        let given = self
            .labels
            .label_new(tree, made.dir, made.node, made.file_type, made.name);
        match given {
            Ok(_) => {}
            Err(Error::Files(error)) => return Err(error),
            // nothing else is asked of it
            Err(_) => return Ok(()),
        }
        let label = fs.xattr(inode, LABEL)?;
        self.known.insert((made.dir, made.file_type), label);
        Ok(())
    }

    /// Tells the guest to relabel, where a label was a guess.
    fn finish(self, tree: &Tree) -> Result<SelinuxOutcome> {
        if !self.labels.in_use {
            return Ok(SelinuxOutcome::NotUsed);
        }
        if !self.wanted {
            return Ok(SelinuxOutcome::RelabelDeclined);
        }
        if self.labels.guesses == 0 {
            return Ok(SelinuxOutcome::LabelsKept);
        }
        if !tree.exists("/.autorelabel") {
            tree.write("/.autorelabel", b"", Owner::ROOT, 0o644)?;
        }
        Ok(SelinuxOutcome::RelabelAtBoot)
    }
}
