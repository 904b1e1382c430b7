//! Does what the table says.

use super::table::{Action, SysprepOperation};
use super::{accounts, certificates, host_keys, uuids};
use crate::customize::Session;
use crate::editor::{NewFile, join, split};
use crate::error::{Error, Result};
use crate::inspect::Family;
use disksmith_vfs::WalkStep;
use std::collections::BTreeSet;

pub(crate) fn run(session: &mut Session<'_, '_>, operation: &SysprepOperation) -> Result<()> {
    operation
        .actions
        .iter()
        .try_for_each(|action| act(session, action))
}

fn act(session: &mut Session<'_, '_>, action: &Action) -> Result<()> {
    match action {
        // A directory that merely bears such a name (`/var/log/mail`) stays: services miss it. What is in `journal/*` goes whole.
        Action::Logs(patterns) => patterns
            .iter()
            .try_for_each(|p| remove(session, p, p.ends_with("/*"))),
        Action::Remove(patterns) => patterns.iter().try_for_each(|p| remove(session, p, true)),
        Action::RemoveFiles(patterns) => patterns.iter().try_for_each(|p| remove(session, p, false)),
        Action::RemoveFilesBelow(dirs) => dirs
            .iter()
            .try_for_each(|dir| remove_below(session, dir, |_| true)),
        Action::RemoveNamedBelow(dirs, ends) => dirs.iter().try_for_each(|dir| {
            remove_below(session, dir, |path| {
                ends.iter().any(|end| path.ends_with(end.as_bytes()))
            })
        }),
        Action::RedHatOnly(actions) => {
            if session.guest.distribution().family != Family::RedHat {
                return Ok(());
            }
            actions.iter().try_for_each(|inner| act(session, inner))
        }
        Action::DropLines(pattern, starts) => drop_lines(session, pattern, starts),
        Action::MachineId => machine_id(session),
        Action::HostKeys => host_keys::remove(session),
        Action::HomeFiles(names) => home_files(session, names),
        Action::CronSpool => cron_spool(session),
        Action::ProcessAccounting => process_accounting(session),
        Action::UserAccounts => accounts::remove(session),
        Action::Touch(path) => session.editor.touch(path.as_bytes()),
        Action::CloudInit => cloud_init(session),
        Action::BlkidTab => blkid_tab(session),
        Action::IpaAnchors => certificates::remove_ipa_anchors(session),
        Action::CaCertificates => certificates::remove_own(session),
        Action::RemoveFilesExcept(pattern, names) => remove_except(session, pattern, names),
        Action::Elsewhere => Ok(()),
        Action::LvmUuids => {
            // A logical volume is /dev/GROUP/NAME.
            let is_logical = |device: &str| device.matches('/').count() == 3;
            if session.guest.mounts().iter().any(|m| is_logical(&m.device)) {
                let warning = "the UUIDs of LVM volumes stay as they are: clones cannot be attached to one machine at once";
                session.report.warnings.push(warning.into());
            }
            Ok(())
        }
        Action::FilesystemUuids => uuids::renew(session),
    }
}

fn remove(session: &mut Session<'_, '_>, pattern: &str, directories: bool) -> Result<()> {
    for path in glob(session, pattern)? {
        if astray(session, split(&path).0)? {
            continue;
        }
        match session.editor.link_metadata(&path)? {
            Some(metadata) if metadata.is_dir() && !directories => {}
            // A filesystem of its own, as /tmp can hold: its files go, it stays.
            Some(metadata) if metadata.is_dir() && is_mountpoint(session, &path) => {
                for entry in session.editor.tree().read_dir(&path)? {
                    session.editor.remove_if_there(&join(&path, &entry.name))?;
                }
            }
            Some(_) => session.editor.remove(&path)?,
            None => {}
        }
    }
    Ok(())
}

