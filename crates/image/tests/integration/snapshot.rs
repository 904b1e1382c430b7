//! `snapshot`, judged by qemu-img.

use crate::judge::{assert_clean, directory, have, qemu_img, qemu_io};
use disksmith_image::{
    Error, NewSnapshot, SnapshotKey, SnapshotOptions, apply_snapshot, create_snapshot, delete_snapshot,
    list_snapshots, snapshot_table,
};

fn named(name: &str) -> NewSnapshot {
    NewSnapshot {
        name: name.into(),
        date_seconds: 1_700_000_000,
        ..NewSnapshot::default()
    }
}

#[test]
fn snapshots_are_made_applied_and_deleted() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f qcow2 a.qcow2 3M");
    qemu_io(dir, "qcow2", "a.qcow2", &["write -P 1 0 1M"]);
    let path = dir.join("a.qcow2");
    let options = SnapshotOptions::default();
    assert!(list_snapshots(&path, &options).unwrap().is_empty());
    let made = create_snapshot(&path, &named("one"), &options).unwrap();
    assert_eq!((made.id.as_str(), made.name.as_str()), ("1", "one"));
    assert_clean(&path);
    qemu_io(dir, "qcow2", "a.qcow2", &["write -P 2 512k 1M"]);
    qemu_img(dir, "snapshot -c two a.qcow2");
    qemu_io(dir, "qcow2", "a.qcow2", &["write -P 3 0 3M"]);
    let list = list_snapshots(&path, &options).unwrap();
    let names: Vec<&str> = list.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(list[0], made);
    assert!(snapshot_table(&list, &|s| s.to_string()).contains("1700000000"));

    // An overlay stands on the image: it must not change under it, but may get and lose snapshots.
    qemu_img(dir, "create -q -f qcow2 -b a.qcow2 -F qcow2 clone.qcow2");
    let refused = apply_snapshot(&path, SnapshotKey::IdOrName(b"1"), &options);
    assert!(matches!(refused, Err(Error::HasClones { .. })));
    create_snapshot(&path, &named("three"), &options).unwrap();
    delete_snapshot(&path, SnapshotKey::Name(b"three"), &options).unwrap();
    qemu_io(dir, "qcow2", "clone.qcow2", &["read -P 3 0 3M"]);
    let force = SnapshotOptions {
        force: true,
        ..SnapshotOptions::default()
    };
    apply_snapshot(&path, SnapshotKey::IdOrName(b"1"), &force).unwrap();
    assert_clean(&path);
    qemu_io(dir, "qcow2", "a.qcow2", &["read -P 1 0 1M", "read -P 0 1M 2M"]);
    std::fs::remove_file(dir.join("clone.qcow2")).unwrap();

    let missing = delete_snapshot(&path, SnapshotKey::Name(b"1"), &options);
    assert!(matches!(
        missing,
        Err(Error::Qcow2 {
            source: disksmith_qcow2::Error::NoSuchSnapshot { .. },
            ..
        })
    ));
    apply_snapshot(&path, SnapshotKey::IdOrName(b"two"), &options).unwrap();
    delete_snapshot(&path, SnapshotKey::NameOrId(b"1"), &options).unwrap();
    delete_snapshot(&path, SnapshotKey::Name(b"two"), &options).unwrap();
    assert_clean(&path);
    qemu_io(
        dir,
        "qcow2",
        "a.qcow2",
        &["read -P 1 0 512k", "read -P 2 512k 1M"],
    );
    assert!(list_snapshots(&path, &options).unwrap().is_empty());

    // In an overlay too, whose backing file is not needed for it.
    qemu_img(dir, "create -q -f qcow2 -b a.qcow2 -F qcow2 clone.qcow2");
    let clone = dir.join("clone.qcow2");
    create_snapshot(&clone, &named("fresh"), &options).unwrap();
    qemu_io(dir, "qcow2", "clone.qcow2", &["write -P 9 0 100k"]);
    apply_snapshot(&clone, SnapshotKey::IdOrName(b"fresh"), &options).unwrap();
    qemu_io(dir, "qcow2", "clone.qcow2", &["read -P 1 0 512k"]);
    assert_clean(&clone);

    qemu_img(dir, "create -q -f raw a.raw 1M");
    let raw = create_snapshot(&dir.join("a.raw"), &named("s"), &options);
    assert!(matches!(raw, Err(Error::BadOption(_))));
}
