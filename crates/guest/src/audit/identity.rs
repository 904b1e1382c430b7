//! What makes the template itself, and would make all clones the same.

use super::Severity;
use super::look::{Look, contains};
use crate::error::Result;
use crate::sysprep::host_keys_return_by;

pub(super) fn machine_id(look: &mut Look<'_>) -> Result<()> {
    for path in [&b"/etc/machine-id"[..], b"/var/lib/dbus/machine-id"] {
        // A link leads to the other.
        if !look.link_metadata(path)?.is_some_and(|m| m.is_file()) {
            continue;
        }
        let contents = look.read(path)?.unwrap_or_default();
        let id = contents.trim_ascii();
        if !id.is_empty() && id != b"uninitialized" {
            look.found(path, "holds an id");
        }
    }
    Ok(())
}

pub(super) fn host_keys(look: &mut Look<'_>) -> Result<()> {
    for path in look.files("/etc/ssh/*_host_*key")? {
        look.found(&path, "is a private host key");
    }
    Ok(())
}

pub(super) fn host_keys_return(look: &mut Look<'_>) -> Result<()> {
    let tree = look.guest.tree();
    let installed = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"]
        .iter()
        .any(|path| tree.is_file(path));
    let gone = look.files("/etc/ssh/*_host_*key")?.is_empty();
    if installed && gone && host_keys_return_by(look.guest)?.is_none() {
        look.found(
            b"/etc/ssh",
            "has no host keys, and nothing in the guest makes them",
        );
    }
    Ok(())
}

pub(super) fn random_seed(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
        "/var/lib/urandom/random-seed",
        "/var/lib/random-seed",
        "/var/lib/misc/random-seed",
        "/var/lib/seedrng/seed.*",
        "/boot/loader/random-seed",
        "/boot/efi/loader/random-seed",
        "/efi/loader/random-seed",
        "/loader/random-seed",
    ] {
        for path in look.files(pattern)? {
            look.found(&path, "is the same in every clone");
        }
    }
    Ok(())
}

pub(super) fn host_identity(look: &mut Look<'_>) -> Result<()> {
    for (pattern, what) in [
        ("/etc/iscsi/initiatorname.iscsi", "names an iSCSI initiator"),
        ("/etc/nvme/hostid", "names an NVMe host"),
        ("/etc/nvme/hostnqn", "names an NVMe host"),
        ("/etc/sysconfig/hw-uuid", "holds an id"),
        ("/etc/smolt/*uuid", "holds an id"),
        ("/var/lib/yum/uuid", "holds an id"),
        ("/var/lib/dnf/*.uuid", "holds an id"),
        ("/etc/ipa/default.conf", "is a membership in an IPA domain"),
        (
            "/var/lib/samba/private/secrets.tdb",
            "is a membership in a domain",
        ),
        ("/var/lib/sss/db/*.ldb", "holds cached accounts"),
        ("/etc/salt/minion_id", "names a Salt minion"),
        ("/etc/salt/pki/minion/minion.pem", "is the key of a Salt minion"),
        (
            "/etc/puppetlabs/puppet/ssl/private_keys/*.pem",
            "is the key of a Puppet agent",
        ),
        (
            "/var/lib/puppet/ssl/private_keys/*.pem",
            "is the key of a Puppet agent",
        ),
        ("/etc/chef/client.pem", "is the key of a Chef client"),
        (
            "/var/lib/zerotier-one/identity.secret",
            "is an identity in a ZeroTier network",
        ),
        (
            "/var/lib/tailscale/tailscaled.state",
            "is an identity in a Tailscale network",
        ),
    ] {
        for path in look.files(pattern)? {
            look.found(&path, what);
        }
    }
    Ok(())
}

pub(super) fn network(look: &mut Look<'_>) -> Result<()> {
    for path in look.files("/etc/udev/rules.d/7?-persistent-net.rules")? {
        look.found(&path, "gives network cards of this machine their names");
    }
    for path in look.files("/etc/sysconfig/network-scripts/ifcfg-*")? {
        let contents = look.read(&path)?.unwrap_or_default();
        let bound = |line: &&[u8]| line.trim_ascii_start().starts_with(b"HWADDR=");
        if crate::files::lines(&contents).any(|line| bound(&line)) {
            look.found(&path, "is bound to a hardware address");
        }
    }
    for pattern in ["/etc/netplan/*.yaml", "/etc/netplan/*.yml"] {
        for path in look.files(pattern)? {
            let contents = look.read(&path)?.unwrap_or_default();
            if contains(&contents, "macaddress:") {
                look.found(&path, "is bound to a hardware address");
            }
        }
    }
    for path in look.files("/etc/NetworkManager/system-connections/*")? {
        let contents = look.read(&path)?.unwrap_or_default();
        if contains(&contents, "mac-address=") {
            look.found(&path, "is bound to a hardware address");
        }
    }
    for pattern in ["/etc/systemd/network/*.network", "/etc/systemd/network/*.link"] {
        for path in look.files(pattern)? {
            let contents = look.read(&path)?.unwrap_or_default();
            if contains(&contents, "MACAddress=") {
                look.found_as(Severity::Note, &path, "names a hardware address");
            }
        }
    }
    Ok(())
}

pub(super) fn leases(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/var/lib/dhclient/*",
        "/var/lib/dhcp/*",
        "/var/lib/dhcpcd/*.lease*",
        "/var/lib/NetworkManager/*.lease",
        "/var/lib/NetworkManager/internal-*",
        "/var/lib/systemd/network/*.lease",
    ] {
        for path in look.files(pattern)? {
            look.found(&path, "is a lease of the template");
        }
    }
    Ok(())
}

pub(super) fn cloud_init(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/var/lib/cloud/instance",
        "/var/lib/cloud/instances/*",
        "/var/lib/cloud/data/*",
        "/var/lib/cloud/sem/*",
    ] {
        for path in look.glob(pattern)? {
            look.found(&path, "is left of an earlier boot");
        }
    }
    for pattern in [
        "/etc/netplan/50-cloud-init.yaml",
        "/etc/network/interfaces.d/50-cloud-init*",
        "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
        "/etc/systemd/network/10-cloud-init-*.network",
    ] {
        for path in look.files(pattern)? {
            look.found_as(
                Severity::Warning,
                &path,
                "was written by cloud-init for the template",
            );
        }
    }
    Ok(())
}

pub(super) fn subscription(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/etc/pki/consumer/*.pem",
        "/etc/pki/entitlement/*.pem",
        "/etc/sysconfig/rhn/systemid",
        "/etc/sysconfig/rhn/osad-auth.conf",
        "/etc/zypp/credentials.d/SCCcredentials",
        "/var/lib/ubuntu-advantage/private/machine-token.json",
    ] {
        for path in look.files(pattern)? {
            look.found(&path, "belongs to the template's registration");
        }
    }
    Ok(())
}
