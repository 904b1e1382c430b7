//! `disksmith recover`.

use super::Globals;
use crate::failure::Outcome;
use clap::Args;
use disksmith_image::{Recovered, recover};
use std::path::PathBuf;
use std::process::ExitCode;

/// Complete, or discard, an edit that was interrupted
///
/// The next edit of the image does this by itself. An edit of a qcow2 image never needs it.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The images
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Where the edit kept its redo log, if not beside the image
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

pub(crate) fn run(args: &RecoverArgs, globals: &Globals) -> Outcome {
    for image in &args.images {
        let done = recover(image, args.log_dir.as_deref())?;
        globals.say(|| {
            let text = match done {
                Recovered::Nothing => "nothing to recover".into(),
                Recovered::Discarded => {
                    "an edit that was not complete was discarded; the old state stands".into()
                }
                Recovered::Completed { images: 1 } => {
                    "an interrupted edit was completed; the new state stands".into()
                }
                Recovered::Completed { images } => {
                    format!("an interrupted edit of {images} images was completed; the new state stands")
                }
            };
            format!("{}: {text}", image.display())
        });
    }
    Ok(ExitCode::SUCCESS)
}
