//! Reading the documents of a seed.

use crate::failure::{Failure, Outcome};
use disksmith_seed::Document;
use disksmith_storage::ErrorKind;
use std::io::Read;
use std::path::Path;

/// The most that the documents of a seed may take together. cloud-init reads them by PyYAML, which takes minutes for so much,
/// and keeps several copies in the guest; clouds allow 16 to 64 KiB.
const MAX_DOCUMENTS: u64 = 16 << 20;

/// Reads documents, which share the room that all have together.
pub(super) struct Reader {
    room: u64,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { room: MAX_DOCUMENTS }
    }

    /// Reads a file, or standard input for `-`.
    pub(super) fn read(&mut self, path: &Path) -> Outcome<Document> {
        let fail = |error| Failure::io("read", path, &error);
        let source: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(std::fs::File::open(path).map_err(fail)?)
        };
        let mut bytes = Vec::new();
        source.take(self.room + 1).read_to_end(&mut bytes).map_err(fail)?;
        let Some(rest) = self.room.checked_sub(bytes.len() as u64) else {
            let message = format!(
                "with {} the documents of the seed are larger than 16 MiB together, more than cloud-init could use",
                path.display()
            );
            return Err(Failure::new(ErrorKind::Usage, message)
                .or_hint("let the guest fetch large files by runcmd or #include"));
        };
        self.room = rest;
        Ok(Document::new(path.display().to_string(), bytes))
    }

    /// Reads a file where one is named.
    pub(super) fn read_some(&mut self, path: Option<&Path>) -> Outcome<Option<Document>> {
        path.map(|path| self.read(path)).transpose()
    }
}
