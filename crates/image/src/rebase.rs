//! `rebase`: another backing file below an image. `pull`: contents of the chain taken up into the image that stands on it.
//!
//! What the guest would read differently is copied into the image first. That data and the new name become the image's in one step.

use crate::chain::{Chain, Over};
use crate::create::check_backing_name;
use crate::error::{Error, Result};
use crate::file_name::{FileName, resolve_beside};
use crate::format::Format;
use crate::gate::Gate;
use crate::image::Image;
use crate::keys::Keys;
use crate::node::Node;
use crate::open::OpenOptions;
use crate::padded::Padded;
use crate::take_up::{TakeUp, Target, take_up};
use crate::worker::{self, Progress};
use disksmith_qcow2::{Qcow2, Qcow2Shadow};
use disksmith_storage::{LockMode, Shadow, Storage, StorageRef};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How an image is rebased.
#[derive(Debug, Clone, Default)]
pub struct RebaseOptions {
    /// The image's format, instead of detecting it.
    pub format: Option<Format>,
    /// What the image is made of, instead of the file at the path alone: with the keys and the images below it.
    pub node: Option<Node>,
    /// The name of the new backing file, as it shall be recorded: relative to the image. `None` or an empty one is none at all.
    pub backing: Option<Vec<u8>>,
    /// The format of the new backing file. Detected, unless `blind`, where it is not said.
    pub backing_format: Option<String>,
    /// Changes the name only. What the guest reads changes with it, unless the new file holds what the old one did.
    pub blind: bool,
    /// Compresses what is copied.
    pub compress: bool,
    /// Writes zeroes out as data where the old backing file holds some, as QEMU does. Else they take no space.
    pub write_out_zeroes: bool,
    /// Reads the new backing file even while somebody writes to it.
    pub share_backing: bool,
    /// Which files may be opened that an image names.
    pub gate: Gate,
    /// The passphrases of encrypted images.
    pub keys: Keys,
    /// How many threads work, at most 8.
    pub threads: Option<usize>,
}

/// How an image is pulled.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The image's format, instead of detecting it.
    pub format: Option<Format>,
    /// The image of the chain that stays below; none where it is not said.
    pub base: Option<PathBuf>,
    /// Compresses what is copied.
    pub compress: bool,
    /// Which files may be opened that an image names.
    pub gate: Gate,
    /// The passphrases of encrypted images.
    pub keys: Keys,
    /// How many threads work, at most 8.
    pub threads: Option<usize>,
}

/// What a rebase or a pull did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebased {
    /// The image.
    pub image: PathBuf,
    /// The name of its backing file, as it is recorded now.
    pub backing: Option<Vec<u8>>,
    /// The format of that, as it is recorded.
    pub backing_format: Option<String>,
    /// Bytes of data that were copied into the image.
    pub data: u64,
}

/// Sets the image at `path` upon another backing file. The guest reads the same afterwards, unless it is done blindly.
///
/// # Errors
/// [`Error::NotForFormat`] for a raw image; [`Error::NewBacking`] where the new backing file cannot be opened; those of opening, reading
/// and writing. The image is as it was then.
pub fn rebase(path: &Path, options: &RebaseOptions, progress: &dyn Progress) -> Result<Rebased> {
    let name = options.backing.clone().filter(|name| !name.is_empty());
    if let Some(name) = &name {
        check_backing_name(path, name)?;
    }
    if options.blind {
        return rename(path, name, options);
    }
    let read = OpenOptions::read()
        .format(options.format)
        .gate(options.gate.clone())
        .keys(options.keys.clone());
    let chain = match &options.node {
        Some(node) => Chain::look_at(node, &read)?,
        None => Chain::look(path, &read)?,
    };
    let read = read.format(None);
    let top = chain.link(0)?;
    refuse_raw(&top.path, top.format)?;
    let old = match chain.links.len() {
        1 => None,
        _ => Some(chain.open(1, &read, Over::Own)?),
    };
    let (over, image) = open_over(&chain, &read, old.as_ref())?;
    // The top is locked by now, so a chain that comes back to it is refused.
    let mut stays = None;
    let (new, format) = match &name {
        None => (None, None),
        Some(name) => {
            let full = path_of(&top.path, name)?;
            stays = chain.find_as_recorded(full.as_os_str().as_bytes());
            let below = stays.and_then(|i| old.as_ref()?.layers().get(i - 1));
            match below {
                Some(layer) => (Some(Below::Layer(layer.storage())), Some(layer.format())),
                None => {
                    let new = open_new(&full, name, options)?;
                    let format = new.top().map(|top| top.format());
                    (Some(Below::Image(new)), format)
                }
            }
        }
    };
    let work = TakeUp {
        view: image.storage().clone(),
        granule: granule_of(&image)?,
        old_size: over.old_size,
        new: new.as_ref().map(Below::storage),
        // What a common image below holds is the same for both.
        same_from: stays.map(|i| i as u32),
        compare: true,
        write_out_zeroes: options.write_out_zeroes,
    };
    let recorded = options
        .backing_format
        .clone()
        .or_else(|| format.map(|format| format.name().to_owned()));
    let how = How {
        compress: options.compress,
        threads: options.threads,
    };
    finish(&image, &work, name, recorded, how, progress)
}

