//! Every distribution: where it keeps the host name, the time zone, passwords, and what starts first-boot scripts.

use crate::judge::{apply, empty_tree, lay_out, password_field, text, verifies};
use disksmith_guest::{Family, Guest, Init};

struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    family: Family,
    init: Init,
    /// Files and what they hold after the host name became web1.example.com.
    hostname: &'static [(&'static str, &'static str)],
    /// How a password's hash begins.
    hash: &'static str,
    /// Target of `/etc/localtime`.
    localtime: &'static str,
    /// Further files after the time zone was set.
    timezone: &'static [(&'static str, &'static str)],
    /// A link that makes the init start first-boot scripts.
    firstboot: (&'static str, &'static str),
}

const SYSTEMD: (&str, &str) = (
    "/etc/systemd/system/multi-user.target.wants/guestfs-firstboot.service",
    "/usr/lib/systemd/system/guestfs-firstboot.service",
);

/// What all have.
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
    ("/usr/share/zoneinfo/Asia/Shanghai", "TZif"),
    ("/usr/share/zoneinfo/UTC", "TZif"),
];

const CASES: &[Case] = &[
    Case {
        name: "Debian 12",
        files: &[
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            (
                "/usr/lib/os-release",
                "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
            ),
            ("/etc/debian_version", "12.7\n"),
            ("/etc/hostname", "old\n"),
            ("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\told.lan\told\n"),
            ("/etc/timezone", "Etc/UTC\n"),
            ("/etc/localtime", "-> /usr/share/zoneinfo/UTC"),
            ("/etc/login.defs", "ENCRYPT_METHOD SHA512\n"),
            (
                "/etc/pam.d/common-password",
                "password [success=1 default=ignore] pam_unix.so obscure yescrypt\n",
            ),
            ("/lib", "-> usr/lib"),
            ("/usr/lib/systemd/systemd", ""),
            ("/usr/sbin/init", "-> /lib/systemd/systemd"),
            ("/sbin", "-> usr/sbin"),
        ],
        family: Family::Debian,
        init: Init::Systemd,
        hostname: &[
            ("/etc/hostname", "web1.example.com\n"),
            (
                "/etc/hosts",
                "127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.com\tweb1\n",
            ),
        ],
        hash: "$y$j9T$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[("/etc/timezone", "Asia/Shanghai\n")],
        firstboot: SYSTEMD,
    },
    Case {
        name: "Ubuntu 18.04",
        files: &[
            (
                "/etc/os-release",
                "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"18.04\"\n",
            ),
            ("/etc/hostname", "old.example.org\n"),
            ("/etc/hosts", "127.0.1.1 old.example.org old # this\n"),
            ("/etc/login.defs", "ENCRYPT_METHOD SHA512\n"),
            ("/lib/systemd/systemd", ""),
            ("/sbin/init", "-> /lib/systemd/systemd"),
        ],
        family: Family::Debian,
        init: Init::Systemd,
        hostname: &[
            ("/etc/hostname", "web1.example.com\n"),
            ("/etc/hosts", "127.0.1.1 web1.example.com web1 # this\n"),
        ],
        hash: "$6$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[("/etc/timezone", "Asia/Shanghai\n")],
        firstboot: SYSTEMD,
    },
    Case {
        name: "Rocky 9",
        files: &[
            (
                "/etc/os-release",
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n",
            ),
            ("/etc/hostname", "localhost.localdomain\n"),
            ("/etc/hosts", "127.0.0.1 localhost localhost.localdomain\n"),
            (
                "/etc/machine-info",
                "CHASSIS=vm\nPRETTY_HOSTNAME=\"The old one\"\n",
            ),
            ("/etc/localtime", "-> ../usr/share/zoneinfo/UTC"),
            ("/etc/login.defs", "ENCRYPT_METHOD SHA512\n"),
            (
                "/etc/pam.d/system-auth",
                "password    sufficient    pam_unix.so sha512 shadow nullok use_authtok\n",
            ),
            ("/usr/lib/systemd/systemd", ""),
            ("/usr/sbin/init", "-> ../lib/systemd/systemd"),
        ],
        family: Family::RedHat,
        init: Init::Systemd,
        hostname: &[
            ("/etc/hostname", "web1.example.com\n"),
            ("/etc/hosts", "127.0.0.1 localhost localhost.localdomain\n"),
            (
                "/etc/machine-info",
                "CHASSIS=vm\nPRETTY_HOSTNAME=\"web1.example.com\"\n",
            ),
        ],
        hash: "$6$",
        localtime: "../usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: SYSTEMD,
    },
    Case {
        name: "Fedora 41",
        files: &[
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/usr/lib/os-release", "ID=fedora\nVERSION_ID=41\n"),
            (
                "/etc/pam.d/system-auth",
                "password    sufficient    pam_unix.so yescrypt shadow nullok use_authtok\n",
            ),
            ("/usr/lib/systemd/systemd", ""),
        ],
        family: Family::RedHat,
        init: Init::Systemd,
        hostname: &[("/etc/hostname", "web1.example.com\n")],
        hash: "$y$j9T$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: SYSTEMD,
    },
    Case {
        name: "CentOS 6",
        files: &[
            ("/etc/redhat-release", "CentOS release 6.10 (Final)\n"),
            ("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\n"),
            ("/etc/sysconfig/clock", "ZONE=\"UTC\"\n"),
            ("/etc/hosts", "127.0.0.1 old localhost\n"),
            ("/etc/localtime", "TZif copy"),
            (
                "/etc/pam.d/system-auth",
                "password    sufficient    pam_unix.so md5 shadow nullok\n",
            ),
            ("/etc/rc.d/init.d/", ""),
            ("/etc/rc.d/rc3.d/", ""),
            ("/etc/init.d", "-> rc.d/init.d"),
        ],
        family: Family::RedHat,
        init: Init::SysvRedHat,
        hostname: &[
            (
                "/etc/sysconfig/network",
                "NETWORKING=yes\nHOSTNAME=web1.example.com\n",
            ),
            ("/etc/hosts", "127.0.0.1 web1.example.com web1 localhost\n"),
        ],
        hash: "$6$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[("/etc/sysconfig/clock", "ZONE=\"Asia/Shanghai\"\n")],
        firstboot: (
            "/etc/rc.d/rc3.d/S99guestfs-firstboot",
            "../init.d/guestfs-firstboot",
        ),
    },
    Case {
        name: "openSUSE Leap 15.6",
        files: &[
            (
                "/usr/lib/os-release",
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n",
            ),
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/etc/hostname", "old\n"),
            ("/etc/HOSTNAME", "-> hostname"),
            ("/etc/login.defs", "ENCRYPT_METHOD SHA512\n"),
            ("/usr/lib/systemd/systemd", ""),
        ],
        family: Family::Suse,
        init: Init::Systemd,
        hostname: &[
            ("/etc/hostname", "web1.example.com\n"),
            ("/etc/HOSTNAME", "web1.example.com\n"),
        ],
        hash: "$6$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: SYSTEMD,
    },
    Case {
        name: "openSUSE Tumbleweed",
        files: &[
            (
                "/usr/lib/os-release",
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\nVERSION_ID=\"20250101\"\n",
            ),
            ("/usr/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n"),
            ("/usr/lib/systemd/systemd", ""),
        ],
        family: Family::Suse,
        init: Init::Systemd,
        hostname: &[("/etc/hostname", "web1.example.com\n")],
        hash: "$y$j9T$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: SYSTEMD,
    },
    Case {
        name: "SLES 11",
        files: &[
            (
                "/etc/SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
            ),
            ("/etc/HOSTNAME", "old\n"),
            ("/etc/init.d/", ""),
            ("/etc/rc3.d/", ""),
        ],
        family: Family::Suse,
        init: Init::SysvDebian,
        hostname: &[("/etc/HOSTNAME", "web1.example.com\n")],
        hash: "$6$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: ("/etc/rc3.d/S99guestfs-firstboot", "../init.d/guestfs-firstboot"),
    },
    Case {
        name: "Alpine 3.20",
        files: &[
            (
                "/etc/os-release",
                "ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n",
            ),
            ("/etc/alpine-release", "3.20.3\n"),
            ("/etc/hostname", "localhost\n"),
            ("/etc/hosts", "127.0.0.1\tlocalhost localhost.localdomain\n"),
            ("/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n"),
            ("/sbin/openrc-run", ""),
            ("/etc/runlevels/default/", ""),
            ("/etc/init.d/", ""),
        ],
        family: Family::Alpine,
        init: Init::OpenRc,
        hostname: &[
            ("/etc/hostname", "web1.example.com\n"),
            ("/etc/hosts", "127.0.0.1\tlocalhost localhost.localdomain\n"),
        ],
        hash: "$6$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: (
            "/etc/runlevels/default/guestfs-firstboot",
            "/etc/init.d/guestfs-firstboot",
        ),
    },
    Case {
        name: "Arch",
        files: &[
            ("/usr/lib/os-release", "ID=arch\nBUILD_ID=rolling\n"),
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n"),
            ("/usr/lib/systemd/systemd", ""),
            ("/usr/bin/init", "-> ../lib/systemd/systemd"),
            ("/usr/sbin", "-> bin"),
            ("/sbin", "-> usr/bin"),
        ],
        family: Family::Arch,
        init: Init::Systemd,
        hostname: &[("/etc/hostname", "web1.example.com\n")],
        hash: "$y$j9T$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[],
        firstboot: SYSTEMD,
    },
    Case {
        name: "Gentoo with OpenRC",
        files: &[
            ("/etc/os-release", "ID=gentoo\n"),
            ("/etc/conf.d/hostname", "# Set it here\nhostname=\"old\"\n"),
            ("/etc/timezone", "UTC\n"),
            ("/sbin/openrc-run", ""),
            ("/etc/runlevels/default/", ""),
            ("/etc/init.d/", ""),
        ],
        family: Family::Gentoo,
        init: Init::OpenRc,
        hostname: &[
            ("/etc/hostname", "web1.example.com\n"),
            (
                "/etc/conf.d/hostname",
                "# Set it here\nhostname=\"web1.example.com\"\n",
            ),
        ],
        hash: "$6$",
        localtime: "/usr/share/zoneinfo/Asia/Shanghai",
        timezone: &[("/etc/timezone", "Asia/Shanghai\n")],
        firstboot: (
            "/etc/runlevels/default/guestfs-firstboot",
            "/etc/init.d/guestfs-firstboot",
        ),
    },
];

