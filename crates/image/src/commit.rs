//! `commit`: what images of a chain hold goes into an image below them.
//!
//! At every instant the guest reads the same from the top of the chain. What is written to the base is hidden by the images above, which hold the
//! same bytes, until the base is complete and durable; only then an image above it is emptied, or set upon the base, in one step.

use crate::chain::{Chain, Over};
use crate::create::check_backing_name;
use crate::error::{Error, Result};
use crate::format::{Detected, Format, PROBE_SIZE, detect};
use crate::gate::Gate;
use crate::guard::refuse_other_clones;
use crate::held_above::carry_down;
use crate::image::Image;
use crate::keys::Keys;
use crate::node::Node;
use crate::open::OpenOptions;
use crate::padded::Padded;
use crate::worker::{self, Progress};
use disksmith_qcow2::Qcow2;
use disksmith_storage::{self as storage, Shadow, Storage, StorageRef, ZeroMode};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How images are committed.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The format of the image that is named, instead of detecting it.
    pub format: Option<Format>,
    /// What the image is made of, instead of the file at the path alone: with the keys and the images below it.
    pub node: Option<Node>,
    /// The first image of the chain whose contents go down; the image that is named where it is not said.
    pub top: Option<PathBuf>,
    /// Where they go; the next image below where it is not said.
    pub base: Option<PathBuf>,
    /// Reads the names of `top` and `base` only as names recorded in the chain, as QEMU does.
    pub names_as_recorded: bool,
    /// Leaves the top of the chain as it is. Else it is emptied, and set upon the base.
    pub keep_top: bool,
    /// Further images that stand on `top` and shall stand on `base`. The one in the chain needs no mention.
    pub overlays: Vec<PathBuf>,
    /// Removes the images that are not needed any more.
    pub delete: bool,
    /// Commits even where other images stand on those that change.
    pub force: bool,
    /// Which files may be opened that an image names.
    pub gate: Gate,
    /// The passphrases of encrypted images.
    pub keys: Keys,
    /// How many threads work, at most 8.
    pub threads: Option<usize>,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The image whose contents went down.
    pub top: PathBuf,
    /// The image that holds them now.
    pub base: PathBuf,
    /// The base's virtual size in bytes.
    pub virtual_size: u64,
    /// Bytes of data written to it.
    pub data: u64,
    /// Whether the top was emptied.
    pub emptied: bool,
    /// The images that stand on the base now, and did not before.
    pub moved: Vec<PathBuf>,
    /// The images that were removed.
    pub deleted: Vec<PathBuf>,
}

/// Commits the image at `path`, or the part of its chain that `options` name, to an image below.
///
/// A base in qcow2 format changes wholly or not at all. A raw base is written in place; when that is interrupted, the chain reads as before,
/// and another commit completes it.
///
/// # Errors
/// [`Error::NoBackingFile`], [`Error::NotInChain`]; [`Error::HasClones`] where other images stand on those that change; those of opening,
/// reading and writing.
pub fn commit(path: &Path, options: &CommitOptions, progress: &dyn Progress) -> Result<Committed> {
    let read = OpenOptions::read()
        .format(options.format)
        .gate(options.gate.clone())
        .keys(options.keys.clone());
    let chain = match &options.node {
        Some(node) => Chain::look_at(node, &read)?,
        None => Chain::look(path, &read)?,
    };
    let plan = Plan::new(path, chain, options)?;
    plan.guard(options)?;
    plan.run(&read.format(None), options, progress)
}

/// Which images take part.
struct Plan {
    chain: Chain,
    top: usize,
    base: usize,
    /// Images above `top` that shall stand on the base.
    overlays: Vec<PathBuf>,
}

