//! The operations of `sysprep`, with the names that virt-sysprep gives them.

/// One thing that is taken away.
#[derive(Debug, Clone, Copy)]
pub struct SysprepOperation {
    /// Its name.
    pub name: &'static str,
    /// Whether it is done unless told otherwise.
    pub default: bool,
    /// Whether virt-sysprep has no such operation.
    pub extension: bool,
    /// What it does, in one sentence without full stop.
    pub summary: &'static str,
    pub(crate) actions: &'static [Action],
}

/// What an operation consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// Whatever matches these patterns goes, directories with all that is in them.
    Remove(&'static [&'static str]),
    /// What matches goes; a directory only where the pattern is all of what is in another.
    Logs(&'static [&'static str]),
    /// What matches goes unless it is a directory.
    RemoveFiles(&'static [&'static str]),
    /// Regular files at any depth below these directories go; the directories stay.
    RemoveFilesBelow(&'static [&'static str]),
    /// Files of these names (the dot before them left out: `*~`) at any depth below these directories.
    RemoveNamedBelow(&'static [&'static str], &'static [&'static str]),
    /// As virt-sysprep does only on Red Hat and Fedora.
    RedHatOnly(&'static [Action]),
    /// Lines that begin so are taken out of the files that match.
    DropLines(&'static str, &'static [&'static str]),
    /// See [`super::actions`].
    MachineId,
    HostKeys,
    HomeFiles(&'static [&'static str]),
    CronSpool,
    ProcessAccounting,
    UserAccounts,
    Touch(&'static str),
    CloudInit,
    BlkidTab,
    /// The anchors of an IPA server.
    IpaAnchors,
    /// The guest's own certificates and keys.
    CaCertificates,
    /// What matches the pattern goes, unless it is a directory or bears one of these names.
    RemoveFilesExcept(&'static str, &'static [&'static str]),
    /// It is done by whoever does the cleaning: see [`super::sysprep`].
    Elsewhere,
    /// Volume groups of LVM keep their UUIDs; a guest that has some is told.
    LvmUuids,
    /// See [`super::uuids`].
    FilesystemUuids,
}

const fn on(name: &'static str, summary: &'static str, actions: &'static [Action]) -> SysprepOperation {
    SysprepOperation {
        name,
        default: true,
        extension: false,
        summary,
        actions,
    }
}

const fn off(name: &'static str, summary: &'static str, actions: &'static [Action]) -> SysprepOperation {
    SysprepOperation {
        name,
        default: false,
        extension: false,
        summary,
        actions,
    }
}

const LOGS: &[&str] = &[
    "/etc/Pegasus/*.cnf",
    "/etc/Pegasus/*.crt",
    "/etc/Pegasus/*.csr",
    "/etc/Pegasus/*.pem",
    "/etc/Pegasus/*.srl",
    "/root/anaconda-ks.cfg",
    "/root/anaconda-post.log",
    "/root/initial-setup-ks.cfg",
    "/root/install.log",
    "/root/install.log.syslog",
    "/root/original-ks.cfg",
    "/var/cache/fontconfig/*",
    "/var/cache/gdm/*",
    "/var/cache/man/*",
    "/var/lib/AccountService/users/*",
    "/var/lib/fprint/*",
    "/var/lib/logrotate.status",
    "/var/lib/logrotate/logrotate.status",
    "/var/lib/logrotate/status",
    "/var/log/*.log*",
    "/var/log/*.[0-9]",
    "/var/log/*.gz",
    "/var/log/*.xz",
    "/var/log/ConsoleKit/*",
    "/var/log/anaconda*",
    "/var/log/anaconda/*",
    "/var/log/apache2/*_log",
    "/var/log/apache2/*_log-*",
    "/var/log/apt/*",
    "/var/log/aptitude*",
    "/var/log/audit/*",
    "/var/log/btmp*",
    "/var/log/ceph/*.log",
    "/var/log/chrony/*.log",
    "/var/log/cron*",
    "/var/log/cups/*_log*",
    "/var/log/debug*",
    "/var/log/dmesg*",
    "/var/log/exim4/*",
    "/var/log/faillog*",
    "/var/log/firewalld*",
    "/var/log/gdm/*",
    "/var/log/glusterfs/*glusterd.vol.log",
    "/var/log/glusterfs/glusterfs.log",
    "/var/log/grubby*",
    "/var/log/httpd/*log",
    "/var/log/installer/*",
    "/var/log/jetty/jetty-console.log",
    "/var/log/journal/*",
    "/var/log/kern*",
    "/var/log/lastlog*",
    "/var/log/libvirt/libvirtd.log",
    "/var/log/libvirt/libxl/*.log",
    "/var/log/libvirt/lxc/*.log",
    "/var/log/libvirt/qemu/*.log",
    "/var/log/libvirt/uml/*.log",
    "/var/log/lightdm/*",
    "/var/log/mail/*",
    "/var/log/mail*",
    "/var/log/messages*",
    "/var/log/ntp",
    "/var/log/ntpstats/*",
    "/var/log/ppp/connect-errors",
    "/var/log/rhsm/*",
    "/var/log/sa/*",
    "/var/log/secure*",
    "/var/log/setroubleshoot/*.log",
    "/var/log/spooler*",
    "/var/log/squid/*.log",
    "/var/log/swtpm/libvirt/qemu/*.log",
    "/var/log/syslog*",
    "/var/log/tallylog*",
    "/var/log/tuned/tuned.log",
    "/var/log/unattended-upgrades/*",
    "/var/log/user.log*",
    "/var/log/wtmp*",
    "/var/log/xferlog*",
    "/var/log/zypp/*",
    "/var/named/data/named.run",
];

/// Every operation, in the order in which they are done.
pub const OPERATIONS: &[SysprepOperation] = &[
    on(
        "abrt-data",
        "Remove the crash data that ABRT gathered",
        &[Action::Remove(&["/var/spool/abrt/*"])],
    ),
    on(
        "backup-files",
        "Remove editors' backup files (*~, *.bak) below /etc, /root, /srv, /tmp, /var",
        &[Action::RemoveNamedBelow(
            &["/etc", "/root", "/srv", "/tmp", "/var"],
            &["~", ".bak"],
        )],
    ),
    on(
        "bash-history",
        "Remove the history of bash",
        &[Action::HomeFiles(&[".bash_history"])],
    ),
    on("blkid-tab", "Remove the cache of blkid", &[Action::BlkidTab]),
    off(
        "ca-certificates",
        "Remove the guest's own CA certificates",
        &[Action::CaCertificates],
    ),
    on(
        "crash-data",
        "Remove kernel crash dumps",
        &[Action::Remove(&["/var/crash/*", "/var/log/dump/*"])],
    ),
    on(
        "cron-spool",
        "Remove users' jobs of at and cron",
        &[Action::CronSpool],
    ),
    on(
        "customize",
        "Do what the options of customize say",
        &[Action::Elsewhere],
    ),
    on(
        "dhcp-client-state",
        "Remove DHCP leases",
        &[Action::Remove(&[
            "/var/lib/dhclient/*",
            "/var/lib/dhcp/*",
            "/var/lib/dhcpcd/*.lease*",
            "/var/lib/NetworkManager/*.lease",
            "/var/lib/NetworkManager/internal-*",
            "/var/lib/systemd/network/*.lease",
            "/run/systemd/netif/leases/*",
        ])],
    ),
    on(
        "dhcp-server-state",
        "Remove leases of a DHCP server",
        &[Action::Remove(&["/var/lib/dhcpd/*"])],
    ),
    on(
        "dovecot-data",
        "Remove Dovecot's data",
        &[Action::RemoveFiles(&["/var/lib/dovecot/*"])],
    ),
    off(
        "firewall-rules",
        "Remove firewall rules",
        &[Action::Remove(&[
            "/etc/sysconfig/iptables",
            "/etc/firewalld/services/*",
            "/etc/firewalld/zones/*",
        ])],
    ),
    off(
        "flag-reconfiguration",
        "Tell the guest to configure itself anew",
        &[Action::Touch("/.unconfigured")],
    ),
    off(
        "fs-uuids",
        "Give filesystems new UUIDs, in fstab and boot loaders too",
        &[Action::FilesystemUuids],
    ),
    on(
        "ipa-client",
        "Remove the membership in an IPA domain",
        &[
            Action::Remove(&[
                "/etc/ipa/ca.crt",
                "/etc/ipa/default.conf",
                "/var/lib/ipa-client/sysrestore/*",
                "/var/lib/ipa-client/pki/*",
            ]),
            Action::IpaAnchors,
        ],
    ),
    off(
        "kerberos-data",
        "Remove the data of a Kerberos server",
        &[Action::RemoveFilesExcept(
            "/var/kerberos/krb5kdc/*",
            &["kadm5.acl", "kdc.conf"],
        )],
    ),
    on(
        "kerberos-hostkeytab",
        "Remove the host's Kerberos keys",
        &[Action::Remove(&["/etc/krb5.keytab"])],
    ),
    on("logfiles", "Remove log files", &[Action::Logs(LOGS)]),
    on(
        "lvm-system-devices",
        "Remove LVM's list of devices",
        &[Action::Remove(&["/etc/lvm/devices/system.devices"])],
    ),
    on("lvm-uuids", "Give LVM volumes new UUIDs", &[Action::LvmUuids]),
    on(
        "machine-id",
        "Empty the machine id, which the next boot makes anew",
        &[Action::MachineId],
    ),
    on(
        "mail-spool",
        "Remove mail",
        &[Action::Remove(&["/var/spool/mail/*", "/var/mail/*"])],
    ),
    on(
        "net-hostname",
        "Remove the host name from network configuration (Red Hat)",
        &[Action::RedHatOnly(&[Action::DropLines(
            "/etc/sysconfig/network-scripts/ifcfg-*",
            &["HOSTNAME=", "DHCP_HOSTNAME="],
        )])],
    ),
    on(
        "net-hwaddr",
        "Remove hardware addresses from network configuration (Red Hat)",
        &[Action::RedHatOnly(&[Action::DropLines(
            "/etc/sysconfig/network-scripts/ifcfg-*",
            &["HWADDR="],
        )])],
    ),
    on(
        "net-nmconn",
        "Remove NetworkManager's connections (Red Hat)",
        &[Action::RedHatOnly(&[Action::Remove(&[
            "/etc/NetworkManager/system-connections/*.nmconnection",
        ])])],
    ),
    on(
        "pacct-log",
        "Remove process accounting",
        &[Action::ProcessAccounting],
    ),
    on(
        "package-manager-cache",
        "Remove downloaded packages",
        &[
            Action::RemoveFilesBelow(&[
                "/var/cache/apt/archives",
                "/var/cache/dnf",
                "/var/cache/libdnf5",
                "/var/cache/yum",
            ]),
            Action::RemoveFilesBelow(&[
                "/var/cache/zypp",
                "/var/cache/zypper",
                "/var/cache/apk",
                "/var/cache/pacman/pkg",
            ]),
        ],
    ),
    on(
        "pam-data",
        "Remove data of PAM modules",
        &[Action::Remove(&[
            "/var/run/console/*",
            "/var/run/faillock/*",
            "/var/run/sepermit/*",
        ])],
    ),
    on(
        "passwd-backups",
        "Remove old copies of the user database",
        &[Action::Remove(&[
            "/etc/group-",
            "/etc/gshadow-",
            "/etc/passwd-",
            "/etc/shadow-",
            "/etc/subuid-",
            "/etc/subgid-",
        ])],
    ),
    on(
        "puppet-data-log",
        "Remove Puppet's data and logs",
        &[
            Action::Remove(&["/var/log/puppet/*"]),
            Action::RemoveFiles(&["/var/lib/puppet/*/*", "/var/lib/puppet/*/*/*"]),
        ],
    ),
    on(
        "rh-subscription-manager",
        "Remove the subscription (Red Hat)",
        &[Action::Remove(&["/etc/pki/consumer/*", "/etc/pki/entitlement/*"])],
    ),
    on(
        "rhn-systemid",
        "Remove the identity at RHN (Red Hat)",
        &[Action::Remove(&[
            "/etc/sysconfig/rhn/systemid",
            "/etc/sysconfig/rhn/osad-auth.conf",
        ])],
    ),
    on(
        "rpm-db",
        "Remove the working files of the RPM database",
        &[Action::Remove(&["/var/lib/rpm/__db.*"])],
    ),
    on(
        "samba-db-log",
        "Remove Samba's databases and logs",
        &[Action::RemoveFiles(&[
            "/var/log/samba/old/*",
            "/var/log/samba/*",
            "/var/lib/samba/*/*",
            "/var/lib/samba/*",
        ])],
    ),
    on(
        "script",
        "Run scripts of the host on the guest's files (--script)",
        &[Action::Elsewhere],
    ),
    on(
        "smolt-uuid",
        "Remove Smolt's UUID",
        &[Action::Remove(&[
            "/etc/sysconfig/hw-uuid",
            "/etc/smolt/uuid",
            "/etc/smolt/hw-uuid",
        ])],
    ),
    on(
        "ssh-hostkeys",
        "Remove SSH host keys, and see to it that new ones are made",
        &[Action::HostKeys],
    ),
    on(
        "ssh-userdir",
        "Remove users' .ssh directories",
        &[Action::HomeFiles(&[".ssh"])],
    ),
    on(
        "sssd-db-log",
        "Remove SSSD's databases and logs",
        &[Action::Remove(&["/var/log/sssd/*", "/var/lib/sss/db/*"])],
    ),
    on(
        "tmp-files",
        "Remove temporary files",
        &[Action::Remove(&[
            "/tmp/*",
            "/tmp/.[!.]*",
            "/tmp/..?*",
            "/var/tmp/*",
            "/var/tmp/.[!.]*",
            "/var/tmp/..?*",
        ])],
    ),
    on(
        "udev-persistent-net",
        "Remove udev's rules for network cards",
        &[Action::Remove(&["/etc/udev/rules.d/70-persistent-net.rules"])],
    ),
    off("user-account", "Remove users' accounts", &[Action::UserAccounts]),
    on(
        "utmp",
        "Remove the record of who is logged in",
        &[Action::Remove(&["/var/run/utmp"])],
    ),
    on(
        "yum-uuid",
        "Remove Yum's UUID",
        &[Action::Remove(&["/var/lib/yum/uuid"])],
    ),
    on(
        "zsh-history",
        "Remove the history of zsh",
        &[Action::HomeFiles(&[".zsh_history", ".zhistory"])],
    ),
    SysprepOperation {
        name: "cloud-init",
        default: true,
        extension: true,
        summary: "Remove cloud-init's state, so that it runs as at a first boot",
        actions: &[Action::CloudInit],
    },
    SysprepOperation {
        name: "random-seed",
        default: true,
        extension: true,
        summary: "Remove the saved random seed, which no two machines should share",
        actions: &[Action::Remove(&[
            "/var/lib/systemd/random-seed",
            "/var/lib/urandom/random-seed",
            "/var/lib/random-seed",
            "/var/lib/misc/random-seed",
            "/var/lib/seedrng/seed.*",
            "/loader/random-seed",
            "/boot/loader/random-seed",
        ])],
    },
];
