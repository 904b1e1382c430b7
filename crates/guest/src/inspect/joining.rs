//! Joins a guest's filesystems to one tree, as its fstab says.

use super::fstab_mounts::wanted_mounts;
use super::fstab_spec::Spec;
use super::guest::{Mounted, mounted};
use super::role::Role;
use super::unreachable::Unreachable;
use super::volume::{Volume, VolumeContent};
use crate::files::{FstabEntry, parse_crypttab, text};
use disksmith_vfs::Tree;
use std::sync::Arc;

/// A tree that grows.
pub(super) struct Joining<'v> {
    pub(super) volumes: &'v [Volume],
    pub(super) root: &'v Volume,
    pub(super) tree: Tree,
    pub(super) mounts: Vec<Mounted>,
    pub(super) warnings: Vec<String>,
}

impl Joining<'_> {
    /// Mounts what fstab names, shorter paths first. What cannot be mounted gets a barrier in its place, and is warned of.
    pub(super) fn follow_fstab(&mut self) {
        let entries = wanted_mounts(&self.tree, &mut self.warnings);
        for entry in entries {
            let volume = Spec::parse(&entry.spec).find(self.volumes);
            match volume {
                _ if entry.mountpoint == b"/" => self.compare_root(&entry, volume),
                Some(volume) => self.mount(volume, &entry.mountpoint),
                // Nothing is mounted there at boot.
                None if entry.options.iter().any(|o| o == "noauto") => {}
                None => self.miss(entry),
            }
        }
    }

    /// `/dev/root` and the names of what lies below LVM say nothing here.
    fn compare_root(&mut self, entry: &FstabEntry, volume: Option<&Volume>) {
        if volume.is_some_and(|v| v.device() != self.root.device()) {
            self.warnings.push(format!(
                "/etc/fstab names {} as root filesystem, but it was found on {}",
                entry.spec,
                self.root.device()
            ));
        }
    }

    fn mount(&mut self, volume: &Volume, mountpoint: &[u8]) {
        let path = text(mountpoint);
        let opened = match &volume.content {
            VolumeContent::FileSystem(fs) => Ok(fs.clone()),
            VolumeContent::Known { reason, .. } => Err(reason.clone()),
            VolumeContent::Unknown => Err("nothing known is on it".to_owned()),
        };
        match opened {
            Ok(fs) => match self.tree.mount(mountpoint, fs) {
                Ok(_) => self.mounts.push(mounted(volume, mountpoint, None)),
                Err(error) => self.warnings.push(format!(
                    "{} cannot be mounted at {path}: {error}",
                    volume.device()
                )),
            },
            Err(reason) => {
                let what = format!("{} on {}", volume.kind(), volume.device());
                self.block(mountpoint, &what, &reason);
                self.warnings.push(format!(
                    "{what} cannot be opened ({reason}); what is below {path} cannot be reached"
                ));
                self.mounts.push(mounted(volume, mountpoint, Some(reason)));
            }
        }
    }

    fn miss(&mut self, entry: FstabEntry) {
        let path = text(&entry.mountpoint);
        let reason = self.why_missing(&entry.spec);
        self.block(&entry.mountpoint, &entry.spec, &format!("it is {reason}"));
        self.warnings.push(format!(
            "/etc/fstab line {}: {} for {path} is {reason}; what is below {path} cannot be reached",
            entry.line, entry.spec
        ));
        self.mounts.push(Mounted {
            device: entry.spec,
            path,
            kind: entry.fs_type,
            unreachable: Some(reason),
        });
    }

    /// Why a name of fstab leads to no volume.
    fn why_missing(&self, spec: &str) -> String {
        let name = spec.strip_prefix("/dev/mapper/");
        let crypttab = self
            .tree
            .read_limited("/etc/crypttab", 1 << 20)
            .unwrap_or_default();
        let encrypted = parse_crypttab(&crypttab)
            .into_iter()
            .find(|(own, _)| Some(own.as_str()) == name);
        if let Some((_, device)) = encrypted {
            return format!("an encrypted volume (on {device}, says /etc/crypttab), which is not opened");
        }
        let disks = self
            .volumes
            .iter()
            .map(|v| v.disk)
            .max()
            .map_or(0, |last| last + 1);
        match Spec::parse(spec) {
            Spec::Logical(..) | Spec::LogicalUuid(_) => "no logical volume on the disks given".into(),
            Spec::Hardware(_) if disks > 1 => {
                format!("named by its hardware, which does not tell which of the {disks} disks it is on")
            }
            _ if spec.starts_with("/dev/md") => "a software RAID, which is not assembled".into(),
            _ => "not on the disks given".into(),
        }
    }

    /// Puts a filesystem that refuses everything at a mountpoint.
    fn block(&mut self, path: &[u8], what: &str, reason: &str) {
        let barrier = Arc::new(Unreachable::new(what.to_owned(), reason.to_owned()));
        if let Err(error) = self.tree.mount(path, barrier) {
            self.warnings.push(format!(
                "the guest has no directory {} to mount on: {error}",
                text(path)
            ));
        }
    }

    /// A system whose `/usr` is on a volume that fstab does not name (Flatcar has two, of which one is used).
    pub(super) fn find_usr(&mut self) {
        let has_usr = ["/usr/bin", "/usr/lib", "/usr/sbin"]
            .iter()
            .any(|path| self.tree.is_dir(path));
        if has_usr || !self.tree.is_dir("/usr") {
            return;
        }
        let unused = |v: &&Volume| !self.mounts.iter().any(|m| m.device == v.device());
        let found = self
            .volumes
            .iter()
            .filter(unused)
            .filter_map(|volume| match &volume.content {
                VolumeContent::FileSystem(fs) if volume.role() == Some(Role::Usr) => Some((volume, fs)),
                _ => None,
            });
        // Of two that take turns the newer one counts, and the first of equals.
        let mut best: Option<(Vec<u64>, &Volume)> = None;
        for (volume, fs) in found {
            let version = usr_version(&Tree::new(fs.clone(), self.tree.clock()));
            if best.as_ref().is_none_or(|(known, _)| version > *known) {
                best = Some((version, volume));
            }
        }
        if let Some((_, volume)) = best {
            self.mount(volume, b"/usr");
        }
    }
}

/// The numbers of the version in the os-release of a `/usr`.
fn usr_version(usr: &Tree) -> Vec<u64> {
    let contents = usr.read_limited("/lib/os-release", 1 << 20).unwrap_or_default();
    let values = crate::files::parse_os_release(&contents);
    let version = values.get("VERSION_ID").map(String::as_str).unwrap_or_default();
    version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}
