//! What isoinfo, 7z, blkid and file say of an image.

use crate::judge::{path, run, run_bytes};
use crate::model::at;
use disksmith_iso9660::{Attributes, Error, ImageTree, IsoImage, Level, Options, Source, VolumeTexts};
use disksmith_storage::{Durability, Existing};
use disksmith_vfs::FileType;
use std::path::{Path, PathBuf};

fn seed_options() -> Options {
    Options {
        joliet: true,
        rock_ridge: true,
        ..Options::new("cidata", at(1_700_000_000))
    }
}

fn seed_tree() -> ImageTree {
    let mut tree = ImageTree::new(Attributes::new(0o555, at(1_700_000_000)));
    for (name, bytes) in [
        ("user-data", "#cloud-config\n"),
        ("meta-data", "instance-id: x\n"),
        ("network-config", "version: 2\n"),
    ] {
        let attributes = Attributes::new(0o644, at(1_700_000_000));
        tree.add_file(
            tree.root(),
            name.as_bytes(),
            attributes,
            Source::bytes(bytes.as_bytes()),
        )
        .unwrap();
    }
    tree
}

fn write(folder: &Path, tree: ImageTree, options: Options) -> PathBuf {
    let iso = folder.join("x.iso");
    IsoImage::plan(tree, options)
        .unwrap()
        .write_file(&iso, Existing::Refuse, Durability::Deferred)
        .unwrap();
    iso
}

#[test]
fn a_seed_is_seen_by_all() {
    let folder = tempfile::tempdir().unwrap();
    let iso = write(folder.path(), seed_tree(), seed_options());
    if let Some(out) = run("blkid", &["-p", "-o", "export", path(&iso)]) {
        assert!(
            out.contains("LABEL=cidata\n") && out.contains("TYPE=iso9660\n"),
            "{out}"
        );
    }
    if let Some(out) = run("file", &["-b", path(&iso)]) {
        assert!(out.contains("ISO 9660 CD-ROM filesystem data 'cidata'"), "{out}");
    }
    if let Some(out) = run("isoinfo", &["-d", "-i", path(&iso)]) {
        for line in [
            "Volume id: cidata\n",
            "System id: LINUX\n",
            "Joliet with UCS level 3 found\n",
            "Rock Ridge signatures version 1 found\n",
        ] {
            assert!(out.contains(line), "{line}: {out}");
        }
    }
    for (option, names) in [
        ("-R", ["/user-data", "/meta-data", "/network-config"]),
        ("-J", ["/user-data", "/meta-data", "/network-config"]),
        ("-f", ["/USER_DAT.;1", "/META_DAT.;1", "/NETWORK_.;1"]),
    ] {
        let Some(out) = run("isoinfo", &["-f", option, "-i", path(&iso)]) else {
            return;
        };
        let option = if option == "-f" { "-s" } else { option };
        for name in names {
            assert!(out.lines().any(|l| l == name), "{option} {name}: {out}");
        }
        assert_eq!(out.lines().count(), 3, "{out}");
        let contents = run_bytes("isoinfo", &[option, "-x", names[0], "-i", path(&iso)]).unwrap();
        assert_eq!(contents, b"#cloud-config\n", "{option}");
    }
    if let Some(out) = run("isoinfo", &["-l", "-R", "-i", path(&iso)]) {
        assert!(
            out.contains("-rw-r--r--   1    0    0              14 Nov 14 2023"),
            "{out}"
        );
    }
    if let Some(out) = run("7z", &["l", "-slt", path(&iso)]) {
        assert!(out.contains("Path = user-data\nFolder = -\nSize = 14\n"), "{out}");
        run("7z", &["t", path(&iso)]);
    }
}

#[test]
fn the_structure_is_that_of_genisoimage() {
    let folder = tempfile::tempdir().unwrap();
    let iso = write(folder.path(), seed_tree(), seed_options());
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    for (name, bytes) in [
        ("user-data", "#cloud-config\n"),
        ("meta-data", "instance-id: x\n"),
        ("network-config", "version: 2\n"),
    ] {
        std::fs::write(source.join(name), bytes).unwrap();
    }
    let theirs = folder.path().join("g.iso");
    let arguments = [
        "-quiet",
        "-output",
        path(&theirs),
        "-volid",
        "cidata",
        "-joliet",
        "-rock",
        path(&source),
    ];
    if run("genisoimage", &arguments).is_none() {
        return;
    }
    // genisoimage writes one descriptor more (its version), and aligns path tables to two blocks.
    for options in [&["-f"][..], &["-f", "-R"], &["-f", "-J"]] {
        let list = |iso: &Path| run("isoinfo", &[options, &["-i", path(iso)]].concat()).unwrap();
        assert_eq!(list(&iso), list(&theirs), "{options:?}");
    }
    let info = |iso: &Path| -> Vec<String> {
        let out = run("isoinfo", &["-d", "-i", path(iso)]).unwrap();
        out.lines()
            .filter(|l| !l.starts_with("Application id") && !l.starts_with("Volume size"))
            .map(Into::into)
            .collect()
    };
    assert_eq!(info(&iso), info(&theirs));
}

