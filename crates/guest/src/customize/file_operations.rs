//! The operations on plain files.

use super::session::Session;
use crate::editor::{NewFile, host_attributes, join, split};
use crate::error::{Error, Result};
use crate::files::text;
use crate::operation::Operation;
use disksmith_vfs::{Owner, WalkStep};

pub(crate) fn apply(session: &mut Session<'_, '_>, operation: &Operation) -> Result<()> {
    let copy_owner = session.context.copy_owner;
    let editor = &mut session.editor;
    match operation {
        Operation::AppendLine { path, line } => append_line(session, path, line),
        Operation::Chmod {
            permissions, path, ..
        } => editor.set_permissions(path, *permissions),
        Operation::Chown { user, group, path } => {
            let owner = owner(session, user, group.as_deref())?;
            session.editor.chown(path, owner)
        }
        Operation::Copy { from, to } => editor.copy(from, to),
        Operation::CopyIn { local, dir } => {
            if !editor.is_dir(dir)? {
                return Err(Error::guest_path(
                    dir,
                    "is not a directory that exists (--mkdir makes one)",
                ));
            }
            editor.copy_in(local, dir, copy_owner)
        }
        Operation::Delete { pattern } => delete(session, pattern),
        Operation::Edit { path, expression } => {
            let old = editor.read(path)?;
            let perl = session.context.perl.clone();
            let editor = &mut session.editor;
            let new = expression
                .apply_with(perl.as_deref(), &old)
                .map_err(|source| Error::Expression {
                    expression: expression.source().to_owned(),
                    source,
                })?;
            if new == old {
                editor.note("the expression changes no line");
            }
            editor.write_text(path, &new)
        }
        Operation::Link { target, links } => links.iter().try_for_each(|link| {
            // As ln -sf: into a directory of that name.
            if editor.is_dir(link)? {
                let name = target.rsplit(|b| *b == b'/').find(|name| !name.is_empty());
                editor.symlink(target, &join(link, name.unwrap_or(target)))
            } else {
                editor.symlink(target, link)
            }
        }),
        Operation::Mkdir { path } => editor.create_dir_all(path, NewFile::root(0o755)),
        Operation::Move { from, to } => {
            let to = if editor.is_dir(to)? {
                join(to, split(from).1)
            } else {
                to.clone()
            };
            match editor.rename(from, &to) {
                Err(Error::Files(disksmith_vfs::Error::CrossesFilesystems { .. })) => {
                    editor.copy(from, &to)?;
                    editor.remove(from)
                }
                other => other,
            }
        }
        Operation::NoLogfile => {
            let path = b"/tmp/builder.log";
            match editor.link_metadata(path)? {
                Some(metadata) if metadata.is_file() => {
                    overwrite(session, path, metadata.size)?;
                    session.editor.remove(path)
                }
                _ => Ok(()),
            }
        }
        Operation::Scrub { path } => {
            let metadata = editor.tree().symlink_metadata(path)?;
            if !metadata.is_file() {
                return Err(Error::guest_path(path, "is not a regular file"));
            }
            overwrite(session, path, metadata.size)?;
            session.editor.remove(path)
        }
        Operation::TarIn { local, dir } => {
            if !editor.is_dir(dir)? {
                return Err(Error::guest_path(
                    dir,
                    "is not a directory that exists (--mkdir makes one)",
                ));
            }
            editor.unpack(local, dir)
        }
        Operation::Touch { path } => editor.touch(path),
        Operation::Truncate { path } => editor.truncate(path),
        Operation::TruncateRecursive { path } => {
            let mut files = Vec::new();
            editor.tree().walk(path, |entry| {
                if entry.metadata.is_file() && entry.metadata.size > 0 {
                    files.push(entry.path.clone());
                }
                Ok::<_, Error>(WalkStep::Continue)
            })?;
            files.iter().try_for_each(|file| session.editor.truncate(file))
        }
        Operation::Upload { local, path } => {
            let target = match (editor.is_dir(path)?, local.file_name()) {
                (true, Some(name)) => join(path, name.as_encoded_bytes()),
                _ => path.clone(),
            };
            let new = host_attributes(local, copy_owner)?;
            editor.copy_in_file(local, &target, new, None)
        }
        Operation::Write { path, content } => editor.write_text(path, content),
        other => Err(Error::Unsupported {
            what: other.describe(),
            reason: String::new(),
            hint: None,
        }),
    }
}

