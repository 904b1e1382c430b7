//! `-O`: features switched on and off.

use super::options::FormatKind;
use crate::error::{Error, Result};
use crate::features::{Compat, Features, Incompat, RoCompat};
use std::str::FromStr;

/// A list of features to switch on, or off with a `^` in front; `none` switches off all that were on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureList {
    changes: Vec<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Clear,
    On(Features),
    Off(Features),
}

/// The features that can be asked for, with the names that mke2fs has for them.
const KNOWN: &[(&str, Features)] = &[
    ("has_journal", compat(Compat::HAS_JOURNAL)),
    ("ext_attr", compat(Compat::EXT_ATTR)),
    ("resize_inode", compat(Compat::RESIZE_INODE)),
    ("dir_index", compat(Compat::DIR_INDEX)),
    ("sparse_super2", compat(Compat::SPARSE_SUPER2)),
    ("fast_commit", compat(Compat::FAST_COMMIT)),
    ("stable_inodes", compat(Compat::STABLE_INODES)),
    ("orphan_file", compat(Compat::ORPHAN_FILE)),
    ("filetype", incompat(Incompat::FILETYPE)),
    ("meta_bg", incompat(Incompat::META_BG)),
    ("extent", incompat(Incompat::EXTENTS)),
    ("extents", incompat(Incompat::EXTENTS)),
    ("64bit", incompat(Incompat::BIT64)),
    ("mmp", incompat(Incompat::MMP)),
    ("flex_bg", incompat(Incompat::FLEX_BG)),
    ("ea_inode", incompat(Incompat::EA_INODE)),
    ("metadata_csum_seed", incompat(Incompat::CSUM_SEED)),
    ("large_dir", incompat(Incompat::LARGEDIR)),
    ("inline_data", incompat(Incompat::INLINE_DATA)),
    ("encrypt", incompat(Incompat::ENCRYPT)),
    ("casefold", incompat(Incompat::CASEFOLD)),
    ("sparse_super", ro_compat(RoCompat::SPARSE_SUPER)),
    ("large_file", ro_compat(RoCompat::LARGE_FILE)),
    ("huge_file", ro_compat(RoCompat::HUGE_FILE)),
    ("uninit_bg", ro_compat(RoCompat::GDT_CSUM)),
    ("uninit_groups", ro_compat(RoCompat::GDT_CSUM)),
    ("dir_nlink", ro_compat(RoCompat::DIR_NLINK)),
    ("extra_isize", ro_compat(RoCompat::EXTRA_ISIZE)),
    ("quota", ro_compat(RoCompat::QUOTA)),
    ("bigalloc", ro_compat(RoCompat::BIGALLOC)),
    ("metadata_csum", ro_compat(RoCompat::METADATA_CSUM)),
    ("project", ro_compat(RoCompat::PROJECT)),
    ("verity", ro_compat(RoCompat::VERITY)),
];

const fn compat(compat: Compat) -> Features {
    Features {
        compat,
        incompat: Incompat::empty(),
        ro_compat: RoCompat::empty(),
    }
}

const fn incompat(incompat: Incompat) -> Features {
    Features {
        compat: Compat::empty(),
        incompat,
        ro_compat: RoCompat::empty(),
    }
}

const fn ro_compat(ro_compat: RoCompat) -> Features {
    Features {
        compat: Compat::empty(),
        incompat: Incompat::empty(),
        ro_compat,
    }
}

impl FromStr for FeatureList {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut changes = Vec::new();
        for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
            if name == "none" {
                changes.push(Change::Clear);
                continue;
            }
            let (off, name) = match name.strip_prefix(['^', '-']) {
                Some(rest) => (true, rest),
                None => (false, name),
            };
            let Some((_, features)) = KNOWN.iter().find(|(known, _)| *known == name) else {
                return Err(Error::InvalidOption {
                    what: "features",
                    reason: format!("there is no feature {name}"),
                });
            };
            changes.push(if off {
                Change::Off(*features)
            } else {
                Change::On(*features)
            });
        }
        Ok(Self { changes })
    }
}

impl FeatureList {
    /// The features of a new filesystem: the defaults of its kind, changed by this list.
    pub(super) fn apply(&self, kind: FormatKind) -> Result<Features> {
        let mut set = defaults(kind);
        for change in &self.changes {
            match *change {
                Change::Clear => set = Features::default(),
                Change::On(f) => {
                    set.compat |= f.compat;
                    set.incompat |= f.incompat;
                    set.ro_compat |= f.ro_compat;
                }
                Change::Off(f) => {
                    set.compat -= f.compat;
                    set.incompat -= f.incompat;
                    set.ro_compat -= f.ro_compat;
                }
            }
        }
        // One kind of checksum of group descriptors takes the other's place.
        if set.ro_compat.contains(RoCompat::METADATA_CSUM) {
            set.ro_compat -= RoCompat::GDT_CSUM;
        }
        check(set)?;
        Ok(set)
    }
}

fn defaults(kind: FormatKind) -> Features {
    let mut set = Features {
        compat: Compat::RESIZE_INODE | Compat::DIR_INDEX | Compat::EXT_ATTR,
        incompat: Incompat::FILETYPE,
        ro_compat: RoCompat::SPARSE_SUPER | RoCompat::LARGE_FILE,
    };
    if kind != FormatKind::Ext2 {
        set.compat |= Compat::HAS_JOURNAL;
    }
    if kind == FormatKind::Ext4 {
        set.incompat |= Incompat::EXTENTS | Incompat::FLEX_BG | Incompat::BIT64;
        set.ro_compat |=
            RoCompat::HUGE_FILE | RoCompat::METADATA_CSUM | RoCompat::DIR_NLINK | RoCompat::EXTRA_ISIZE;
    }
    set
}

fn check(set: Features) -> Result<()> {
    let refuse = |reason: String| {
        Err(Error::InvalidOption {
            what: "features",
            reason,
        })
    };
    if set.incompat.contains(Incompat::META_BG) && set.compat.contains(Compat::RESIZE_INODE) {
        return refuse("meta_bg and resize_inode exclude each other".into());
    }
    if set.incompat.contains(Incompat::BIT64) && !set.incompat.contains(Incompat::EXTENTS) {
        return refuse("64bit needs extent".into());
    }
    if set.ro_compat.contains(RoCompat::BIGALLOC) && !set.incompat.contains(Incompat::EXTENTS) {
        return refuse("bigalloc needs extent".into());
    }
    if set.incompat.contains(Incompat::CSUM_SEED) && !set.ro_compat.contains(RoCompat::METADATA_CSUM) {
        return refuse("metadata_csum_seed needs metadata_csum".into());
    }
    if set.compat.contains(Compat::RESIZE_INODE) && !set.ro_compat.contains(RoCompat::SPARSE_SUPER) {
        return refuse("resize_inode needs sparse_super".into());
    }
    if set.compat.contains(Compat::ORPHAN_FILE) && !set.compat.contains(Compat::HAS_JOURNAL) {
        return refuse("orphan_file needs has_journal".into());
    }
    Ok(())
}
