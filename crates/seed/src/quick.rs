//! Documents for the common case, from a handful of settings.

use crate::document::Document;
use crate::meta_data::quoted;
use crate::transfer_encoding::base64;
use std::net::IpAddr;

/// A user to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuickUser {
    /// Login name; `root` and the name of the image's default user are taken too.
    pub name: String,
    /// Public keys, one line each.
    pub ssh_keys: Vec<String>,
    /// A hash as `/etc/shadow` holds it; `None` leaves the password locked.
    pub password_hash: Option<String>,
    /// Whether the user may do everything by sudo without a password.
    pub sudo: bool,
    /// Further groups.
    pub groups: Vec<String>,
    /// Login shell; `None` is the image's default.
    pub shell: Option<String>,
}

/// A file to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuickFile {
    /// Where; an absolute path.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode: `0644`.
    pub permissions: Option<String>,
    /// Its owner: `root:root`.
    pub owner: Option<String>,
}

/// A fixed address for one network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticNetwork {
    /// The device: a name or a pattern such as `en*`, or a MAC address.
    pub device: DeviceMatch,
    /// Addresses with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default gateways, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub nameservers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
}

/// How a network device is found in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceMatch {
    /// By its name or a pattern.
    Name(String),
    /// By its MAC address.
    Mac(String),
}

/// What most machines need, without any YAML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quick {
    /// Host name.
    pub hostname: Option<String>,
    /// Fully qualified name.
    pub fqdn: Option<String>,
    /// Time zone, such as `Europe/Berlin`.
    pub timezone: Option<String>,
    /// Locale, such as `de_DE.UTF-8`.
    pub locale: Option<String>,
    /// Users to create besides the image's default user.
    pub users: Vec<QuickUser>,
    /// Whether the image's default user is not created.
    pub no_default_user: bool,
    /// Public keys of the image's default user.
    pub ssh_keys: Vec<String>,
    /// Password hash of the image's default user, of a scheme that cloud-init knows at this place: `$5$` or `$6$`, no yescrypt.
    pub password_hash: Option<String>,
    /// Password hash of root; for keys of root's too put a user `root` in `users` instead.
    pub root_password_hash: Option<String>,
    /// Whether root must give itself a new password at its first login. Then its hash must be of a scheme that cloud-init knows
    /// at this place: `$5$` or `$6$`.
    pub root_password_expires: bool,
    /// Whether root cannot log in by password.
    pub lock_root_password: bool,
    /// Public keys of root's.
    pub root_ssh_keys: Vec<String>,
    /// Files to write.
    pub files: Vec<QuickFile>,
    /// Whether cloud-init shall do nothing from the second start on.
    pub disable_cloud_init: bool,
    /// Packages to install; the lists of packages are updated before.
    pub packages: Vec<String>,
    /// Whether all packages are upgraded.
    pub package_upgrade: bool,
    /// Commands for a shell, run once at the end of the first boot.
    pub run: Vec<String>,
    /// A fixed address; `None` leaves the network as the image has it.
    pub network: Option<StaticNetwork>,
}

impl Quick {
    /// The `#cloud-config` document.
    pub fn user_data(&self) -> Document {
        let mut out = String::from("#cloud-config\n");
        for (key, value) in [
            ("hostname", &self.hostname),
            ("fqdn", &self.fqdn),
            ("timezone", &self.timezone),
            ("locale", &self.locale),
        ] {
            if let Some(value) = value {
                line(&mut out, 0, key, value);
            }
        }
        self.users(&mut out);
        list(&mut out, 0, "ssh_authorized_keys", &self.ssh_keys);
        if let Some(hash) = &self.password_hash {
            line(&mut out, 0, "password", hash);
        }
        let expiring = self
            .root_password_hash
            .as_ref()
            .filter(|_| self.root_password_expires);
        if let Some(hash) = expiring {
            out.push_str("chpasswd:\n  expire: true\n");
            list(&mut out, 2, "list", &[format!("root:{hash}")]);
        } else if self.password_hash.is_some() {
            out.push_str("chpasswd:\n  expire: false\n");
        }
        let by_password = self.password_hash.is_some()
            || self.root_password_hash.is_some()
            || self.users.iter().any(|u| u.password_hash.is_some());
        if by_password {
            out.push_str("ssh_pwauth: true\n");
        }
        let root_logs_in = self.root_password_hash.is_some()
            || !self.root_ssh_keys.is_empty()
            || self.users.iter().any(|u| u.name == "root");
        if root_logs_in {
            out.push_str("disable_root: false\n");
        }
        if self.package_upgrade {
            out.push_str("package_upgrade: true\n");
        }
        if !self.packages.is_empty() {
            out.push_str("package_update: true\n");
            list(&mut out, 0, "packages", &self.packages);
        }
        self.files(&mut out);
        let mut run = self.run.clone();
        if self.disable_cloud_init {
            run.push("touch /etc/cloud/cloud-init.disabled".into());
        }
        list(&mut out, 0, "runcmd", &run);
        if out == "#cloud-config\n" {
            out.push_str("{}\n");
        }
        Document::new("user-data", out)
    }

