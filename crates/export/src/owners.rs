//! Who owns files, as users of the host see it.

/// How owners in the guest and users of the host go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// The numbers are the same, and the kernel grants and refuses by them.
    #[default]
    Same,
    /// This user and group of the host stand for root in the guest, and root of the host for them; nothing is refused to
    /// those who can see the mount.
    Mapped {
        /// The user of the host.
        uid: u32,
        /// The group of the host.
        gid: u32,
    },
    /// The numbers are the same, everything new belongs to root, and nothing is refused to those who can see the mount.
    Unchecked,
    /// Everything is shown as owned by these, new files belong to root, and nothing is refused.
    Shown {
        /// The user that is shown; the guest's own where there is none.
        uid: Option<u32>,
        /// The group that is shown; the guest's own where there is none.
        gid: Option<u32>,
    },
}

fn swap(id: u32, one: u32) -> u32 {
    match id {
        0 => one,
        id if id == one => 0,
        id => id,
    }
}

impl Owners {
    /// Whether the kernel checks permissions.
    pub(crate) fn are_checked(self) -> bool {
        self == Self::Same
    }

    /// A user of the guest, as the host sees it.
    pub(crate) fn uid_out(self, uid: u32) -> u32 {
        match self {
            Self::Mapped { uid: one, .. } => swap(uid, one),
            Self::Shown { uid: Some(shown), .. } => shown,
            _ => uid,
        }
    }

    /// A group of the guest, as the host sees it.
    pub(crate) fn gid_out(self, gid: u32) -> u32 {
        match self {
            Self::Mapped { gid: one, .. } => swap(gid, one),
            Self::Shown { gid: Some(shown), .. } => shown,
            _ => gid,
        }
    }

    /// A user of the host, in the guest.
    pub(crate) fn uid_in(self, uid: u32) -> u32 {
        match self {
            Self::Mapped { uid: one, .. } => swap(uid, one),
            _ => uid,
        }
    }

    /// A group of the host, in the guest.
    pub(crate) fn gid_in(self, gid: u32) -> u32 {
        match self {
            Self::Mapped { gid: one, .. } => swap(gid, one),
            _ => gid,
        }
    }

    /// Who owns what a user of the host makes.
    pub(crate) fn of_new(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Self::Same | Self::Mapped { .. } => (self.uid_in(uid), self.gid_in(gid)),
            Self::Unchecked | Self::Shown { .. } => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_goes_both_ways() {
        let owners = Owners::Mapped { uid: 1000, gid: 100 };
        for id in [0, 1, 100, 1000, u32::MAX] {
            assert_eq!(owners.uid_in(owners.uid_out(id)), id);
            assert_eq!(owners.gid_in(owners.gid_out(id)), id);
        }
        assert_eq!(owners.uid_out(0), 1000);
        assert_eq!(owners.of_new(1000, 100), (0, 0));
    }
}
