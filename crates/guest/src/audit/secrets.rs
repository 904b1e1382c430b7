//! What strangers could use.

use super::Severity;
use super::look::{Look, contains};
use crate::editor::{join, split};
use crate::error::Result;

pub(super) fn private_keys(look: &mut Look<'_>) -> Result<()> {
    for home in look.homes()? {
        let dir = join(&home, b".ssh");
        let entries = match look.metadata(&dir)? {
            Some(metadata) if metadata.is_dir() => look.guest.tree().read_dir(&dir)?,
            _ => Vec::new(),
        };
        for entry in entries {
            let path = join(&dir, &entry.name);
            let Some(contents) = look.read(&path)? else {
                continue;
            };
            if contains(&contents, "PRIVATE KEY-----") {
                look.found(&path, "is a private key");
            }
        }
        for name in [".gnupg/private-keys-v1.d", ".gnupg/secring.gpg"] {
            let path = join(&home, name.as_bytes());
            let there = match look.metadata(&path)? {
                Some(m) if m.is_dir() => look.weigh(&path, |_| false)?.0 > 0,
                Some(m) => m.size > 0,
                None => false,
            };
            if there {
                look.found(&path, "holds private keys");
            }
        }
    }
    Ok(())
}

pub(super) fn tls_keys(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/etc/ssl/private/*",
        "/etc/pki/tls/private/*",
        "/etc/pki/CA/private/*",
        "/etc/letsencrypt/archive/*/privkey*.pem",
        "/etc/letsencrypt/accounts/*/*/*/private_key.json",
        "/etc/nginx/*.key",
        "/etc/apache2/*.key",
        "/etc/openvpn/*.key",
        "/etc/openvpn/*/*.key",
        "/etc/wireguard/*.conf",
        "/etc/kubernetes/pki/*.key",
    ] {
        for path in look.files(pattern)? {
            let contents = look.read(&path)?.unwrap_or_default();
            if contains(&contents, "PRIVATE KEY") || contains(&contents, "PrivateKey") {
                look.found(&path, "is a private key");
            }
        }
    }
    Ok(())
}

pub(super) fn keytab(look: &mut Look<'_>) -> Result<()> {
    for path in look.files("/etc/*.keytab")? {
        look.found(&path, "holds keys");
    }
    Ok(())
}

/// (file in a home directory, what must stand in it; empty: anything)
const CREDENTIALS: &[(&str, &str)] = &[
    (".git-credentials", ""),
    (".config/git/credentials", ""),
    (".netrc", ""),
    (".aws/credentials", ""),
    (".aws/config", "aws_secret_access_key"),
    (".aws/sso/cache", ""),
    (".azure/msal_token_cache.json", ""),
    (".azure/accessTokens.json", ""),
    (".config/gcloud/credentials.db", ""),
    (".config/gcloud/application_default_credentials.json", ""),
    (".boto", "secret"),
    (".s3cfg", "secret_key"),
    (".config/rclone/rclone.conf", "pass"),
    (".docker/config.json", "\"auth\""),
    (".config/containers/auth.json", "\"auth\""),
    (".kube/config", ""),
    (".config/gh/hosts.yml", "oauth_token"),
    (".config/hub", "oauth_token"),
    (".config/glab-cli/config.yml", "token"),
    (".npmrc", "_auth"),
    (".yarnrc.yml", "npmAuthToken"),
    (".pypirc", "password"),
    (".gem/credentials", ""),
    (".cargo/credentials", ""),
    (".cargo/credentials.toml", ""),
    (".m2/settings.xml", "<password>"),
    (".gradle/gradle.properties", "assword"),
    (".vault-token", ""),
    (".terraform.d/credentials.tfrc.json", ""),
    (".terraformrc", "token"),
    (".config/openstack/clouds.yaml", "password"),
    (".config/doctl/config.yaml", "access-token"),
    (".oci/config", "key_file"),
    (".my.cnf", "password"),
    (".mylogin.cnf", ""),
    (".pgpass", ""),
    (".smbcredentials", ""),
    (".ansible/galaxy_token", ""),
    (".ansible_vault_pass", ""),
];

/// The same for files of the whole guest.
const SYSTEM_CREDENTIALS: &[(&str, &str)] = &[
    ("/etc/apt/auth.conf", ""),
    ("/etc/apt/auth.conf.d/*", "password"),
    ("/etc/samba/*credentials*", "password"),
    ("/etc/cifs-credentials*", ""),
    ("/etc/docker/key.json", ""),
    ("/etc/rancher/*/k3s.yaml", ""),
    ("/etc/kubernetes/admin.conf", ""),
    ("/etc/ansible/vault*", ""),
    ("/etc/gitlab-runner/config.toml", "token"),
    ("/var/lib/jenkins/secrets/master.key", ""),
    ("/var/lib/cloud/instances/*/user-data.txt*", "password"),
    ("/etc/environment", "SECRET"),
    ("/etc/environment", "TOKEN"),
    ("/etc/ppp/*-secrets", "\" "),
    ("/root/anaconda-ks.cfg", "rootpw"),
    ("/var/log/installer/cdebconf/passwords.dat", "Value:"),
];

pub(super) fn credentials(look: &mut Look<'_>) -> Result<()> {
    for (name, word) in CREDENTIALS {
        for path in look.in_homes(name)? {
            let contents = look.read(&path)?.unwrap_or_default();
            if word.is_empty() || contains(&contents, word) {
                look.found(&path, "holds credentials");
            }
        }
    }
    for (pattern, word) in SYSTEM_CREDENTIALS {
        for path in look.files(pattern)? {
            let contents = look.read(&path)?.unwrap_or_default();
            if word.is_empty() || contains(&contents, word) {
                look.found_as(Severity::Warning, &path, "may hold credentials");
            }
        }
    }
    Ok(())
}

pub(super) fn wireless(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/etc/NetworkManager/system-connections/*",
        "/etc/wpa_supplicant/*.conf",
        "/var/lib/iwd/*.psk",
        "/etc/netplan/*.yaml",
    ] {
        for path in look.files(pattern)? {
            let contents = look.read(&path)?.unwrap_or_default();
            let words = ["psk=", "password=", "PreSharedKey=", "Passphrase=", "password:"];
            if words.iter().any(|word| contains(&contents, word)) {
                look.found(&path, "holds a passphrase");
            }
        }
    }
    Ok(())
}

pub(super) fn first_boot(look: &mut Look<'_>) -> Result<()> {
    for path in look.files("/usr/lib/virt-sysprep/scripts/*")? {
        let private = look.metadata(&path)?.is_some_and(|m| m.permissions & 0o077 == 0);
        if private {
            let name = String::from_utf8_lossy(split(&path).1).into_owned();
            look.found(&path, format!("{name} may be read by root only"));
        }
    }
    Ok(())
}
