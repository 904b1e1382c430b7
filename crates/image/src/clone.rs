//! `clone`: linked clones by the thousand, and full copies.

use crate::convert::{ConvertOptions, convert};
use crate::create::{CreateOptions, check_backing_name, fill_empty, start_output};
use crate::error::{Error, Result};
use crate::file_name::relative_name;
use crate::format::Format;
use crate::gate::Gate;
use crate::guard::refuse_if_cloned;
use crate::image::Image;
use crate::keys::Keys;
use crate::open::{MAX_CHAIN, OpenOptions};
use crate::worker::{Progress, check_cancelled};
use disksmith_qcow2::Backing;
use disksmith_storage::{Durability, Existing, FileId, HostFile, LockMode, OpenMode};
use std::path::{Path, PathBuf};

/// How clones are made.
#[derive(Debug, Clone)]
pub struct CloneOptions {
    /// The base's format, instead of detecting it.
    pub base_format: Option<Format>,
    /// The properties of the clones.
    pub create: CreateOptions,
    /// The clones' size in bytes; the base's where it is not said. Only growing makes sense.
    pub size: Option<u64>,
    /// Whether files that are there already are replaced.
    pub existing: Existing,
    /// Takes away everybody's right to write to the base once the clones are made.
    pub protect_base: bool,
    /// Replaces even a file that has clones of its own.
    pub force: bool,
    /// Which files may be opened that the base names.
    pub gate: Gate,
    /// The passphrases for encrypted images. A linked clone of an encrypted qcow2 image needs none.
    pub keys: Keys,
}

impl Default for CloneOptions {
    fn default() -> Self {
        Self {
            base_format: None,
            create: CreateOptions::default(),
            size: None,
            existing: Existing::Refuse,
            protect_base: false,
            force: false,
            gate: Gate::FollowAll,
            keys: Keys::none(),
        }
    }
}

/// Makes overlays of `base` at `targets`. Each names the base relative to its own directory (absolute where `base` is), and
/// records the base's format. All are made or none: after an error those that were made are removed again. They are on the disk on return.
///
/// # Errors
/// [`Error::OutputExists`], [`Error::NameTooLong`], those of opening the base.
pub fn clone_linked(
    base: &Path,
    targets: &[PathBuf],
    options: &CloneOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let read = OpenOptions::read()
        .format(options.base_format)
        .gate(options.gate.clone())
        .keys(options.keys.clone())
        .metadata_only();
    let image = Image::open(base, &read)?;
    let Some(top) = image.top() else {
        return Err(Error::BadOption("no image to clone".into()));
    };
    if image.layers().len() >= MAX_CHAIN {
        return Err(Error::ChainTooLong {
            top: base.into(),
            limit: MAX_CHAIN,
        });
    }
    let size = options.size.unwrap_or(image.size());
    if size < image.size() {
        return Err(Error::BadOption(format!(
            "a clone of {size} bytes is smaller than its base, which has {}",
            image.size()
        )));
    }
    let current = std::env::current_dir().map_err(|e| Error::file("find", ".", e))?;
    let chain: Vec<&Path> = image.layers().iter().map(|layer| layer.path()).collect();
    check_targets(&chain, targets, options)?;
    let mut made = Made::default();
    let mut directory_name: Option<(PathBuf, Vec<u8>)> = None;
    for (index, target) in targets.iter().enumerate() {
        check_cancelled(progress)?;
        made.make_folder_of(target)?;
        let directory = target.parent().unwrap_or(Path::new(""));
        let name = match &directory_name {
            Some((last, name)) if last == directory => name.clone(),
            _ => relative_name(top.path(), directory, &current),
        };
        directory_name = Some((directory.to_owned(), name.clone()));
        check_backing_name(target, &name)?;
        let mut create = options.create.clone();
        create.qcow2.backing = Some(Backing {
            name,
            format: Some(top.format().name().into()),
        });
        let new = start_output(target, options.existing)?;
        fill_empty(new.file(), None, target, Format::Qcow2, size, &create)?;
        new.commit(options.existing, Durability::Deferred)?;
        made.files.push(target.clone());
        progress.advance(index as u64 + 1, targets.len() as u64);
    }
    made.sync()?;
    if options.protect_base {
        protect(top.path())?;
    }
    made.keep();
    Ok(())
}

