//! Finds the volume groups on a set of physical volumes.

use super::group::{Description, Logical, Physical, SegmentKind};
use super::label::Label;
use super::mapped::{Mapped, Piece, stripe};
use super::metadata_area::read_text;
use crate::error::{Error, Result};
use disksmith_storage::StorageRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many extents' worth of pieces a volume may be made of.
const MAX_PIECES: usize = 1_000_000;

/// A physical volume: a disk or partition that LVM2 divides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Which of the storages that were looked at it is.
    pub index: usize,
    /// Its identifier, in the groups in which LVM2 prints it.
    pub uuid: String,
    /// Its size in bytes: its extents where it is in a group, else that of the device.
    pub size: u64,
    /// Name of the volume group that it is in.
    pub group: Option<String>,
}

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Its identifier, in the groups in which LVM2 prints it.
    pub uuid: String,
    /// The size of its extents in bytes.
    pub extent_size: u64,
    /// How many extents it has.
    pub extents: u64,
    /// Which of the storages that were looked at are its physical volumes.
    pub members: Vec<usize>,
    /// How many of its physical volumes are not among them.
    pub missing: usize,
}

/// A logical volume.
#[derive(Debug, Clone)]
pub struct LogicalVolume {
    /// Name of its volume group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its identifier, in the groups in which LVM2 prints it.
    pub uuid: String,
    /// The identifiers of group and volume without hyphens, as device-mapper joins them.
    pub mapper_uuid: String,
    /// Which of the storages its first extent lies on.
    pub index: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes; or why they cannot be reached.
    pub storage: std::result::Result<StorageRef, String>,
}

/// What LVM2 has on a set of storages.
#[derive(Debug, Clone, Default)]
pub struct Lvm {
    /// Physical volumes, in the order of the storages.
    pub physical: Vec<PhysicalVolume>,
    /// Volume groups by name.
    pub groups: Vec<VolumeGroup>,
    /// Logical volumes by group and name, without those that only hold parts of others.
    pub logical: Vec<LogicalVolume>,
    /// What was odd: a description that is damaged, a volume that is there twice.
    pub notices: Vec<String>,
}

impl Lvm {
    /// Reads the labels and descriptions. Nothing that is wrong with one volume keeps the others from being found: it becomes a notice.
    pub fn find(storages: &[StorageRef]) -> Self {
        let mut found = Self::default();
        let mut labels: BTreeMap<String, usize> = BTreeMap::new();
        let mut groups: BTreeMap<String, Description> = BTreeMap::new();
        let mut twice: Vec<String> = Vec::new();
        for (index, storage) in storages.iter().enumerate() {
            let label = match Label::read(&**storage) {
                Ok(Some(label)) => label,
                Ok(None) => continue,
                Err(error) => {
                    found.notices.push(error.to_string());
                    continue;
                }
            };
            if let Some(first) = labels.get(&label.id) {
                found.notices.push(format!(
                    "{} and {} are the same physical volume ({}): one is a copy",
                    storages.get(*first).map(|s| s.name()).unwrap_or_default(),
                    storage.name(),
                    grouped(&label.id)
                ));
                twice.push(label.id.clone());
                continue;
            }
            for description in descriptions(storage, &label, &mut found.notices) {
                let newer = groups
                    .get(&description.id)
                    .is_none_or(|known| known.sequence < description.sequence);
                if newer {
                    groups.insert(description.id.clone(), description);
                }
            }
            found.physical.push(PhysicalVolume {
                index,
                uuid: grouped(&label.id),
                size: match label.device_size {
                    0 => storage.size(),
                    size => size,
                },
                group: None,
            });
            labels.insert(label.id, index);
        }
        for description in groups.into_values() {
            found.add_group(&description, storages, &labels, &twice);
        }
        found.groups.sort_by(|a, b| a.name.cmp(&b.name));
        found
            .logical
            .sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        found
    }

