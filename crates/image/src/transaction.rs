//! An edit: every change is staged first, and then committed as a whole.

mod checkpoint;
mod data_file;
mod output;
mod stage;

use crate::error::{Error, Result};
use crate::format::{Detected, Format, PROBE_SIZE, detect};
use crate::gate::Gate;
use crate::guard::refuse_if_cloned;
use crate::image::Image;
use crate::keys::Keys;
use crate::open::OpenOptions;
pub use checkpoint::CheckpointFailure;
use data_file::DataFile;
use disksmith_luks::Payload;
use disksmith_storage::{
    Existing, FileId, Intent, Member, Prepared, RawShadow, Scratch, Shadow, Staging, Storage, StorageRef,
};
use output::NewImage;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where an edit's result goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// Into the image itself.
    #[default]
    InPlace,
    /// Into a new overlay at this path; the image stays as it is and becomes its backing file.
    Overlay(PathBuf),
    /// Into a full copy, in this format, at this path; the image stays as it is.
    Copy(PathBuf, Format),
}

/// An image that shall be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpec {
    /// The image.
    pub path: PathBuf,
    /// Its format, instead of detecting it.
    pub format: Option<Format>,
    /// Where the result goes.
    pub output: Output,
}

impl DiskSpec {
    /// Edits the image at `path` in place, in whatever format it is.
    pub fn in_place(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            output: Output::InPlace,
        }
    }
}

/// How an edit is made.
#[derive(Debug, Clone)]
pub struct TransactionOptions {
    /// Stages the changes, and never makes them.
    pub dry_run: bool,
    /// Where logs of raw images go, if not beside the image.
    pub log_dir: Option<PathBuf>,
    /// Which files may be opened that an image names.
    pub gate: Gate,
    /// Edits even an image that has clones.
    pub force: bool,
    /// Whether an output that is there already is replaced.
    pub existing: Existing,
    /// How many bytes all images together hold in memory.
    pub budget: u64,
    /// The passphrases for encrypted images.
    pub keys: Keys,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            log_dir: None,
            gate: Gate::FollowAll,
            force: false,
            existing: Existing::Refuse,
            budget: Staging::DEFAULT_BUDGET,
            keys: Keys::none(),
        }
    }
}

/// An open edit of one or several images, which stay locked until it ends. Dropped without
/// [`commit`](Self::commit), it leaves the images as they were.
#[derive(Debug)]
#[must_use = "an edit that is not committed changes nothing"]
pub struct Transaction {
    disks: Vec<Disk>,
    log_dir: Option<PathBuf>,
    dry_run: bool,
}

#[derive(Debug)]
struct Disk {
    path: PathBuf,
    /// The storage that is handed out.
    stage: Arc<Stage>,
    /// The image under it, with its locks, and, where it is new, the file that is not in its place yet.
    /// Dropped after the stage.
    output: Option<NewImage>,
    /// Where changes of an external data file go.
    data: Option<Arc<DataFile>>,
    /// A raw image that nobody said is one must not turn into something else.
    keeps_raw: bool,
    /// How many bytes are held in memory.
    budget: u64,
    image: Image,
}

/// A change set over an image, and the one over its external data file.
type NewShadow = (Box<dyn Shadow>, Option<Arc<DataFile>>);

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReport {
    /// For each image whether it, or its output, was changed.
    pub changed: Vec<bool>,
}

impl Transaction {
    /// Opens images for an edit. An edit of one of them that was interrupted is completed or discarded first.
    ///
    /// # Errors
    /// [`Error::HasClones`] where an image would be changed that others stand on; those of opening and locking.
    pub fn begin(disks: &[DiskSpec], options: &TransactionOptions) -> Result<Self> {
        refuse_twice(disks)?;
        let budget = options.budget / disks.len().max(1) as u64;
        let mut open = Vec::with_capacity(disks.len());
        for spec in disks {
            open.push(Disk::open(spec, options, budget)?);
        }
        Ok(Self {
            disks: open,
            log_dir: options.log_dir.clone(),
            dry_run: options.dry_run,
        })
    }

