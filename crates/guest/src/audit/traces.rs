//! What use of the template left behind.

use super::look::Look;
use crate::error::Result;

const HISTORIES: &[&str] = &[
    ".bash_history",
    ".zsh_history",
    ".zhistory",
    ".ash_history",
    ".sh_history",
    ".history",
    ".local/share/fish/fish_history",
    ".python_history",
    ".node_repl_history",
    ".irb_history",
    ".mysql_history",
    ".psql_history",
    ".sqlite_history",
    ".rediscli_history",
    ".lesshst",
    ".viminfo",
    ".local/state/nvim/shada/main.shada",
    ".wget-hsts",
];

pub(super) fn histories(look: &mut Look<'_>) -> Result<()> {
    for name in HISTORIES {
        for path in look.in_homes(name)? {
            look.found(&path, "tells what was done");
        }
    }
    Ok(())
}

/// "3 files of 4096 bytes", under the directory's name.
fn weigh(look: &mut Look<'_>, dir: &str, what: &str, skip: impl Fn(&[u8]) -> bool) -> Result<()> {
    let (files, bytes) = look.weigh(dir.as_bytes(), skip)?;
    if files > 0 {
        let plural = if files == 1 { "" } else { "s" };
        look.found(dir.as_bytes(), format!("{files} {what}{plural} of {bytes} bytes"));
    }
    Ok(())
}

pub(super) fn logs(look: &mut Look<'_>) -> Result<()> {
    weigh(look, "/var/log", "file", |path| {
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        name.starts_with(b"README") || name == b".keep" || name == b".gitignore"
    })?;
    for path in [
        "/root/anaconda-ks.cfg",
        "/root/original-ks.cfg",
        "/root/install.log",
    ] {
        for path in look.files(path)? {
            look.found(&path, "is left of the installation");
        }
    }
    Ok(())
}

pub(super) fn crashes(look: &mut Look<'_>) -> Result<()> {
    for dir in [
        "/var/crash",
        "/var/spool/abrt",
        "/var/lib/systemd/coredump",
        "/var/log/dump",
    ] {
        weigh(look, dir, "file", |_| false)?;
    }
    Ok(())
}

pub(super) fn mail(look: &mut Look<'_>) -> Result<()> {
    weigh(look, "/var/spool/mail", "file", |_| false)?;
    let link = look.link_metadata(b"/var/mail")?.is_some_and(|m| m.is_symlink());
    if link {
        Ok(())
    } else {
        weigh(look, "/var/mail", "file", |_| false)
    }
}

pub(super) fn jobs(look: &mut Look<'_>) -> Result<()> {
    for dir in ["/var/spool/cron", "/var/spool/at", "/var/spool/atjobs"] {
        weigh(look, dir, "job", |path| path.ends_with(b"/.SEQ"))?;
    }
    Ok(())
}

pub(super) fn temporary(look: &mut Look<'_>) -> Result<()> {
    for dir in ["/tmp", "/var/tmp"] {
        weigh(look, dir, "file", |_| false)?;
    }
    Ok(())
}

pub(super) fn package_cache(look: &mut Look<'_>) -> Result<()> {
    for dir in [
        "/var/cache/apt/archives",
        "/var/cache/dnf",
        "/var/cache/libdnf5",
        "/var/cache/yum",
        "/var/cache/zypp",
        "/var/cache/apk",
        "/var/cache/pacman/pkg",
        "/var/cache/xbps",
    ] {
        weigh(look, dir, "file", |path| path.ends_with(b"/lock"))?;
    }
    Ok(())
}

pub(super) fn backups(look: &mut Look<'_>) -> Result<()> {
    for pattern in [
        "/etc/*~",
        "/etc/*.bak",
        "/etc/*/*~",
        "/etc/*/*.bak",
        "/root/*~",
        "/root/*.bak",
    ] {
        for path in look.files(pattern)? {
            look.found(&path, "is a backup");
        }
    }
    Ok(())
}