#[test]
fn devices_links_and_texts() {
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let root = tree.root();
    let attributes = Attributes::new(0o660, at(1_500_000_000));
    tree.add_special(root, b"null", attributes, FileType::CharDevice, (1, 3))
        .unwrap();
    tree.add_special(root, b"sda1", attributes, FileType::BlockDevice, (8, 1))
        .unwrap();
    tree.add_special(root, b"pipe", attributes, FileType::Fifo, (0, 0))
        .unwrap();
    let file = tree
        .add_file(root, b"one", attributes, Source::bytes(*b"1"))
        .unwrap();
    tree.add_link(root, b"two", file).unwrap();
    let mut options = seed_options();
    options.texts = VolumeTexts {
        volume_id: "Vol".into(),
        publisher: "A Publisher".into(),
        preparer: "Somebody".into(),
        volume_set_id: "SET".into(),
        ..VolumeTexts::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let iso = write(folder.path(), tree, options);
    if let Some(out) = run("isoinfo", &["-l", "-R", "-i", path(&iso)]) {
        assert!(out.contains("crw-rw----"), "{out}");
        assert!(out.contains("brw-rw----"), "{out}");
        assert!(
            out.lines().filter(|l| l.starts_with("-rw-rw----   2")).count() == 2,
            "{out}"
        );
    }
    if let Some(out) = run("bsdtar", &["-tvf", path(&iso)]) {
        for expected in [
            "crw-rw----",
            " 1,3 ",
            "brw-rw----",
            " 8,1 ",
            "prw-rw----",
            "two link to one",
        ] {
            assert!(out.contains(expected), "{expected}: {out}");
        }
    }
    if let Some(out) = run("isoinfo", &["-d", "-i", path(&iso)]) {
        for line in [
            "Volume id: Vol\n",
            "Volume set id: SET\n",
            "Publisher id: A Publisher\n",
            "Data preparer id: Somebody\n",
        ] {
            assert!(out.contains(line), "{line}: {out}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let root = tree.root();
    let attributes = Attributes::new(0o644, at(0));
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        assert!(matches!(
            tree.add_directory(root, name, attributes),
            Err(Error::Name { .. })
        ));
    }
    assert!(matches!(
        tree.add_symlink(root, b"l", attributes, b""),
        Err(Error::Target { .. })
    ));
    tree.add_file(root, b"x", attributes, Source::bytes(*b""))
        .unwrap();
    tree.add_file(root, b"x", attributes, Source::bytes(*b""))
        .unwrap();
    let error = IsoImage::plan(tree, seed_options()).unwrap_err();
    assert_eq!(error.to_string(), "/x: is in the image already");

    let mut deep = ImageTree::new(Attributes::new(0o755, at(0)));
    let mut dir = deep.root();
    for _ in 0..8 {
        dir = deep.add_directory(dir, b"d", attributes).unwrap();
    }
    let error = IsoImage::plan(deep, Options::new("x", at(0))).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooDeep {
                depth: 9,
                limit: 8,
                ..
            }
        ),
        "{error}"
    );

    let long = Options::new("x".repeat(33), at(0));
    let error = IsoImage::plan(ImageTree::new(attributes), long).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "volume id {:?}: 33 bytes are more than the 32 that fit",
            "x".repeat(33)
        )
    );
    let _ = Level::One;
}

#[test]
fn a_file_that_changes_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, b"12345").unwrap();
    for size in [4, 6] {
        let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
        let root = tree.root();
        tree.add_file(
            root,
            b"f",
            Attributes::new(0o644, at(0)),
            Source::host_file(&file, size),
        )
        .unwrap();
        let image = IsoImage::plan(tree, seed_options()).unwrap();
        let error = image
            .write_file(
                &folder.path().join("x.iso"),
                Existing::Refuse,
                Durability::Deferred,
            )
            .unwrap_err();
        assert!(matches!(error, Error::SourceChanged { found: 5, .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let iso = folder.path().join("x.iso");
    std::fs::write(&iso, b"old").unwrap();
    let image = IsoImage::plan(seed_tree(), seed_options()).unwrap();
    assert!(matches!(
        image.write_file(&iso, Existing::Refuse, Durability::Deferred),
        Err(Error::OutputExists { .. })
    ));
    assert_eq!(std::fs::read(&iso).unwrap(), b"old");
    image
        .write_file(&iso, Existing::Replace, Durability::Deferred)
        .unwrap();
    assert_eq!(iso.metadata().unwrap().len(), image.size());
}
