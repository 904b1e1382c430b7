//! How SELinux is configured in a guest (selinux(8)).

use super::{MAX, assignment};
use disksmith_vfs::Tree;
use serde::Serialize;

/// What SELinux does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SelinuxMode {
    /// The policy holds.
    Enforcing,
    /// What the policy forbids is only written down; labels are kept all the same.
    Permissive,
    /// It is off, and labels are neither read nor kept.
    Disabled,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelinuxConfig {
    /// What it does.
    pub mode: SelinuxMode,
    /// Which policy: `targeted`.
    pub policy: String,
}

/// The configuration; `None` where the guest has none.
pub(crate) fn of_guest(tree: &Tree) -> Option<SelinuxConfig> {
    let contents = tree.read_limited("/etc/selinux/config", MAX).ok()?;
    let mode = assignment(&contents, "SELINUX").unwrap_or_default();
    Some(SelinuxConfig {
        mode: match mode.trim().to_ascii_lowercase().as_str() {
            "disabled" => SelinuxMode::Disabled,
            "permissive" => SelinuxMode::Permissive,
            _ => SelinuxMode::Enforcing,
        },
        policy: assignment(&contents, "SELINUXTYPE").unwrap_or_else(|| "targeted".into()),
    })
}
