//! `#cloud-config` documents: YAML, known keys of the right type, and the mistakes that people make most.
//!
//! Keys and types follow cloud-init's published schema (`schema-cloud-config-v1.json`) of versions 22.4 to 25.1, and what the
//! main configuration takes from user-data besides.

use crate::diagnostic::Findings;
use crate::schema::{self, Schema};
use crate::yaml::{self, Type, Yaml};

/// What the value of a key may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Any,
    List,
    Mapping,
    Text,
    Boolean,
}

use Expect::{Any, Boolean, List, Mapping, Text};

/// All top-level keys, sorted.
const KEYS: &[(&str, Expect)] = &[
    ("allow_public_ssh_keys", Boolean),
    ("ansible", Mapping),
    ("apk_repos", Mapping),
    ("apt", Mapping),
    ("apt_mirror", Any),
    ("apt_pipelining", Any),
    ("apt_reboot_if_required", Boolean),
    ("apt_sources", Any),
    ("apt_update", Boolean),
    ("apt_upgrade", Boolean),
    ("authkey_hash", Text),
    ("autoinstall", Mapping),
    ("bootcmd", List),
    ("byobu_by_default", Text),
    ("ca-certs", Mapping),
    ("ca_certs", Mapping),
    ("chef", Mapping),
    ("chpasswd", Mapping),
    ("cloud_config_modules", List),
    ("cloud_final_modules", List),
    ("cloud_init_modules", List),
    ("create_hostname_file", Boolean),
    ("datasource", Mapping),
    ("datasource_list", List),
    ("debug", Any),
    ("device_aliases", Mapping),
    ("disable_ec2_metadata", Boolean),
    ("disable_root", Boolean),
    ("disable_root_opts", Text),
    ("disk_setup", Mapping),
    ("drivers", Mapping),
    ("fan", Mapping),
    ("final_message", Text),
    ("fqdn", Text),
    ("fs_setup", List),
    ("groups", Any),
    ("growpart", Mapping),
    ("grub-dpkg", Mapping),
    ("grub_dpkg", Mapping),
    ("hostname", Text),
    ("keyboard", Mapping),
    ("landscape", Mapping),
    ("launch-index", Any),
    ("locale", Any),
    ("locale_configfile", Text),
    ("lxd", Mapping),
    ("manage_etc_hosts", Any),
    ("manage_resolv_conf", Boolean),
    ("mcollective", Mapping),
    ("merge_how", Any),
    ("merge_type", Any),
    ("migrate", Boolean),
    ("mount_default_fields", List),
    ("mounts", List),
    ("network", Any),
    ("no_ssh_fingerprints", Boolean),
    ("ntp", Any),
    ("output", Any),
    ("package_reboot_if_required", Boolean),
    ("package_update", Boolean),
    ("package_upgrade", Boolean),
    ("packages", List),
    ("password", Text),
    ("phone_home", Mapping),
    ("power_state", Mapping),
    ("prefer_fqdn_over_hostname", Boolean),
    ("preserve_hostname", Boolean),
    ("puppet", Mapping),
    ("random_seed", Mapping),
    ("reporting", Mapping),
    ("resize_rootfs", Any),
    ("resolv_conf", Mapping),
    ("rh_subscription", Mapping),
    ("rpi", Mapping),
    ("rsyslog", Any),
    ("runcmd", List),
    ("salt_minion", Mapping),
    ("snap", Mapping),
    ("spacewalk", Mapping),
    ("ssh", Mapping),
    ("ssh_authorized_keys", List),
    ("ssh_deletekeys", Boolean),
    ("ssh_fp_console_blacklist", List),
    ("ssh_genkeytypes", List),
    ("ssh_import_id", List),
    ("ssh_key_console_blacklist", List),
    ("ssh_keys", Mapping),
    ("ssh_publish_hostkeys", Mapping),
    ("ssh_pwauth", Any),
    ("ssh_quiet_keygen", Boolean),
    ("swap", Mapping),
    ("system_info", Mapping),
    ("timezone", Text),
    ("ubuntu_advantage", Mapping),
    ("ubuntu_pro", Mapping),
    ("updates", Mapping),
    ("user", Any),
    ("users", Any),
    ("vendor_data", Mapping),
    ("wireguard", Any),
    ("write_files", List),
    ("yum_repo_dir", Text),
    ("yum_repos", Mapping),
    ("zypper", Mapping),
];