impl Plan {
    fn new(path: &Path, chain: Chain, options: &CommitOptions) -> Result<Self> {
        let find = |name: &Path| {
            let found = match options.names_as_recorded {
                true => chain.find_as_recorded(std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str())),
                false => chain.find(name),
            };
            found.ok_or_else(|| Error::NotInChain {
                name: name.into(),
                image: path.into(),
            })
        };
        let top = options.top.as_deref().map_or(Ok(0), find)?;
        let base = options.base.as_deref().map_or(Ok(top + 1), find)?;
        if top + 1 >= chain.links.len() {
            return Err(Error::NoBackingFile {
                path: chain.link(top)?.path.clone(),
            });
        }
        if base <= top {
            return Err(Error::BadOption(format!(
                "{} does not lie below {}",
                chain.link(base)?.path.display(),
                chain.link(top)?.path.display()
            )));
        }
        let mut overlays: Vec<PathBuf> = Vec::new();
        if let Some(above) = top.checked_sub(1) {
            overlays.push(chain.link(above)?.path.clone());
        }
        for overlay in &options.overlays {
            let look = OpenOptions::read().gate(options.gate.clone());
            let below = Chain::look(overlay, &look)?;
            if below.links.get(1).map(|link| link.id) != Some(chain.link(top)?.id) {
                return Err(Error::Unfit {
                    path: overlay.clone(),
                    reason: format!("it does not stand on {}", chain.link(top)?.path.display()),
                });
            }
            if chain.find(overlay).is_none() {
                overlays.push(overlay.clone());
            }
        }
        Ok(Self {
            chain,
            top,
            base,
            overlays,
        })
    }

    /// The images below the top change as those see them that stand on them.
    fn guard(&self, options: &CommitOptions) -> Result<()> {
        if options.force {
            return Ok(());
        }
        let mut known: Vec<PathBuf> = self.chain.links.iter().map(|link| link.path.clone()).collect();
        known.extend(self.overlays.iter().cloned());
        let first = if options.delete { self.top } else { self.top + 1 };
        for link in self.chain.links.get(first..=self.base).unwrap_or_default() {
            refuse_other_clones(&link.path, &known)?;
        }
        Ok(())
    }

    fn run(&self, read: &OpenOptions, options: &CommitOptions, progress: &dyn Progress) -> Result<Committed> {
        let empties = self.top == 0 && !options.keep_top;
        let base_link = self.chain.link(self.base)?;
        let top_link = self.chain.link(self.top)?;
        let base = self.chain.open(self.base, &read.clone().writable(), Over::Own)?;
        // The images between, from below, and the top last.
        let mut above: Vec<Image> = Vec::new();
        for index in (self.top..self.base).rev() {
            let below = above.last().unwrap_or(&base).storage().clone();
            let open = if index == 0 {
                read.clone().writable()
            } else {
                read.clone()
            };
            above.push(self.chain.open(index, &open, Over::This(Some(below)))?);
        }
        let Some(top) = above.last() else {
            return Err(Error::BadOption("nothing to commit".into()));
        };
        let source = top.storage().clone();
        let layers = (self.base - self.top) as u32;
        if base_link.probed && base_link.format == Format::Raw {
            check_stays_raw(&*source, &base_link.path, layers)?;
        }
        let threads = options.threads.unwrap_or_else(worker::default_threads);
        let data = write_base(&base, &source, layers, threads, progress)?;
        let mut done = Committed {
            top: top_link.path.clone(),
            base: base_link.path.clone(),
            virtual_size: base.size(),
            data,
            emptied: false,
            moved: Vec::new(),
            deleted: Vec::new(),
        };
        if empties && let Some(image) = top.top().and_then(|layer| layer.as_qcow2()) {
            self.empty(image, base_link.format)?;
            done.emptied = true;
        }
        for overlay in &self.overlays {
            self.set_upon_base(overlay, &source, base.size(), base_link.format, read)?;
            done.moved.push(overlay.clone());
        }
        drop((above, base));
        if options.delete && (self.top > 0 || done.emptied) {
            let first = if self.top == 0 { 1 } else { self.top };
            for link in self.chain.links.get(first..self.base).unwrap_or_default() {
                std::fs::remove_file(&link.path).map_err(|e| Error::file("remove", &link.path, e))?;
                done.deleted.push(link.path.clone());
            }
        }
        Ok(done)
    }

    /// Takes everything out of the top, and sets it upon the base, in one step.
    fn empty(&self, image: &Arc<Qcow2>, format: Format) -> Result<()> {
        let link = self.chain.link(self.top)?;
        let fail = Error::qcow2(&link.path);
        let mut edit = Box::new(image.metadata_change_set().map_err(fail)?);
        edit.empty().map_err(Error::qcow2(&link.path))?;
        if self.base > self.top + 1 {
            let name = self.chain.name_for(&link.path, self.base)?;
            check_backing_name(&link.path, &name)?;
            edit.set_backing(Some(&name), Some(format.name().as_bytes()))
                .map_err(Error::qcow2(&link.path))?;
        }
        Ok(edit.prepare()?.switch()?)
    }

    /// Has an overlay that stood on the top stand on the base.
    fn set_upon_base(
        &self,
        overlay: &Path,
        old: &StorageRef,
        base_size: u64,
        format: Format,
        read: &OpenOptions,
    ) -> Result<()> {
        // Where the old one ends zeroes began, and the base may be longer.
        let over: StorageRef = Arc::new(Padded::new(Some(old.clone()), base_size));
        let image = Image::open(overlay, &read.clone().writable().over(Some(over)))?;
        let Some(qcow2) = image.top().and_then(|top| top.as_qcow2()) else {
            return Err(Error::NotForFormat {
                path: overlay.into(),
                verb: "a backing file",
                format: Format::Raw,
            });
        };
        let name = self.chain.name_for(overlay, self.base)?;
        check_backing_name(overlay, &name)?;
        let fail = || Error::qcow2(overlay);
        let end = qcow2.size().min(base_size);
        let hidden = old.size() < end;
        let mut edit = Box::new(match hidden {
            true => qcow2.change_set().map_err(fail())?,
            false => qcow2.metadata_change_set().map_err(fail())?,
        });
        let mut at = old.size();
        while at < end {
            let extent = qcow2.extent_at(at, end - at)?;
            let len = extent.len.clamp(1, end - at);
            if extent.depth > 0 {
                edit.write_zeroes(at, len, ZeroMode::Unmap)?;
            }
            at += len;
        }
        edit.set_backing(Some(&name), Some(format.name().as_bytes()))
            .map_err(fail())?;
        Ok(edit.prepare()?.switch()?)
    }
}

