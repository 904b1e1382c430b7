//! Another UUID for each filesystem, there and in the files that find filesystems by theirs: a template that was given others boots.

use super::actions::glob;
use crate::customize::Session;
use crate::error::Result;
use crate::inspect::{Renaming, Volume, VolumeContent};
use disksmith_fs::probe;
use std::collections::BTreeSet;

/// Files that name filesystems by their UUIDs: mounts, swap and encryption; boot loaders; what initial file systems and kernels are told.
const FILES: &[&str] = &[
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/lilo.conf",
    "/etc/default/grub",
    "/etc/default/grub.d/*",
    "/etc/default/zipl2grub.conf",
    "/etc/dracut.conf",
    "/etc/dracut.conf.d/*",
    "/etc/cmdline.d/*",
    "/etc/grub.d/*",
    "/etc/initramfs-tools/conf.d/*",
    "/etc/initramfs-tools/initramfs.conf",
    "/etc/kernel/cmdline",
    "/etc/kernel/cmdline.d/*",
    "/etc/mkinitfs/*.conf",
    "/etc/mkinitcpio.conf",
    "/etc/mkinitcpio.conf.d/*",
    "/etc/suspend.conf",
    "/etc/sysconfig/bootloader",
    "/etc/systemd/system/*.mount",
    "/etc/systemd/system/*.swap",
    "/etc/uswsusp.conf",
    "/etc/update-extlinux.conf",
    "/etc/zipl.conf",
    "/*.cfg",
    "/extlinux.conf",
    "/boot/*.cfg",
    "/boot/*.conf",
    "/boot/cmdline.txt",
    "/boot/firmware/cmdline.txt",
    "/boot/grub/*.cfg",
    "/boot/grub/*.conf",
    "/boot/grub/*.lst",
    "/boot/grub/grubenv",
    "/boot/grub/*/load.cfg",
    "/boot/grub2/*.cfg",
    "/boot/grub2/grubenv",
    "/boot/grub2/*/load.cfg",
    "/boot/extlinux/*.conf",
    "/boot/syslinux/*.cfg",
    "/boot/isolinux/*.cfg",
    "/boot/loader/*.conf",
    "/boot/loader/entries/*.conf",
    "/boot/EFI/*/*.cfg",
    "/boot/efi/*.cfg",
    "/boot/efi/*.conf",
    "/boot/efi/EFI/*/*.cfg",
    "/boot/efi/EFI/*/*.conf",
    "/boot/efi/EFI/*/grubenv",
    "/boot/efi/grub*/*.cfg",
    "/boot/efi/loader/*.conf",
    "/boot/efi/loader/entries/*.conf",
    "/efi/EFI/*/*.cfg",
    "/efi/EFI/*/*.conf",
    "/efi/loader/*.conf",
    "/efi/loader/entries/*.conf",
];
/// Directories of programs for the firmware, which may name a filesystem too.
const EFI_PROGRAMS: &[&str] = &["/boot/efi/EFI/*/*.efi", "/boot/EFI/*/*.efi", "/efi/EFI/*/*.efi"];

/// Larger files are none of a boot loader's settings, or programs.
const MAX_TEXT: u64 = 4 << 20;
const MAX_PROGRAM: u64 = 32 << 20;

/// A UUID and the one that takes its place.
struct Change {
    device: String,
    is_swap: bool,
    old: Option<String>,
    new: String,
}

