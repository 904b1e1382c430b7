//! Opening: formats, backing chains, gates, locks.

use crate::judge::{directory, have, ok, qemu_img, qemu_io};
use disksmith_image::{Error, Format, Gate, Image, OpenOptions};
use disksmith_storage::{Diagnose, ErrorKind};
use std::path::Path;

fn open(path: &Path) -> Result<Image, Error> {
    Image::open(path, &OpenOptions::read())
}

#[test]
fn foreign_formats_are_refused_by_name() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    for format in ["vmdk", "vdi", "vhdx", "vpc", "qcow", "qed", "parallels"] {
        let path = dir.path().join(format!("a.{format}"));
        ok(
            dir.path(),
            "qemu-img",
            &["create", "-q", "-f", format, path.to_str().unwrap(), "10M"],
        );
        let error = open(&path).unwrap_err();
        assert!(
            matches!(&error, Error::ForeignFormat { format: f, .. } if *f == format),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().unwrap().contains(format));
        // Named raw, it is raw.
        assert!(Image::open(&path, &OpenOptions::read().format(Some(Format::Raw))).is_ok());
    }
    ok(
        dir.path(),
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "vpc",
            "-o",
            "subformat=fixed",
            "fixed.vhd",
            "10M",
        ],
    );
    assert!(matches!(
        open(&dir.path().join("fixed.vhd")),
        Err(Error::ForeignFormat { format: "vpc", .. })
    ));
    std::fs::write(dir.path().join("a.gz"), b"\x1f\x8b\x08\0\0\0\0\0").unwrap();
    let error = open(&dir.path().join("a.gz")).unwrap_err();
    assert!(error.hint().unwrap().contains("gunzip"), "{error}");
    let wrong = OpenOptions::read().format(Some(Format::Qcow2));
    assert!(matches!(
        Image::open(dir.path().join("a.gz"), &wrong),
        Err(Error::NotInFormat { .. })
    ));
}

#[test]
fn chains_are_followed_and_their_faults_named() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f raw base.raw 10M");
    qemu_io(dir, "raw", "base.raw", &["write -P 9 0 1M"]);
    qemu_img(dir, "create -q -f qcow2 -b base.raw -F raw a.qcow2");
    qemu_img(dir, "create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2");
    let image = open(&dir.join("b.qcow2")).unwrap();
    let names: Vec<_> = image
        .layers()
        .iter()
        .map(|l| l.path().file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["b.qcow2", "a.qcow2", "base.raw"]);
    let mut buf = [0; 3];
    image.storage().read_at((1 << 20) - 2, &mut buf).unwrap();
    assert_eq!(buf, [9, 9, 0]);
    drop(image);

    // Gates.
    let deny = OpenOptions::read().gate(Gate::Deny);
    assert!(matches!(
        Image::open(dir.join("b.qcow2"), &deny),
        Err(Error::Gated { .. })
    ));
    let within = OpenOptions::read().gate(Gate::Within(dir.to_owned()));
    assert!(Image::open(dir.join("b.qcow2"), &within).is_ok());
    assert_eq!(
        Image::open(dir.join("b.qcow2"), &OpenOptions::read().without_backing())
            .unwrap()
            .layers()
            .len(),
        1
    );

    // A missing file.
    std::fs::rename(dir.join("base.raw"), dir.join("gone")).unwrap();
    let error = open(&dir.join("b.qcow2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    for part in ["a.qcow2", "'base.raw'", dir.join("base.raw").to_str().unwrap()] {
        assert!(text.contains(part), "{text}");
    }

    // Loops.
    qemu_img(dir, "rebase -u -b b.qcow2 -F qcow2 a.qcow2");
    assert!(matches!(open(&dir.join("b.qcow2")), Err(Error::ChainLoop { .. })));
    qemu_img(dir, "rebase -u -b a.qcow2 -F qcow2 a.qcow2");
    assert!(matches!(open(&dir.join("a.qcow2")), Err(Error::ChainLoop { .. })));

    // Protocols and formats.
    qemu_img(dir, "rebase -u -b nbd://h/x -F raw a.qcow2");
    let error = open(&dir.join("a.qcow2")).unwrap_err();
    assert!(
        matches!(&error, Error::Protocol { protocol, .. } if protocol == "nbd"),
        "{error}"
    );
    qemu_img(dir, "rebase -u -b gone -F vmdk a.qcow2");
    assert!(matches!(
        open(&dir.join("a.qcow2")),
        Err(Error::UnknownFormat { .. })
    ));
}

#[test]
fn a_chain_without_end_is_refused() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f qcow2 0 1M");
    for i in 1..=205 {
        let name = i.to_string();
        std::fs::copy(dir.join("0"), dir.join(&name)).unwrap();
    }
    let below: Vec<String> = (1..=205).map(|i| format!("{}", i - 1)).collect();
    // The header of each is patched: backing name at 1024.
    for (i, name) in below.iter().enumerate() {
        let path = dir.join((i + 1).to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8..16].copy_from_slice(&1024u64.to_be_bytes());
        bytes[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
        bytes[1024..1024 + name.len()].copy_from_slice(name.as_bytes());
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(open(&dir.join("199")).is_ok());
    assert!(matches!(open(&dir.join("205")), Err(Error::ChainTooLong { .. })));
}

#[test]
fn a_guest_cannot_choose_what_is_opened() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    // A raw disk into which its guest wrote an overlay's header.
    std::fs::write(dir.join("secret"), vec![1; 1 << 20]).unwrap();
    qemu_img(dir, "create -q -f qcow2 -b secret -F raw raw-disk");
    qemu_img(dir, "create -q -f qcow2 top.qcow2 1M");
    let mut bytes = std::fs::read(dir.join("top.qcow2")).unwrap();
    bytes[8..16].copy_from_slice(&1024u64.to_be_bytes());
    bytes[16..20].copy_from_slice(&8u32.to_be_bytes());
    bytes[1024..1032].copy_from_slice(b"raw-disk");
    std::fs::write(dir.join("top.qcow2"), bytes).unwrap();
    let within = OpenOptions::read().gate(Gate::Within(dir.to_owned()));
    assert!(matches!(
        Image::open(dir.join("top.qcow2"), &within),
        Err(Error::UnsafeProbe { .. })
    ));
    qemu_img(dir, "rebase -u -b raw-disk -F raw top.qcow2");
    assert_eq!(
        Image::open(dir.join("top.qcow2"), &within)
            .unwrap()
            .layers()
            .len(),
        2
    );
}

#[test]
fn a_base_is_read_by_many_and_written_by_nobody_meanwhile() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f qcow2 base.qcow2 1M");
    qemu_img(dir, "create -q -f qcow2 -b base.qcow2 -F qcow2 a.qcow2");
    qemu_img(dir, "create -q -f qcow2 -b base.qcow2 -F qcow2 b.qcow2");
    let a = Image::open(dir.join("a.qcow2"), &OpenOptions::write()).unwrap();
    let b = Image::open(dir.join("b.qcow2"), &OpenOptions::write()).unwrap();
    qemu_img(dir, "info base.qcow2");
    ok(dir, "qemu-io", &["-r", "-c", "read 0 512", "base.qcow2"]);
    for (file, allowed) in [("base.qcow2", false), ("a.qcow2", false)] {
        let out = crate::judge::run(dir, "qemu-io", &["-c", "write 0 512", file]);
        assert_eq!(out.status.success(), allowed, "{file}");
    }
    drop((a, b));
    qemu_io(dir, "qcow2", "base.qcow2", &["write 0 512"]);
}
