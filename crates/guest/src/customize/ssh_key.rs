//! Public keys in a user's `authorized_keys`.

use super::key_place::{check_file, check_home, check_link};
use super::session::Session;
use crate::editor::{NewFile, join};
use crate::error::{Error, Result};
use crate::files::lines;
use crate::selector::SshKeySelector;
use disksmith_vfs::Owner;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of a file of public keys.
const MAX_KEYS: u64 = 1 << 20;

pub(crate) fn inject(session: &mut Session<'_, '_>, user: &str, selector: &SshKeySelector) -> Result<()> {
    let keys = keys(selector, session.context.host_home.as_deref())?;
    let editor = &mut session.editor;
    let user = editor.user(user)?;
    if !user.home.starts_with(b"/") || user.home == b"/" || user.home == b"/nonexistent" {
        return Err(Error::guest_path(
            &user.home,
            format!("is the home of {}, which is no place for keys", user.name),
        ));
    }
    let owner = Owner {
        uid: user.uid,
        gid: user.gid,
    };
    check_home(editor, &user)?;
    if editor.metadata(&user.home)?.is_none() {
        // The directories above are root's.
        editor.create_dir_all(crate::editor::split(&user.home).0, NewFile::root(0o755))?;
        editor.create_dir(
            &user.home,
            NewFile {
                owner,
                permissions: 0o700,
            },
        )?;
        editor.note(format!("{} had no home directory", user.name));
    }
    let dir = join(&user.home, b".ssh");
    check_link(editor, &user, &dir)?;
    match editor.metadata(&dir)? {
        Some(metadata) if metadata.is_dir() => {}
        Some(_) => return Err(Error::guest_path(&dir, "is not a directory")),
        None => editor.create_dir(
            &dir,
            NewFile {
                owner,
                permissions: 0o700,
            },
        )?,
    }
    let file = join(&dir, b"authorized_keys");
    check_link(editor, &user, &file)?;
    check_file(editor, &user, &file)?;
    let mut contents = match editor.metadata(&file)? {
        Some(_) => editor.read(&file)?,
        None => Vec::new(),
    };
    let mut added = 0;
    for key in &keys {
        if lines(&contents).any(|line| line.trim_ascii() == key.as_bytes()) {
            continue;
        }
        if !contents.is_empty() && !contents.ends_with(b"\n") {
            contents.push(b'\n');
        }
        contents.extend_from_slice(key.as_bytes());
        contents.push(b'\n');
        added += 1;
    }
    if added == 0 {
        editor.note("the key is there already");
    }
    editor.write(
        &file,
        &contents,
        NewFile {
            owner,
            permissions: 0o600,
        },
    )
}

/// The lines to add.
pub(crate) fn keys(selector: &SshKeySelector, host_home: Option<&Path>) -> Result<Vec<String>> {
    match selector {
        SshKeySelector::Literal(key) => {
            public_keys(key).map_err(|reason| Error::usage("--ssh-inject", reason))
        }
        SshKeySelector::File(file) => from_file(file),
        SshKeySelector::Newest => from_file(&newest_key(host_home)?),
    }
}

fn from_file(path: &Path) -> Result<Vec<String>> {
    let wrong = |reason: String| Error::HostContent {
        path: path.to_owned(),
        reason,
    };
    let mut contents = String::new();
    // A device has no size, and may have no end.
    fs::File::open(path)
        .and_then(|file| file.take(MAX_KEYS + 1).read_to_string(&mut contents))
        .map_err(|e| Error::host("read", path, e))?;
    if contents.len() as u64 > MAX_KEYS {
        return Err(wrong("is too large for a file of public keys".into()));
    }
    public_keys(&contents).map_err(wrong)
}

/// The lines of a file of public keys; comments are left out. An error where one is none.
fn public_keys(text: &str) -> std::result::Result<Vec<String>, String> {
    if text.contains("PRIVATE KEY") {
        return Err("holds a private key; the public one (.pub) is wanted".into());
    }
    let mut keys = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        // Options may stand before the type, with spaces inside quotes.
        let known = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
        let mut words = line.split_whitespace();
        let has_type = words
            .by_ref()
            .any(|word| known.iter().any(|k| word.starts_with(k)));
        if !has_type || words.next().is_none() {
            return Err(format!(
                "{:?} is no public key (as ssh-ed25519 AAAA…)",
                shorten(line)
            ));
        }
        keys.push(line.to_owned());
    }
    if keys.is_empty() {
        Err("holds no public key".into())
    } else {
        Ok(keys)
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The newest `id*.pub` of the host's user that is no certificate.
fn newest_key(host_home: Option<&Path>) -> Result<PathBuf> {
    let missing = |dir: &Path| Error::HostContent {
        path: dir.to_owned(),
        reason: "has no id*.pub: name the key with --ssh-inject USER:file:FILE".into(),
    };
    let Some(home) = host_home else {
        return Err(Error::usage(
            "--ssh-inject",
            "your home directory is not known: name the key with USER:file:FILE",
        ));
    };
    let dir = home.join(".ssh");
    let entries = fs::read_dir(&dir).map_err(|_| missing(&dir))?;
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("id") || !name.ends_with(".pub") || name.ends_with("-cert.pub") {
            continue;
        }
        let Ok(modified) = fs::metadata(entry.path()).and_then(|m| m.modified()) else {
            continue;
        };
        if newest
            .as_ref()
            .is_none_or(|(time, path)| (modified, &entry.path()) > (*time, path))
        {
            newest = Some((modified, entry.path()));
        }
    }
    newest.map(|(_, path)| path).ok_or_else(|| missing(&dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_pass() {
        let two = "# mine\nssh-ed25519 AAAA me\n\n command=\"a b\",no-pty ssh-rsa BBBB \n";
        assert_eq!(
            public_keys(two).unwrap(),
            ["ssh-ed25519 AAAA me", "command=\"a b\",no-pty ssh-rsa BBBB"]
        );
        assert!(
            public_keys("-----BEGIN OPENSSH PRIVATE KEY-----\n")
                .unwrap_err()
                .contains("private")
        );
        assert!(public_keys("hello world").is_err());
        assert!(public_keys("ssh-ed25519").is_err());
        assert!(public_keys("\n").is_err());
    }

    #[test]
    fn the_newest_key_is_found() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        assert!(newest_key(Some(home.path())).is_err());
        fs::create_dir(&ssh).unwrap();
        assert!(newest_key(Some(home.path())).is_err());
        for (name, age) in [
            ("id_rsa.pub", 100),
            ("id_ed25519.pub", 50),
            ("id_x-cert.pub", 1),
            ("other.pub", 1),
            ("id_z", 1),
        ] {
            let file = fs::File::create(ssh.join(name)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age))
                .unwrap();
        }
        assert_eq!(newest_key(Some(home.path())).unwrap(), ssh.join("id_ed25519.pub"));
    }
}
