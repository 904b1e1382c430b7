//! Releases of many distributions, their files laid out as their documentation and their packages have them: what they are
//! recognised as, and where each operation leaves its trace.

use crate::judge::{apply, empty_tree, lay_out, password_field, text, verifies};
use disksmith_guest::{Context, Family, Guest, Init, SeededRandom, System, default_operations, sysprep};

/// A release and what is expected of it.
struct Release {
    files: &'static [(&'static str, &'static str)],
    /// Identifier, version, libguestfs's name, libosinfo's identifier.
    names: (&'static str, &'static str, &'static str, &'static str),
    /// The product name that libguestfs gives.
    product: &'static str,
    family: Family,
    init: Init,
    /// Package format, and what installs packages.
    packages: (&'static str, &'static str),
    sudo: Option<&'static str>,
    /// Files after the host name became web1: (file, text that stands in it).
    hostname: &'static [(&'static str, &'static str)],
    /// How a new password's hash begins.
    hash: &'static str,
    /// A file that starts first-boot work, once there is some.
    firstboot: &'static str,
}

const COMMON: &[(&str, &str)] = &[
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:A:/home/alice:/bin/sh\n",
    ),
    (
        "/etc/shadow",
        "root:*:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n",
    ),
    ("/etc/group", "root:x:0:\nalice:x:1000:\n"),
    ("/etc/fstab", "LABEL=root / ext4 defaults 0 1\n"),
    ("/etc/ssh/ssh_host_rsa_key", "key\n"),
    ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("/root/.bash_history", "ls\n"),
    ("/var/log/wtmp", "x"),
    ("/home/alice/", ""),
    ("/bin/", ""),
    ("/usr/share/zoneinfo/Asia/Tokyo", "TZif2"),
];

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/guestfs-firstboot.service";
const SYSTEMD: (&str, &str) = ("/usr/lib/systemd/systemd", "");
const RC3_RED_HAT: &str = "/etc/rc.d/rc3.d/S99guestfs-firstboot";

