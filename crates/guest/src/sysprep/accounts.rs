//! Accounts of people.

use crate::customize::Session;
use crate::editor::{NewFile, join};
use crate::error::{Error, Result};
use crate::files::{lines, text};
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
        .filter(|u| (min..=max).contains(&u.uid))
        .filter(|u| match choice.remove.is_empty() {
            true => !choice.keep.contains(&u.name),
            false => choice.remove.contains(&u.name),
        })
        .collect();
    for name in choice.remove.iter().chain(&choice.keep) {
        if !session.editor.users()?.iter().any(|u| u.name == *name) {
            session.editor.note(format!("the guest has no user {name}"));
        }
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
    for user in &users {
        let deep = user.home.iter().filter(|b| **b == b'/').count() >= 2 && !user.home.ends_with(b"/");
        if deep {
            session.editor.remove_if_there(&user.home)?;
        } else {
            session
                .editor
                .note(format!("{}'s home {} is left", user.name, text(&user.home)));
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
