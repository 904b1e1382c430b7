//! A guest: its operating system and its files.

use super::distribution::Distribution;
use super::init::Init;
use super::joining::Joining;
use super::role::{Role, System};
use super::root_choice::RootChoice;
use super::volume::{Volume, VolumeContent};
use super::{architecture, foreign, own_hostname, rules};
use crate::error::{Error, Result};
use crate::files::text;
use disksmith_storage::{ErrorKind, StorageRef};
use disksmith_vfs::{Timestamp, Tree};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};

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

/// The root of an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundRoot {
    /// Canonical name of its volume.
    pub device: String,
    /// Which kind of system it is.
    pub system: System,
    /// What it calls itself.
    pub name: String,
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
    system: System,
    distribution: Distribution,
    init: Init,
    mounts: Vec<Mounted>,
    warnings: Vec<String>,
    volumes: Vec<Volume>,
    renamings: Mutex<Vec<Renaming>>,
}

/// Another identifier for a filesystem, which it gets when all files are written.
#[derive(Debug, Clone)]
pub(crate) struct Renaming {
    /// The canonical name of its volume.
    pub(crate) device: String,
    /// Its bytes.
    pub(crate) slice: StorageRef,
    /// As [`disksmith_fs::set_identifier`] takes it.
    pub(crate) uuid: [u8; 16],
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
                debug_assert!(several.len() > 1);
                let roots = Self::roots(volumes).into_iter();
                return Err(Error::SeveralOperatingSystems {
                    roots: roots.map(|r| format!("{} ({})", r.device, r.name)).collect(),
                });
            }
        };
        let VolumeContent::FileSystem(fs) = &root.content else {
            return Err(no_root(volumes));
        };
        let system = match root.role() {
            Some(Role::Root(system)) => system,
            _ => System::Linux,
        };
        let mut joining = Joining {
            volumes,
            root,
            tree: Tree::new(fs.clone(), clock),
            mounts: vec![mounted(root, b"/", None)],
            warnings: Vec::new(),
        };
        if system == System::Linux {
            joining.follow_fstab();
            joining.find_usr();
        }
        let Joining {
            tree,
            mounts,
            warnings,
            ..
        } = joining;
        let mut guest = Self::assemble(tree, root.device(), system, mounts, warnings);
        guest.volumes = volumes.to_vec();
        Ok(guest)
    }

    /// Every root of an operating system that the volumes hold, in their order.
    pub fn roots(volumes: &[Volume]) -> Vec<FoundRoot> {
        let found = volumes.iter().filter_map(|volume| match volume.role() {
            Some(Role::Root(system)) => Some(FoundRoot {
                device: volume.device(),
                system,
                name: name_of(volume, system),
            }),
            _ => None,
        });
        found.collect()
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
        let system = system_of(&tree);
        let mut guest = Self::assemble(tree, root, system, mounts, Vec::new());
        guest.volumes = volumes.to_vec();
        Ok(guest)
    }

    /// A guest whose files are at hand as a tree.
    pub fn of_tree(tree: Tree) -> Self {
        let system = system_of(&tree);
        Self::assemble(tree, "/dev/sda".into(), system, Vec::new(), Vec::new())
    }

    fn assemble(
        tree: Tree,
        root: String,
        system: System,
        mounts: Vec<Mounted>,
        mut warnings: Vec<String>,
    ) -> Self {
        let distribution = Distribution::of_system(&tree, system);
        warnings.extend(rules::of(&distribution, &tree));
        let init = Init::detect(&tree);
        Self {
            tree,
            root,
            system,
            distribution,
            init,
            mounts,
            warnings,
            volumes: Vec::new(),
            renamings: Mutex::default(),
        }
    }

    /// Everything on its disks.
    pub(crate) fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// Notes that a filesystem gets another identifier.
    pub(crate) fn rename_later(&self, renaming: Renaming) {
        let mut renamings = self.renamings.lock().unwrap_or_else(PoisonError::into_inner);
        renamings.push(renaming);
    }

    /// Writes everything that is only in memory, and gives filesystems the identifiers that were noted. No file can be reached
    /// afterwards in those that got one.
    ///
    /// # Errors
    /// Those of writing, and of filesystems that are damaged.
    pub fn settle(&self) -> Result<()> {
        self.tree.sync()?;
        let noted = std::mem::take(&mut *self.renamings.lock().unwrap_or_else(PoisonError::into_inner));
        let now = self.tree.clock();
        let clock: disksmith_fs::Clock = std::sync::Arc::new(move || now);
        for renaming in noted {
            disksmith_fs::set_identifier(&renaming.slice, renaming.uuid, &clock).map_err(|error| {
                Error::below(error).in_operation(format!("another UUID for {}", renaming.device))
            })?;
        }
        Ok(())
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

    /// Which kind of operating system it is.
    pub fn system(&self) -> System {
        self.system
    }

    /// The processor that its programs are made for, as libguestfs names it; `None` where no program says it.
    pub fn architecture(&self) -> Option<&'static str> {
        match self.system {
            System::FreeDos | System::MsDos => Some("i386"),
            _ => architecture::of_guest(&self.tree),
        }
    }

    /// The host name that it gives itself.
    pub fn hostname(&self) -> Option<String> {
        own_hostname::of_guest(&self.tree)
    }

    /// The program that installs its packages: `apt`, `dnf`; `unknown`.
    pub fn package_management(&self) -> &'static str {
        self.distribution.package_management(&self.tree)
    }

    /// Its short identifier in the database of libosinfo; `unknown` where none follows.
    pub fn osinfo(&self) -> String {
        self.distribution.osinfo(self.system)
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

pub(super) fn mounted(volume: &Volume, path: &[u8], unreachable: Option<String>) -> Mounted {
    Mounted {
        device: volume.device(),
        path: text(path),
        kind: volume.kind().to_owned(),
        unreachable,
    }
}

fn name_of(volume: &Volume, system: System) -> String {
    match &volume.content {
        VolumeContent::FileSystem(fs) => {
            Distribution::of_system(&Tree::new(fs.clone(), Timestamp::default()), system).name
        }
        _ => volume.kind().to_owned(),
    }
}

/// What the filesystem at the root of a tree is the root of. A tree that looks like none is taken for Linux.
fn system_of(tree: &Tree) -> System {
    let (fs, _) = tree.open_node(tree.root());
    match Role::of(fs) {
        Role::Root(system) => system,
        _ => System::Linux,
    }
}

fn unreadable(volume: &Volume) -> Error {
    let (mut reason, class) = match &volume.content {
        VolumeContent::Known { reason, class, .. } => (reason.clone(), *class),
        _ => ("nothing known is on it".into(), ErrorKind::Unsupported),
    };
    if let Some(system) = foreign::system_of(volume) {
        reason.push_str(&format!("; it looks like a volume of {}", system.name()));
    }
    Error::RootUnreadable {
        device: volume.device(),
        kind: volume.kind().to_owned(),
        reason,
        class,
    }
}

/// No root was found: a filesystem that cannot be opened may hold it.
fn no_root(volumes: &[Volume]) -> Error {
    let deployments = volumes.iter().find(|v| v.role() == Some(Role::OsTree));
    if let Some(volume) = deployments {
        return Error::Unsupported {
            what: format!("the OSTree system on {}", volume.device()),
            reason: "its root is one of the deployments below /ostree/deploy/*/deploy, which the boot loader chooses".into(),
            hint: Some(format!(
                "mount it by hand with -m {}, and work on the files of its deployment",
                volume.device()
            )),
        };
    }
    let has_logical = volumes.iter().any(|v| v.logical.is_some());
    let suspects = volumes.iter().enumerate().filter(|(_, v)| match &v.content {
        VolumeContent::Known { kind, .. } => kind != "swap" && !(has_logical && kind == "LVM2_member"),
        VolumeContent::Unknown => foreign::system_of(v).is_some(),
        VolumeContent::FileSystem(_) => false,
    });
    let size = |v: &Volume| v.slice.as_ref().map_or(0, |slice| slice.size());
    match suspects.max_by_key(|(index, v)| (size(v), *index)) {
        Some((_, volume)) => unreadable(volume),
        None => Error::NoOperatingSystem {
            seen: volumes
                .iter()
                .map(|v| format!("{}: {}", v.device(), v.kind()))
                .collect(),
        },
    }
}