    /// How many images it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.disks.len()
    }

    /// Whether it has no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.disks.is_empty()
    }

    /// The staged view of an image, by its place in the list given to [`begin`](Self::begin): reads see the writes made
    /// through it. It fails once the edit has ended.
    #[must_use]
    pub fn storage(&self, index: usize) -> Option<StorageRef> {
        self.disks.get(index).map(|disk| disk.stage.clone() as StorageRef)
    }

    /// The path of an image, as it was given.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.disks.get(index).map(|disk| disk.path.as_path())
    }

    /// An image under its staging.
    pub(crate) fn image(&self, index: usize) -> Option<&Image> {
        self.disks.get(index).map(|disk| &disk.image)
    }

    /// Whether anything was changed so far.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.disks.iter().any(|disk| disk.stage.is_dirty())
    }

    /// Makes all changes the images' state, durably, all or none. With `dry_run` it changes nothing.
    ///
    /// # Errors
    /// The images hold their old bytes then, unless the error says that the change is to be recovered
    /// ([`disksmith_storage::Error::Interrupted`], [`disksmith_storage::Error::Pending`]).
    pub fn commit(mut self) -> Result<CommitReport> {
        let changed: Vec<bool> = self.disks.iter().map(|disk| disk.stage.is_dirty()).collect();
        if self.dry_run {
            self.throw_away();
            return Ok(CommitReport { changed });
        }
        for disk in &self.disks {
            disk.check_format()?;
        }
        let mut prepared: Vec<(PathBuf, Box<dyn Prepared>)> = Vec::new();
        if let Err(error) = self.prepare_all(&mut prepared) {
            give_up(prepared);
            return Err(error);
        }
        self.switch_all(prepared, false)?;
        for disk in &mut self.disks {
            if let Some(output) = disk.output.take() {
                output.put_in_place()?;
            }
        }
        Ok(CommitReport { changed })
    }

    /// Throws all changes away.
    pub fn abandon(mut self) {
        self.throw_away();
    }

    fn throw_away(&mut self) {
        for disk in &self.disks {
            if let Some(staging) = disk.stage.end()
                && let Err(error) = staging.abandon()
            {
                log::warn!("{error}");
            }
            if let Some(data) = &disk.data
                && let Err(error) = data.abandon()
            {
                log::warn!("{error}");
            }
        }
    }

    /// Brings all changes to where only the switch is missing.
    fn prepare_all(&mut self, prepared: &mut Vec<(PathBuf, Box<dyn Prepared>)>) -> Result<()> {
        for disk in &mut self.disks {
            let Some(staging) = disk.stage.end() else { continue };
            if let Some(output) = &disk.output {
                drop(staging.into_shadow()?);
                output.complete()?;
            } else if staging.is_dirty() {
                prepared.push((disk.path.clone(), staging.into_shadow()?.prepare()?));
                if let Some(data) = &disk.data {
                    prepared.extend(data.prepare()?);
                }
            } else {
                staging.abandon()?;
            }
        }
        Ok(())
    }

    /// Switches all changes in. `goes_on`: others follow at once.
    fn switch_all(&self, prepared: Vec<(PathBuf, Box<dyn Prepared>)>, goes_on: bool) -> Result<()> {
        let switch = |change: Box<dyn Prepared>| {
            if goes_on {
                change.switch_for_now()
            } else {
                change.switch()
            }
        };
        if prepared.len() <= 1 {
            for (_, change) in prepared {
                switch(change)?;
            }
            return Ok(());
        }
        let members: disksmith_storage::Result<Vec<Member>> = prepared
            .iter()
            .map(|(path, change)| Member::new(path, change.as_ref()))
            .collect();
        let decided = match members.and_then(|members| Intent::decide(&members, self.log_dir.as_deref())) {
            Ok(decided) => decided,
            Err(error @ disksmith_storage::Error::Interrupted { .. }) => {
                // Whether it counts is not known, so nothing that recovery may need is thrown away.
                prepared
                    .into_iter()
                    .for_each(|(_, change)| std::mem::forget(change));
                return Err(error.into());
            }
            Err(error) => {
                give_up(prepared);
                return Err(error.into());
            }
        };
        let mut failure = None;
        for (_, change) in prepared {
            // From here on the change counts: the others are switched even when one cannot be.
            if let Err(error) = switch(change) {
                failure.get_or_insert(error);
            }
        }
        if let Some(error) = failure {
            return Err(disksmith_storage::Error::Interrupted {
                image: self
                    .disks
                    .first()
                    .map(|d| d.path.display().to_string())
                    .unwrap_or_default(),
                log: decided.path().to_owned(),
                source: Box::new(error),
            }
            .into());
        }
        decided.finish()?;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.throw_away();
    }
}

fn give_up(prepared: Vec<(PathBuf, Box<dyn Prepared>)>) {
    for (path, change) in prepared {
        if let Err(error) = change.abandon() {
            log::warn!("{}: {error}", path.display());
        }
    }
}