/// Whether links lead from a directory that is to be cleaned to one that is not; says so, once.
fn astray(session: &mut Session<'_, '_>, dir: &[u8]) -> Result<bool> {
    let Some(place) = session.editor.led_astray(dir)? else {
        return Ok(false);
    };
    let warning = format!(
        "{} leads to {}: what is there stays",
        crate::files::text(dir),
        crate::files::text(&place)
    );
    if !session.report.warnings.contains(&warning) {
        session.report.warnings.push(warning);
    }
    Ok(true)
}

fn remove_except(session: &mut Session<'_, '_>, pattern: &str, names: &[&str]) -> Result<()> {
    for path in glob(session, pattern)? {
        if astray(session, split(&path).0)? {
            continue;
        }
        let kept = names.iter().any(|name| split(&path).1 == name.as_bytes());
        match session.editor.link_metadata(&path)? {
            Some(metadata) if !metadata.is_dir() && !kept => session.editor.remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_mountpoint(session: &Session<'_, '_>, path: &[u8]) -> bool {
    session.guest.mounts().iter().any(|m| m.path.as_bytes() == path)
}

/// A pattern through a filesystem that cannot be opened is an error: leaving things there would not be what was asked for.
pub(super) fn glob(session: &Session<'_, '_>, pattern: &str) -> Result<Vec<Vec<u8>>> {
    session.editor.glob(pattern.as_bytes())
}

fn remove_below(session: &mut Session<'_, '_>, dir: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<()> {
    if !session.editor.is_dir(dir.as_bytes())? || astray(session, dir.as_bytes())? {
        return Ok(());
    }
    let mut found = Vec::new();
    session.editor.tree().walk(dir, |entry| {
        if entry.metadata.is_file() && wanted(&entry.path) {
            found.push(entry.path.clone());
        }
        Ok::<_, Error>(WalkStep::Continue)
    })?;
    found.iter().try_for_each(|path| session.editor.remove(path))
}

fn truncate(session: &mut Session<'_, '_>, path: &[u8]) -> Result<()> {
    match session.editor.link_metadata(path)? {
        Some(metadata) if metadata.is_file() => session.editor.truncate(path),
        _ => Ok(()),
    }
}

fn drop_lines(session: &mut Session<'_, '_>, pattern: &str, starts: &[&str]) -> Result<()> {
    for path in glob(session, pattern)? {
        let Some(contents) = session.editor.read_if_file(&path)? else {
            continue;
        };
        let kept: Vec<u8> = contents
            .split_inclusive(|b| *b == b'\n')
            .filter(|line| {
                !starts
                    .iter()
                    .any(|s| line.trim_ascii_start().starts_with(s.as_bytes()))
            })
            .flatten()
            .copied()
            .collect();
        session.editor.write_text(&path, &kept)?;
    }
    Ok(())
}

/// Empty, the id is made at the next boot; D-Bus takes the same where its file is a link.
fn machine_id(session: &mut Session<'_, '_>) -> Result<()> {
    let path = b"/etc/machine-id";
    truncate(session, path)?;
    let dbus = b"/var/lib/dbus/machine-id";
    match session.editor.link_metadata(dbus)? {
        Some(metadata) if metadata.is_file() => {
            if session.editor.link_metadata(path)?.is_some() {
                // An empty file would stop D-Bus from starting.
                session.editor.symlink(b"/etc/machine-id", dbus)?;
            } else {
                session.editor.remove(dbus)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Root's home, those of the user database, and all directories in `/home`.
fn homes(session: &Session<'_, '_>) -> Result<BTreeSet<Vec<u8>>> {
    let mut homes = BTreeSet::from([b"/root".to_vec()]);
    for path in glob(session, "/home/*")? {
        if session.editor.link_metadata(&path)?.is_some_and(|m| m.is_dir()) {
            homes.insert(path);
        }
    }
    for user in session.editor.users()? {
        // System users' homes (/, /bin, /var/lib/x) are no places where people leave things.
        let person = user.uid == 0 || (1000..60_000).contains(&user.uid);
        if person && user.home.starts_with(b"/") && user.home.len() > 1 {
            homes.insert(user.home);
        }
    }
    Ok(homes)
}

fn home_files(session: &mut Session<'_, '_>, names: &[&str]) -> Result<()> {
    for home in homes(session)? {
        for name in names {
            session.editor.remove_if_there(&join(&home, name.as_bytes()))?;
        }
    }
    Ok(())
}

/// Jobs go; the numbering of at starts anew.
fn cron_spool(session: &mut Session<'_, '_>) -> Result<()> {
    let is_sequence = |path: &[u8]| path.ends_with(b"/.SEQ");
    for dir in ["/var/spool/cron", "/var/spool/at"] {
        remove_below(session, dir, |path| !is_sequence(path))?;
    }
    for pattern in ["/var/spool/atjobs/*", "/var/spool/atspool/*"] {
        remove(session, pattern, false)?;
    }
    for path in [
        &b"/var/spool/atjobs/.SEQ"[..],
        b"/var/spool/cron/atjobs/.SEQ",
        b"/var/spool/at/.SEQ",
    ] {
        // The directory is not always root's: a link is not followed.
        let is_own = session.editor.link_metadata(path)?.is_some_and(|m| m.is_file());
        if is_own && !astray(session, split(path).0)? {
            session.editor.write_text(path, b"00000\n")?;
        }
    }
    Ok(())
}

fn process_accounting(session: &mut Session<'_, '_>) -> Result<()> {
    for (pattern, file) in [
        ("/var/account/pacct*", "/var/account/pacct"),
        ("/var/log/account/pacct*", "/var/log/account/pacct"),
    ] {
        let Some(old) = session.editor.link_metadata(file.as_bytes())? else {
            continue;
        };
        remove(session, pattern, false)?;
        let owner = disksmith_vfs::Owner {
            uid: old.uid,
            gid: old.gid,
        };
        session.editor.write(
            file.as_bytes(),
            b"",
            NewFile {
                owner,
                permissions: old.permissions,
            },
        )?;
    }
    Ok(())
}

/// What a first boot of cloud-init makes: everything but what belongs to the template (seeds and scripts put there on purpose).
fn cloud_init(session: &mut Session<'_, '_>) -> Result<()> {
    let dir = b"/var/lib/cloud";
    if session.editor.is_dir(dir)? && !astray(session, dir)? {
        for entry in session.editor.tree().read_dir(dir)? {
            match entry.name.as_slice() {
                b"seed" => {}
                b"scripts" => {
                    // Templates may bring scripts of their own in these.
                    let keep = [&b"per-boot"[..], b"per-instance", b"per-once", b"vendor"];
                    for inner in session.editor.tree().read_dir(b"/var/lib/cloud/scripts")? {
                        if !keep.contains(&inner.name.as_slice()) {
                            session
                                .editor
                                .remove(&join(b"/var/lib/cloud/scripts", &inner.name))?;
                        }
                    }
                }
                name => session.editor.remove(&join(dir, name))?,
            }
        }
    }
    for pattern in [
        "/var/log/cloud-init.log*",
        "/var/log/cloud-init-output.log*",
        "/etc/netplan/50-cloud-init.yaml",
        "/etc/network/interfaces.d/50-cloud-init*",
        "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
        "/etc/systemd/network/10-cloud-init-*.network",
        "/etc/cloud/cloud-init.generated",
        "/run/cloud-init/*",
    ] {
        remove(session, pattern, true)?;
    }
    Ok(())
}

fn blkid_tab(session: &mut Session<'_, '_>) -> Result<()> {
    for path in [
        "/var/run/blkid.tab",
        "/var/run/blkid.tab.old",
        "/etc/blkid/blkid.tab",
        "/etc/blkid/blkid.tab.old",
        "/etc/blkid.tab",
        "/etc/blkid.tab.old",
        "/dev/.blkid.tab",
        "/dev/.blkid.tab.old",
    ] {
        // A link leads to where it is kept: the link stays.
        if session
            .editor
            .link_metadata(path.as_bytes())?
            .is_some_and(|m| m.is_file())
        {
            session.editor.remove(path.as_bytes())?;
        }
    }
    Ok(())
}