/// Keys of a user.
const USER_KEYS: &[&str] = &[
    "create_groups",
    "doas",
    "expiredate",
    "gecos",
    "groups",
    "hashed_passwd",
    "homedir",
    "inactive",
    "lock-passwd",
    "lock_passwd",
    "name",
    "no_create_home",
    "no_log_init",
    "no_user_group",
    "passwd",
    "plain_text_passwd",
    "primary_group",
    "primary-group",
    "selinux_user",
    "selinux-user",
    "shell",
    "snapuser",
    "ssh_authorized_keys",
    "ssh-authorized-keys",
    "ssh_import_id",
    "ssh-import-id",
    "ssh_redirect_user",
    "sudo",
    "system",
    "uid",
];

/// Keys of a file to write.
const FILE_KEYS: &[&str] = &[
    "append",
    "content",
    "defer",
    "encoding",
    "owner",
    "path",
    "permissions",
    "source",
];

/// Checks a document; its header was looked at before.
pub(crate) fn check(text: &str, findings: &mut Findings) {
    let Ok(root) = yaml::parse(text, findings) else {
        return;
    };
    let Some(root) = root else {
        findings.note(
            "empty",
            (1, 1),
            "the document says nothing; cloud-init has nothing to do",
        );
        return;
    };
    if root.value_type() != Type::Mapping {
        let message = format!(
            "a #cloud-config is a mapping of keys, and this is {}; cloud-init would ignore the document",
            root.value_type().name()
        );
        findings.error(
            "not-a-mapping",
            root.at,
            message,
            "write \"key: value\" lines".to_string(),
        );
        return;
    }
    for (key, value) in root.entries() {
        let Some(name) = key.text().filter(|n| *n != "<<") else {
            continue;
        };
        match KEYS.iter().find(|(known, _)| *known == name) {
            Some((_, expect)) => check_type(name, *expect, value, findings),
            None => unknown_key(name, key, KEYS.iter().map(|(k, _)| *k), "", findings),
        }
    }
    for list in ["runcmd", "bootcmd"] {
        if let Some(commands) = root.get(list) {
            check_commands(list, commands, findings);
        }
    }
    if let Some(users) = root.entry("users") {
        check_users(users, findings);
    }
    if let Some(files) = root.get("write_files") {
        check_files(files, findings);
    }
    check_words(&root, findings);
    check_passwords(&root, findings);
    if let Some((key, _)) = root.entry("network") {
        findings.warning(
            "network-in-user-data",
            key.at,
            "cloud-init takes no network configuration from user-data",
            "put it in the file network-config".to_string(),
        );
    }
    schema::check(Schema::CloudConfig, &root, &[], findings);
}

/// Warns of a key that is not in a list.
pub(crate) fn unknown_key<'a>(
    name: &str,
    key: &Yaml,
    known: impl IntoIterator<Item = &'a str>,
    place: &str,
    findings: &mut Findings,
) {
    let fix = findings
        .suggestion(name, known)
        .map(|near| format!("did you mean {near}?"));
    findings.warning(
        "unknown-key",
        key.at,
        format!("cloud-init knows no key {name:?}{place}"),
        fix,
    );
}

fn check_type(name: &str, expect: Expect, value: &Yaml, findings: &mut Findings) {
    let found = value.value_type();
    let (wanted, fits) = match expect {
        Any => return,
        List => ("a list", found == Type::Sequence),
        Mapping => ("a mapping", found == Type::Mapping),
        Boolean => ("true or false", found == Type::Boolean),
        Text => (
            "a text",
            !matches!(found, Type::Sequence | Type::Mapping | Type::Null),
        ),
    };
    if fits || found == Type::Unknown {
        return;
    }
    if found == Type::Null {
        let message = format!("the key {name:?} has no value");
        let fix =
            matches!(expect, List | Mapping).then(|| "indent what follows, or delete the key".to_string());
        findings.warning("value-missing", value.at, message, fix);
        return;
    }
    // Booleans in quotes and lists given as one text are taken by many versions.
    if expect == Boolean && found == Type::Text {
        let message = format!("the value of {name:?} should be true or false without quotes");
        findings.warning("wrong-type", value.at, message, None);
        return;
    }
    let fix =
        (expect == List).then(|| format!("write {name}: and each item on a line of its own after \"- \""));
    let message = format!(
        "the value of {name:?} should be {wanted}, and this is {}",
        found.name()
    );
    findings.error("wrong-type", value.at, message, fix);
}

