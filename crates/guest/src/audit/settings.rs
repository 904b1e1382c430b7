//! Settings that surprise whoever runs a clone.

use super::Severity;
use super::look::Look;
use crate::error::Result;
use crate::files::{lines, parse_fstab, text};

pub(super) fn sshd(look: &mut Look<'_>) -> Result<()> {
    // The first value counts, and the files that are included stand before the rest.
    let mut files = look.files("/etc/ssh/sshd_config.d/*.conf")?;
    files.extend(look.files("/etc/ssh/sshd_config")?);
    for (keyword, bad, message) in [
        ("permitrootlogin", "yes", "lets root in by password"),
        (
            "permitemptypasswords",
            "yes",
            "lets in accounts without a password",
        ),
    ] {
        for path in &files {
            let contents = look.read(path)?.unwrap_or_default();
            let set = lines(&contents).map(text).find_map(|line| {
                let mut words = line
                    .split(|c: char| c.is_whitespace() || c == '=')
                    .filter(|w| !w.is_empty());
                words
                    .next()
                    .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
                    .then(|| words.next().unwrap_or_default().to_ascii_lowercase())
            });
            if let Some(value) = set {
                if value == bad {
                    look.found(path, message);
                }
                break;
            }
        }
    }
    Ok(())
}

pub(super) fn sudo(look: &mut Look<'_>) -> Result<()> {
    for pattern in ["/etc/sudoers", "/etc/sudoers.d/*", "/etc/doas.conf"] {
        for path in look.files(pattern)? {
            let contents = look.read(&path)?.unwrap_or_default();
            for line in lines(&contents).map(text) {
                let line = line.trim();
                if line.starts_with('#') || !(line.contains("NOPASSWD") || line.contains("nopass")) {
                    continue;
                }
                let who = line.split_whitespace().next().unwrap_or_default();
                look.found(&path, format!("{who} needs no password"));
            }
        }
    }
    Ok(())
}

pub(super) fn fstab(look: &mut Look<'_>) -> Result<()> {
    let path = b"/etc/fstab";
    let Some(contents) = look.read(path)? else {
        return Ok(());
    };
    for entry in parse_fstab(&contents).0 {
        let disk = ["/dev/sd", "/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme"];
        if disk.iter().any(|prefix| entry.spec.starts_with(prefix)) {
            look.found(
                path,
                format!("line {}: {} is a name of a disk", entry.line, entry.spec),
            );
        }
        if entry.spec.contains("/dev/disk/by-id") || entry.spec.contains("/dev/disk/by-path") {
            look.found(
                path,
                format!(
                    "line {}: {} is the name of this machine's disk",
                    entry.line, entry.spec
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn resume(look: &mut Look<'_>) -> Result<()> {
    for path in look.files("/etc/initramfs-tools/conf.d/resume")? {
        let contents = look.read(&path)?.unwrap_or_default();
        let value = lines(&contents).find_map(|l| l.trim_ascii().strip_prefix(b"RESUME="));
        if let Some(value) = value.filter(|v| !matches!(*v, b"none" | b"auto")) {
            look.found(&path, format!("waits for {}", text(value)));
        }
    }
    Ok(())
}

pub(super) fn relabel(look: &mut Look<'_>) -> Result<()> {
    for path in [&b"/.autorelabel"[..], b"/etc/selinux/.autorelabel"] {
        if look.link_metadata(path)?.is_some() {
            look.found_as(Severity::Note, path, "asks for it");
        }
    }
    Ok(())
}