impl Disk {
    fn open(spec: &DiskSpec, options: &TransactionOptions, budget: u64) -> Result<Self> {
        let open = OpenOptions::read()
            .format(spec.format)
            .gate(options.gate.clone())
            .keys(options.keys.clone())
            .log_dir(options.log_dir.clone());
        let in_place = spec.output == Output::InPlace;
        let mut data = None;
        let (image, output, shadow): (Image, Option<NewImage>, Box<dyn Shadow>) = if options.dry_run {
            let image = Image::open(&spec.path, &open)?;
            let scratch = Scratch::new(image.storage().clone());
            (image, None, Box::new(scratch))
        } else if in_place {
            let image = Image::open(&spec.path, &open.writable())?;
            // While the image is locked nobody can clone it.
            if !options.force {
                refuse_if_cloned(&spec.path)?;
            }
            data = data_file_of(&image, options.log_dir.as_deref())?;
            let shadow = shadow_of(&image, data.as_ref(), options.log_dir.as_deref())?;
            (image, None, shadow)
        } else {
            let image = Image::open(&spec.path, &open)?;
            let (output, shadow) = NewImage::create(&image, &spec.output, options)?;
            (image, Some(output), Box::new(shadow))
        };
        let probed_raw = image
            .top()
            .is_some_and(|top| top.was_probed() && top.format() == Format::Raw);
        Ok(Self {
            path: spec.path.clone(),
            stage: Arc::new(Stage::new(Staging::new(shadow, budget))),
            output,
            data,
            keeps_raw: in_place && probed_raw,
            budget,
            image,
        })
    }

    /// Begins a change set over the image as it is now, with the shadow of its data file.
    fn new_shadow(&self, log_dir: Option<&Path>) -> Result<NewShadow> {
        let data = data_file_of(&self.image, log_dir)?;
        Ok((shadow_of(&self.image, data.as_ref(), log_dir)?, data))
    }

    /// A raw image whose format was detected must still be detected as raw: a guest could otherwise make its disk an overlay
    /// of any host file.
    fn check_format(&self) -> Result<()> {
        if !self.keeps_raw || !self.stage.is_dirty() {
            return Ok(());
        }
        let mut head = vec![0; self.stage.size().min(PROBE_SIZE as u64) as usize];
        self.stage.read_at(0, &mut head)?;
        let looks_like = match detect(&head) {
            Detected::Known(Format::Raw) => return Ok(()),
            Detected::Known(format) => format.name().to_owned(),
            Detected::Foreign(name) => name.to_owned(),
            Detected::Packed(packing) => packing.name.to_owned(),
        };
        Err(Error::WouldChangeFormat {
            path: self.path.clone(),
            looks_like,
        })
    }
}

/// The shadow of the external data file of an image's top layer, where it has one.
fn data_file_of(image: &Image, log_dir: Option<&Path>) -> Result<Option<Arc<DataFile>>> {
    let Some(file) = image.top().and_then(|top| top.data_file()) else {
        return Ok(None);
    };
    let shadow = RawShadow::new(file.clone(), log_dir)?;
    Ok(Some(Arc::new(DataFile::new(file.path().to_path_buf(), shadow))))
}

/// The shadow of an image's top layer, by its format.
fn shadow_of(image: &Image, data: Option<&Arc<DataFile>>, log_dir: Option<&Path>) -> Result<Box<dyn Shadow>> {
    let Some(top) = image.top() else {
        return Err(Error::BadOption("no image to edit".into()));
    };
    match top.as_qcow2() {
        Some(qcow2) => match data {
            Some(data) => qcow2.shadow_beside(data.clone() as StorageRef),
            None => qcow2.shadow(),
        }
        .map_err(Error::qcow2(top.path())),
        None => {
            let shadow: Box<dyn Shadow> = Box::new(RawShadow::new(top.file().clone(), log_dir)?);
            Ok(match top.as_luks() {
                Some(disk) => Box::new(Payload::new(shadow, disk.offset, disk.cipher.clone())),
                None => shadow,
            })
        }
    }
}

/// An image that is named twice would be locked against itself.
fn refuse_twice(disks: &[DiskSpec]) -> Result<()> {
    let mut seen = Vec::new();
    for disk in disks {
        let Ok(id) = FileId::of_path(&disk.path) else {
            continue;
        };
        if seen.contains(&id) {
            return Err(Error::BadOption(format!(
                "{} is named twice",
                disk.path.display()
            )));
        }
        seen.push(id);
    }
    Ok(())
}
