//! The flags by which common cases need no YAML.

use super::static_ip;
use super::virt_install::CloudInit;
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_guest::{Scheme, SystemRandom, hash_password, random_password};
use disksmith_seed::{Quick, QuickFile, QuickUser};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most that a file of keys, or one with a password, may hold.
const MAX_SMALL: u64 = 1 << 20;

/// The flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Without YAML")]
pub(super) struct QuickArgs {
    /// A user to create, who may do everything by sudo; several times for several
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// The users of --user may not use sudo
    #[arg(long, requires = "user")]
    no_sudo: bool,
    /// Public keys of the users of --user, else of the image's default user: a file, `-`, or the key itself
    #[arg(long, value_name = "FILE")]
    ssh_key: Vec<String>,
    /// Password of the same users: file:FILE, `random`, password:TEXT, or the text itself (which others see in ps)
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_hash")]
    password: Option<String>,
    /// The same, as a hash of the scheme $6$ or $5$
    #[arg(long, value_name = "HASH")]
    password_hash: Option<String>,
    /// Password of root, as --password takes it
    #[arg(long, value_name = "PASSWORD", conflicts_with = "root_password_generate")]
    root_password: Option<String>,
    /// Make a password for root, print it, and have root change it at the first login
    #[arg(long)]
    root_password_generate: bool,
    /// Let nobody log in as root by password
    #[arg(long, conflicts_with_all = ["root_password", "root_password_generate"])]
    disable_root_password: bool,
    /// Public keys of root
    #[arg(long, value_name = "FILE")]
    root_ssh_key: Vec<String>,
    /// A package to install
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,
    /// Upgrade all packages
    #[arg(long)]
    package_upgrade: bool,
    /// A command to run once, at the end of the first boot
    #[arg(long, value_name = "COMMAND")]
    run: Vec<String>,
    /// A fixed address: IP/PREFIX[,gw=IP][,dns=IP,…][,search=DOMAIN][,mac=MAC|,dev=NAME]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "network_config")]
    static_ip: Option<String>,
    /// Time zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Locale, such as de_DE.UTF-8
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// A file for the guest: PATH=FILE[,mode=MODE][,owner=USER:GROUP]
    #[arg(long, value_name = "PATH=FILE")]
    write_file: Vec<String>,
    /// What `virt-install --cloud-init` takes: root-password-generate=yes, root-password-file=, disable=on, ssh-key=, clouduser-ssh-key=,
    /// user-data=, meta-data=, network-config=
    #[arg(long, value_name = "KEY=VALUE,…", num_args = 0..=1, default_missing_value = "", value_parser = CloudInit::parse)]
    pub(super) cloud_init: Option<CloudInit>,
}

/// What the flags ask for, with every file read and every password hashed. Texts may hold placeholders.
#[derive(Debug, Clone, Default)]
pub(super) struct QuickInputs {
    pub(super) quick: Quick,
    static_ip: Option<String>,
    /// Keys, for a config drive.
    pub(super) keys: Vec<String>,
    /// The password in plain text, for Windows.
    pub(super) plain_password: Option<String>,
    /// Passwords that were made: whose, and what.
    pub(super) generated: Vec<(String, String)>,
    /// Flags that only cloud-init understands.
    pub(super) linux_only: Vec<&'static str>,
}