/// The line ending is the file's own.
fn append_line(session: &mut Session<'_, '_>, path: &[u8], line: &[u8]) -> Result<()> {
    let editor = &mut session.editor;
    // Only both ends are looked at: a log can be of any size.
    let (head, last) = match editor.metadata(path)? {
        None => (Vec::new(), Vec::new()),
        Some(metadata) if metadata.is_file() => (
            editor.read_at(path, 0, 8192)?,
            editor.read_at(path, metadata.size.saturating_sub(1), 1)?,
        ),
        Some(_) => return Err(Error::guest_path(path, "is not a regular file")),
    };
    let ending: &[u8] = match head.iter().position(|b| matches!(b, b'\r' | b'\n')) {
        Some(at) if head.get(at..).is_some_and(|h| h.starts_with(b"\r\n")) => b"\r\n",
        Some(at) if head.get(at) == Some(&b'\r') => b"\r",
        _ => b"\n",
    };
    let mut data = Vec::with_capacity(line.len() + 2 * ending.len());
    if !matches!(last.last(), None | Some(b'\n' | b'\r')) {
        data.extend_from_slice(ending);
    }
    data.extend_from_slice(line);
    data.extend_from_slice(ending);
    editor.append(path, &data)
}

fn delete(session: &mut Session<'_, '_>, pattern: &[u8]) -> Result<()> {
    let editor = &mut session.editor;
    let found = editor.glob(pattern)?;
    if found.is_empty() {
        editor.note(format!("nothing matches {}", text(pattern)));
    }
    for path in found {
        let path = path
            .strip_suffix(b"/")
            .filter(|p| !p.is_empty())
            .unwrap_or(&path)
            .to_vec();
        if path == b"/" {
            return Err(Error::guest_path(b"/", "the root directory cannot be deleted"));
        }
        // It may have gone with another match.
        editor.remove_if_there(&path)?;
    }
    Ok(())
}

/// Numbers, or names of the guest.
fn owner(session: &Session<'_, '_>, user: &str, group: Option<&str>) -> Result<Owner> {
    let by_number = user.parse::<u32>().ok();
    let (uid, own_group) = match by_number {
        Some(uid) => (
            uid,
            session
                .editor
                .users()?
                .into_iter()
                .find(|u| u.uid == uid)
                .map(|u| u.gid),
        ),
        None => {
            let user = session.editor.user(user)?;
            (user.uid, Some(user.gid))
        }
    };
    let gid = match group {
        None => {
            own_group.ok_or_else(|| Error::usage("--chown", format!("user {user} has no group: name one")))?
        }
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                let found = session.editor.groups()?.into_iter().find(|g| g.name == group);
                found
                    .ok_or_else(|| Error::NoSuchGroup {
                        group: group.to_owned(),
                    })?
                    .gid
            }
        },
    };
    // To chown(2) this number means: leave it.
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Error::usage(
            "--chown",
            format!("{} is no number of a user or group", u32::MAX),
        ));
    }
    Ok(Owner { uid, gid })
}

/// Random bytes over the whole file, holes left out.
fn overwrite(session: &mut Session<'_, '_>, path: &[u8], size: u64) -> Result<()> {
    let tree = session.editor.tree();
    let node = tree.resolve_no_follow(path)?;
    let (fs, inode) = tree.open_node(node);
    let mut buf = vec![0u8; 1 << 16];
    let mut offset = 0;
    while let Some((start, len)) = fs.next_data(inode, offset).map_err(|e| e.at_path(path))? {
        let end = start.saturating_add(len).min(size);
        offset = start;
        while offset < end {
            let n = (end - offset).min(buf.len() as u64) as usize;
            let piece = buf.get_mut(..n).unwrap_or_default();
            session.context.random.fill(piece)?;
            fs.write(inode, offset, piece).map_err(|e| e.at_path(path))?;
            offset += n as u64;
        }
        if offset <= start {
            break;
        }
    }
    Ok(())
}
