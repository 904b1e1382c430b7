//! The folders of a config drive, `openstack/<version>/…`: which ones OpenStack writes, and which one a guest reads.

use crate::config_drive::GuestSystem;
use crate::media::SeedFile;

/// The folder that stands for the newest version.
pub(crate) const LATEST: &str = "latest";

/// What a version of the metadata holds besides meta_data.json and user_data.
struct Version {
    name: &'static str,
    vendor_data: bool,
    network_data: bool,
    vendor_data2: bool,
    /// Whether cloud-init looks for it (`OS_VERSIONS` of its `sources/helpers/openstack.py`).
    known: bool,
}

const fn version(name: &'static str, files: usize, known: bool) -> Version {
    Version {
        name,
        vendor_data: files > 0,
        network_data: files > 1,
        vendor_data2: files > 2,
        known,
    }
}

/// The versions in their order, as OpenStack's documentation ("Metadata service", "Versions") has them.
const VERSIONS: [Version; 9] = [
    version("2012-08-10", 0, true),
    version("2013-04-04", 0, true),
    version("2013-10-17", 1, true),
    version("2015-10-15", 2, true),
    version("2016-06-30", 2, true),
    version("2016-10-06", 3, true),
    version("2017-02-22", 3, true),
    version("2018-08-27", 3, true),
    version("2020-10-14", 3, false),
];

/// The files of all dated folders, each with those of `openstack/latest` that its version has.
pub(crate) fn dated(files: &[SeedFile]) -> Vec<SeedFile> {
    let latest = files.iter().filter_map(|(path, bytes)| {
        let name = path.strip_prefix("openstack/latest/")?;
        Some((name, bytes))
    });
    let latest: Vec<(&str, &Vec<u8>)> = latest.collect();
    let mut out = Vec::new();
    for version in &VERSIONS {
        for (name, bytes) in &latest {
            let has = match *name {
                "vendor_data.json" => version.vendor_data,
                "network_data.json" => version.network_data,
                "vendor_data2.json" => version.vendor_data2,
                _ => true,
            };
            if has {
                out.push((format!("openstack/{}/{name}", version.name), (*bytes).clone()));
            }
        }
    }
    out
}

/// The folder that the guest reads: cloud-init takes the newest one that it knows before `latest`, cloudbase-init knows no other than
/// `latest`.
pub(crate) fn folder_read(files: &[SeedFile], guest: GuestSystem) -> &'static str {
    let there = |version: &&Version| {
        let folder = format!("openstack/{}/", version.name);
        version.known && files.iter().any(|(path, _)| path.starts_with(&folder))
    };
    match guest {
        GuestSystem::CloudInit => VERSIONS.iter().rev().find(there).map_or(LATEST, |v| v.name),
        GuestSystem::CloudbaseInit => LATEST,
    }
}