impl QuickArgs {
    /// Reads what the flags name.
    pub(super) fn read(&self) -> Outcome<QuickInputs> {
        let mut out = QuickInputs::default();
        let cloud_init = self.cloud_init.clone().unwrap_or_default();
        for key in &self.ssh_key {
            out.keys.extend(keys(key)?);
        }
        if let Some(file) = &cloud_init.cloud_user_ssh_key {
            out.keys.extend(keys(&file.to_string_lossy())?);
        }
        let whose = match self.user.as_slice() {
            [] => "the default user".to_string(),
            names => names.join(", "),
        };
        let hash = match (&self.password, &self.password_hash) {
            (Some(password), _) => {
                let plain = out.password(password, &whose)?;
                let hash = hashed(&plain)?;
                out.plain_password = Some(plain);
                Some(hash)
            }
            (None, Some(hash)) => Some(checked_hash(hash)?),
            (None, None) => None,
        };
        let quick = &mut out.quick;
        if self.user.is_empty() {
            quick.ssh_keys = out.keys.clone();
            quick.password_hash = hash;
        } else {
            quick.users = self
                .user
                .iter()
                .map(|name| QuickUser {
                    name: name.clone(),
                    ssh_keys: out.keys.clone(),
                    password_hash: hash.clone(),
                    sudo: !self.no_sudo && name != "root",
                    ..QuickUser::default()
                })
                .collect();
        }
        for key in &self.root_ssh_key {
            quick.root_ssh_keys.extend(keys(key)?);
        }
        if let Some(file) = &cloud_init.root_ssh_key {
            quick.root_ssh_keys.extend(keys(&file.to_string_lossy())?);
        }
        quick.lock_root_password = self.disable_root_password;
        quick.packages = self.package.clone();
        quick.package_upgrade = self.package_upgrade;
        quick.run = self.run.clone();
        quick.timezone = self.timezone.clone();
        quick.locale = self.locale.clone();
        quick.disable_cloud_init = cloud_init.disable;
        for text in &self.write_file {
            quick.files.push(file(text)?);
        }
        let from_file = cloud_init
            .root_password_file
            .as_ref()
            .map(|file| format!("file:{}", file.display()));
        if self.root_password_generate || cloud_init.root_password_generate {
            let plain = out.password("random", "root")?;
            out.quick.root_password_hash = Some(hashed(&plain)?);
            out.quick.root_password_expires = true;
        } else if let Some(password) = self.root_password.clone().or(from_file) {
            let plain = out.password(&password, "root")?;
            out.quick.root_password_hash = Some(hashed(&plain)?);
        }
        out.static_ip = self.static_ip.clone();
        for (given, name) in [
            (!self.user.is_empty(), "--user"),
            (self.password_hash.is_some(), "--password-hash"),
            (out.quick.root_password_hash.is_some(), "a password for root"),
            (self.disable_root_password, "--disable-root-password"),
            (!out.quick.root_ssh_keys.is_empty(), "--root-ssh-key"),
            (!self.package.is_empty() || self.package_upgrade, "--package"),
            (self.timezone.is_some(), "--timezone"),
            (self.locale.is_some(), "--locale"),
            (!self.write_file.is_empty(), "--write-file"),
            (cloud_init.disable, "disable=on"),
        ] {
            if given {
                out.linux_only.push(name);
            }
        }
        Ok(out)
    }
}

impl QuickInputs {
    /// The password that was asked for; one that is made is kept to be printed.
    fn password(&mut self, selector: &str, whose: &str) -> Outcome<String> {
        let plain = if selector == "random" {
            let plain = random_password(&mut SystemRandom)?;
            self.generated.push((whose.into(), plain.clone()));
            plain
        } else if let Some(path) = selector.strip_prefix("file:") {
            let text = small_file(Path::new(path))?;
            text.lines().next().unwrap_or("").to_string()
        } else {
            selector.strip_prefix("password:").unwrap_or(selector).to_string()
        };
        if plain.is_empty() {
            return Err(Failure::usage(format!("the password of {whose} is empty")));
        }
        Ok(plain)
    }

    /// The settings of one seed: every text passes through `fill`.
    pub(super) fn filled(&self, fill: &dyn Fn(&str) -> Outcome<String>) -> Outcome<Quick> {
        let all = |texts: &[String]| texts.iter().map(|t| fill(t)).collect::<Outcome<Vec<String>>>();
        let some = |text: &Option<String>| text.as_deref().map(fill).transpose();
        let mut quick = self.quick.clone();
        for user in &mut quick.users {
            user.name = fill(&user.name)?;
            user.ssh_keys = all(&user.ssh_keys)?;
        }
        quick.ssh_keys = all(&quick.ssh_keys)?;
        quick.root_ssh_keys = all(&quick.root_ssh_keys)?;
        quick.packages = all(&quick.packages)?;
        quick.run = all(&quick.run)?;
        quick.timezone = some(&quick.timezone)?;
        quick.locale = some(&quick.locale)?;
        for file in &mut quick.files {
            file.path = fill(&file.path)?;
            if let Ok(text) = std::str::from_utf8(&file.bytes) {
                file.bytes = fill(text)?.into_bytes();
            }
        }
        if let Some(text) = &self.static_ip {
            let network = static_ip::parse(&fill(text)?);
            quick.network = Some(network.map_err(|e| Failure::usage(format!("--static-ip: {e}")))?);
        }
        Ok(quick)
    }
}

