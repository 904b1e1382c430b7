//! A guest: its operating system and its files.

use super::distribution::Distribution;
use super::fstab_mounts::wanted_mounts;
use super::init::Init;
use super::root_choice::RootChoice;
use super::unreachable::Unreachable;
use super::volume::{Volume, VolumeContent};
use crate::error::{Error, Result};
use crate::files::text;
use disksmith_storage::ErrorKind;
use disksmith_vfs::{Timestamp, Tree};
use serde::Serialize;
use std::sync::Arc;

/// A filesystem of a guest and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mounted {
    /// Canonical name of the volume: `/dev/sda1`.
    pub device: String,
    /// Where it is mounted.
    pub path: String,
    /// The filesystem's kind.
    pub kind: String,
    /// Why its files cannot be reached, where they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// A mount that the user asks for: `-m DEVICE[:PATH[:OPTIONS[:FSTYPE]]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// A device name, in any of the kinds that Linux has, or a tag like `UUID=…`.
    pub device: String,
    /// Where to mount it: `/` unless told otherwise.
    pub path: Vec<u8>,
    /// Options; `ro` is honoured by whoever opens the volumes.
    pub options: Vec<String>,
}

impl MountSpec {
    /// Parses the argument of `-m`.
    ///
    /// # Errors
    /// [`Error::Usage`] where the device is empty or the path is not absolute.
    pub fn parse(text: &str) -> Result<Self> {
        let mut fields = text.splitn(4, ':');
        let device = fields.next().unwrap_or_default().to_owned();
        let path = fields.next().filter(|p| !p.is_empty()).unwrap_or("/");
        let options = fields.next().unwrap_or_default();
        if device.is_empty() {
            return Err(Error::usage("-m", "the device is missing in DEVICE[:PATH]"));
        }
        if !path.starts_with('/') {
            return Err(Error::usage("-m", format!("{path:?} is not an absolute path")));
        }
        Ok(Self {
            device,
            path: path.as_bytes().to_vec(),
            options: options
                .split(',')
                .filter(|o| !o.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// The operating system on a set of disks, and its files as one tree.
#[derive(Debug)]
pub struct Guest {
    tree: Tree,
    root: String,
    distribution: Distribution,
    init: Init,
    mounts: Vec<Mounted>,
    warnings: Vec<String>,
}

impl Guest {
    /// Finds the one operating system and mounts its filesystems as its fstab says. `clock` is the time that everything
    /// changed in it gets.
    ///
    /// # Errors
    /// [`Error::NoOperatingSystem`], [`Error::SeveralOperatingSystems`], and [`Error::RootUnreadable`] where what may be the root
    /// filesystem is of a kind that cannot be opened.
    pub fn inspect(volumes: &[Volume], clock: Timestamp) -> Result<Self> {
        Self::inspect_root(volumes, &RootChoice::Single, clock)
    }

    /// The same, with a choice for disks that hold several operating systems.
    ///
    /// # Errors
    /// Those of [`Self::inspect`]; [`Error::NoSuchDevice`] where the root chosen is none of those found.
    pub fn inspect_root(volumes: &[Volume], choice: &RootChoice, clock: Timestamp) -> Result<Self> {
        let roots: Vec<&Volume> = volumes.iter().filter(|v| v.is_root()).collect();
        let root = match roots.as_slice() {
            _ if matches!(choice, RootChoice::Device(_)) => choice.of(&roots)?,
            [first, ..] if *choice == RootChoice::First => *first,
            [root] => *root,
            // An image of files, not of a system: there is nothing else that could be meant.
            [] => match volumes {
                [only] if matches!(only.kind(), "iso9660" | "vfat") => only,
                _ => return Err(no_root(volumes)),
            },
            several => {
                let roots = several.iter().map(|v| format!("{} ({})", v.device(), name_of(v)));
                return Err(Error::SeveralOperatingSystems {
                    roots: roots.collect(),
                });
            }
        };
        let VolumeContent::FileSystem(fs) = &root.content else {
            return Err(no_root(volumes));
        };
        let mut tree = Tree::new(fs.clone(), clock);
        let mut warnings = Vec::new();
        let mut mounts = vec![mounted(root, b"/", None)];
        for entry in wanted_mounts(&tree, &mut warnings) {
            let path = text(&entry.mountpoint);
            let volume = volumes.iter().find(|v| v.is_meant_by(&entry.spec));
            if entry.mountpoint == b"/" {
                // /dev/root and names of LVM volumes say nothing here.
                if volume.is_some_and(|v| v.device() != root.device()) {
                    warnings.push(format!(
                        "/etc/fstab names {} as root filesystem, but it was found on {}",
                        entry.spec,
                        root.device()
                    ));
                }
                continue;
            }
            let Some(volume) = volume else {
                let warning = format!(
                    "/etc/fstab line {}: {} for {path} is not on the disks given",
                    entry.line, entry.spec
                );
                block(
                    &mut tree,
                    &entry.mountpoint,
                    &entry.spec,
                    "it is not on the disks given",
                    &mut warnings,
                );
                warnings.push(format!("{warning}; what is below {path} cannot be reached"));
                mounts.push(Mounted {
                    device: entry.spec,
                    path,
                    kind: entry.fs_type,
                    unreachable: Some("not on the disks given".into()),
                });
                continue;
            };
            let opened = match &volume.content {
                VolumeContent::FileSystem(fs) => Ok(fs.clone()),
                VolumeContent::Known { reason, .. } => Err(reason.clone()),
                VolumeContent::Unknown => Err("nothing known is on it".to_owned()),
            };
            match opened {
                Ok(fs) => match tree.mount(&entry.mountpoint, fs) {
                    Ok(_) => mounts.push(mounted(volume, &entry.mountpoint, None)),
                    Err(error) => warnings.push(format!(
                        "{} cannot be mounted at {path}: {error}",
                        volume.device()
                    )),
                },
                Err(reason) => {
                    let what = format!("{} on {}", volume.kind(), volume.device());
                    block(&mut tree, &entry.mountpoint, &what, &reason, &mut warnings);
                    warnings.push(format!(
                        "{what} cannot be opened ({reason}); what is below {path} cannot be reached"
                    ));
                    mounts.push(mounted(volume, &entry.mountpoint, Some(reason)));
                }
            }
        }
        Ok(Self::assemble(tree, root.device(), mounts, warnings))
    }

    /// Mounts what the user says, in the order given; the first must be `/`.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], [`Error::RootUnreadable`] for a volume that cannot be opened, and errors of mounting.
    pub fn mount_by_hand(volumes: &[Volume], specs: &[MountSpec], clock: Timestamp) -> Result<Self> {
        let mut specs = specs.to_vec();
        specs.sort_by_key(|s| s.path.iter().filter(|b| **b == b'/').count() + s.path.len());
        let mut tree: Option<Tree> = None;
        let mut mounts = Vec::new();
        for spec in &specs {
            let volume = volumes
                .iter()
                .find(|v| v.is_meant_by(&spec.device))
                .ok_or_else(|| Error::NoSuchDevice {
                    device: spec.device.clone(),
                    known: volumes
                        .iter()
                        .map(|v| format!("{} ({})", v.device(), v.kind()))
                        .collect(),
                })?;
            let fs = match &volume.content {
                VolumeContent::FileSystem(fs) => fs.clone(),
                _ => return Err(unreadable(volume)),
            };
            match &mut tree {
                None if spec.path == b"/" => tree = Some(Tree::new(fs, clock)),
                None => return Err(Error::usage("-m", "one of the mounts must be at /")),
                Some(_) if spec.path == b"/" => return Err(Error::usage("-m", "two mounts at /")),
                Some(tree) => {
                    tree.mount(&spec.path, fs)?;
                }
            }
            mounts.push(mounted(volume, &spec.path, None));
        }
        let tree = tree.ok_or_else(|| Error::usage("-m", "no mount was given"))?;
        let root = mounts.first().map(|m| m.device.clone()).unwrap_or_default();
        Ok(Self::assemble(tree, root, mounts, Vec::new()))
    }

    /// A guest whose files are at hand as a tree.
    pub fn of_tree(tree: Tree) -> Self {
        Self::assemble(tree, "/dev/sda".into(), Vec::new(), Vec::new())
    }

    fn assemble(tree: Tree, root: String, mounts: Vec<Mounted>, warnings: Vec<String>) -> Self {
        let distribution = Distribution::detect(&tree);
        let init = Init::detect(&tree);
        Self {
            tree,
            root,
            distribution,
            init,
            mounts,
            warnings,
        }
    }

    /// All its files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Gives the tree back.
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// The canonical name of its root device.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Which distribution it is.
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// What starts its services.
    pub fn init(&self) -> Init {
        self.init
    }

    /// Its filesystems and where they are mounted.
    pub fn mounts(&self) -> &[Mounted] {
        &self.mounts
    }

    /// What was odd, or could not be reached.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn mounted(volume: &Volume, path: &[u8], unreachable: Option<String>) -> Mounted {
    Mounted {
        device: volume.device(),
        path: text(path),
        kind: volume.kind().to_owned(),
        unreachable,
    }
}

/// Puts a filesystem that refuses everything at a mountpoint.
fn block(tree: &mut Tree, path: &[u8], what: &str, reason: &str, warnings: &mut Vec<String>) {
    let barrier = Arc::new(Unreachable::new(what.to_owned(), reason.to_owned()));
    if let Err(error) = tree.mount(path, barrier) {
        warnings.push(format!(
            "the guest has no directory {} to mount on: {error}",
            text(path)
        ));
    }
}

fn name_of(volume: &Volume) -> String {
    match &volume.content {
        VolumeContent::FileSystem(fs) => {
            Distribution::detect(&Tree::new(fs.clone(), Timestamp::default())).name
        }
        _ => volume.kind().to_owned(),
    }
}

fn unreadable(volume: &Volume) -> Error {
    let (reason, class) = match &volume.content {
        VolumeContent::Known { reason, class, .. } => (reason.clone(), *class),
        _ => ("nothing known is on it".into(), ErrorKind::Unsupported),
    };
    Error::RootUnreadable {
        device: volume.device(),
        kind: volume.kind().to_owned(),
        reason,
        class,
    }
}

/// No root was found: a filesystem that cannot be opened may hold it.
fn no_root(volumes: &[Volume]) -> Error {
    let mut suspect = volumes
        .iter()
        .filter(|v| matches!(&v.content, VolumeContent::Known { kind, .. } if kind != "swap"));
    // The largest is not known here; the last one is the root in the layouts that are common.
    match suspect.next_back() {
        Some(volume) => unreadable(volume),
        None => Error::NoOperatingSystem {
            seen: volumes
                .iter()
                .map(|v| format!("{}: {}", v.device(), v.kind()))
                .collect(),
        },
    }
}
