//! The arguments that say which guest is meant, shared by the verbs that look into guests or edit them.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, image_unchanged};
use crate::clock;
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_fs::OpenOptions;
use disksmith_guest::{Guest, GuestOptions, MountSpec, RootChoice, open_volumes};
use disksmith_image::{DiskSpec, Format, Output, TransactionOptions};
use disksmith_storage::{Existing, StorageRef};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Which disks, and what is mounted of them.
#[derive(Debug, Args)]
pub(crate) struct GuestArgs {
    /// A disk image of the guest; several in the order in which the guest has them
    #[arg(short = 'a', long = "add", value_name = "IMAGE", help_heading = "The guest")]
    images: Vec<PathBuf>,
    /// Format of the images, instead of detecting it
    #[arg(long = "format", value_name = "FORMAT", help_heading = "The guest")]
    format: Option<ImageFormat>,
    /// Mount this by hand instead of what the guest's fstab says: DEVICE[:PATH] (/dev/sda1:/)
    #[arg(
        short = 'm',
        long = "mount",
        value_name = "DEVICE[:PATH]",
        help_heading = "The guest"
    )]
    mounts: Vec<String>,
    /// Which operating system, where there are several: single (there must be only one), first, ask, or the device of its root
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "single",
        help_heading = "The guest"
    )]
    root: String,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

impl GuestArgs {
    /// The disk images.
    pub(crate) fn images(&self) -> &[PathBuf] {
        &self.images
    }

    /// How the guest is found in its disks.
    pub(crate) fn options(&self) -> Outcome<GuestOptions> {
        if self.images.is_empty() {
            return Err(Failure::usage("no image is given").or_hint("name it with -a IMAGE"));
        }
        let mounts = self
            .mounts
            .iter()
            .map(|text| MountSpec::parse(text))
            .collect::<Result<_, _>>()?;
        Ok(GuestOptions {
            mounts,
            root: match self.root.as_str() {
                "ask" if self.mounts.is_empty() => self.ask_for_root()?,
                "ask" => RootChoice::Single,
                root => RootChoice::parse(root)?,
            },
            clock: clock::now()?,
            keys: self.keys.keys()?,
            gate: self.gate.gate(),
        })
    }

    /// Lets the user at the terminal choose among the operating systems; one alone is not asked for.
    fn ask_for_root(&self) -> Outcome<RootChoice> {
        let options = GuestOptions {
            mounts: Vec::new(),
            root: RootChoice::Single,
            clock: clock::now()?,
            keys: self.keys.keys()?,
            gate: self.gate.gate(),
        };
        let read_only = OpenOptions {
            writable: false,
            clock: options.clock,
        };
        let roots = disksmith_guest::look_at_disks(
            &self.disks(),
            &options,
            |_| {},
            |storages| Ok(Guest::roots(&open_volumes(storages, read_only)?)),
        )
        .map_err(|error| Failure::from(error).doing(self.names()))?;
        if roots.len() < 2 {
            return Ok(RootChoice::Single);
        }
        let mut input = std::io::stdin();
        if !input.is_terminal() {
            let names: Vec<String> = roots
                .iter()
                .map(|r| format!("{} ({})", r.device, r.name))
                .collect();
            return Err(Failure::usage(format!(
                "--root ask needs a terminal; there are {}",
                names.join(", ")
            )));
        }
        for (number, root) in (1..).zip(&roots) {
            eprintln!("{number}  {}  {}", root.device, root.name);
        }
        eprint!("Which of them (1 to {})? ", roots.len());
        let mut line = [0; 64];
        let read = input
            .read(&mut line)
            .map_err(|e| Failure::usage(format!("no answer could be read: {e}")))?;
        let answer = String::from_utf8_lossy(line.get(..read).unwrap_or_default())
            .trim()
            .to_owned();
        let chosen = answer
            .parse::<usize>()
            .ok()
            .and_then(|number| roots.get(number.checked_sub(1)?));
        match chosen {
            Some(root) => Ok(RootChoice::Device(root.device.clone())),
            None => Err(Failure::usage(format!("{answer:?} is none of them"))),
        }
    }

