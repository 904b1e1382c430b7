//! Unpacks archives of the host.

use super::Editor;
use crate::error::{Error, Result};
use disksmith_vfs::{MadeFile, TarInOptions};
use std::fs::File;
use std::path::Path;

impl Editor<'_> {
    /// Unpacks a tar archive into a directory that is there. Attributes and labels that it holds are kept; what bears none is
    /// labelled as its neighbours are.
    pub(crate) fn unpack(&mut self, archive: &Path, dir: &[u8]) -> Result<()> {
        let file = File::open(archive).map_err(|e| Error::host("read", archive, e))?;
        let options = TarInOptions {
            xattrs: true,
            selinux: true,
            acls: true,
        };
        let tree = self.tree();
        let labels = &mut self.labels;
        let mut failure = None;
        let mut watch = |made: MadeFile<'_>| {
            if labels.in_use && failure.is_none() {
                let labelled = labels.label_new(tree, made.dir, made.node, made.file_type, made.name);
                failure = labelled.err();
            }
            Ok(())
        };
        let report = tree
            .tar_in(file, dir, options, &mut watch)
            .map_err(|error| Error::Archive {
                path: archive.to_owned(),
                source: error,
            })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let made = report.files + report.directories + report.others + report.links;
        self.step.unlisted += made;
        self.note(format!(
            "{} files of {} bytes, {} directories, {} links and others unpacked",
            report.files,
            report.bytes,
            report.directories,
            report.others + report.links
        ));
        Ok(())
    }
}
