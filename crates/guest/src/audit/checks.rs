//! The checks.

use super::look::Look;
use super::{Severity, accounts, identity, secrets, settings, traces};
use crate::error::Result;

/// A check on a guest's files.
type OnFiles = fn(&mut Look<'_>) -> Result<()>;

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct AuditCheck {
    /// Its name, for `--ignore`.
    pub name: &'static str,
    /// How bad what it finds is, as a rule.
    pub severity: Severity,
    /// What it looks for.
    pub summary: &'static str,
    /// What removes what it finds; empty where that is for the user to judge.
    pub remedy: &'static str,
    /// What looks at the files; `None` for checks of disks and images.
    pub(super) files: Option<OnFiles>,
}

const fn check(
    name: &'static str,
    severity: Severity,
    summary: &'static str,
    remedy: &'static str,
    files: OnFiles,
) -> AuditCheck {
    AuditCheck {
        name,
        severity,
        summary,
        remedy,
        files: Some(files),
    }
}

const fn disk_check(
    name: &'static str,
    severity: Severity,
    summary: &'static str,
    remedy: &'static str,
) -> AuditCheck {
    AuditCheck {
        name,
        severity,
        summary,
        remedy,
        files: None,
    }
}

use Severity::{Error, Note, Warning};

/// Every check there is, in the order in which they are done.
pub const AUDIT_CHECKS: &[AuditCheck] = &[
    check(
        "machine-id",
        Error,
        "An id that every clone would share",
        "sysprep --enable machine-id",
        identity::machine_id,
    ),
    check(
        "ssh-hostkeys",
        Error,
        "SSH host keys that every clone would share",
        "sysprep --enable ssh-hostkeys",
        identity::host_keys,
    ),
    check(
        "ssh-hostkeys-return",
        Error,
        "An SSH server whose host keys are gone, and nothing that makes new ones",
        "seal",
        identity::host_keys_return,
    ),
    check(
        "random-seed",
        Error,
        "Saved randomness that every clone would start from",
        "sysprep --enable random-seed",
        identity::random_seed,
    ),
    check(
        "host-identity",
        Warning,
        "Names of this host for storage, directory services and management",
        "",
        identity::host_identity,
    ),
    check(
        "network-identity",
        Warning,
        "Hardware addresses, and connections bound to them",
        "sysprep --enable net-hwaddr,udev-persistent-net",
        identity::network,
    ),
    check(
        "dhcp-leases",
        Warning,
        "Leases of the template's own network",
        "sysprep --enable dhcp-client-state",
        identity::leases,
    ),
    check(
        "cloud-init",
        Error,
        "State of cloud-init: a clone would take itself for the template",
        "sysprep --enable cloud-init",
        identity::cloud_init,
    ),
    check(
        "subscription",
        Error,
        "A subscription or registration of the template",
        "sysprep --enable rh-subscription-manager,rhn-systemid",
        identity::subscription,
    ),
    check(
        "empty-password",
        Error,
        "Accounts that anybody can enter without a password",
        "customize --password USER:disabled",
        accounts::empty_passwords,
    ),
    check(
        "root-password",
        Error,
        "A password of root that every clone would share",
        "customize --root-password disabled",
        accounts::root_password,
    ),
    check(
        "user-password",
        Warning,
        "Passwords of users that every clone would share, and hashes that are broken",
        "customize --password USER:disabled",
        accounts::user_passwords,
    ),
    check(
        "second-root",
        Error,
        "Accounts beside root with root's rights",
        "",
        accounts::second_root,
    ),
    check(
        "passwd-backups",
        Warning,
        "Old copies of the user database, with old hashes",
        "sysprep --enable passwd-backups",
        accounts::backups,
    ),
    check(
        "authorized-keys",
        Error,
        "Public keys that open every clone",
        "sysprep --enable ssh-userdir",
        accounts::authorized_keys,
    ),
    check(
        "private-keys",
        Error,
        "Private keys in home directories",
        "sysprep --enable ssh-userdir",
        secrets::private_keys,
    ),
    check(
        "tls-keys",
        Warning,
        "Private keys of servers",
        "",
        secrets::tls_keys,
    ),
    check(
        "kerberos-keytab",
        Error,
        "Keys of this host in a Kerberos realm",
        "sysprep --enable kerberos-hostkeytab",
        secrets::keytab,
    ),
    check(
        "credentials",
        Error,
        "Tokens and passwords of cloud, registry and database clients",
        "",
        secrets::credentials,
    ),
    check(
        "wireless-secrets",
        Warning,
        "Passphrases of networks",
        "",
        secrets::wireless,
    ),
    check(
        "firstboot-secret",
        Error,
        "First-boot scripts that only root may read: they may hold a password",
        "",
        secrets::first_boot,
    ),
    check(
        "histories",
        Warning,
        "What was typed into shells and other programs",
        "sysprep --enable bash-history,zsh-history",
        traces::histories,
    ),
    check(
        "logs",
        Warning,
        "Log files",
        "sysprep --enable logfiles; --delete what that leaves",
        traces::logs,
    ),
    check(
        "crash-data",
        Warning,
        "Memory of programs or kernels that crashed",
        "sysprep --enable crash-data,abrt-data",
        traces::crashes,
    ),
    check(
        "mail",
        Warning,
        "Mail",
        "sysprep --enable mail-spool",
        traces::mail,
    ),
    check(
        "jobs",
        Warning,
        "Users' jobs of cron and at",
        "sysprep --enable cron-spool",
        traces::jobs,
    ),
    check(
        "tmp-files",
        Note,
        "Temporary files",
        "sysprep --enable tmp-files",
        traces::temporary,
    ),
    check(
        "package-cache",
        Note,
        "Downloaded packages",
        "sysprep --enable package-manager-cache",
        traces::package_cache,
    ),
    check(
        "backup-files",
        Note,
        "Editors' backups of configuration",
        "sysprep --enable backup-files",
        traces::backups,
    ),
    check(
        "sshd-config",
        Warning,
        "An SSH server that lets root in by password, or anybody without one",
        "",
        settings::sshd,
    ),
    check(
        "sudo",
        Note,
        "Accounts that become root without a password",
        "",
        settings::sudo,
    ),
    check(
        "fstab",
        Warning,
        "Mounts by names of disks that another machine may give differently",
        "",
        settings::fstab,
    ),
    check(
        "resume",
        Note,
        "A swap device that an initramfs waits for",
        "",
        settings::resume,
    ),
    check(
        "relabel",
        Note,
        "A relabelling that each clone does at its first boot",
        "",
        settings::relabel,
    ),
    disk_check(
        "unclean-filesystem",
        Error,
        "Filesystems that were not unmounted, or that hold errors",
        "any edit replays a journal; repair with the filesystem's own checker",
    ),
    disk_check(
        "duplicate-uuid",
        Error,
        "Filesystems or partitions with the same identifier",
        "",
    ),
    disk_check("swap-contents", Warning, "Swap that holds pages of memory", ""),
    disk_check(
        "shared-master-key",
        Warning,
        "Encrypted volumes whose master key every clone would share",
        "",
    ),
    disk_check(
        "unreachable",
        Warning,
        "Parts of the guest that could not be looked into",
        "",
    ),
    disk_check("in-use", Error, "Images that a running machine writes to", ""),
    disk_check(
        "backing-file",
        Error,
        "Images that do not stand alone",
        "disksmith convert makes one that does",
    ),
    disk_check(
        "snapshots",
        Warning,
        "Internal snapshots: what was cleaned is still in them",
        "disksmith snapshot -d removes one",
    ),
    disk_check(
        "unclean-image",
        Warning,
        "Images that were not closed cleanly",
        "disksmith check -r leaks",
    ),
];
