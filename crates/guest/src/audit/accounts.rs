//! Who can log in.

use super::Severity;
use super::look::Look;
use crate::error::Result;
use crate::files::lines;

const SHADOW: &[u8] = b"/etc/shadow";
const PASSWD: &[u8] = b"/etc/passwd";

/// A user and the field of the password, from the file that holds it.
struct Secret {
    user: String,
    uid: u32,
    field: Vec<u8>,
    file: &'static [u8],
    /// Whether the shell lets anybody in.
    has_shell: bool,
}

fn secrets(look: &Look<'_>) -> Result<Vec<Secret>> {
    let shadow = look.read(SHADOW)?.unwrap_or_default();
    let in_shadow = |user: &str| {
        lines(&shadow).find_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            (fields.next()? == user.as_bytes()).then(|| fields.next().unwrap_or_default().to_vec())
        })
    };
    let users = look.users()?.into_iter().map(|user| {
        let (field, file) = match (user.password.as_str(), in_shadow(&user.name)) {
            ("x", Some(field)) => (field, SHADOW),
            // A user without a line in shadow cannot log in by password.
            ("x", None) => (b"*".to_vec(), SHADOW),
            (own, _) => (own.as_bytes().to_vec(), PASSWD),
        };
        Secret {
            has_shell: !user.shell.ends_with("nologin") && !user.shell.ends_with("/false"),
            user: user.name,
            uid: user.uid,
            field,
            file,
        }
    });
    Ok(users.collect())
}

/// Whether a field of shadow(5) is a hash that opens the account.
fn opens(field: &[u8]) -> bool {
    !field.is_empty() && !field.starts_with(b"!") && !field.starts_with(b"*") && field != b"x"
}

pub(super) fn empty_passwords(look: &mut Look<'_>) -> Result<()> {
    for secret in secrets(look)? {
        if secret.field.is_empty() {
            let severity = if secret.has_shell {
                Severity::Error
            } else {
                Severity::Note
            };
            look.found_as(severity, secret.file, format!("{} has no password", secret.user));
        }
    }
    Ok(())
}

pub(super) fn root_password(look: &mut Look<'_>) -> Result<()> {
    for secret in secrets(look)? {
        if secret.uid == 0 && opens(&secret.field) {
            look.found(secret.file, format!("{} has a password", secret.user));
        }
    }
    Ok(())
}

pub(super) fn user_passwords(look: &mut Look<'_>) -> Result<()> {
    for secret in secrets(look)? {
        if !opens(&secret.field) {
            continue;
        }
        if secret.uid != 0 && secret.has_shell {
            look.found(secret.file, format!("{} has a password", secret.user));
        }
        let broken = match secret.field.as_slice() {
            field if field.starts_with(b"$1$") => Some("MD5"),
            field if !field.starts_with(b"$") && !field.starts_with(b"_") => Some("DES"),
            _ => None,
        };
        if let Some(scheme) = broken {
            look.found(
                secret.file,
                format!(
                    "the password of {} is hashed with {scheme}, which is broken",
                    secret.user
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn second_root(look: &mut Look<'_>) -> Result<()> {
    for user in look.users()? {
        if user.uid == 0 && user.name != "root" {
            look.found(PASSWD, format!("{} is root by another name", user.name));
        }
    }
    Ok(())
}

pub(super) fn backups(look: &mut Look<'_>) -> Result<()> {
    for path in ["/etc/shadow-", "/etc/passwd-", "/etc/gshadow-", "/etc/group-"] {
        for path in look.files(path)? {
            look.found(&path, "is an old copy");
        }
    }
    Ok(())
}

pub(super) fn authorized_keys(look: &mut Look<'_>) -> Result<()> {
    for name in [".ssh/authorized_keys", ".ssh/authorized_keys2"] {
        for path in look.in_homes(name)? {
            let contents = look.read(&path)?.unwrap_or_default();
            let keys = lines(&contents)
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
                .count();
            match keys {
                0 => {}
                1 => look.found(&path, "holds a key"),
                n => look.found(&path, format!("holds {n} keys")),
            }
        }
    }
    Ok(())
}
