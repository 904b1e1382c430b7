//! Scripts of the host that work on a guest's files, as the operation `script` of sysprep has them.

use crate::failure::{Failure, Outcome};
use disksmith_guest::{Guest, Result, ScriptRunner};
use disksmith_storage::ErrorKind;
use std::path::{Path, PathBuf};

/// The scripts, in order.
#[derive(Debug)]
pub(crate) struct GuestScripts {
    _scripts: Vec<PathBuf>,
}

impl GuestScripts {
    /// The scripts that were named; `None` where none was.
    pub(crate) fn new(scripts: &[PathBuf], _dir: Option<&Path>) -> Outcome<Option<Self>> {
        if scripts.is_empty() {
            return Ok(None);
        }
        Err(Failure::new(
            ErrorKind::Unsupported,
            "--script is not supported: the guest is not made a directory of this host",
        )
        .or_hint("leave it to the guest with --firstboot SCRIPT"))
    }
}

impl ScriptRunner for GuestScripts {
    fn run(&mut self, _guest: &Guest) -> Result<()> {
        Ok(())
    }
}