    /// The format of the images, where it is given.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format.map(Into::into)
    }

    /// The images, to be looked into.
    pub(crate) fn disks(&self) -> Vec<(PathBuf, Option<Format>)> {
        let format = self.format();
        self.images.iter().map(|path| (path.clone(), format)).collect()
    }

    /// Looks into the guest.
    pub(crate) fn look<T>(
        &self,
        globals: &Globals,
        work: impl FnOnce(&Guest) -> disksmith_guest::Result<T>,
    ) -> Outcome<T> {
        let disks: Vec<_> = self
            .images
            .iter()
            .map(|path| (path.clone(), self.format()))
            .collect();
        let in_use = |path: &Path| {
            if !globals.quiet {
                eprintln!(
                    "disksmith: warning: {} is in use: what is shown may be inconsistent",
                    path.display()
                );
            }
        };
        disksmith_guest::look(&disks, &self.options()?, in_use, |guest| {
            warn(guest, globals);
            work(guest)
        })
        .map_err(|error| Failure::from(error).doing(self.names()))
    }

    /// Looks at the disks, whatever is on them.
    pub(crate) fn look_at_disks<T>(
        &self,
        globals: &Globals,
        work: impl FnOnce(&[StorageRef]) -> disksmith_guest::Result<T>,
    ) -> Outcome<T> {
        let in_use = |path: &Path| {
            globals.say(|| {
                format!(
                    "disksmith: warning: {} is in use: what is shown may be inconsistent",
                    path.display()
                )
            });
        };
        disksmith_guest::look_at_disks(&self.disks(), &self.options()?, in_use, work)
            .map_err(|error| Failure::from(error).doing(self.names()))
    }

    /// The images' names, for messages.
    pub(crate) fn names(&self) -> String {
        self.images
            .iter()
            .map(|i| i.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Says what was odd about the guest.
fn warn(guest: &Guest, globals: &Globals) {
    if globals.verbose > 0 {
        for warning in guest.warnings() {
            eprintln!("disksmith: warning: {warning}");
        }
    }
}

/// How an edit is made.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Show what would change, and change nothing
    #[arg(short = 'n', long, help_heading = "The edit")]
    pub(crate) dry_run: bool,
    /// Leave the image as it is and put the result into this new overlay of it (one image only)
    #[arg(
        short = 'o',
        long = "to-overlay",
        value_name = "NEW.qcow2",
        help_heading = "The edit"
    )]
    overlay: Option<PathBuf>,
    /// Edit even a base that has clones, which this corrupts; replace an overlay that exists
    #[arg(long, help_heading = "The edit")]
    force: bool,
    /// Where the redo log of a raw image goes, if not beside it
    #[arg(long, value_name = "DIR", help_heading = "The edit")]
    log_dir: Option<PathBuf>,
}

impl EditArgs {
    /// Whether the images that were named hold the result.
    pub(crate) fn is_in_place(&self) -> bool {
        !self.dry_run && self.overlay.is_none()
    }

    /// How the images are edited.
    pub(crate) fn transaction(&self, guest: &GuestArgs) -> Outcome<TransactionOptions> {
        Ok(TransactionOptions {
            dry_run: self.dry_run,
            log_dir: self.log_dir.clone(),
            force: self.force,
            existing: if self.force {
                Existing::Replace
            } else {
                Existing::Refuse
            },
            keys: guest.keys.keys()?,
            gate: guest.gate.gate(),
            ..TransactionOptions::default()
        })
    }

    /// Edits the guest in one transaction.
    pub(crate) fn edit<T>(
        &self,
        guest: &GuestArgs,
        globals: &Globals,
        work: impl FnOnce(&Guest) -> disksmith_guest::Result<T>,
    ) -> Outcome<T> {
        let transaction = self.transaction(guest)?;
        let mut disks: Vec<DiskSpec> = guest
            .images
            .iter()
            .map(|path| DiskSpec {
                path: path.clone(),
                format: guest.format(),
                output: Output::InPlace,
            })
            .collect();
        if let Some(overlay) = &self.overlay {
            let [disk] = disks.as_mut_slice() else {
                return Err(Failure::usage("an overlay can be made of one image only"));
            };
            disk.output = Output::Overlay(overlay.clone());
        }
        let unchanged = image_unchanged(&guest.images);
        let (result, report) = disksmith_guest::edit(&disks, &transaction, &guest.options()?, |found| {
            warn(found, globals);
            work(found)
        })
        .map_err(|error| {
            let failure = Failure::from(error).doing(format_args!("cannot edit {}", guest.names()));
            unchanged(failure)
        })?;
        log::info!("changed: {:?}", report.changed);
        Ok(result)
    }
}
