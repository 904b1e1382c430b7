//! Quotas in hidden inodes (`quota`, `project`): what each user, group and project uses is counted with every change.
//!
//! An inode is charged to its ids when it is first stored, and again by the difference whenever it is stored; the sums of an
//! operation are put into the quota files at its end, as part of it. Limits are not enforced, as they are not for root.

pub(crate) mod record;
mod tree;

use crate::core::Core;
use crate::error::Result;
use crate::features::RoCompat;
use crate::inode::InodeFlags;
use crate::inode_table::{Node, ROOT_INODE};
use std::collections::{BTreeMap, HashMap};

/// Kinds of quotas: users, groups, projects.
pub(crate) const KINDS: usize = 3;

/// What an inode is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    /// User, group, project.
    ids: [u32; KINDS],
    /// Space in bytes.
    space: u64,
}

/// What of quotas is in memory.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// Inodes of the quota files; 0 where a kind is not counted.
    files: [u32; KINDS],
    /// Changes of the operation at work: space and inodes, by kind and id.
    pending: BTreeMap<(usize, u32), (i64, i64)>,
    /// Where entries are: block of the filesystem and offset in it.
    places: HashMap<(usize, u32), (u64, usize)>,
}

/// More places than this are not remembered.
const MAX_PLACES: usize = 1 << 16;

impl Quotas {
    /// Forgets what an operation that is given up has changed.
    pub(crate) fn give_up(&mut self) {
        self.pending.clear();
        self.places.clear();
    }

    fn any(&self) -> bool {
        self.files != [0; KINDS]
    }
}

impl Core {
    /// Looks which quotas are counted.
    pub(crate) fn open_quotas(&mut self) {
        let sb = &self.superblock;
        if self.geometry.has_ro_compat(RoCompat::QUOTA) {
            let project = if self.geometry.has_ro_compat(RoCompat::PROJECT) {
                sb.project_quota_inode
            } else {
                0
            };
            self.quotas.files = [sb.user_quota_inode, sb.group_quota_inode, project];
        }
    }

    /// What an inode in use is charged for; `None` for those of the filesystem's own.
    pub(crate) fn charge_of(&self, node: &Node) -> Option<Charge> {
        let sb = &self.superblock;
        let own = node.ino != ROOT_INODE && node.ino < self.geometry.first_inode;
        if !self.quotas.any()
            || own
            || node.ino == sb.project_quota_inode
            || node.ino == sb.orphan_file_inode
            || node.has(InodeFlags::EA_INODE)
        {
            return None;
        }
        let huge = self.geometry.has_ro_compat(RoCompat::HUGE_FILE);
        Some(Charge {
            ids: [node.rec.uid(), node.rec.gid(), node.rec.project_id],
            space: node
                .rec
                .sectors(huge, self.geometry.block_size)
                .saturating_mul(512),
        })
    }

    fn note_charge(&mut self, charge: &Charge, sign: i64, inodes: i64) {
        let space = i64::try_from(charge.space).unwrap_or(i64::MAX);
        for (kind, id) in charge.ids.into_iter().enumerate() {
            let sums = self.quotas.pending.entry((kind, id)).or_default();
            sums.0 = sums.0.saturating_add(space.saturating_mul(sign));
            sums.1 = sums.1.saturating_add(inodes);
        }
    }

    /// Charges an inode that is about to be stored, by what is new of it.
    pub(crate) fn charge_quotas(&mut self, node: &mut Node) {
        if !self.quotas.any() {
            return;
        }
        let now = self.charge_of(node);
        if now == node.charged {
            return;
        }
        if let Some(before) = node.charged {
            self.note_charge(&before, -1, -1);
        }
        if let Some(now) = now {
            self.note_charge(&now, 1, 1);
        }
        node.charged = now;
    }

    /// Takes back what a freed inode was charged for.
    pub(crate) fn discharge_quotas(&mut self, node: &mut Node) {
        if let Some(before) = node.charged.take() {
            self.note_charge(&before, -1, -1);
        }
    }

    /// Charges an inode for the inodes that hold values of its attributes (their space is in its own).
    pub(crate) fn charge_values(&mut self, node: &Node, count: i64) {
        if let Some(charge) = self.charge_of(node) {
            self.note_charge(&Charge { space: 0, ..charge }, 1, count);
        }
    }

    /// Puts the sums of the operation into the quota files.
    pub(crate) fn settle_quotas(&mut self) -> Result<()> {
        for ((kind, id), (space, inodes)) in std::mem::take(&mut self.quotas.pending) {
            let file = self.quotas.files.get(kind).copied().unwrap_or(0);
            if file != 0 && (space, inodes) != (0, 0) {
                self.change_usage(kind, file, id, space, inodes)?;
            }
        }
        Ok(())
    }
}