fn check_commands(list: &str, commands: &Yaml, findings: &mut Findings) {
    for item in commands.items() {
        match item.value_type() {
            Type::Mapping => findings.error(
                "command-mapping",
                item.at,
                format!("this command of {list} is a mapping to YAML, for it holds \": \"; cloud-init would run none of the list"),
                "put the command in quotes".to_string(),
            ),
            Type::Null => findings.warning("command-empty", item.at, format!("an empty command in {list}"), None),
            Type::Sequence => {
                for word in item.items() {
                    if matches!(word.value_type(), Type::Mapping | Type::Sequence) {
                        findings.error(
                            "command-mapping",
                            word.at,
                            format!("a word of this command of {list} is {}", word.value_type().name()),
                            "put it in quotes".to_string(),
                        );
                    }
                }
            }
            _ => {}
        }
    }
}

fn check_users((key, users): &(Yaml, Yaml), findings: &mut Findings) {
    if users.value_type() != Type::Sequence {
        return;
    }
    let names_default = |user: &Yaml| {
        user.text() == Some("default") || user.get("name").and_then(Yaml::text) == Some("default")
    };
    if !users.items().is_empty() && !users.items().iter().any(names_default) {
        findings.note(
            "users-without-default",
            key.at,
            "the image's default user is not created, for the list has no item \"default\"",
        );
    }
    for user in users.items() {
        if user.value_type() != Type::Mapping {
            if user.value_type() == Type::Null {
                findings.warning("user-empty", user.at, "an empty item in users", None);
            }
            continue;
        }
        for (key, _) in user.entries() {
            if let Some(name) = key.text().filter(|n| *n != "<<" && !USER_KEYS.contains(n)) {
                unknown_key(name, key, USER_KEYS.iter().copied(), " of a user", findings);
            }
        }
        if user.get("name").is_none() && user.get("snapuser").is_none() && user.get("<<").is_none() {
            findings.error(
                "user-without-name",
                user.at,
                "a user without a name",
                "add a key name".to_string(),
            );
        }
        if let Some(name) = user.get("name") {
            check_user_name(name, findings);
        }
        if let Some((key, _)) = user.entry("plain_text_passwd") {
            plain_password(key, findings);
        }
        if let Some((_, value)) = user.entry("passwd") {
            check_hash(value, "passwd", findings);
        }
        let locked = user.get("lock_passwd").or_else(|| user.get("lock-passwd"));
        let password = ["passwd", "plain_text_passwd", "hashed_passwd"]
            .iter()
            .find_map(|k| user.entry(k));
        if let Some((key, _)) = password.filter(|_| locked.is_none_or(Yaml::is_true)) {
            findings.warning(
                "password-locked",
                key.at,
                "the user has a password but cannot log in with it, for lock_passwd is true unless said otherwise",
                "add lock_passwd: false".to_string(),
            );
        }
        if let Some(keys) = user
            .get("ssh_authorized_keys")
            .or_else(|| user.get("ssh-authorized-keys"))
            && keys.value_type() == Type::Text
        {
            let message = "ssh_authorized_keys is a list, and this is a text";
            findings.warning(
                "wrong-type",
                keys.at,
                message,
                "write the key on a line of its own after \"- \"".to_string(),
            );
        }
    }
}

/// What useradd refuses: the user would not be there, and nobody could log in.
fn check_user_name(name: &Yaml, findings: &mut Findings) {
    let text = match name.value_type() {
        Type::Null => "",
        Type::Sequence | Type::Mapping | Type::Unknown => return,
        _ => name.text().unwrap_or(""),
    };
    let reason = if text.is_empty() {
        "is empty"
    } else if text.chars().count() > 32 {
        "is longer than 32 characters"
    } else if text.starts_with('-') {
        "begins with a hyphen"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "holds white space"
    } else if let Some(wrong) = text.chars().find(|c| ":,/\\\"'`$!*?<>|;&()[]{}#%=".contains(*c)) {
        // a $ at the end is how Samba calls machines
        if wrong == '$' && text.strip_suffix('$').is_some_and(|rest| !rest.contains('$')) {
            return;
        }
        "holds a character that no user name can have"
    } else {
        return;
    };
    let message = format!("the user name {text:?} {reason}; the guest would not make this user");
    findings.error("user-name", name.at, message, None);
}

