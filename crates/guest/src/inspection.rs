//! What is found on disks, for people and programs: every operating system with its name and version, its filesystems, the packages that are
//! installed, and its icon.

mod base64;
mod icon;
mod xml;

use crate::applications::{Application, list_applications};
use crate::error::Result;
use crate::files::{lines, parse_fstab, parse_os_release, text};
use crate::inspect::{Guest, Init, RootChoice, System, Volume, open_volumes};
use crate::settings::Settings;
use disksmith_fs::OpenOptions;
use disksmith_storage::StorageRef;
use disksmith_vfs::Timestamp;
use serde::{Serialize, Serializer};

/// Largest fstab that is read, in bytes.
const MAX_FSTAB: u64 = 1 << 20;
/// Largest file that is read to tell the release, in bytes.
const MAX_RELEASE: u64 = 1 << 20;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectionOptions {
    /// Whether packages are listed.
    pub applications: bool,
    /// Whether the icon is read.
    pub icon: bool,
}

/// A filesystem of an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectedFileSystem {
    /// The canonical name of what it lies on.
    pub device: String,
    /// Its kind; `unknown` where nothing is known.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its label.
    pub label: Option<String>,
    /// Its identifier.
    pub uuid: Option<String>,
}

/// Where a filesystem of an operating system is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountPoint {
    /// The canonical name of what it lies on.
    pub device: String,
    /// The directory.
    pub path: String,
}

/// What libguestfs 1.48 calls a system, where it knows its distribution by another file than os-release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OtherNames {
    distro: Option<&'static str>,
    product_name: Option<String>,
    osinfo: Option<String>,
}

/// An operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The canonical name of its root device.
    pub root: String,
    /// Its type: `linux`, `freebsd`, `windows`.
    #[serde(rename = "type")]
    pub system: &'static str,
    /// The processor that it is made for.
    pub arch: Option<&'static str>,
    /// Its distribution, as libguestfs spells it: `debian`, `archlinux`.
    pub distro: Option<String>,
    /// The name that it gives itself.
    pub product_name: Option<String>,
    /// Its edition.
    pub product_variant: Option<String>,
    /// First number of its version; 0 where it has none.
    pub major_version: u32,
    /// Second number of its version; 0 where it has none.
    pub minor_version: u32,
    /// The format of its packages: `deb`, `rpm`.
    pub package_format: Option<&'static str>,
    /// The program that installs packages: `apt`, `dnf`.
    pub package_management: Option<&'static str>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Which build it is.
    pub build_id: Option<String>,
    /// Its identifier in the database of libosinfo.
    pub osinfo: Option<String>,
    /// What starts its services.
    pub init: Init,
    /// What its own files say of time zone, language, network and the like.
    pub settings: Settings,
    /// Where its filesystems are mounted, the shortest paths first.
    pub mountpoints: Vec<MountPoint>,
    /// Its filesystems and swap spaces, by device.
    pub filesystems: Vec<InspectedFileSystem>,
    /// The packages that are installed; `None` where they were not asked for, or there is no list of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<Application>>,
    /// Why the list of packages cannot be read, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applications_error: Option<String>,
    /// Its icon, a PNG picture.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_base64")]
    pub icon: Option<Vec<u8>>,
    /// What the XML calls it, where that is something else.
    #[serde(skip)]
    pub(crate) in_xml: OtherNames,
    /// What was odd, or could not be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

fn in_base64<S: Serializer>(icon: &Option<Vec<u8>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let bytes = icon.as_deref().unwrap_or_default();
    serializer.serialize_str(&base64::encode(bytes, usize::MAX))
}

/// Finds every operating system on disks, which are given in the guest's order. What cannot be read of one is a warning in it.
///
/// # Errors
/// A partition table that is damaged.
pub fn inspect_all(
    disks: &[StorageRef],
    clock: Timestamp,
    options: InspectionOptions,
) -> Result<Vec<Inspection>> {
    let open = OpenOptions {
        writable: false,
        clock,
    };
    let volumes = open_volumes(disks, open)?;
    let roots = Guest::roots(&volumes);
    let mut found = Vec::with_capacity(roots.len());
    for root in roots {
        let guest = Guest::inspect_root(&volumes, &RootChoice::Device(root.device), clock)?;
        found.push(inspect(&guest, &volumes, options));
    }
    Ok(found)
}

/// The inspections as the XML document that virt-inspector writes.
pub fn inspections_to_xml(found: &[Inspection]) -> String {
    xml::document(found)
}

