//! The guest's time zone.

use super::hostname::set_assignment;
use super::session::Session;
use crate::error::{Error, Result};
use crate::files::lines;
use crate::inspect::Family;

const ZONES: &str = "/usr/share/zoneinfo";
const LOCALTIME: &[u8] = b"/etc/localtime";

pub(crate) fn set(session: &mut Session<'_, '_>, zone: &str) -> Result<()> {
    let family = session.guest.distribution().family;
    if family == Family::NixOs {
        return Err(Error::Unsupported {
            what: "setting the time zone of a NixOS guest".into(),
            reason: "its /etc is made anew from its configuration at each boot".into(),
            hint: Some("set time.timeZone in its configuration".into()),
        });
    }
    let file = format!("{ZONES}/{zone}");
    let editor = &mut session.editor;
    if !editor.is_file(file.as_bytes())? {
        let has_zones = editor.is_dir(ZONES.as_bytes())?;
        return Err(Error::NoSuchTimezone {
            zone: zone.to_owned(),
            has_zones,
        });
    }
    // systemd writes the link relative, others absolute: as it was.
    let relative = match editor.link_metadata(LOCALTIME)? {
        Some(metadata) if metadata.is_symlink() => editor.tree().read_link(LOCALTIME)?.starts_with(b".."),
        _ => false,
    };
    let target = if relative { format!("..{file}") } else { file };
    editor.symlink(target.as_bytes(), LOCALTIME)?;
    if family == Family::Debian || editor.is_file(b"/etc/timezone")? {
        // What a link leads to is another file.
        if editor
            .link_metadata(b"/etc/timezone")?
            .is_some_and(|m| m.is_symlink())
        {
            editor.remove(b"/etc/timezone")?;
        }
        editor.write_text(b"/etc/timezone", format!("{zone}\n").as_bytes())?;
    }
    // The old releases of Red Hat and SUSE.
    let clock = b"/etc/sysconfig/clock";
    if let Some(contents) = editor.read_if_file(clock)? {
        for name in ["ZONE", "TIMEZONE"] {
            if lines(&contents).any(|l| l.starts_with(name.as_bytes()) && l.get(name.len()) == Some(&b'=')) {
                set_assignment(session, clock, name, &format!("\"{zone}\""))?;
            }
        }
    }
    Ok(())
}