/// Copies what the chain of the image at `path` holds above `base` (all of it, where there is none) into the image, which stands
/// on the base, or on nothing, afterwards. The images between are needed by this one no more.
///
/// # Errors
/// [`Error::NotInChain`]; [`Error::NotForFormat`] for a raw image; those of opening, reading and writing. The image is as it was then.
pub fn pull(path: &Path, options: &PullOptions, progress: &dyn Progress) -> Result<Rebased> {
    let read = OpenOptions::read()
        .format(options.format)
        .gate(options.gate.clone())
        .keys(options.keys.clone());
    let chain = Chain::look(path, &read)?;
    let read = read.format(None);
    let top = chain.link(0)?;
    refuse_raw(&top.path, top.format)?;
    let base = match &options.base {
        None => None,
        Some(name) => {
            let found = chain.find(name).filter(|index| *index > 0);
            Some(found.ok_or_else(|| Error::NotInChain {
                name: name.clone(),
                image: path.into(),
            })?)
        }
    };
    let old = match chain.links.len() {
        1 => {
            return Err(Error::NoBackingFile {
                path: top.path.clone(),
            });
        }
        _ => chain.open(1, &read, Over::Own)?,
    };
    let (over, image) = open_over(&chain, &read, Some(&old))?;
    let below = base.and_then(|index| old.layers().get(index - 1));
    let name = base.map(|index| chain.name_for(&top.path, index)).transpose()?;
    if let Some(name) = &name {
        check_backing_name(&top.path, name)?;
    }
    let work = TakeUp {
        view: image.storage().clone(),
        granule: granule_of(&image)?,
        old_size: over.old_size,
        new: below.map(|layer| layer.storage()),
        same_from: base.map(|index| index as u32),
        compare: false,
        write_out_zeroes: false,
    };
    let format = below.map(|layer| layer.format().name().to_owned());
    let how = How {
        compress: options.compress,
        threads: options.threads,
    };
    finish(&image, &work, name, format, how, progress)
}

/// A new backing file: an image of the chain, or another one.
enum Below {
    Layer(StorageRef),
    Image(Image),
}

impl Below {
    fn storage(&self) -> StorageRef {
        match self {
            Self::Layer(storage) => storage.clone(),
            Self::Image(image) => image.storage().clone(),
        }
    }
}

struct OldBelow {
    /// How long the old backing file is, in bytes.
    old_size: u64,
}

/// Opens the top of a chain for writing, over what lies below it.
fn open_over(chain: &Chain, read: &OpenOptions, old: Option<&Image>) -> Result<(OldBelow, Image)> {
    let write = read.clone().writable();
    // Every zero that is to stay one must be written down: a new backing file may hold something there.
    let below = old.map(|image| image.storage().clone());
    let old_size = below.as_ref().map_or(0, |below| below.size());
    let over: StorageRef = Arc::new(Padded::new(below, i64::MAX as u64));
    let image = chain.open(0, &write, Over::This(Some(over)))?;
    Ok((OldBelow { old_size }, image))
}

fn refuse_raw(path: &Path, format: Format) -> Result<()> {
    match format {
        Format::Qcow2 => Ok(()),
        format => Err(Error::NotForFormat {
            path: path.into(),
            verb: "a backing file",
            format,
        }),
    }
}

/// Whether a name describes an image as JSON.
fn is_json(name: &[u8]) -> bool {
    name.starts_with(b"json:")
}

/// The path that a name leads to which an image shall record.
fn path_of(overlay: &Path, name: &[u8]) -> Result<PathBuf> {
    match FileName::parse(&resolve_beside(overlay, name)) {
        FileName::Path(path) => Ok(path),
        FileName::Protocol(_) if is_json(name) => Ok(PathBuf::from(OsStr::from_bytes(name))),
        FileName::Protocol(protocol) => Err(Error::NewBacking {
            name: String::from_utf8_lossy(name).into_owned(),
            source: Box::new(Error::Protocol {
                name: String::from_utf8_lossy(name).into_owned(),
                protocol,
                overlay: None,
            }),
        }),
    }
}