pub(super) fn renew(session: &mut Session<'_, '_>) -> Result<()> {
    let guest = session.guest;
    let roots = guest.volumes().iter().filter(|volume| volume.is_root());
    if roots.count() > 1 {
        let warning = "the filesystems keep their UUIDs: the disks hold several operating systems, which name each other's";
        session.report.warnings.push(warning.into());
        return Ok(());
    }
    let mut changes = Vec::new();
    for volume in guest.volumes() {
        if let Some((change, renaming)) = plan(session, volume)? {
            guest.rename_later(renaming);
            session.editor.note(match &change.old {
                Some(old) => format!("{}: {old} is {} now", change.device, change.new),
                None => format!("{}: {}", change.device, change.new),
            });
            changes.push(change);
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut done: BTreeSet<Vec<u8>> = BTreeSet::new();
    for pattern in FILES {
        for path in glob(session, pattern)? {
            // Several names can lead to one file.
            let Ok(real) = session.editor.real_path(&path) else {
                continue;
            };
            if !done.insert(real) {
                continue;
            }
            let Some(contents) = read_small(session, &path, MAX_TEXT)? else {
                continue;
            };
            let mut text = contents.clone();
            changes.iter().for_each(|change| replace(&mut text, change));
            if text != contents {
                session.editor.write_text(&path, &text)?;
            }
        }
    }
    warn_of_programs(session, &changes)?;
    if changes.iter().any(|c| c.is_swap && c.old.is_some()) {
        let note = "an initial file system that waits for a swap space to resume from knows its old UUID until it is made anew in the guest";
        session.editor.note(note);
    }
    Ok(())
}

/// What a volume is renamed to; `None` for one that keeps its UUID.
fn plan(session: &mut Session<'_, '_>, volume: &Volume) -> Result<Option<(Change, Renaming)>> {
    let device = volume.device();
    let Some(slice) = volume.slice.clone().filter(|slice| slice.is_writable()) else {
        return Ok(None);
    };
    let Some(found) = probe(&slice) else {
        return Ok(None);
    };
    let is_swap = matches!(volume.content, VolumeContent::Known { .. }) && volume.kind() == "swap";
    let is_open = volume.is_open();
    if !is_open && !is_swap || volume.kind() == "iso9660" {
        if is_filesystem(volume) {
            let warning = format!(
                "{device} keeps its UUID: {} cannot be given another yet",
                volume.kind()
            );
            session.report.warnings.push(warning);
        }
        return Ok(None);
    }
    if volume.is_verified() {
        return Ok(None);
    }
    let mut uuid = [0u8; 16];
    session.context.random.fill(&mut uuid)?;
    // Version 4 of RFC 9562: of random numbers.
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    if let [0, 0, 0, last, ..] = &mut uuid {
        *last |= 1;
    }
    let Some(new) = found.kind.identifier(uuid) else {
        let warning = format!(
            "{device} keeps its UUID: {} cannot be given another yet",
            volume.kind()
        );
        session.report.warnings.push(warning);
        return Ok(None);
    };
    if is_swap && found.uuid.is_none() {
        return Ok(None);
    }
    let renaming = Renaming {
        device: device.clone(),
        slice,
        uuid,
    };
    let change = Change {
        device,
        is_swap,
        old: volume.uuid(),
        new,
    };
    Ok(Some((change, renaming)))
}

/// A file's contents; `None` for what is none, or larger.
fn read_small(session: &Session<'_, '_>, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
    match session.editor.metadata(path)? {
        Some(metadata) if metadata.is_file() && metadata.size <= limit => session.editor.read_if_file(path),
        _ => Ok(None),
    }
}

/// Whether a volume that was not opened holds files.
fn is_filesystem(volume: &Volume) -> bool {
    !matches!(
        volume.kind(),
        "unknown" | "LVM2_member" | "crypto_LUKS" | "linux_raid_member" | "iso9660" | "jbd" | "BitLocker"
    )
}

/// Puts the new UUID where the old one stands as a whole word, in capitals or not.
fn replace(text: &mut [u8], change: &Change) {
    let Some(old) = change.old.as_deref().map(str::as_bytes) else {
        return;
    };
    // They are of one kind, and so of one length.
    if old.is_empty() || old.len() != change.new.len() {
        return;
    }
    let mut at = 0;
    while let Some(found) = find(text, old, at) {
        if let Some(place) = text.get_mut(found..found + old.len()) {
            place.copy_from_slice(change.new.as_bytes());
        }
        at = found + old.len();
    }
}

/// Where a word stands, from a place on.
fn find(text: &[u8], word: &[u8], from: usize) -> Option<usize> {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
    let mut windows = text.windows(word.len()).enumerate().skip(from);
    windows.find_map(|(at, window)| {
        let whole = !is_part(at.checked_sub(1).and_then(|before| text.get(before)))
            && !is_part(text.get(at + word.len()));
        (window.eq_ignore_ascii_case(word) && whole).then_some(at)
    })
}

/// Boot loaders can have a UUID in their programs, where it is not changed: their signatures would no longer hold.
fn warn_of_programs(session: &mut Session<'_, '_>, changes: &[Change]) -> Result<()> {
    for pattern in EFI_PROGRAMS {
        for path in glob(session, pattern)? {
            let Some(program) = read_small(session, &path, MAX_PROGRAM)? else {
                continue;
            };
            let named = changes.iter().find(|change| {
                let old = change.old.as_deref().map(str::as_bytes).unwrap_or_default();
                !old.is_empty() && program.windows(old.len()).any(|window| window == old)
            });
            if let Some(change) = named {
                let warning = format!(
                    "{} looks for {} by its old UUID: install the boot loader anew, or leave out fs-uuids",
                    crate::files::text(&path),
                    change.device
                );
                session.report.warnings.push(warning);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_in_capitals_or_not_are_replaced() {
        let change = Change {
            device: "/dev/sda1".into(),
            is_swap: false,
            old: Some("ABCD-0123".into()),
            new: "1111-2222".into(),
        };
        let mut text =
            b"UUID=ABCD-0123 /boot/efi\nuuid abcd-0123, xABCD-0123 ABCD-01234 \"ABCD-0123\"".to_vec();
        replace(&mut text, &change);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "UUID=1111-2222 /boot/efi\nuuid 1111-2222, xABCD-0123 ABCD-01234 \"1111-2222\""
        );
    }
}
