//! `--cloud-init`, in the words of virt-install.

use std::path::PathBuf;

/// What `--cloud-init KEY=VALUE,…` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CloudInit {
    pub(super) root_password_generate: bool,
    pub(super) root_password_file: Option<PathBuf>,
    pub(super) disable: bool,
    pub(super) root_ssh_key: Option<PathBuf>,
    pub(super) cloud_user_ssh_key: Option<PathBuf>,
    pub(super) user_data: Option<PathBuf>,
    pub(super) meta_data: Option<PathBuf>,
    pub(super) network_config: Option<PathBuf>,
}

impl CloudInit {
    /// Reads the option's value; without any it is `root-password-generate=yes,disable=on`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut out = Self::default();
        let text = if text.trim().is_empty() {
            "root-password-generate=yes,disable=on"
        } else {
            text
        };
        for word in text.split(',').filter(|w| !w.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, "on"));
            let on = || match value {
                "yes" | "on" | "true" | "1" => Ok(true),
                "no" | "off" | "false" | "0" => Ok(false),
                _ => Err(format!("{key} is on or off, and not {value:?}")),
            };
            let file = || Some(PathBuf::from(value));
            match key {
                "root-password-generate" => out.root_password_generate = on()?,
                "root-password-file" => out.root_password_file = file(),
                "disable" => out.disable = on()?,
                "ssh-key" | "root-ssh-key" => out.root_ssh_key = file(),
                "clouduser-ssh-key" => out.cloud_user_ssh_key = file(),
                "user-data" => out.user_data = file(),
                "meta-data" => out.meta_data = file(),
                "network-config" => out.network_config = file(),
                _ => return Err(format!("virt-install's --cloud-init has no key {key:?}")),
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_virt_install() {
        let read = CloudInit::parse("").unwrap();
        assert!(read.root_password_generate && read.disable);
        let read = CloudInit::parse("ssh-key=k,disable=off,user-data=u").unwrap();
        assert_eq!(read.root_ssh_key, Some("k".into()));
        assert_eq!(read.user_data, Some("u".into()));
        assert!(!read.disable && !read.root_password_generate);
        assert!(CloudInit::parse("x=1").is_err() && CloudInit::parse("disable=maybe").is_err());
    }
}