    fn users(&self, out: &mut String) {
        let hash = self
            .root_password_hash
            .clone()
            .filter(|_| !self.root_password_expires);
        let locked = self.lock_root_password && hash.is_none();
        let named = hash.is_some() || locked || !self.root_ssh_keys.is_empty();
        let root = named.then(|| QuickUser {
            name: "root".into(),
            password_hash: hash,
            ssh_keys: self.root_ssh_keys.clone(),
            ..QuickUser::default()
        });
        let users: Vec<&QuickUser> = self.users.iter().chain(root.as_ref()).collect();
        if users.is_empty() {
            if self.no_default_user {
                out.push_str("users: []\n");
            }
            return;
        }
        out.push_str("users:\n");
        if !self.no_default_user {
            out.push_str("  - default\n");
        }
        for user in users {
            out.push_str(&format!("  - name: {}\n", quoted(&user.name)));
            if user.sudo {
                line(out, 4, "sudo", "ALL=(ALL) NOPASSWD:ALL");
            }
            if !user.groups.is_empty() {
                list(out, 4, "groups", &user.groups);
            }
            if let Some(shell) = &user.shell {
                line(out, 4, "shell", shell);
            }
            if let Some(hash) = &user.password_hash {
                out.push_str("    lock_passwd: false\n");
                // hashed_passwd also changes a user that exists, passwd only a new one.
                line(out, 4, "hashed_passwd", hash);
            } else if user.name == "root" && !locked {
                // cloud-init would lock a password that the image may have
                out.push_str("    lock_passwd: false\n");
            } else if user.name == "root" {
                out.push_str("    lock_passwd: true\n");
            }
            list(out, 4, "ssh_authorized_keys", &user.ssh_keys);
        }
    }

    fn files(&self, out: &mut String) {
        if self.files.is_empty() {
            return;
        }
        out.push_str("write_files:\n");
        for file in &self.files {
            line(out, 2, "- path", &file.path);
            match std::str::from_utf8(&file.bytes) {
                Ok(text) => line(out, 4, "content", text),
                Err(_) => {
                    line(out, 4, "encoding", "b64");
                    line(out, 4, "content", &base64(&file.bytes));
                }
            }
            if let Some(mode) = &file.permissions {
                line(out, 4, "permissions", mode);
            }
            if let Some(owner) = &file.owner {
                line(out, 4, "owner", owner);
            }
        }
    }

    /// The `network-config` document, version 2, where a fixed address was asked for.
    pub fn network_config(&self) -> Option<Document> {
        let network = self.network.as_ref()?;
        let mut out = String::from("version: 2\nethernets:\n  primary:\n    match:\n");
        match &network.device {
            DeviceMatch::Name(name) => line(&mut out, 6, "name", name),
            DeviceMatch::Mac(mac) => line(&mut out, 6, "macaddress", &mac.to_ascii_lowercase()),
        }
        out.push_str("    dhcp4: false\n");
        let addresses: Vec<String> = network
            .addresses
            .iter()
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect();
        list(&mut out, 4, "addresses", &addresses);
        if !network.gateways.is_empty() {
            out.push_str("    routes:\n");
            for gateway in &network.gateways {
                // The word "default" is not known to older versions.
                let all = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
                line(&mut out, 6, "- to", all);
                line(&mut out, 8, "via", &gateway.to_string());
            }
        }
        if !network.nameservers.is_empty() || !network.search.is_empty() {
            out.push_str("    nameservers:\n");
            let servers: Vec<String> = network.nameservers.iter().map(ToString::to_string).collect();
            list(&mut out, 6, "addresses", &servers);
            list(&mut out, 6, "search", &network.search);
        }
        Some(Document::new("network-config", out))
    }
}

fn line(out: &mut String, indent: usize, key: &str, value: &str) {
    out.push_str(&format!("{:indent$}{key}: {}\n", "", quoted(value)));
}

fn list(out: &mut String, indent: usize, key: &str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    out.push_str(&format!("{:indent$}{key}:\n", ""));
    for value in values {
        out.push_str(&format!("{:indent$}  - {}\n", "", quoted(value)));
    }
}
