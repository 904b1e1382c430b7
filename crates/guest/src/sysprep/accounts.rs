//! Accounts of people.

use crate::customize::Session;
use crate::editor::{NewFile, is_of_system, join};
use crate::error::{Error, Result};
use crate::files::{User, lines, text};
use disksmith_vfs::Error as FileError;
use std::collections::BTreeSet;

/// Users between UID_MIN and UID_MAX of login.defs go, with home and mail.
pub(super) fn remove(session: &mut Session<'_, '_>) -> Result<()> {
    let defs = session
        .editor
        .read_if_file(b"/etc/login.defs")?
        .unwrap_or_default();
    let limit = |name: &str, otherwise: u32| {
        lines(&defs)
            .map(text)
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(name))
                    .then(|| words.next()?.parse().ok())
                    .flatten()
            })
            .last()
            .unwrap_or(otherwise)
    };
    let (min, max) = (limit("UID_MIN", 1000), limit("UID_MAX", 60_000));
    let choice = session.context.accounts.clone();
    let users: Vec<_> = session
        .editor
        .users()?
        .into_iter()
        // Root stays, whatever login.defs says.
        .filter(|u| u.uid != 0 && (min..=max).contains(&u.uid))
        .filter(|u| match choice.remove.is_empty() {
            true => !choice.keep.contains(&u.name),
            false => choice.remove.contains(&u.name),
        })
        .collect();
    let known = session.editor.users()?;
    for name in choice.remove.iter().chain(&choice.keep) {
        let warning = match known.iter().find(|u| u.name == *name) {
            None => format!("user-account: the guest has no user {name}"),
            Some(user) if choice.remove.contains(name) && !users.iter().any(|u| u.name == *name) => {
                format!(
                    "user-account: {name} stays: its uid {} is none of a person's",
                    user.uid
                )
            }
            Some(_) => continue,
        };
        session.report.warnings.push(warning);
    }
    let names: BTreeSet<String> = users.iter().map(|u| u.name.clone()).collect();
    for file in ["/etc/passwd", "/etc/shadow", "/etc/subuid", "/etc/subgid"] {
        drop_named(session, file, &names, &[])?;
    }
    let primary: Vec<u32> = users.iter().map(|u| u.gid).collect();
    let still_used: Vec<u32> = session.editor.users()?.iter().map(|u| u.gid).collect();
    let groups: BTreeSet<String> = session
        .editor
        .groups()?
        .into_iter()
        .filter(|g| primary.contains(&g.gid) && !still_used.contains(&g.gid) && names.contains(&g.name))
        .map(|g| g.name)
        .collect();
    let members: Vec<&String> = names.iter().collect();
    for file in ["/etc/group", "/etc/gshadow"] {
        drop_named(session, file, &groups, &members)?;
    }
    let mut kept = BTreeSet::new();
    for user in session.editor.users()? {
        kept.extend(place_of(session, &user.home)?);
    }
    for user in &users {
        match own_home(session, user, &kept)? {
            Some(home) => session.editor.remove_if_there(&home)?,
            None => {
                let note = format!("{}'s home {} is left", user.name, text(&user.home));
                session.editor.note(note);
            }
        }
        // What is no name makes no path.
        if user.name.contains('/') || matches!(user.name.as_str(), "" | "." | "..") {
            continue;
        }
        for dir in ["/var/mail", "/var/spool/mail"] {
            match session
                .editor
                .remove_if_there(&join(dir.as_bytes(), user.name.as_bytes()))
            {
                Err(Error::Files(FileError::NotFound { .. })) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Where a user's home lies, links in its path followed; `None` for what may hold more than a home: a directory of the system, one near
/// the root, one that holds the home of somebody who stays.
fn own_home(session: &Session<'_, '_>, user: &User, kept: &BTreeSet<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    let Some(home) = place_of(session, &user.home)? else {
        return Ok(None);
    };
    let mut parts = home.split(|b| *b == b'/').skip(1);
    let depth = parts.clone().count();
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_deep = match first {
        b"usr" if second == b"home" => depth >= 3,
        b"var" => depth >= 3 && second != b"log",
        _ => depth >= 2 && !is_of_system(first) && !matches!(first, b"media" | b"run"),
    };
    if !is_deep {
        return Ok(None);
    }
    let below = join(&home, b"");
    let holds_one = kept
        .range(below.clone()..)
        .next()
        .is_some_and(|next| next.starts_with(&below));
    if kept.contains(&home) || holds_one {
        return Ok(None);
    }
    Ok(Some(home))
}

/// Where a home lies; `None` for a path that leads up, or nowhere.
fn place_of(session: &Session<'_, '_>, home: &[u8]) -> Result<Option<Vec<u8>>> {
    match home.split(|b| *b == b'/').any(|part| part == b"..") {
        true => Ok(None),
        false => session.editor.place_of(home),
    }
}

/// Takes lines of these names out of a colon-separated file, and these members out of the last field of the others.
fn drop_named(
    session: &mut Session<'_, '_>,
    file: &str,
    names: &BTreeSet<String>,
    members: &[&String],
) -> Result<()> {
    let Some(contents) = session.editor.read_if_file(file.as_bytes())? else {
        return Ok(());
    };
    let mut out = Vec::with_capacity(contents.len());
    for line in contents.split_inclusive(|b| *b == b'\n') {
        let name = text(line.split(|b| *b == b':').next().unwrap_or_default());
        if names.contains(name.trim_end()) {
            continue;
        }
        let end = line.iter().rposition(|b| *b == b':');
        match end.filter(|_| !members.is_empty()) {
            None => out.extend_from_slice(line),
            Some(at) => {
                let (head, tail) = line.split_at(at + 1);
                let newline = if tail.ends_with(b"\n") { "\n" } else { "" };
                let kept: Vec<String> = text(tail)
                    .trim_end()
                    .split(',')
                    .filter(|m| !members.iter().any(|gone| gone == m))
                    .map(str::to_owned)
                    .collect();
                out.extend_from_slice(head);
                out.extend_from_slice(kept.join(",").as_bytes());
                out.extend_from_slice(newline.as_bytes());
            }
        }
    }
    session.editor.write(file.as_bytes(), &out, NewFile::root(0o644))
}