/// Hashed so that every version of cloud-init, and every guest, takes it.
fn hashed(plain: &str) -> Outcome<String> {
    Ok(hash_password(
        plain.as_bytes(),
        Scheme::Sha512,
        &mut SystemRandom,
    )?)
}

fn checked_hash(hash: &str) -> Outcome<String> {
    if ["$5$", "$6$", "$2a$", "$2y$", "@{"]
        .iter()
        .any(|scheme| hash.starts_with(scheme))
    {
        return Ok(hash.into());
    }
    let message = "--password-hash takes a hash of the scheme $6$ or $5$, which every cloud-init knows";
    Err(Failure::usage(message).or_hint("make one by `mkpasswd -m sha-512`, or give --password"))
}

fn small_file(path: &Path) -> Outcome<String> {
    let fail = |error: std::io::Error| Failure::io("read", path, &error);
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(fail)?)
    };
    let mut text = String::new();
    source.take(MAX_SMALL).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

/// The keys of a file, or the key that was given itself.
fn keys(given: &str) -> Outcome<Vec<String>> {
    let is_key = |line: &str| {
        let mut words = line.split_whitespace();
        let kinds = ["ssh-", "ecdsa-", "sk-"];
        words.any(|word| kinds.iter().any(|kind| word.starts_with(kind))) && words.next().is_some()
    };
    if is_key(given) || given.starts_with("@{") {
        return Ok(vec![given.into()]);
    }
    let text = small_file(Path::new(given))?;
    if text.contains("PRIVATE KEY-----") {
        return Err(Failure::usage(format!("{given} holds a private key"))
            .or_hint("give the public one, whose name ends in .pub"));
    }
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let found: Vec<String> = lines.map(Into::into).collect();
    match found.iter().find(|line| !is_key(line)) {
        Some(line) => Err(Failure::usage(format!(
            "{given}: this is no public key: {line:?}"
        ))),
        None if found.is_empty() => Err(Failure::usage(format!("{given} holds no public key"))),
        None => Ok(found),
    }
}

/// Reads `PATH=FILE[,mode=MODE][,owner=USER:GROUP]`.
fn file(text: &str) -> Outcome<QuickFile> {
    let wrong = |reason: &str| {
        Failure::usage(format!("--write-file {text}: {reason}"))
            .or_hint("write it like /etc/motd=motd.txt,mode=0644")
    };
    let mut words = text.split(',');
    let (path, source) = words
        .next()
        .and_then(|w| w.split_once('='))
        .ok_or_else(|| wrong("names no file"))?;
    if !path.starts_with('/') && !path.starts_with("@{") {
        return Err(wrong("the path in the guest is not absolute"));
    }
    let bytes = std::fs::read(source).map_err(|e| Failure::io("read", Path::new(source), &e))?;
    let mut out = QuickFile {
        path: path.into(),
        bytes,
        ..QuickFile::default()
    };
    for word in words {
        match word.split_once('=') {
            Some(("mode", mode)) if mode.len() <= 5 && u32::from_str_radix(mode, 8).is_ok() => {
                out.permissions = Some(format!("{mode:0>4}"));
            }
            Some(("owner", owner)) if !owner.is_empty() => out.owner = Some(owner.into()),
            _ => return Err(wrong("after the file stand mode= and owner=")),
        }
    }
    Ok(out)
}

/// A file for a config drive: `PATH=FILE`.
pub(super) fn injected(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((path, file)) if !path.is_empty() && !file.is_empty() => Ok((path.into(), file.into())),
        _ => Err("write it like /etc/motd=motd.txt".into()),
    }
}
