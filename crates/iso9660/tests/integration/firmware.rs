//! A boot image of ours, started by real firmware: SeaBIOS in QEMU.

use crate::model::at;
use disksmith_iso9660::{
    Attributes, BootCatalog, BootEntry, Emulation, ImageTree, IsoImage, Options, Platform, Source,
};
use disksmith_storage::{Durability, Existing};
use std::path::Path;
use std::process::{Command, Stdio};

/// Real-mode code that writes a word to the first serial port, and ends the machine through QEMU's debug port.
fn boot_code(word: &[u8], len: usize) -> Vec<u8> {
    let mut code = vec![0xBA, 0xF8, 0x03]; // mov dx, 0x3f8
    for byte in word {
        code.extend_from_slice(&[0xB0, *byte, 0xEE]); // mov al, byte; out dx, al
    }
    code.extend_from_slice(&[0xBA, 0x01, 0x05, 0xB0, 0x10, 0xEE]); // mov dx, 0x501; mov al, 0x10; out dx, al
    code.extend_from_slice(&[0xF4, 0xEB, 0xFD]); // hlt; jmp back
    code.resize(len, 0);
    if let Some(end) = code.get_mut(510..512) {
        end.copy_from_slice(&[0x55, 0xAA]);
    }
    code
}

fn image(path: &Path, code: Vec<u8>, emulation: Emulation) {
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let root = tree.root();
    let file = Source::bytes(code);
    let boot = tree
        .add_file(root, b"boot.img", Attributes::new(0o644, at(0)), file)
        .unwrap();
    let load_sectors = (emulation == Emulation::None).then_some(4);
    let options = Options {
        rock_ridge: true,
        boot: Some(BootCatalog {
            entries: vec![BootEntry {
                emulation,
                load_sectors,
                ..BootEntry::new(Platform::Bios, boot)
            }],
            ..BootCatalog::default()
        }),
        ..Options::new("boot", at(0))
    };
    IsoImage::plan(tree, options)
        .unwrap()
        .write_file(path, Existing::Refuse, Durability::Deferred)
        .unwrap();
}

#[test]
fn seabios_starts_the_image() {
    let program = "qemu-system-x86_64";
    if Command::new(program).arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing");
        eprintln!("SKIPPED, for want of {program}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, len, emulation) in [
        ("plain", 2048, Emulation::None),
        ("floppy", 1_474_560, Emulation::Floppy),
    ] {
        let iso = folder.path().join(format!("{name}.iso"));
        image(&iso, boot_code(name.as_bytes(), len), emulation);
        let output = Command::new("timeout")
            .args([
                "60",
                program,
                "-accel",
                "tcg",
                "-m",
                "32",
                "-display",
                "none",
                "-nodefaults",
            ])
            .args(["-serial", "stdio", "-monitor", "none", "-boot", "d"])
            .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1", "-cdrom"])
            .arg(&iso)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(name), "{name}: {output:?}");
    }
}