#[test]
fn each_is_edited_in_its_own_way() {
    for case in CASES {
        let tree = empty_tree();
        lay_out(&tree, COMMON);
        lay_out(&tree, case.files);
        tree.set_permissions("/etc/shadow", 0o640).unwrap();
        let guest = Guest::of_tree(tree);
        assert_eq!(guest.distribution().family, case.family, "{}", case.name);
        assert_eq!(guest.init(), case.init, "{}", case.name);
        apply(
            &guest,
            &[
                ("hostname", "web1.example.com"),
                ("timezone", "Asia/Shanghai"),
                ("root-password", "password:s3cret"),
                ("password", "alice:disabled"),
                ("firstboot-command", "echo hi"),
            ],
        )
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let tree = guest.tree();
        for (path, contents) in case.hostname.iter().chain(case.timezone) {
            assert_eq!(text(tree, path), *contents, "{} {path}", case.name);
        }
        assert_eq!(
            tree.read_link("/etc/localtime").unwrap(),
            case.localtime.as_bytes(),
            "{}",
            case.name
        );
        let field = password_field(tree, "/etc/shadow", "root");
        assert!(field.starts_with(case.hash), "{}: {field}", case.name);
        assert_ne!(verifies("s3cret", &field), Some(false), "{}", case.name);
        assert_eq!(password_field(tree, "/etc/shadow", "alice"), "*");
        assert!(text(tree, "/etc/shadow").contains("alice:*:19000:0:99999:7:::\n"));
        assert_eq!(tree.metadata("/etc/shadow").unwrap().permissions, 0o640);
        let (link, target) = case.firstboot;
        assert_eq!(tree.read_link(link).unwrap(), target.as_bytes(), "{}", case.name);
        assert!(tree.is_file(link), "{}: {link} leads nowhere", case.name);
        assert_eq!(
            text(tree, "/usr/lib/virt-sysprep/scripts/5000-0001-echo-hi"),
            "#!/bin/sh\necho hi\n"
        );
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let tree = empty_tree();
    lay_out(&tree, COMMON);
    lay_out(
        &tree,
        &[("/etc/os-release", "ID=strange\nPRETTY_NAME=\"Strange OS\"\n")],
    );
    let guest = Guest::of_tree(tree);
    for (option, argument, part) in [
        (
            "hostname",
            "x",
            "setting the host name of Strange OS is not supported",
        ),
        (
            "firstboot-command",
            "x",
            "first boot of this guest is not supported",
        ),
        (
            "firstboot-install",
            "x",
            "installing packages on Strange OS is not supported",
        ),
    ] {
        let error = apply(&guest, &[(option, argument)]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    // But what is the same everywhere works.
    apply(&guest, &[("root-password", "password:x"), ("timezone", "UTC")]).unwrap();
    assert!(password_field(guest.tree(), "/etc/shadow", "root").starts_with("$6$"));
    let tree = empty_tree();
    lay_out(
        &tree,
        &[("/etc/os-release", "ID=nixos\n"), ("/etc/hostname", "x\n")],
    );
    let error = apply(&Guest::of_tree(tree), &[("hostname", "y")]).unwrap_err();
    assert!(error.to_string().contains("NixOS"), "{error}");
}
