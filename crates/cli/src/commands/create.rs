//! `disksmith create`.

use super::create_options;
use super::key_args::{self, KeySource};
use super::{Globals, ImageFormat};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_image::{
    CloneOptions, Format, NoProgress, clone_linked, create, human_size, refuse_if_cloned, resolve_beside,
};
use disksmith_storage::Existing;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Create an empty image, or an overlay of another
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The new image
    image: PathBuf,
    /// Size of its disk (512M, 20G); an overlay has its backing file's size unless this says more
    #[arg(value_parser = super::parse_size)]
    size: Option<u64>,
    /// Its format
    #[arg(short = 'f', long = "format", value_name = "FORMAT", default_value = "raw")]
    format: ImageFormat,
    /// Properties: cluster_size=…,compat=…,preallocation=…
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    /// Make an overlay of this image
    #[arg(short = 'b', long, value_name = "FILE")]
    backing: Option<String>,
    /// Format of that image
    #[arg(short = 'F', long, value_name = "FORMAT")]
    backing_format: Option<ImageFormat>,
    /// Encrypt it with LUKS; where its passphrase is: file:FILE, env:VARIABLE, or ask
    #[arg(long, value_name = "SOURCE", value_parser = key_args::source)]
    new_key: Option<KeySource>,
    /// Replace a file that exists (never one that has clones)
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &CreateArgs, globals: &Globals) -> Outcome {
    let format: Format = args.format.into();
    let mut options = create_options::parse(&args.options, format)
        .map_err(|failure| failure.doing(format_args!("cannot create {}", args.image.display())))?;
    key_args::encrypt(&mut options.create, format, args.new_key.as_ref())?;
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    if args.force && args.image.is_file() {
        refuse_if_cloned(&args.image)?;
    }
    match (args.backing.clone().or(options.backing_file), args.size) {
        (Some(_), _) if format != Format::Qcow2 => {
            return Err(Failure::usage(format!(
                "a {} image cannot have a backing file",
                format.name()
            )));
        }
        (Some(backing), size) => {
            let base = PathBuf::from(OsString::from_vec(resolve_beside(
                &args.image,
                backing.as_bytes(),
            )));
            let clone = CloneOptions {
                base_format: args.backing_format.map(Into::into).or(options.backing_format),
                create: options.create,
                size,
                existing,
                protect_base: false,
                force: false,
                gate: disksmith_image::Gate::FollowAll,
                keys: disksmith_image::Keys::none(),
            };
            clone_linked(&base, std::slice::from_ref(&args.image), &clone, &NoProgress)?;
        }
        (None, Some(size)) => create(&args.image, format, size, &options.create, existing)?,
        (None, None) => {
            return Err(Failure::usage(
                "say the size of the disk: disksmith create IMAGE 20G",
            ));
        }
    }
    globals.say(|| match args.size {
        Some(size) => format!(
            "{}: {} of {}",
            args.image.display(),
            format.name(),
            human_size(size)
        ),
        None => format!("{}: {}", args.image.display(), format.name()),
    });
    Ok(ExitCode::SUCCESS)
}
