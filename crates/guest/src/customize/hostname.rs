//! The guest's host name.

use super::session::Session;
use crate::error::{Error, Result};
use crate::files::{lines, rename_host};
use crate::inspect::{Family, Init, System};

pub(crate) fn set(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let old = session.guest.hostname();
    let distribution = session.guest.distribution().clone();
    let major = distribution.major.unwrap_or(u32::MAX);
    let old_red_hat = distribution.family == Family::RedHat
        && major < if distribution.id == "fedora" { 18 } else { 7 }
        && distribution.id != "amzn";
    let with_newline = format!("{name}\n");
    let editor = &mut session.editor;
    match distribution.family {
        Family::NixOs => {
            return Err(Error::Unsupported {
                what: "setting the host name of a NixOS guest".into(),
                reason: "its /etc is made anew from its configuration at each boot".into(),
                hint: Some("set networking.hostName in its configuration".into()),
            });
        }
        _ if old_red_hat => {
            set_assignment(session, b"/etc/sysconfig/network", "HOSTNAME", name)?;
        }
        Family::Suse => {
            // Up to SLES 11 and openSUSE 12 only the upper-case file counts; later it is a link to the other, or gone.
            let upper = editor.link_metadata(b"/etc/HOSTNAME")?;
            let systemd = session.guest.init() == Init::Systemd;
            let editor = &mut session.editor;
            if systemd || upper.is_none() {
                editor.write_text(b"/etc/hostname", with_newline.as_bytes())?;
            }
            if upper.is_some_and(|m| m.is_file()) {
                editor.write_text(b"/etc/HOSTNAME", with_newline.as_bytes())?;
            }
        }
        Family::Gentoo => {
            editor.write_text(b"/etc/hostname", with_newline.as_bytes())?;
            if editor.is_file(b"/etc/conf.d/hostname")? {
                set_assignment(
                    session,
                    b"/etc/conf.d/hostname",
                    "hostname",
                    &format!("\"{name}\""),
                )?;
            }
        }
        Family::Other if editor.is_file(UCI)? => set_uci(session, name)?,
        Family::Other if is_bsd(session.guest.system()) => set_bsd(session, name)?,
        // Slackware, and others of its age.
        Family::Other if session.guest.init() != Init::Systemd && editor.is_file(b"/etc/HOSTNAME")? => {
            editor.write_text(b"/etc/HOSTNAME", with_newline.as_bytes())?;
        }
        Family::Other if session.guest.init() != Init::Systemd && !editor.is_file(b"/etc/hostname")? => {
            return Err(Error::Unsupported {
                what: format!("setting the host name of {}", distribution.name),
                reason:
                    "it has no /etc/hostname and no systemd, so that it is not known where the name stands"
                        .into(),
                hint: Some("write the right file with --write or --edit".into()),
            });
        }
        _ => editor.write_text(b"/etc/hostname", with_newline.as_bytes())?,
    }
    pretty_hostname(session, name)?;
    let Some(old) = old.filter(|old| old != name && !old.starts_with("localhost")) else {
        return Ok(());
    };
    let editor = &mut session.editor;
    if let Some(hosts) = editor.read_if_file(b"/etc/hosts")? {
        let mut renamed = rename_host(&hosts, &old, name);
        if distribution.family == Family::Debian {
            // Debian's installer leaves these where it learnt no name.
            renamed = rename_host(&renamed, "unassigned-hostname.unassigned-domain", name);
        }
        editor.write_text(b"/etc/hosts", &renamed)?;
    }
    Ok(())
}

/// Where OpenWrt keeps the name.
const UCI: &[u8] = b"/etc/config/system";

/// `option hostname 'NAME'` in the first section of OpenWrt's system.
fn set_uci(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let contents = session.editor.read(UCI)?;
    let mut out = Vec::with_capacity(contents.len() + name.len());
    let mut done = false;
    let option = format!("\toption hostname '{name}'\n");
    for line in contents.split_inclusive(|b| *b == b'\n') {
        let words = line.trim_ascii();
        if words.starts_with(b"option hostname") {
            if !done {
                out.extend_from_slice(option.as_bytes());
            }
            done = true;
        } else {
            out.extend_from_slice(line);
        }
    }
    if !done {
        // Behind the line that opens the section.
        let at = lines_with_ends(&out)
            .find(|(_, line)| line.trim_ascii().starts_with(b"config system"))
            .map(|(at, line)| at + line.len());
        let Some(at) = at else {
            return Err(Error::guest_path(UCI, "has no section \"system\""));
        };
        out.splice(at..at, option.into_bytes());
    }
    session.editor.write_text(UCI, &out)
}

/// Each line with its end, and where it begins.
fn lines_with_ends(contents: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    contents.split_inclusive(|b| *b == b'\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

fn is_bsd(system: System) -> bool {
    matches!(system, System::FreeBsd | System::NetBsd | System::OpenBsd)
}

/// FreeBSD and NetBSD have it in `/etc/rc.conf`, OpenBSD in `/etc/myname`, which NetBSD takes as well.
fn set_bsd(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    if session.guest.system() == System::OpenBsd || session.editor.is_file(b"/etc/myname")? {
        let line = format!("{name}\n");
        return session.editor.write_text(b"/etc/myname", line.as_bytes());
    }
    set_assignment(session, b"/etc/rc.conf", "hostname", &format!("\"{name}\""))
}

/// A name for people in `/etc/machine-info`, where the guest has one, would go on to say the old name.
fn pretty_hostname(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let path = b"/etc/machine-info";
    let Some(contents) = session.editor.read_if_file(path)? else {
        return Ok(());
    };
    if lines(&contents).any(|line| line.starts_with(b"PRETTY_HOSTNAME=")) {
        set_assignment(session, path, "PRETTY_HOSTNAME", &format!("\"{name}\""))?;
    }
    Ok(())
}

/// Sets `NAME=VALUE` in a file of assignments: in the place of the first one, else at the end.
pub(crate) fn set_assignment(
    session: &mut Session<'_, '_>,
    path: &[u8],
    name: &str,
    value: &str,
) -> Result<()> {
    let contents = session.editor.read_if_file(path)?.unwrap_or_default();
    let prefix = format!("{name}=");
    let new_line = format!("{prefix}{value}\n");
    let mut out = Vec::with_capacity(contents.len() + new_line.len());
    let mut done = false;
    for line in contents.split_inclusive(|b| *b == b'\n') {
        if line.trim_ascii_start().starts_with(prefix.as_bytes()) {
            if !done {
                out.extend_from_slice(new_line.as_bytes());
            }
            done = true;
        } else {
            out.extend_from_slice(line);
        }
    }
    if !done {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(new_line.as_bytes());
    }
    session.editor.write_text(path, &out)
}