/// Makes full copies of `base`, which need no other file: its whole chain in one image each. All are made or none.
///
/// # Errors
/// As [`clone_linked`].
pub fn clone_full(
    base: &Path,
    targets: &[PathBuf],
    options: &CloneOptions,
    format: Format,
    progress: &dyn Progress,
) -> Result<()> {
    if options.size.is_some() {
        return Err(Error::BadOption("a full clone has the size of its base".into()));
    }
    check_targets(&[base], targets, options)?;
    let mut made = Made::default();
    let convert_options = ConvertOptions {
        create: options.create.clone(),
        existing: options.existing,
        force: options.force,
        ..ConvertOptions::new(format)
    };
    let source = OpenOptions::read()
        .format(options.base_format)
        .gate(options.gate.clone())
        .keys(options.keys.clone());
    for target in targets {
        made.make_folder_of(target)?;
        convert(&[base.to_owned()], &source, target, &convert_options, progress)?;
        made.files.push(target.clone());
    }
    made.sync()?;
    made.keep();
    Ok(())
}

/// Checks before anything is made what would make it fail half-way.
fn check_targets(sources: &[&Path], targets: &[PathBuf], options: &CloneOptions) -> Result<()> {
    let mut sorted: Vec<&PathBuf> = targets.iter().collect();
    sorted.sort();
    if let Some(twice) = sorted
        .windows(2)
        .find(|w| w.first() == w.last())
        .and_then(|w| w.first())
    {
        return Err(Error::BadOption(format!("{} is named twice", twice.display())));
    }
    let sources: Vec<FileId> = sources
        .iter()
        .filter_map(|path| FileId::of_path(path).ok())
        .collect();
    for target in targets {
        if target.symlink_metadata().is_err() {
            continue;
        }
        if options.existing == Existing::Refuse {
            return Err(Error::OutputExists { path: target.clone() });
        }
        if FileId::of_path(target).is_ok_and(|id| sources.contains(&id)) {
            return Err(Error::Unfit {
                path: target.clone(),
                reason: "it is a part of the image that would be cloned".into(),
            });
        }
        check_replaceable(target, options.force)?;
    }
    Ok(())
}

/// Checks that nobody uses, and no clone needs, a file that shall be replaced.
pub(crate) fn check_replaceable(target: &Path, force: bool) -> Result<()> {
    if !target.is_file() {
        return Ok(());
    }
    HostFile::open(target, OpenMode::Write, LockMode::Lock)?;
    if force { Ok(()) } else { refuse_if_cloned(target) }
}

/// Takes the right to write away from everybody. Root, who needs no rights, is held back only by the guard.
fn protect(base: &Path) -> Result<()> {
    let fail = |e| Error::file("make read-only", base, e);
    let mut permissions = std::fs::metadata(base).map_err(fail)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(base, permissions).map_err(fail)
}

/// The files made so far, removed again unless they are kept.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    kept: bool,
}

/// From this many files on, one flush of the whole filesystem costs less than one for each file.
const MANY: usize = 16;

impl Made {
    /// Makes the folder that a file shall lie in, if it is missing.
    pub(crate) fn make_folder_of(&mut self, target: &Path) -> Result<()> {
        let Some(folder) = target.parent().filter(|f| !f.as_os_str().is_empty()) else {
            return Ok(());
        };
        if folder.is_dir() {
            return Ok(());
        }
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|f| !f.as_os_str().is_empty() && !f.exists())
            .collect();
        for folder in missing.into_iter().rev() {
            std::fs::create_dir(folder).map_err(|e| Error::file("create", folder, e))?;
            self.folders.push(folder.to_owned());
        }
        Ok(())
    }

    /// Makes all files durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let fail = |path: &Path, e: std::io::Error| Error::file("flush", path, e);
        let mut folders: Vec<&Path> = self.files.iter().map(|f| folder_of(f)).collect();
        folders.sort_unstable();
        folders.dedup();
        if self.files.len() < MANY {
            for path in &self.files {
                std::fs::File::open(path)
                    .and_then(|f| f.sync_all())
                    .map_err(|e| fail(path, e))?;
            }
            for folder in folders {
                disksmith_storage::sync_directory(&folder.join("."))?;
            }
        } else {
            let mut done = Vec::new();
            for folder in folders {
                use std::os::unix::fs::MetadataExt;
                let open = std::fs::File::open(folder).map_err(|e| fail(folder, e))?;
                let device = open.metadata().map_err(|e| fail(folder, e))?.dev();
                if !done.contains(&device) {
                    rustix::fs::syncfs(&open).map_err(|e| fail(folder, e.into()))?;
                    done.push(device);
                }
            }
        }
        Ok(())
    }

    /// They stay.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|f| !f.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for file in &self.files {
            if let Err(error) = std::fs::remove_file(file) {
                log::warn!("cannot remove {}: {error}", file.display());
            }
        }
        for folder in self.folders.iter().rev() {
            // Somebody may have put something there meanwhile; then it stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}
