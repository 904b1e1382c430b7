//! Short names, attributes, labels, serial numbers, and names that are exchanged; the judges are mtools, fsck and the kernel.

use crate::judge::{format, have, is_clean, run, tree};
use disksmith_fat::{Attributes, CodePage, Content, Fat, FatKind, FormatOptions, OpenOptions, VolumeBuilder};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use disksmith_vfs::{Error, FileSystem, FileType, NewNode, RenameMode, Timestamp};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const TIME: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};

fn open(path: &Path) -> Fat {
    let storage = Arc::new(HostFile::open(path, OpenMode::Write, LockMode::None).unwrap());
    let options = OpenOptions {
        code_page: CodePage::CP850,
        ..OpenOptions::new(true, Arc::new(|| TIME))
    };
    Fat::open_with(storage, options).unwrap()
}

fn node(file_type: FileType) -> NewNode<'static> {
    NewNode {
        file_type,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time: TIME,
        target: &[],
        device: (0, 0),
    }
}

#[test]
fn names_change_places() {
    if !have("fsck.vfat") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = format(dir.path(), 2, &[]);
    let fat = open(&image);
    let root = fat.root();
    let one = fat.create(root, b"one", &node(FileType::Directory)).unwrap();
    let two = fat
        .create(root, b"a long name.conf", &node(FileType::Directory))
        .unwrap();
    let inner = fat.create(one, b"inner", &node(FileType::Directory)).unwrap();
    let file = fat.create(two, b"file.txt", &node(FileType::Regular)).unwrap();
    fat.write(file, 0, b"contents").unwrap();
    // A directory in one place against a file in another.
    fat.rename(one, b"inner", two, b"file.txt", RenameMode::Exchange)
        .unwrap();
    assert_eq!(fat.lookup(two, b"file.txt").unwrap(), inner);
    assert_eq!(fat.lookup(one, b"inner").unwrap(), file);
    assert_eq!(fat.parent(inner).unwrap(), two);
    assert!(fat.metadata(inner).unwrap().is_dir());
    // Within one directory.
    fat.rename(root, b"one", root, b"A Long Name.conf", RenameMode::Exchange)
        .unwrap();
    assert_eq!(fat.lookup(root, b"one").unwrap(), two);
    assert!(matches!(
        fat.rename(root, b"one", two, b"file.txt", RenameMode::Exchange),
        Err(Error::InvalidArgument { .. })
    ));
    assert!(matches!(
        fat.rename(root, b"one", root, b"none", RenameMode::Exchange),
        Err(Error::NotFound { .. })
    ));
    drop(fat);
    is_clean(&image);
    assert_eq!(tree(&image).read("/a long name.conf/inner").unwrap(), b"contents");
}

#[test]
fn attributes_labels_and_serials_are_what_mtools_says() {
    if !have("mdir") || !have("fsck.vfat") {
        return;
    }
    for (mib, args) in [(2, &[][..]), (20, &[]), (40, &["-F", "32"])] {
        let dir = tempfile::tempdir().unwrap();
        let image = format(dir.path(), mib, args);
        let fat = open(&image);
        let root = fat.root();
        let file = fat.create(root, b"hidden.sys", &node(FileType::Regular)).unwrap();
        let bits = Attributes(Attributes::HIDDEN.0 | Attributes::SYSTEM.0 | Attributes::READ_ONLY.0);
        fat.set_attributes(file, bits).unwrap();
        fat.set_label(Some("FIRST"), TIME).unwrap();
        fat.set_label(Some("SECOND"), TIME).unwrap();
        fat.set_serial(0x0bad_cafe).unwrap();
        assert_eq!(fat.root_label().unwrap().unwrap(), "SECOND     ");
        drop(fat);
        is_clean(&image);
        let mtools = |name: &str, more: &[&str]| {
            String::from_utf8(run(Command::new(name).arg("-i").arg(&image).args(more))).unwrap()
        };
        assert_eq!(
            mtools("mattrib", &["::hidden.sys"]),
            "     SHR     ::/hidden.sys\n"
        );
        assert_eq!(mtools("mlabel", &["-s", "::"]), " Volume label is SECOND     \n");
        assert!(mtools("mdir", &["::"]).contains("0BAD-CAFE"));
        let fat = open(&image);
        let details = fat.entry_details(root, b"HIDDEN.sys").unwrap();
        assert_eq!((details.attributes, details.has_long_name), (bits, false));
        assert_eq!(details.short_name(), "hidden.sys");
        fat.set_label(None, TIME).unwrap();
        assert_eq!(fat.root_label().unwrap(), None);
        drop(fat);
        assert_eq!(mtools("mlabel", &["-s", "::"]), " Volume has no label\n");
        is_clean(&image);
    }
}

/// Names of all shapes, made by mcopy and by us, have the same short names.
#[test]
fn short_names_are_those_of_mcopy() {
    if !have("mcopy") {
        return;
    }
    let names = [
        "user-data",
        "a.tar.gz",
        ".hidden",
        "with space.txt",
        "a+b,c.d",
        "x.html",
        "longername1.txt",
        "longername2.txt",
        "UPPERlow",
        "[z]",
        "12345678.123",
        "123456789.123",
        "1234567.1234",
        "foo~1.txt",
        "_x",
        "noext_long_long",
    ];
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::create_dir_all(&ours).unwrap();
    let (theirs, ours) = (format(&theirs, 2, &[]), format(&ours, 2, &[]));
    let fat = open(&ours);
    for name in names {
        let file = dir.path().join(name);
        std::fs::write(&file, b"x").unwrap();
        run(Command::new("mcopy").arg("-i").arg(&theirs).arg(&file).arg("::"));
        fat.create(fat.root(), name.as_bytes(), &node(FileType::Regular))
            .unwrap();
    }
    let other = open(&theirs);
    let list = |fat: &Fat| -> Vec<(Vec<u8>, String)> {
        let entries = fat.details(fat.root()).unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.name.clone(), entry.short_name()))
            .collect()
    };
    assert_eq!(list(&fat), list(&other));
}

/// What the kernel sees in a volume that was made in one pass.
#[test]
fn the_kernel_mounts_a_volume() {
    let dir = tempfile::tempdir().unwrap();
    let (image, mount) = (dir.path().join("image"), dir.path().join("mount"));
    std::fs::create_dir(&mount).unwrap();
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let mut options = FormatOptions::new(7, TIME);
        options.kind = Some(kind);
        let mut builder = VolumeBuilder::new(options);
        for n in 0..60 {
            let path = format!("dir/Some file number {n}.TXT");
            builder
                .add_file(path.as_bytes(), Content::Bytes(vec![n; usize::from(n) * 97]))
                .unwrap();
        }
        let volume = builder.plan().unwrap();
        volume
            .stream(&mut std::fs::File::create(&image).unwrap())
            .unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "vfat", "-o", "loop,ro,utf8"])
            .args([&image, &mount])
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            // A kernel is nothing that a test can install: one without the filesystem is no failure even in CI.
            let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
            assert!(
                std::env::var_os("CI").is_none() || !known.contains("vfat"),
                "the kernel mounts no image"
            );
            eprintln!("SKIPPED: this kernel does not mount FAT images");
            return;
        }
        let seen: Vec<bool> = (0..60)
            .map(|n| {
                let path = mount.join(format!("dir/Some file number {n}.TXT"));
                std::fs::read(path).is_ok_and(|bytes| bytes == vec![n; usize::from(n) * 97])
            })
            .collect();
        run(Command::new("umount").arg(&mount));
        assert!(seen.iter().all(|same| *same), "{kind:?} {seen:?}");
    }
}