fn open_new(path: &Path, name: &[u8], options: &RebaseOptions) -> Result<Image> {
    let recorded = name;
    let name = || String::from_utf8_lossy(name).into_owned();
    let format = match &options.backing_format {
        None => None,
        Some(format) => Some(
            Format::from_name(format.as_bytes()).ok_or_else(|| Error::UnknownFormat {
                path: path.into(),
                what: format!("the backing file '{}'", name()),
                name: format.clone(),
            })?,
        ),
    };
    let mut read = OpenOptions::read()
        .gate(options.gate.clone())
        .keys(options.keys.clone());
    if options.share_backing {
        read = read.lock(LockMode::ForceShare);
    }
    let node = match is_json(recorded) {
        true => Node::from_name(path.as_os_str(), format).map_err(|error| Error::Node {
            reason: error.to_string(),
        }),
        false => Ok(Node::path(path, format)),
    };
    node.and_then(|node| Image::open_node(&node, &read))
        .map_err(|source| Error::NewBacking {
            name: name(),
            source: Box::new(source),
        })
}

/// Changes the recorded name only.
fn rename(path: &Path, name: Option<Vec<u8>>, options: &RebaseOptions) -> Result<Rebased> {
    let open = OpenOptions::write()
        .format(options.format)
        .gate(options.gate.clone())
        .keys(options.keys.clone())
        .metadata_only()
        .without_backing();
    let image = Image::open(path, &open)?;
    let qcow2 = qcow2_of(&image)?;
    let format = options.backing_format.clone().filter(|_| name.is_some());
    let fail = || Error::qcow2(path);
    let mut edit = Box::new(qcow2.metadata_change_set().map_err(fail())?);
    edit.set_backing(name.as_deref(), format.as_deref().map(str::as_bytes))
        .map_err(fail())?;
    edit.prepare()?.switch()?;
    Ok(Rebased {
        image: path.into(),
        backing: name,
        backing_format: format,
        data: 0,
    })
}

fn granule_of(image: &Image) -> Result<u64> {
    Ok(qcow2_of(image)?.geometry().subcluster_size())
}

fn qcow2_of(image: &Image) -> Result<&Arc<Qcow2>> {
    let Some(top) = image.top() else {
        return Err(Error::BadOption("no image".into()));
    };
    top.as_qcow2().ok_or_else(|| Error::NotForFormat {
        path: top.path().into(),
        verb: "a backing file",
        format: top.format(),
    })
}

/// How the copying is done.
#[derive(Debug, Clone, Copy)]
struct How {
    compress: bool,
    threads: Option<usize>,
}

/// Copies, and changes the name, in one step.
fn finish(
    image: &Image,
    work: &TakeUp,
    name: Option<Vec<u8>>,
    format: Option<String>,
    how: How,
    progress: &dyn Progress,
) -> Result<Rebased> {
    let qcow2 = qcow2_of(image)?;
    let path = image.top().map_or(Path::new(""), |top| top.path());
    let fail = || Error::qcow2(path);
    let threads = how.threads.unwrap_or_else(worker::default_threads);
    let in_place = qcow2
        .header()
        .incompatible
        .contains(disksmith_qcow2::Incompatible::DATA_FILE);
    let (mut edit, data) = if in_place {
        // Clusters of a data file have their places. What is written there is what the guest reads anyway.
        if how.compress {
            let text = format!(
                "{}: an image with an external data file cannot be compressed",
                path.display()
            );
            return Err(Error::BadOption(text));
        }
        let target = Target {
            storage: &**qcow2,
            compressed: None,
        };
        let data = take_up(work, target, path, threads, progress)?;
        qcow2.flush()?;
        (Box::new(qcow2.metadata_change_set().map_err(fail())?), data)
    } else {
        let edit: Box<Qcow2Shadow> = Box::new(qcow2.change_set().map_err(fail())?);
        let target = Target {
            storage: &*edit,
            compressed: how.compress.then_some(&*edit),
        };
        let data = take_up(work, target, path, threads, progress)?;
        (edit, data)
    };
    edit.set_backing(name.as_deref(), format.as_deref().map(str::as_bytes))
        .map_err(fail())?;
    edit.prepare()?.switch()?;
    Ok(Rebased {
        image: path.into(),
        backing: name,
        backing_format: format,
        data,
    })
}