const RELEASES: &[Release] = &[
    Release {
        files: &[
            (
                "/etc/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\nVERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\n",
            ),
            ("/etc/debian_version", "13.1\n"),
            ("/etc/hostname", "old\n"),
            ("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 old\n"),
            (
                "/etc/sudoers",
                "root ALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n",
            ),
            SYSTEMD,
        ],
        names: ("debian", "13.1", "debian", "debian13"),
        product: "13.1",
        family: Family::Debian,
        init: Init::Systemd,
        packages: ("deb", "apt"),
        sudo: Some("sudo"),
        hostname: &[("/etc/hostname", "web1\n"), ("/etc/hosts", "127.0.1.1 web1\n")],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/lsb-release",
                "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.10\nDISTRIB_CODENAME=maverick\nDISTRIB_DESCRIPTION=\"Ubuntu 10.10\"\n",
            ),
            ("/etc/debian_version", "squeeze/sid\n"),
            ("/etc/hostname", "old\n"),
            ("/etc/init.d/", ""),
            ("/etc/rc3.d/", ""),
        ],
        names: ("ubuntu", "10.10", "ubuntu", "ubuntu10.10"),
        product: "Ubuntu 10.10",
        family: Family::Debian,
        init: Init::SysvDebian,
        packages: ("deb", "apt"),
        sudo: Some("sudo"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: "/etc/rc3.d/S99guestfs-firstboot",
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n",
            ),
            ("/etc/debian_version", "trixie/sid\n"),
            ("/etc/hostname", "old\n"),
            ("/etc/sudoers", "%admin ALL=(ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n"),
            SYSTEMD,
        ],
        names: ("ubuntu", "24.04", "ubuntu", "ubuntu24.04"),
        product: "Ubuntu 24.04.1 LTS",
        family: Family::Debian,
        init: Init::Systemd,
        packages: ("deb", "apt"),
        sudo: Some("sudo"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "PRETTY_NAME=\"Kali GNU/Linux Rolling\"\nID=kali\nVERSION_ID=\"2024.4\"\nID_LIKE=debian\n",
            ),
            ("/etc/hostname", "kali\n"),
            ("/etc/hosts", "127.0.1.1\tkali.lan\tkali\n"),
            SYSTEMD,
        ],
        names: ("kali", "2024.4", "kalilinux", "kalilinux2024.4"),
        product: "Kali GNU/Linux Rolling",
        family: Family::Debian,
        init: Init::Systemd,
        packages: ("deb", "apt"),
        sudo: Some("sudo"),
        hostname: &[
            ("/etc/hostname", "web1\n"),
            ("/etc/hosts", "127.0.1.1\tweb1.lan\tweb1\n"),
        ],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Linux Mint\"\nVERSION_ID=\"22\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\nPRETTY_NAME=\"Linux Mint 22\"\n",
            ),
            ("/etc/hostname", "mint\n"),
            SYSTEMD,
        ],
        names: ("linuxmint", "22", "linuxmint", "linuxmint22.0"),
        product: "Linux Mint 22",
        family: Family::Debian,
        init: Init::Systemd,
        packages: ("deb", "apt"),
        sudo: Some("sudo"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Red Hat Enterprise Linux\"\nVERSION_ID=\"9.4\"\nID=\"rhel\"\nID_LIKE=\"fedora\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4 (Plow)\"\n",
            ),
            (
                "/etc/redhat-release",
                "Red Hat Enterprise Linux release 9.4 (Plow)\n",
            ),
            ("/etc/sudoers", "%wheel\tALL=(ALL)\tALL\n# %users ALL=ALL\n"),
            ("/etc/login.defs", "ENCRYPT_METHOD SHA512\n"),
            SYSTEMD,
        ],
        names: ("rhel", "9.4", "rhel", "rhel9.4"),
        product: "Red Hat Enterprise Linux 9.4 (Plow)",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"CentOS Linux\"\nVERSION_ID=\"7\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n",
            ),
            ("/etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n"),
            SYSTEMD,
        ],
        names: ("centos", "7.9.2009", "centos", "centos7.0"),
        product: "CentOS Linux release 7.9.2009 (Core)",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "yum"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"CentOS Stream\"\nVERSION_ID=\"9\"\nID=\"centos\"\nPRETTY_NAME=\"CentOS Stream 9\"\n",
            ),
            ("/etc/centos-release", "CentOS Stream release 9\n"),
            SYSTEMD,
        ],
        names: ("centos", "9", "centos", "centos9"),
        product: "CentOS Stream release 9",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/redhat-release",
                "Red Hat Enterprise Linux AS release 4 (Nahant Update 8)\n",
            ),
            ("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\n"),
            ("/etc/rc.d/init.d/", ""),
            ("/etc/rc.d/rc3.d/", ""),
        ],
        names: ("rhel", "4.8", "rhel", "rhel4.8"),
        product: "Red Hat Enterprise Linux AS release 4 (Nahant Update 8)",
        family: Family::RedHat,
        init: Init::SysvRedHat,
        packages: ("rpm", "up2date"),
        sudo: Some("wheel"),
        hostname: &[("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=web1\n")],
        hash: "$6$",
        firstboot: RC3_RED_HAT,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Rocky Linux\"\nVERSION_ID=\"8.10\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nPRETTY_NAME=\"Rocky Linux 8.10 (Green Obsidian)\"\n",
            ),
            SYSTEMD,
        ],
        names: ("rocky", "8.10", "rocky", "rocky8"),
        product: "Rocky Linux 8.10 (Green Obsidian)",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"AlmaLinux\"\nVERSION_ID=\"9.4\"\nID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nPRETTY_NAME=\"AlmaLinux 9.4 (Seafoam Ocelot)\"\n",
            ),
            SYSTEMD,
        ],
        names: ("almalinux", "9.4", "almalinux", "almalinux9"),
        product: "AlmaLinux 9.4 (Seafoam Ocelot)",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Oracle Linux Server\"\nVERSION_ID=\"8.9\"\nID=\"ol\"\nID_LIKE=\"fedora\"\nPRETTY_NAME=\"Oracle Linux Server 8.9\"\n",
            ),
            SYSTEMD,
        ],
        names: ("ol", "8.9", "oraclelinux", "oraclelinux8.9"),
        product: "Oracle Linux Server 8.9",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=41\nPRETTY_NAME=\"Fedora Linux 41 (Cloud Edition)\"\nVARIANT_ID=cloud\n",
            ),
            ("/usr/bin/dnf", ""),
            SYSTEMD,
        ],
        names: ("fedora", "41", "fedora", "fedora41"),
        product: "Fedora Linux 41 (Cloud Edition)",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            ("/etc/redhat-release", "Fedora release 14 (Phony)\n"),
            ("/etc/sysconfig/network", "HOSTNAME=fedora.invalid\n"),
            ("/etc/rc.d/init.d/", ""),
            ("/etc/rc.d/rc3.d/", ""),
        ],
        names: ("fedora", "14", "fedora", "fedora14"),
        product: "Fedora release 14 (Phony)",
        family: Family::RedHat,
        init: Init::SysvRedHat,
        packages: ("rpm", "yum"),
        sudo: Some("wheel"),
        hostname: &[("/etc/sysconfig/network", "HOSTNAME=web1\n")],
        hash: "$6$",
        firstboot: RC3_RED_HAT,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux 2023.6.20241010\"\n",
            ),
            SYSTEMD,
        ],
        names: ("amzn", "2023", "amzn", "amzn2023.0"),
        product: "Amazon Linux 2023.6.20241010",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Amazon Linux\"\nID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\nPRETTY_NAME=\"Amazon Linux 2\"\n",
            ),
            SYSTEMD,
        ],
        names: ("amzn", "2", "amzn", "amzn2.0"),
        product: "Amazon Linux 2",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "yum"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"openEuler\"\nVERSION=\"24.03 (LTS)\"\nID=\"openEuler\"\nVERSION_ID=\"24.03\"\nPRETTY_NAME=\"openEuler 24.03 (LTS)\"\n",
            ),
            ("/etc/login.defs", "ENCRYPT_METHOD SHA512\n"),
            SYSTEMD,
        ],
        names: ("openEuler", "24.03", "openeuler", "openeuler24.3"),
        product: "openEuler 24.03 (LTS)",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "dnf"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"SLES\"\nVERSION_ID=\"15.6\"\nID=\"sles\"\nID_LIKE=\"suse\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 15 SP6\"\n",
            ),
            ("/etc/hostname", "old\n"),
            ("/etc/sudoers", "Defaults targetpw\nALL ALL=(ALL) ALL\n"),
            SYSTEMD,
        ],
        names: ("sles", "15.6", "sles", "sles15sp6"),
        product: "SUSE Linux Enterprise Server 15 SP6",
        family: Family::Suse,
        init: Init::Systemd,
        packages: ("rpm", "zypper"),
        sudo: None,
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/usr/lib/os-release",
                "NAME=\"openSUSE MicroOS\"\nID=\"opensuse-microos\"\nID_LIKE=\"suse opensuse opensuse-tumbleweed\"\nVERSION_ID=\"20250101\"\nPRETTY_NAME=\"openSUSE MicroOS\"\n",
            ),
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/usr/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n"),
            SYSTEMD,
        ],
        names: ("opensuse-microos", "20250101", "opensuse", "opensuse20250101.0"),
        product: "openSUSE MicroOS",
        family: Family::Suse,
        init: Init::Systemd,
        packages: ("rpm", "zypper"),
        sudo: None,
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.21.0\nPRETTY_NAME=\"Alpine Linux v3.21\"\n",
            ),
            ("/etc/hostname", "localhost\n"),
            ("/sbin/openrc", ""),
            ("/etc/runlevels/default/", ""),
            ("/etc/init.d/", ""),
        ],
        names: ("alpine", "3.21.0", "alpinelinux", "alpinelinux3.21"),
        product: "Alpine Linux v3.21",
        family: Family::Alpine,
        init: Init::OpenRc,
        packages: ("apk", "apk"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: "/etc/runlevels/default/guestfs-firstboot",
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Arch Linux\"\nPRETTY_NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n",
            ),
            SYSTEMD,
        ],
        names: ("arch", "", "archlinux", "archlinux"),
        product: "Arch Linux",
        family: Family::Arch,
        init: Init::Systemd,
        packages: ("pacman", "pacman"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$y$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            ("/etc/gentoo-release", "Gentoo Base System release 2.17\n"),
            ("/etc/conf.d/hostname", "hostname=\"old\"\n"),
            ("/sbin/openrc-run", ""),
            ("/etc/runlevels/default/", ""),
            ("/etc/init.d/", ""),
        ],
        names: ("gentoo", "2.17", "gentoo", "gentoo"),
        product: "Gentoo Base System release 2.17",
        family: Family::Gentoo,
        init: Init::OpenRc,
        packages: ("ebuild", "portage"),
        sudo: Some("wheel"),
        hostname: &[
            ("/etc/hostname", "web1\n"),
            ("/etc/conf.d/hostname", "hostname=\"web1\"\n"),
        ],
        hash: "$6$",
        firstboot: "/etc/runlevels/default/guestfs-firstboot",
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Void\"\nID=\"void\"\nPRETTY_NAME=\"Void Linux\"\n",
            ),
            ("/etc/hostname", "void\n"),
            ("/etc/rc.local", "# Default rc.local for void\n"),
            ("/etc/rc.conf", "KEYMAP=de\nTIMEZONE=\"Europe/Berlin\"\n"),
            ("/etc/runit/runsvdir/default/", ""),
        ],
        names: ("void", "", "voidlinux", "voidlinux"),
        product: "Void Linux",
        family: Family::Void,
        init: Init::Unknown,
        packages: ("xbps", "xbps"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: "/etc/rc.local",
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"Flatcar Container Linux by Kinvolk\"\nID=flatcar\nID_LIKE=coreos\nVERSION_ID=3975.2.2\nPRETTY_NAME=\"Flatcar Container Linux by Kinvolk 3975.2.2 (Oklo)\"\n",
            ),
            SYSTEMD,
        ],
        names: ("flatcar", "3975.2.2", "flatcar", "flatcar3975.2"),
        product: "Flatcar Container Linux by Kinvolk 3975.2.2 (Oklo)",
        family: Family::Other,
        init: Init::Systemd,
        packages: ("unknown", "unknown"),
        sudo: None,
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            ("/etc/cirros/version", "0.6.2\n"),
            ("/etc/hostname", "cirros\n"),
            ("/etc/init.d/rcS", "#!/bin/sh\n"),
        ],
        names: ("cirros", "0.6.2", "cirros", "cirros0.6"),
        product: "0.6.2",
        family: Family::Other,
        init: Init::BusyBox,
        packages: ("unknown", "unknown"),
        sudo: None,
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: "/etc/init.d/S99guestfs-firstboot",
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=Buildroot\nVERSION=2024.02\nID=buildroot\nVERSION_ID=2024.02\nPRETTY_NAME=\"Buildroot 2024.02\"\n",
            ),
            ("/etc/hostname", "buildroot\n"),
            ("/etc/init.d/rcS", "#!/bin/sh\n"),
        ],
        names: ("buildroot", "2024.02", "buildroot", "buildroot2024.2"),
        product: "Buildroot 2024.02",
        family: Family::Other,
        init: Init::BusyBox,
        packages: ("unknown", "unknown"),
        sudo: None,
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: "/etc/init.d/S99guestfs-firstboot",
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "NAME=\"OpenWrt\"\nVERSION=\"23.05.3\"\nID=\"openwrt\"\nID_LIKE=\"lede openwrt\"\nPRETTY_NAME=\"OpenWrt 23.05.3\"\nVERSION_ID=\"23.05.3\"\nBUILD_ID=\"r23809\"\n",
            ),
            (
                "/etc/config/system",
                "config system\n\toption hostname 'OpenWrt'\n\toption timezone 'UTC'\n\nconfig timeserver 'ntp'\n",
            ),
            ("/etc/rc.local", "# put your commands here\n\nexit 0\n"),
        ],
        names: ("openwrt", "23.05.3", "openwrt", "openwrt23.5"),
        product: "OpenWrt 23.05.3",
        family: Family::Other,
        init: Init::Unknown,
        packages: ("ipkg", "opkg"),
        sudo: None,
        hostname: &[(
            "/etc/config/system",
            "config system\n\toption hostname 'web1'\n\toption timezone 'UTC'\n\nconfig timeserver 'ntp'\n",
        )],
        hash: "$6$",
        firstboot: "/etc/rc.local",
    },
    Release {
        files: &[
            ("/etc/slackware-version", "Slackware 15.0\n"),
            ("/etc/HOSTNAME", "old.lan\n"),
            ("/etc/rc.d/rc.local", "#!/bin/sh\n"),
            ("/etc/rc.local", "#!/bin/sh\n"),
        ],
        names: ("slackware", "15.0", "slackware", "slackware15.0"),
        product: "Slackware 15.0",
        family: Family::Other,
        init: Init::Unknown,
        packages: ("unknown", "unknown"),
        sudo: None,
        hostname: &[("/etc/HOSTNAME", "web1\n")],
        hash: "$6$",
        firstboot: "/etc/rc.local",
    },
    Release {
        files: &[
            ("/etc/altlinux-release", "ALT Server 10.2 (Mendelevium)\n"),
            ("/etc/hostname", "old\n"),
            SYSTEMD,
        ],
        names: ("altlinux", "10.2", "altlinux", "alt10.2"),
        product: "ALT Server 10.2 (Mendelevium)",
        family: Family::Other,
        init: Init::Systemd,
        packages: ("rpm", "apt"),
        sudo: None,
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
    Release {
        files: &[
            (
                "/etc/os-release",
                "ID=mageia\nVERSION_ID=9\nPRETTY_NAME=\"Mageia 9\"\nID_LIKE=\"mandriva fedora\"\n",
            ),
            SYSTEMD,
        ],
        names: ("mageia", "9", "mageia", "mageia9"),
        product: "Mageia 9",
        family: Family::RedHat,
        init: Init::Systemd,
        packages: ("rpm", "urpmi"),
        sudo: Some("wheel"),
        hostname: &[("/etc/hostname", "web1\n")],
        hash: "$6$",
        firstboot: WANTS,
    },
];

