//! The guest's host name.

use super::session::Session;
use crate::error::{Error, Result};
use crate::files::{lines, rename_host, text};
use crate::inspect::{Family, Init};

pub(crate) fn set(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let old = current(session)?;
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

/// The name that the guest has so far.
fn current(session: &Session<'_, '_>) -> Result<Option<String>> {
    for path in [&b"/etc/hostname"[..], b"/etc/HOSTNAME"] {
        let Some(contents) = session.editor.read_if_file(path)? else {
            continue;
        };
        let name = lines(&contents)
            .map(<[u8]>::trim_ascii)
            .find(|l| !l.is_empty() && !l.starts_with(b"#"));
        if let Some(name) = name {
            return Ok(Some(text(name)));
        }
    }
    let Some(contents) = session.editor.read_if_file(b"/etc/sysconfig/network")? else {
        return Ok(None);
    };
    let name = lines(&contents)
        .filter_map(|l| l.trim_ascii().strip_prefix(b"HOSTNAME="))
        .last();
    Ok(name
        .map(|name| text(name).trim_matches(['"', '\'']).to_owned())
        .filter(|name| !name.is_empty()))
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
