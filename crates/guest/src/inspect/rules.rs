//! What a distribution does not let last: said whenever its files are changed.

use super::distribution::Distribution;
use disksmith_vfs::Tree;

/// (identifier, what is said)
const RULES: &[(&str, &str)] = &[
    (
        "nixos",
        "NixOS makes /etc anew from its configuration at each boot: what is changed there may not last; /etc/nixos/configuration.nix is the place",
    ),
    (
        "guix",
        "Guix System makes /etc anew from its configuration at each boot: what is changed there may not last",
    ),
    (
        "flatcar",
        "Flatcar's /usr is read-only and verified as it boots: only /etc, /var, /home and /opt can be changed",
    ),
    (
        "coreos",
        "CoreOS's /usr is read-only: only /etc, /var, /home and /opt can be changed",
    ),
    (
        "opensuse-microos",
        "MicroOS's root is a read-only snapshot: the next transactional-update makes another one from it",
    ),
    (
        "opensuse-leap-micro",
        "Leap Micro's root is a read-only snapshot: the next transactional-update makes another one from it",
    ),
    (
        "sle-micro",
        "SLE Micro's root is a read-only snapshot: the next transactional-update makes another one from it",
    ),
    (
        "sl-micro",
        "SL Micro's root is a read-only snapshot: the next transactional-update makes another one from it",
    ),
];

/// What there is to say about a guest.
pub(super) fn of(distribution: &Distribution, tree: &Tree) -> Option<String> {
    let known = RULES
        .iter()
        .find_map(|(id, rule)| (*id == distribution.id).then(|| (*rule).to_owned()));
    known.or_else(|| {
        let deployed = tree.is_symlink("/ostree") && tree.is_dir("/sysroot");
        deployed.then(|| {
            "this is a deployment of OSTree: its /usr is read-only, and what is changed there is lost with the next update"
                .to_owned()
        })
    })
}