/// Texts that the guest puts into names of files and arguments of programs.
fn check_words(root: &Yaml, findings: &mut Findings) {
    for (name, what) in [("timezone", "zone"), ("locale", "locale")] {
        let Some(value) = root.get(name).filter(|v| v.value_type() == Type::Text) else {
            continue;
        };
        let text = value.text().unwrap_or("");
        let strange = |c: char| c.is_whitespace() || c.is_control();
        let leads_away = name == "timezone" && (text.starts_with('/') || text.split('/').any(|p| p == ".."));
        if text.is_empty() || text.contains(strange) || leads_away {
            findings.error(name, value.at, format!("{text:?} is no {what}"), None);
        }
    }
    for item in root.get("packages").map_or(&[][..], Yaml::items) {
        let text = item.text().filter(|_| item.value_type() == Type::Text);
        if text.is_some_and(|text| text.trim().is_empty() || text.starts_with('-')) {
            let message = format!("{:?} is no package", text.unwrap_or(""));
            findings.error("package-name", item.at, message, None);
        }
    }
}

fn check_files(files: &Yaml, findings: &mut Findings) {
    for file in files.items() {
        if file.value_type() != Type::Mapping {
            if file.value_type() != Type::Unknown {
                let message = format!(
                    "a file to write is a mapping, and this is {}",
                    file.value_type().name()
                );
                findings.error("file-item", file.at, message, None);
            }
            continue;
        }
        for (key, _) in file.entries() {
            if let Some(name) = key.text().filter(|n| *n != "<<" && !FILE_KEYS.contains(n)) {
                unknown_key(
                    name,
                    key,
                    FILE_KEYS.iter().copied(),
                    " of a file to write",
                    findings,
                );
            }
        }
        match file.get("path") {
            None if file.get("<<").is_none() => {
                findings.error(
                    "file-without-path",
                    file.at,
                    "a file to write has no path",
                    "add a key path".to_string(),
                );
            }
            Some(path) if path.text().is_some_and(|p| !p.starts_with('/')) => {
                findings.warning("file-path", path.at, "the path is not absolute", None);
            }
            _ => {}
        }
        if let Some(mode) = file.get("permissions") {
            let text = mode.text().unwrap_or("");
            if mode.value_type() == Type::Integer && !text.starts_with('0') {
                findings.error(
                    "file-permissions",
                    mode.at,
                    format!("{text} without quotes or a 0 before it is a decimal number to YAML, not a mode"),
                    format!("write '0{text}'"),
                );
            }
        }
    }
}

fn check_passwords(root: &Yaml, findings: &mut Findings) {
    if let Some((key, value)) = root.entry("password") {
        check_set_password(key, value.text().unwrap_or(""), findings);
    }
    let Some((key, list)) = root.get("chpasswd").and_then(|c| c.entry("list")) else {
        return;
    };
    let lines: Vec<&str> = match list.value_type() {
        Type::Sequence => list.items().iter().filter_map(Yaml::text).collect(),
        _ => list.text().unwrap_or("").lines().collect(),
    };
    let before = findings.list.len();
    for password in lines
        .iter()
        .filter_map(|l| l.trim().split_once(':'))
        .map(|(_, password)| password)
    {
        // One finding for the list is enough.
        if findings.list.len() == before {
            check_set_password(key, password, findings);
        }
    }
}

/// A password of `password` or `chpasswd`, which takes hashes of some schemes (`cc_set_passwords.py`) and anything else as plain
/// text.
fn check_set_password(key: &Yaml, password: &str, findings: &mut Findings) {
    let known = ["$1$", "$2a$", "$2y$", "$5$", "$6$"];
    if known.iter().any(|scheme| password.starts_with(scheme)) || matches!(password, "" | "R" | "RANDOM") {
        return;
    }
    if password.starts_with("$y$") || password.starts_with("$7$") || password.starts_with("$gy$") {
        findings.error(
            "password-scheme",
            key.at,
            "cloud-init knows no yescrypt hashes here, and would make the text of the hash the password",
            "give a hash of the scheme $6$, or put it in users: as hashed_passwd".to_string(),
        );
    } else {
        plain_password(key, findings);
    }
}

fn plain_password(key: &Yaml, findings: &mut Findings) {
    findings.warning(
        "plain-text-password",
        key.at,
        "the password can be read by everybody who can read the seed, and in the guest from the log and /var/lib/cloud",
        "give a hash, made by mkpasswd -m sha-512 or openssl passwd -6".to_string(),
    );
}

fn check_hash(value: &Yaml, key: &str, findings: &mut Findings) {
    let Some(text) = value.text().filter(|t| !t.is_empty()) else {
        return;
    };
    if !text.starts_with(['$', '!', '*', '_']) {
        findings.error(
            "password-not-hashed",
            value.at,
            format!("{key} takes a hash; with a plain password nobody can log in"),
            "give a hash, made by mkpasswd -m sha-512 or openssl passwd -6".to_string(),
        );
    }
}