fn guest_of(files: &[(&str, &str)]) -> Guest {
    let tree = empty_tree();
    lay_out(&tree, COMMON);
    lay_out(&tree, files);
    Guest::of_tree(tree)
}

#[test]
fn each_is_recognised() {
    for release in RELEASES {
        let guest = guest_of(release.files);
        let found = guest.distribution();
        let (id, version, guestfs_name, osinfo) = release.names;
        let name = release.product;
        assert_eq!(
            (found.id.as_str(), found.version.as_str()),
            (id, version),
            "{name}"
        );
        assert_eq!(guest.system(), System::Linux, "{name}");
        assert_eq!(found.guestfs_name(), guestfs_name, "{name}");
        assert_eq!(guest.osinfo(), osinfo, "{name}");
        assert_eq!(found.product_name, release.product);
        assert_eq!(
            (found.family, guest.init()),
            (release.family, release.init),
            "{name}"
        );
        assert_eq!(
            (found.package_format(), guest.package_management()),
            release.packages,
            "{name}"
        );
        assert_eq!(guest.settings().sudo_group.as_deref(), release.sudo, "{name}");
    }
}

#[test]
fn each_takes_every_operation() {
    for release in RELEASES {
        let guest = guest_of(release.files);
        let name = release.product;
        apply(
            &guest,
            &[
                ("hostname", "web1"),
                ("timezone", "Asia/Tokyo"),
                ("root-password", "password:s3cret"),
                ("ssh-inject", "alice:string:ssh-ed25519 AAAA a@b"),
                ("firstboot-command", "echo hi"),
            ],
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        let tree = guest.tree();
        for (file, part) in release.hostname {
            assert!(
                text(tree, file).contains(part),
                "{name}: {file}: {}",
                text(tree, file)
            );
        }
        assert_eq!(guest.hostname().as_deref(), Some("web1"), "{name}");
        assert_eq!(
            guest.settings().time_zone.as_deref(),
            Some("Asia/Tokyo"),
            "{name}"
        );
        let field = password_field(tree, "/etc/shadow", "root");
        assert!(field.starts_with(release.hash), "{name}: {field}");
        assert_ne!(verifies("s3cret", &field), Some(false), "{name}");
        let keys = tree.metadata("/home/alice/.ssh/authorized_keys").unwrap();
        assert_eq!(
            (keys.uid, keys.gid, keys.permissions),
            (1000, 1000, 0o600),
            "{name}"
        );
        assert!(tree.is_file(release.firstboot), "{name}: {}", release.firstboot);
        if release.firstboot.ends_with("rc.local") {
            assert!(text(tree, release.firstboot).contains("firstboot.sh"), "{name}");
        }

        let mut random = SeededRandom::new(1);
        let mut context = Context::new(&mut random);
        sysprep(&guest, &default_operations(), &[], &mut context)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text(tree, "/etc/machine-id"), "", "{name}");
        for gone in [
            "/etc/ssh/ssh_host_rsa_key",
            "/root/.bash_history",
            "/var/log/wtmp",
        ] {
            assert!(!tree.exists(gone), "{name}: {gone}");
        }
    }
}