    fn add_group(
        &mut self,
        group: &Description,
        storages: &[StorageRef],
        labels: &BTreeMap<String, usize>,
        twice: &[String],
    ) {
        let mut members = BTreeMap::new();
        for physical in &group.physical {
            let index = labels.get(&physical.id).copied();
            if let Some(index) = index {
                members.insert(physical.name.as_str(), (index, physical));
                for volume in self.physical.iter_mut().filter(|v| v.index == index) {
                    volume.group = Some(group.name.clone());
                    volume.size = physical.extents.saturating_mul(group.extent_size);
                }
            }
        }
        let mut context = Context {
            group,
            storages,
            members: &members,
            twice,
            stores: BTreeMap::new(),
            origins: BTreeSet::new(),
        };
        for segment in group.logical.iter().flat_map(|logical| &logical.segments) {
            if let SegmentKind::Snapshot { origin, store } = &segment.kind {
                context.stores.insert(store, origin);
                context.origins.insert(origin);
            }
        }
        let missing = group.physical.len().saturating_sub(members.len());
        if missing > 0 {
            self.notices.push(format!(
                "volume group {} lacks {missing} of its {} physical volumes",
                group.name,
                group.physical.len()
            ));
        }
        let mut indexes: Vec<usize> = members.values().map(|(index, _)| *index).collect();
        indexes.sort_unstable();
        self.groups.push(VolumeGroup {
            name: group.name.clone(),
            uuid: grouped(&group.id),
            extent_size: group.extent_size,
            extents: group
                .physical
                .iter()
                .fold(0, |sum, p| sum.saturating_add(p.extents)),
            members: indexes,
            missing,
        });
        for logical in group.logical.iter().filter(|l| l.visible) {
            let extents = logical
                .segments
                .iter()
                .fold(0u64, |sum, s| sum.saturating_add(s.extents));
            self.logical.push(LogicalVolume {
                group: group.name.clone(),
                name: logical.name.clone(),
                uuid: grouped(&logical.id),
                mapper_uuid: format!("{}{}", group.id, logical.id),
                index: context.first_index(logical),
                size: extents.saturating_mul(group.extent_size),
                storage: context.map(logical),
            });
        }
    }
}

/// What a logical volume is put together from.
struct Context<'a> {
    group: &'a Description,
    storages: &'a [StorageRef],
    members: &'a BTreeMap<&'a str, (usize, &'a Physical)>,
    twice: &'a [String],
    /// Volumes that hold the changes of snapshots, each with what it is a snapshot of.
    stores: BTreeMap<&'a str, &'a str>,
    /// Volumes that have snapshots.
    origins: BTreeSet<&'a str>,
}

