//! Passwords of the guest's users.

use super::session::Session;
use crate::crypt::{Scheme, hash_password, random_password};
use crate::editor::{Editor, NewFile};
use crate::error::{Error, Result};
use crate::files::{
    password_scheme_of_login_defs, password_scheme_of_pam, set_passwd_field, set_shadow_password,
};
use crate::report::GeneratedPassword;
use crate::selector::{PasswordSelector, PasswordSource, check_password};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

const SHADOW: &[u8] = b"/etc/shadow";
const PASSWD: &[u8] = b"/etc/passwd";

pub(crate) fn set(session: &mut Session<'_, '_>, user: &str, selector: &PasswordSelector) -> Result<()> {
    let found = session.editor.user(user)?;
    let password = match &selector.source {
        PasswordSource::Literal(password) => Some(password.clone()),
        PasswordSource::File(file) => Some(from_file(file)?),
        PasswordSource::Random => Some(random_password(session.context.random)?),
        PasswordSource::Disabled => None,
    };
    let mut field = if selector.locked {
        "!!".to_owned()
    } else {
        String::new()
    };
    match &password {
        Some(password) => {
            let scheme = match session.context.password_scheme {
                Some(scheme) => scheme,
                None => guest_scheme(session)?,
            };
            field.push_str(&hash_password(
                password.as_bytes(),
                scheme,
                session.context.random,
            )?);
        }
        None => field.push('*'),
    }
    let field = field.into_bytes();
    let editor = &mut session.editor;
    match shadow(editor, &found.password)? {
        Some(shadow) => {
            let new = set_shadow_password(&shadow, user, |_| field.clone()).unwrap_or_else(|| {
                let days = editor.now().seconds.max(0) / 86_400;
                let mut new = shadow.clone();
                if !new.is_empty() && !new.ends_with(b"\n") {
                    new.push(b'\n');
                }
                new.extend_from_slice(user.as_bytes());
                new.push(b':');
                new.extend_from_slice(&field);
                new.extend_from_slice(format!(":{days}:0:99999:7:::\n").as_bytes());
                new
            });
            editor.write(SHADOW, &new, NewFile::root(0o600))?;
            if found.password != "x" {
                let passwd = editor.read(PASSWD)?;
                if let Some(new) = set_passwd_field(&passwd, user, |_| b"x".to_vec()) {
                    editor.write_text(PASSWD, &new)?;
                    editor.note(format!(
                        "{user} had the password in /etc/passwd; it stands in /etc/shadow now"
                    ));
                }
            }
        }
        None => {
            let passwd = editor.read(PASSWD)?;
            if let Some(new) = set_passwd_field(&passwd, user, |_| field.clone()) {
                editor.write_text(PASSWD, &new)?;
            }
        }
    }
    if let (Some(password), PasswordSource::Random) = (password, &selector.source) {
        session.report.passwords.push(GeneratedPassword {
            user: user.to_owned(),
            password,
        });
    }
    Ok(())
}

/// The contents of `/etc/shadow`; `None` in a guest that has none and keeps its hashes in `/etc/passwd`, which everybody can read.
fn shadow(editor: &Editor<'_>, passwd_field: &str) -> Result<Option<Vec<u8>>> {
    let reason = match editor.link_metadata(SHADOW)? {
        None if passwd_field == "x" => "is missing, though /etc/passwd says that the password is there",
        None => return Ok(None),
        Some(link) => match editor.metadata(SHADOW)? {
            None if link.is_symlink() => "is a symbolic link that leads nowhere",
            Some(file) if file.is_file() => return Ok(Some(editor.read(SHADOW)?)),
            _ => "is not a regular file",
        },
    };
    Err(Error::guest_path(SHADOW, reason))
}

/// The first line of a file of the host.
pub(crate) fn from_file(path: &Path) -> Result<String> {
    let io = |e| Error::host("read", path, e);
    let mut line = Vec::new();
    let file = File::open(path).map_err(io)?;
    BufReader::new(file.take(4096))
        .read_until(b'\n', &mut line)
        .map_err(io)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let wrong = |reason: String| Error::HostContent {
        path: path.to_owned(),
        reason,
    };
    let password =
        String::from_utf8(line.to_vec()).map_err(|_| wrong("its first line is not UTF-8".into()))?;
    check_password(&password).map_err(wrong)?;
    if password.is_empty() {
        return Err(Error::usage(
            path.display().to_string(),
            "its first line, which shall be the password, is empty",
        ));
    }
    Ok(password)
}

/// The hash that the guest itself would use: as its PAM files say, then its login.defs, then as its release is known to do.
/// Never one of the broken ones.
fn guest_scheme(session: &Session<'_, '_>) -> Result<Scheme> {
    let editor = &session.editor;
    let distribution = session.guest.distribution();
    let mut named = None;
    for path in [
        "/etc/pam.d/common-password",
        "/etc/pam.d/system-auth",
        "/etc/pam.d/password-auth",
        "/etc/pam.d/passwd",
    ] {
        if named.is_none() {
            named = editor
                .read_if_file(path.as_bytes())?
                .and_then(|text| password_scheme_of_pam(&text));
        }
    }
    for path in ["/etc/login.defs", "/usr/etc/login.defs"] {
        if named.is_none() {
            named = editor
                .read_if_file(path.as_bytes())?
                .and_then(|text| password_scheme_of_login_defs(&text));
        }
    }
    Ok(match named.unwrap_or_else(|| distribution.password_scheme()) {
        Scheme::Yescrypt if !distribution.knows_yescrypt() => Scheme::Sha512,
        Scheme::Md5 => Scheme::Sha512,
        scheme => scheme,
    })
}
