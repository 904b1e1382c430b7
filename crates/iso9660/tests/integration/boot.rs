//! El Torito, as xorriso reads it.

use crate::judge::{path, run};
use crate::model::at;
use disksmith_iso9660::{Attributes, BootCatalog, BootEntry, ImageTree, IsoImage, Options, Platform, Source};
use disksmith_storage::{Durability, Existing};

#[test]
fn bios_and_uefi_entries() {
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let root = tree.root();
    let attributes = Attributes::new(0o644, at(0));
    let dir = tree
        .add_directory(root, b"boot", Attributes::new(0o755, at(0)))
        .unwrap();
    let code: Vec<u8> = (0..5000u32).map(|i| (i * 7) as u8).collect();
    let bios = tree
        .add_file(dir, b"loader.bin", attributes, Source::bytes(code.clone()))
        .unwrap();
    let efi = tree
        .add_file(dir, b"efi.img", attributes, Source::bytes(vec![0xEFu8; 100_000]))
        .unwrap();
    let catalog = BootCatalog {
        entries: vec![
            BootEntry {
                load_sectors: Some(4),
                info_table: true,
                ..BootEntry::new(Platform::Bios, bios)
            },
            BootEntry::new(Platform::Efi, efi),
        ],
        file: Some((dir, b"boot.cat".to_vec())),
        ..BootCatalog::default()
    };
    let options = Options {
        joliet: true,
        rock_ridge: true,
        boot: Some(catalog),
        ..Options::new("boot", at(0))
    };
    let folder = tempfile::tempdir().unwrap();
    let iso = folder.path().join("x.iso");
    IsoImage::plan(tree, options)
        .unwrap()
        .write_file(&iso, Existing::Refuse, Durability::Deferred)
        .unwrap();
    if let Some(out) = run("xorriso", &["-indev", path(&iso), "-report_el_torito", "plain"]) {
        for line in [
            "El Torito catalog  : ",
            "El Torito cat path : /boot/boot.cat",
            "El Torito img path :   1  /boot/loader.bin",
            "El Torito img opts :   1  boot-info-table",
            "El Torito img path :   2  /boot/efi.img",
        ] {
            assert!(out.contains(line), "{line}: {out}");
        }
        let image = |n: &str| -> Vec<String> {
            let line = out
                .lines()
                .find(|l| l.starts_with(&format!("El Torito boot img :   {n}")));
            line.unwrap().split_whitespace().map(Into::into).collect()
        };
        assert_eq!(
            image("1")[6..12],
            ["BIOS", "y", "none", "0x0000", "0x00", "4"],
            "{out}"
        );
        assert_eq!(
            image("2")[6..12],
            ["UEFI", "y", "none", "0x0000", "0x00", "196"],
            "{out}"
        );
    }
}
