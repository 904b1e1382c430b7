//! Which files may be opened that an image names: the options of every verb that opens images.

use clap::Args;
use disksmith_image::Gate;
use std::path::PathBuf;

/// What is allowed of the files that an image names.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GateArgs {
    /// Open no file that an image names (backing file, data file): for images from strangers
    #[arg(long, conflicts_with = "backing_root")]
    no_backing: bool,
    /// Open only files in this folder, or below it, that an image names
    #[arg(long, value_name = "DIR")]
    backing_root: Option<PathBuf>,
}

impl GateArgs {
    /// What the libraries ask.
    pub(crate) fn gate(&self) -> Gate {
        match &self.backing_root {
            _ if self.no_backing => Gate::Deny,
            Some(root) => Gate::Within(root.clone()),
            None => Gate::FollowAll,
        }
    }
}
