//! Clones, and the guard of what they stand on.

use crate::judge::{assert_clean, assert_same, directory, have, qemu_img, qemu_io};
use disksmith_image::{
    CloneOptions, Error, Format, NamePattern, NoProgress, clone_full, clone_linked, find_clones,
    refuse_if_cloned,
};
use disksmith_storage::{Diagnose, ErrorKind, Existing};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

fn template(dir: &Path) -> PathBuf {
    qemu_img(dir, "create -q -f qcow2 template.qcow2 10G");
    qemu_io(dir, "qcow2", "template.qcow2", &["write -P 5 1M 1M"]);
    dir.join("template.qcow2")
}

#[test]
fn linked_clones_are_small_and_sound() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = template(dir);
    let pattern = NamePattern::parse(&dir.join("fleet/vm-%04d.qcow2")).unwrap();
    let targets: Vec<PathBuf> = pattern.names(1, 40).collect();
    clone_linked(&base, &targets, &CloneOptions::default(), &NoProgress).unwrap();
    for target in &targets {
        let on_disk = target.metadata().unwrap().blocks() * 512;
        assert!(on_disk <= 20 << 10, "{on_disk} bytes");
    }
    for target in [&targets[0], &targets[39]] {
        assert_clean(target);
        assert_same(target, &base);
        qemu_io(
            dir,
            "qcow2",
            target.to_str().unwrap(),
            &["write -P 6 5G 64k", "read -P 5 1M 1M"],
        );
        assert_clean(target);
    }
    // In their own folder and in those below it, clones are seen.
    let clones = find_clones(&base).unwrap();
    assert_eq!(clones.total, 40);
    assert_eq!(clones.listed.len(), 10);
    let error = refuse_if_cloned(&base).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("and 30 more"), "{error}");
    assert_eq!(find_clones(&targets[0]).unwrap().total, 0);
}

#[test]
fn names_are_recorded_relative_to_the_clone() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = template(dir);
    let absolute = dir.join("sub/a.qcow2");
    clone_linked(
        &base,
        std::slice::from_ref(&absolute),
        &CloneOptions::default(),
        &NoProgress,
    )
    .unwrap();
    let text = qemu_img(dir, "info sub/a.qcow2");
    assert!(
        text.contains(&format!("backing file: {}\n", base.display())),
        "{text}"
    );
    assert!(text.contains("backing file format: qcow2"), "{text}");
}

#[test]
fn nothing_is_overwritten_and_nothing_left_half_done() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = template(dir);
    let targets = crate::judge::paths(dir, &["new/a.qcow2", "new/b.qcow2", "old.qcow2"]);
    std::fs::write(&targets[2], "precious").unwrap();
    let error = clone_linked(&base, &targets, &CloneOptions::default(), &NoProgress).unwrap_err();
    assert!(matches!(error, Error::OutputExists { .. }));
    assert!(!dir.join("new").exists());
    assert_eq!(std::fs::read(&targets[2]).unwrap(), b"precious");
    // A failure half-way: a directory cannot be made where a file is.
    let targets = crate::judge::paths(dir, &["new/a.qcow2", "old.qcow2/b.qcow2"]);
    assert!(clone_linked(&base, &targets, &CloneOptions::default(), &NoProgress).is_err());
    assert!(!dir.join("new").exists());
    // With leave it is replaced; an image that others stand on is not.
    let force = CloneOptions {
        existing: Existing::Replace,
        ..CloneOptions::default()
    };
    clone_linked(&base, &[dir.join("old.qcow2")], &force, &NoProgress).unwrap();
    assert_clean(&dir.join("old.qcow2"));
    clone_linked(
        &dir.join("old.qcow2"),
        &[dir.join("third.qcow2")],
        &force,
        &NoProgress,
    )
    .unwrap();
    let error = clone_linked(&base, &[dir.join("old.qcow2")], &force, &NoProgress).unwrap_err();
    assert!(matches!(error, Error::HasClones { total: 1, .. }), "{error}");
    let error = clone_linked(&base, std::slice::from_ref(&base), &force, &NoProgress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[test]
fn full_clones_stand_alone() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = template(dir);
    qemu_img(dir, "create -q -f qcow2 -b template.qcow2 -F qcow2 over.qcow2");
    qemu_io(
        dir,
        "qcow2",
        "over.qcow2",
        &["write -P 8 5M 100k", "write -z 1M 64k"],
    );
    let full = dir.join("full.qcow2");
    clone_full(
        &dir.join("over.qcow2"),
        std::slice::from_ref(&full),
        &CloneOptions::default(),
        Format::Qcow2,
        &NoProgress,
    )
    .unwrap();
    assert_clean(&full);
    assert_same(&full, &dir.join("over.qcow2"));
    assert!(!qemu_img(dir, "info full.qcow2").contains("backing"));
    assert!(full.metadata().unwrap().blocks() * 512 < 3 << 20);
    assert_eq!(find_clones(&base).unwrap().total, 1);
}

#[test]
fn a_protected_base_is_read_only_and_still_clones() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let base = template(dir.path());
    let options = CloneOptions {
        protect_base: true,
        ..CloneOptions::default()
    };
    clone_linked(&base, &[dir.path().join("a.qcow2")], &options, &NoProgress).unwrap();
    assert!(base.metadata().unwrap().permissions().readonly());
    clone_linked(&base, &[dir.path().join("b.qcow2")], &options, &NoProgress).unwrap();
}

#[test]
fn every_way_to_name_a_base_is_seen() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let base = template(dir);
    std::os::unix::fs::symlink("template.qcow2", dir.join("link.qcow2")).unwrap();
    qemu_img(
        dir,
        "create -q -f qcow2 -b link.qcow2 -F qcow2 through-link.qcow2",
    );
    qemu_img(
        dir,
        &format!("create -q -f qcow2 -b {} -F qcow2 absolute.qcow2", base.display()),
    );
    qemu_img(dir, "create -q -f qcow2 -b ./template.qcow2 -F qcow2 odd-ending");
    qemu_img(
        dir,
        &format!(
            "create -q -f qcow2 -b file:{} -F qcow2 protocol.qcow2",
            base.display()
        ),
    );
    crate::judge::ok(
        dir,
        "qemu-img",
        &[
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-b",
            "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"template.qcow2\"}}",
            "-F",
            "qcow2",
            "json.qcow2",
            "10G",
        ],
    );
    let clones = find_clones(&base).unwrap();
    assert_eq!(clones.total, 5, "{clones:?}");
    // And through the link, they are found too.
    assert_eq!(find_clones(&dir.join("link.qcow2")).unwrap().total, 5);
}
