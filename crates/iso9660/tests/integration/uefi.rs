//! A boot image of ours, started by UEFI firmware: OVMF in QEMU, from a CD-ROM and from a disk.

use crate::judge::{path, run};
use crate::model::at;
use disksmith_iso9660::{
    AppendedPartition, Attributes, BootCatalog, BootEntry, BootImage, Hybrid, ImageTree, IsoImage, Options,
    PartitionType, Platform, Source,
};
use disksmith_storage::{Durability, Existing};
use std::path::Path;
use std::process::{Command, Stdio};

const FIRMWARE: &str = "/usr/share/ovmf/OVMF.fd";

/// A PE32+ program for UEFI on x86-64 that writes a word to the first serial port, and ends the machine through QEMU's
/// debug port (UEFI 2.10, 2.1.1; PE/COFF 3 and 4).
fn program(word: &[u8]) -> Vec<u8> {
    let mut code = vec![0x66, 0xBA, 0xF8, 0x03]; // mov dx, 0x3f8
    for byte in word {
        code.extend_from_slice(&[0xB0, *byte, 0xEE]); // mov al, byte; out dx, al
    }
    code.extend_from_slice(&[0x66, 0xBA, 0x01, 0x05, 0xB0, 0x10, 0xEE]); // mov dx, 0x501; mov al, 0x10; out dx, al
    code.extend_from_slice(&[0xF4, 0xEB, 0xFD]); // hlt; jmp back
    let mut out = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(60, &64u32.to_le_bytes());
    put(64, b"PE\0\0");
    put(68, &0x8664u16.to_le_bytes()); // machine
    put(70, &1u16.to_le_bytes()); // sections
    put(84, &240u16.to_le_bytes()); // bytes of the optional header
    put(86, &0x22u16.to_le_bytes()); // executable, any address
    let optional = 88;
    put(optional, &0x20Bu16.to_le_bytes());
    for (offset, value) in [
        (4, 0x200u32), // bytes of code
        (16, 0x1000),  // entry
        (20, 0x1000),  // base of code
        (32, 0x1000),  // alignment in memory
        (36, 0x200),   // and in the file
        (56, 0x2000),  // bytes in memory
        (60, 0x200),   // bytes of headers
        (68, 10),      // UEFI application
        (108, 16),     // data directories, all empty
    ] {
        put(optional + offset, &value.to_le_bytes());
    }
    let section = optional + 240;
    put(section, b".text");
    for (offset, value) in [
        (8, 0x200u32),
        (12, 0x1000),
        (16, 0x200),
        (20, 0x200),
        (36, 0x6000_0020),
    ] {
        put(section + offset, &value.to_le_bytes());
    }
    put(0x200, &code);
    out
}

/// A FAT filesystem with the program where firmware looks for it.
fn system_partition(folder: &Path, word: &[u8]) -> Option<std::path::PathBuf> {
    let (fat, exe) = (folder.join("efi.img"), folder.join("bootx64.efi"));
    std::fs::write(&exe, program(word)).unwrap();
    run("/sbin/mkfs.vfat", &["-C", path(&fat), "1440"])?;
    run("mmd", &["-i", path(&fat), "::/EFI", "::/EFI/BOOT"])?;
    run(
        "mcopy",
        &["-i", path(&fat), path(&exe), "::/EFI/BOOT/BOOTX64.EFI"],
    )?;
    Some(fat)
}

fn image(iso: &Path, fat: &Path, appended: bool) {
    let size = fat.metadata().unwrap().len();
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let mut hybrid = Hybrid::default();
    let boot = if appended {
        hybrid.partition_offset = 16;
        hybrid.appended_in_gpt = true;
        hybrid.appended.push(AppendedPartition {
            number: 2,
            kind: PartitionType::EFI_SYSTEM,
            source: Source::host_file(fat, size),
        });
        BootImage::Appended(2)
    } else {
        let attributes = Attributes::new(0o644, at(0));
        let source = Source::host_file(fat, size);
        tree.add_file(tree.root(), b"efi.img", attributes, source)
            .unwrap()
            .into()
    };
    let options = Options {
        rock_ridge: true,
        hybrid,
        boot: Some(BootCatalog {
            entries: vec![BootEntry::new(Platform::Efi, boot)],
            ..BootCatalog::default()
        }),
        ..Options::new("boot", at(0))
    };
    IsoImage::plan(tree, options)
        .unwrap()
        .write_file(iso, Existing::Replace, Durability::Deferred)
        .unwrap();
}

#[test]
fn ovmf_starts_the_image() {
    let emulator = "qemu-system-x86_64";
    if Command::new(emulator).arg("--version").output().is_err() || !Path::new(FIRMWARE).exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{emulator} or {FIRMWARE} is missing"
        );
        eprintln!("SKIPPED, for want of {emulator} or {FIRMWARE}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let iso = folder.path().join("x.iso");
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    for (word, drive, appended, only_long) in [
        ("from a CD-ROM", "media=cdrom", false, true),
        ("from a CD-ROM's appended partition", "media=cdrom", true, false),
        ("from a disk", "media=disk,if=ide", true, true),
    ] {
        if only_long && !long {
            continue;
        }
        let Some(fat) = system_partition(folder.path(), word.as_bytes()) else {
            return;
        };
        image(&iso, &fat, appended);
        std::fs::remove_file(&fat).unwrap();
        let output = Command::new("timeout")
            .args(["90", emulator, "-machine", "q35", "-accel", "tcg", "-m", "128"])
            .args(["-display", "none", "-nodefaults", "-bios", FIRMWARE])
            .args(["-serial", "stdio", "-monitor", "none"])
            .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1"])
            .arg("-drive")
            .arg(format!("file={},format=raw,snapshot=on,{drive}", iso.display()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(word), "{word}: {output:?}");
    }
}
