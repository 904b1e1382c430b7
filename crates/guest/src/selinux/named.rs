//! Names that a policy has types for: the reference policy, and Fedora's made of it (policy/modules/system/*.fc).

/// What the names of a row are compared by.
enum Names {
    Are(&'static [&'static str]),
    /// They begin and end so.
    Between(&'static str, &'static str),
    /// Every name.
    All,
}

/// (type of the directory, names in it, their type)
const ROWS: &[(&str, Names, &str)] = &[
    (
        "etc_t",
        Names::Are(&["shadow", "shadow-", "gshadow", "gshadow-", "shadow+", "gshadow+"]),
        "shadow_t",
    ),
    (
        "etc_t",
        Names::Are(&["passwd", "passwd-", "group", "group-", "subuid", "subgid"]),
        "passwd_file_t",
    ),
    (
        "etc_t",
        Names::Are(&["hostname", "machine-info"]),
        "hostname_etc_t",
    ),
    ("etc_t", Names::Are(&["machine-id"]), "machineid_t"),
    (
        "etc_t",
        Names::Are(&["localtime", "timezone", "locale.conf", "vconsole.conf"]),
        "locale_t",
    ),
    (
        "etc_t",
        Names::Are(&["resolv.conf", "hosts", "hosts.allow", "hosts.deny"]),
        "net_conf_t",
    ),
    ("etc_t", Names::Are(&["adjtime"]), "adjtime_t"),
    ("etc_t", Names::Between("ssh_host_", "_key"), "sshd_key_t"),
    ("etc_t", Names::Between("ssh_host_", "_key.pub"), "sshd_key_t"),
    ("root_t", Names::Are(&[".autorelabel"]), "etc_runtime_t"),
    ("systemd_unit_file_t", Names::All, "systemd_unit_file_t"),
    ("user_home_t", Names::All, "user_home_t"),
    ("admin_home_t", Names::All, "admin_home_t"),
    ("tmp_t", Names::All, "tmp_t"),
    ("bin_t", Names::All, "bin_t"),
    ("usr_t", Names::All, "usr_t"),
];

/// The type that a name in a directory of some type has; `None` where it is not known for sure.
pub(super) fn type_of(directory: &[u8], name: &[u8]) -> Option<&'static [u8]> {
    let name = std::str::from_utf8(name).ok()?;
    ROWS.iter().find_map(|(of, names, own)| {
        let fits = match names {
            Names::Are(names) => names.contains(&name),
            Names::Between(start, end) => {
                name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
            }
            // A home's own subdirectories have types of many programs.
            Names::All => !name.starts_with('.'),
        };
        (of.as_bytes() == directory && fits).then_some(own.as_bytes())
    })
}