#[test]
fn what_does_not_last_is_said() {
    for (release, part) in [
        (
            "ID=nixos\nPRETTY_NAME=NixOS\nVERSION_ID=24.11\n",
            "NixOS makes /etc anew",
        ),
        ("ID=flatcar\nVERSION_ID=1.2.3\n", "/usr is read-only"),
        ("ID=opensuse-microos\n", "transactional-update"),
    ] {
        let guest = guest_of(&[("/etc/os-release", release), SYSTEMD]);
        let report = apply(&guest, &[("write", "/root/x:y")]).unwrap();
        assert!(
            report.warnings.iter().any(|w| w.contains(part)),
            "{part}: {:?}",
            report.warnings
        );
    }
    let guest = guest_of(&[("/ostree", "-> sysroot/ostree"), ("/sysroot/", "")]);
    assert!(guest.warnings()[0].contains("deployment of OSTree"));
}

#[test]
fn other_systems_are_told_by_their_files() {
    for (files, system, osinfo, hostname) in [
        (
            &[
                ("/etc/freebsd-update.conf", ""),
                (
                    "/etc/os-release",
                    "NAME=FreeBSD\nVERSION_ID=\"14.1\"\nID=freebsd\n",
                ),
                ("/etc/rc.conf", "hostname=\"old\"\nsshd_enable=\"YES\"\n"),
            ][..],
            System::FreeBsd,
            "freebsd14.1",
            ("/etc/rc.conf", "hostname=\"web1\"\nsshd_enable=\"YES\"\n"),
        ),
        (
            &[
                ("/netbsd", ""),
                ("/etc/release", "NetBSD 9.3/amd64\n"),
                ("/etc/rc.conf", "rc_configured=YES\n"),
            ],
            System::NetBsd,
            "netbsd9.3",
            ("/etc/rc.conf", "rc_configured=YES\nhostname=\"web1\"\n"),
        ),
        (
            &[
                ("/bsd", ""),
                ("/etc/motd", "OpenBSD 7.5 (GENERIC) #79\n"),
                ("/etc/myname", "old\n"),
            ],
            System::OpenBsd,
            "openbsd7.5",
            ("/etc/myname", "web1\n"),
        ),
    ] {
        let guest = guest_of(files);
        assert_eq!(guest.system(), system);
        assert_eq!(guest.osinfo(), osinfo);
        apply(&guest, &[("hostname", "web1")]).unwrap();
        assert_eq!(text(guest.tree(), hostname.0), hostname.1);
        assert_eq!(guest.hostname().as_deref(), Some("web1"));
    }
    let tree = empty_tree();
    lay_out(&tree, &[("/FDOS/FREEDOS.BSS", ""), ("/COMMAND.COM", "")]);
    let guest = Guest::of_tree(tree);
    assert_eq!(
        (guest.system(), guest.architecture()),
        (System::FreeDos, Some("i386"))
    );
    let tree = empty_tree();
    lay_out(
        &tree,
        &[
            ("/Windows/System32/config/SYSTEM", ""),
            ("/Windows/System32/cmd.exe", ""),
        ],
    );
    assert_eq!(Guest::of_tree(tree).system(), System::Windows);
}