/// Writes what the images above hold into the base, durably.
fn write_base(
    base: &Image,
    source: &StorageRef,
    layers: u32,
    threads: usize,
    progress: &dyn Progress,
) -> Result<u64> {
    let Some(layer) = base.top() else {
        return Err(Error::BadOption("no image to commit to".into()));
    };
    let grow = |target: &dyn Storage| -> storage::Result<()> {
        match target.size() < source.size() {
            true => target.set_size(source.size()),
            false => Ok(()),
        }
    };
    match layer.as_qcow2() {
        Some(image)
            if !image
                .header()
                .incompatible
                .contains(disksmith_qcow2::Incompatible::DATA_FILE) =>
        {
            let shadow = image.shadow().map_err(Error::qcow2(layer.path()))?;
            grow(&*shadow)?;
            let data = carry_down(&**source, layers, &*shadow, threads, progress)?;
            if shadow.is_dirty() {
                shadow.prepare()?.switch()?;
            } else {
                shadow.abandon()?;
            }
            Ok(data)
        }
        // Clusters of a data file, as the sectors of a raw image, have their places. Nobody sees what is written there before all of it is.
        _ => {
            let target = layer.storage();
            grow(&*target)?;
            let data = carry_down(&**source, layers, &*target, threads, progress)?;
            target.flush()?;
            Ok(data)
        }
    }
}

/// A raw image that nobody said is one must not turn into something else.
fn check_stays_raw(source: &dyn Storage, base: &Path, layers: u32) -> Result<()> {
    if source.size() == 0 || source.extent_at(0, 1)?.depth >= layers {
        return Ok(());
    }
    let mut head = vec![0; source.size().min(PROBE_SIZE as u64) as usize];
    source.read_at(0, &mut head)?;
    let looks_like = match detect(&head) {
        Detected::Known(Format::Raw) => return Ok(()),
        Detected::Known(format) => format.name().to_owned(),
        Detected::Foreign(name) => name.to_owned(),
        Detected::Packed(packing) => packing.name.to_owned(),
    };
    Err(Error::WouldChangeFormat {
        path: base.into(),
        looks_like,
    })
}