impl Context<'_> {
    fn first_index(&self, logical: &Logical) -> usize {
        let first = logical.segments.first().and_then(|segment| match &segment.kind {
            SegmentKind::Striped { stripes, .. } => stripes.first(),
            _ => None,
        });
        let member = first.and_then(|(name, _)| self.members.get(name.as_str()));
        let any = || self.members.values().next();
        member.or_else(any).map_or(0, |(index, _)| *index)
    }

    /// The volume's bytes; the error says why they cannot be reached.
    fn map(&self, logical: &Logical) -> std::result::Result<StorageRef, String> {
        if self.group.exported {
            return Err("its volume group is exported (vgexport)".into());
        }
        if let Some(origin) = self.stores.get(logical.name.as_str()) {
            return Err(format!(
                "it is a snapshot of {origin}, which is not put together yet"
            ));
        }
        let name = format!("/dev/{}/{}", self.group.name, logical.name);
        let mut pieces = Vec::new();
        let mut next = 0u64;
        for segment in &logical.segments {
            let SegmentKind::Striped { stripe_size, stripes } = &segment.kind else {
                return Err(match &segment.kind {
                    SegmentKind::Other(kind) => format!("volumes of the type {kind} are not supported yet"),
                    _ => "snapshots are not supported yet".into(),
                });
            };
            if segment.start != next || segment.extents == 0 {
                return Err("its segments do not follow each other".into());
            }
            next = next
                .checked_add(segment.extents)
                .ok_or("its size is out of range")?;
            if pieces.len() >= MAX_PIECES {
                return Err("it is made of too many pieces".into());
            }
            pieces.push(self.piece(segment.start, segment.extents, *stripe_size, stripes, &name)?);
        }
        let size = next
            .checked_mul(self.group.extent_size)
            .ok_or("its size is out of range")?;
        if pieces.is_empty() {
            return Err("it has no extents".into());
        }
        // What is written to an origin would have to be kept for its snapshots first.
        let writable = logical.writable && !self.origins.contains(logical.name.as_str());
        Ok(Arc::new(Mapped::new(name, size, writable, pieces)))
    }

    fn piece(
        &self,
        start: u64,
        extents: u64,
        stripe_size: u64,
        stripes: &[(String, u64)],
        name: &str,
    ) -> std::result::Result<Piece, String> {
        let count = stripes.len() as u64;
        let each = extents
            .checked_div(count)
            .filter(|each| *each * count == extents)
            .ok_or("its stripes are not of one length")?;
        let bytes = |extents: u64| {
            extents
                .checked_mul(self.group.extent_size)
                .ok_or_else(|| "its size is out of range".to_owned())
        };
        let each_bytes = bytes(each)?;
        if count > 1 && (!stripe_size.is_power_of_two() || each_bytes % stripe_size != 0) {
            return Err(format!("stripes of {stripe_size} bytes do not fit its extents"));
        }
        let mut windows = Vec::with_capacity(stripes.len());
        for (member, first) in stripes {
            let Some((index, physical)) = self.members.get(member.as_str()) else {
                return Err("a part of it lies on a physical volume that is not on the disks given".into());
            };
            if self.twice.contains(&physical.id) {
                return Err("a physical volume of it is there twice: give one of the disks only".into());
            }
            let end = first.checked_add(each).filter(|end| *end <= physical.extents);
            let offset = bytes(*first)?.checked_add(physical.first_extent);
            let (Some(_), Some(offset), Some(storage)) = (end, offset, self.storages.get(*index)) else {
                return Err(format!("it reaches beyond the end of {member}"));
            };
            windows.push(
                stripe(storage, offset, each_bytes, name)
                    .map_err(|_| format!("it reaches beyond the end of {}", storage.name()))?,
            );
        }
        Ok(Piece {
            start: bytes(start)?,
            len: bytes(extents)?,
            stripe_size,
            stripes: windows,
        })
    }
}

/// The descriptions in a physical volume's metadata areas; one that is damaged becomes a notice.
fn descriptions(storage: &StorageRef, label: &Label, notices: &mut Vec<String>) -> Vec<Description> {
    let mut found = Vec::new();
    for area in &label.metadata {
        let parsed: Result<Option<Description>> = read_text(&**storage, *area).and_then(|text| {
            text.map(|text| Description::parse(&text))
                .transpose()
                .map_err(|reason| Error::CorruptLvm {
                    object: storage.name(),
                    structure: "description of a volume group",
                    field: "text",
                    offset: area.offset,
                    value: reason,
                })
        });
        match parsed {
            Ok(Some(description)) => found.push(description),
            Ok(None) => {}
            Err(error) => notices.push(error.to_string()),
        }
    }
    found
}

/// As LVM2 prints identifiers: 6, 4, 4, 4, 4, 4 and 6 characters.
fn grouped(id: &str) -> String {
    let mut out = String::with_capacity(id.len() + 6);
    for (at, c) in id.chars().enumerate() {
        if (6..=26).contains(&at) && (at - 6) % 4 == 0 {
            out.push('-');
        }
        out.push(c);
    }
    out
}