fn inspect(guest: &Guest, volumes: &[Volume], options: InspectionOptions) -> Inspection {
    let distribution = guest.distribution();
    let known = |text: &str| (!text.is_empty() && text != "unknown").then(|| text.to_owned());
    let known_word = |word: &'static str| (word != "unknown").then_some(word);
    let distro = known(distribution.guestfs_name());
    let (mut applications, mut applications_error) = (None, None);
    if options.applications && guest.system() == System::Linux {
        match list_applications(guest.tree(), distribution.package_format()) {
            Ok(found) => applications = Some(found),
            Err(error) => applications_error = Some(error.to_string()),
        }
    }
    let (mountpoints, filesystems) = mounted(guest, volumes);
    Inspection {
        root: guest.root().to_owned(),
        system: guest.system().type_name(),
        arch: guest.architecture(),
        product_name: known(&distribution.product_name).filter(|_| distro.is_some()),
        product_variant: distribution.variant.clone(),
        major_version: distribution.major.unwrap_or(0),
        minor_version: distribution.minor.unwrap_or(0),
        package_format: known_word(distribution.package_format()),
        package_management: known_word(guest.package_management()),
        hostname: guest.hostname(),
        build_id: distribution.build_id.clone(),
        osinfo: known(&guest.osinfo()),
        init: guest.init(),
        settings: guest.settings(),
        icon: if options.icon { icon::find(guest) } else { None },
        distro,
        mountpoints,
        filesystems,
        applications,
        applications_error,
        in_xml: other_names(guest),
        warnings: guest.warnings().to_vec(),
    }
}

/// AlmaLinux is to libguestfs something like Red Hat's; Oracle's and Mint's names come from their own files.
fn other_names(guest: &Guest) -> OtherNames {
    let first_line = |path: &str| {
        let contents = guest.tree().read_limited(path, MAX_RELEASE).ok()?;
        lines(&contents).next().map(|line| text(line.trim_ascii()))
    };
    let distribution = guest.distribution();
    let (major, minor) = (distribution.major.unwrap_or(0), distribution.minor.unwrap_or(0));
    match distribution.guestfs_name() {
        "almalinux" => OtherNames {
            distro: Some("redhat-based"),
            product_name: first_line("/etc/redhat-release"),
            osinfo: Some(format!("redhat-based{major}.{minor}")),
        },
        "oraclelinux" => OtherNames {
            product_name: first_line("/etc/oracle-release"),
            ..OtherNames::default()
        },
        "linuxmint" => OtherNames {
            product_name: guest
                .tree()
                .read_limited("/etc/lsb-release", MAX_RELEASE)
                .ok()
                .and_then(|contents| parse_os_release(&contents).remove("DISTRIB_DESCRIPTION")),
            ..OtherNames::default()
        },
        _ => OtherNames::default(),
    }
}

/// Where its fstab mounts which of the volumes, and all filesystems that it names; the root alone where there is no fstab.
fn mounted(guest: &Guest, volumes: &[Volume]) -> (Vec<MountPoint>, Vec<InspectedFileSystem>) {
    let mut mountpoints = Vec::new();
    let mut devices: Vec<&Volume> = Vec::new();
    let root = volumes.iter().find(|v| v.device() == guest.root());
    let fstab = guest
        .tree()
        .read_limited("/etc/fstab", MAX_FSTAB)
        .unwrap_or_default();
    let (entries, _) = parse_fstab(&fstab);
    for entry in &entries {
        let is_root = entry.mountpoint == b"/";
        // What fstab says of the root may be a name that means nothing here.
        let meant = volumes.iter().find(|v| v.is_meant_by(&entry.spec));
        let Some(volume) = (if is_root { root.or(meant) } else { meant }) else {
            continue;
        };
        if !devices.iter().any(|d| d.device() == volume.device()) {
            devices.push(volume);
        }
        if entry.mountpoint.starts_with(b"/") {
            mountpoints.push(MountPoint {
                device: volume.device(),
                path: text(&entry.mountpoint),
            });
        }
    }
    if mountpoints.iter().all(|m| m.path != "/") {
        mountpoints.insert(
            0,
            MountPoint {
                device: guest.root().to_owned(),
                path: "/".into(),
            },
        );
        devices.extend(root.filter(|root| devices.iter().all(|d| d.device() != root.device())));
    }
    mountpoints.sort_by_key(|m| m.path.len());
    devices.sort_by_key(|volume| volume.device());
    let filesystems = devices.into_iter().map(|volume| InspectedFileSystem {
        device: volume.device(),
        kind: volume.kind().to_owned(),
        label: volume.label().filter(|label| !label.is_empty()),
        uuid: volume.uuid(),
    });
    (mountpoints, filesystems.collect())
}