#[test]
fn settings_are_read_wherever_they_are_kept() {
    let guest = guest_of(&[
        ("/etc/os-release", "ID=debian\n"),
        ("/etc/localtime", "-> /usr/share/zoneinfo/Asia/Tokyo"),
        ("/etc/default/locale", "#  comment\nLANG=\"de_DE.UTF-8\"\n"),
        ("/etc/default/keyboard", "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"de\"\n"),
        (
            "/etc/network/interfaces",
            "auto eth0\niface eth0 inet static\n  address 192.0.2.7/24\n  gateway 192.0.2.1\n  netmask 255.255.255.0\n# hwaddress 52:54:00:12:34:57\n  hwaddress ether 52:54:00:12:34:56\n",
        ),
        (
            "/etc/netplan/50-cloud-init.yaml",
            "network:\n  ethernets:\n    e0: {addresses: [\"2001:db8::7/64\"], match: {macaddress: '52:54:00:aa:bb:cc'}}\n",
        ),
        (
            "/etc/selinux/config",
            "SELINUX=permissive\nSELINUXTYPE=targeted\n",
        ),
    ]);
    let settings = guest.settings();
    assert_eq!(settings.time_zone.as_deref(), Some("Asia/Tokyo"));
    assert_eq!(settings.locale.as_deref(), Some("de_DE.UTF-8"));
    assert_eq!(settings.keyboard.layout.as_deref(), Some("de"));
    let json = serde_json::to_value(&settings).unwrap();
    assert_eq!(
        json["network"],
        serde_json::json!([
            {"system": "netplan", "path": "/etc/netplan/50-cloud-init.yaml", "hardware": ["52:54:00:aa:bb:cc"], "addresses": ["2001:db8::7/64"]},
            {"system": "ifupdown", "path": "/etc/network/interfaces", "hardware": ["52:54:00:12:34:56"], "addresses": ["192.0.2.7/24", "192.0.2.1"]},
        ])
    );
    assert_eq!(
        json["selinux"],
        serde_json::json!({"mode": "permissive", "policy": "targeted"})
    );
    let others: &[(&[(&str, &str)], &str, &str, &str)] = &[
        (
            &[
                ("/etc/locale.conf", "LANG=en_US.UTF-8\n"),
                ("/etc/vconsole.conf", "KEYMAP=\"us\"\n"),
                ("/etc/localtime", "-> ../usr/share/zoneinfo/Asia/Tokyo"),
            ],
            "en_US.UTF-8",
            "us",
            "Asia/Tokyo",
        ),
        (
            &[
                ("/etc/sysconfig/i18n", "LANG=\"fr_FR\"\n"),
                ("/etc/sysconfig/keyboard", "KEYTABLE=\"fr\"\n"),
                ("/etc/sysconfig/clock", "ZONE=\"Europe/Paris\"\n"),
            ],
            "fr_FR",
            "fr",
            "Europe/Paris",
        ),
        (
            &[
                ("/etc/env.d/02locale", "LANG=\"C.UTF8\"\n"),
                ("/etc/conf.d/keymaps", "keymap=\"de\"\n"),
                ("/etc/timezone", "Europe/Berlin\n"),
            ],
            "C.UTF8",
            "de",
            "Europe/Berlin",
        ),
    ];
    for (files, locale, console, zone) in others {
        let settings = guest_of(files).settings();
        assert_eq!(settings.locale.as_deref(), Some(*locale));
        assert_eq!(settings.keyboard.console.as_deref(), Some(*console));
        assert_eq!(settings.time_zone.as_deref(), Some(*zone));
    }
}
