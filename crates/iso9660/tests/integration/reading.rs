//! Images that others made, and that are broken, read by this crate.

use crate::judge::{path, run};
use crate::model::{self, Item, Kind, Model, assert_same, at};
use disksmith_iso9660::{Attributes, HostOptions, ImageTree, Iso, IsoImage, Options, Source};
use disksmith_storage::{Error as StorageError, Result as StorageResult, Storage};
use disksmith_vfs::{FileSystem, FileType, InodeNo};
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// A file of the host, or bytes.
#[derive(Debug)]
pub(crate) enum Image {
    File(File, u64),
    Bytes(Vec<u8>),
}

impl Image {
    pub(crate) fn open(path: &Path) -> Arc<Self> {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Arc::new(Self::File(file, size))
    }
}

impl Storage for Image {
    fn size(&self) -> u64 {
        match self {
            Self::File(_, size) => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    fn name(&self) -> String {
        "image".into()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> StorageResult<()> {
        self.check_range(offset, buf.len() as u64)?;
        match self {
            Self::File(file, _) => file
                .read_exact_at(buf, offset)
                .map_err(|e| StorageError::io("image", "read", Some(offset), e)),
            Self::Bytes(bytes) => {
                buf.copy_from_slice(&bytes[offset as usize..offset as usize + buf.len()]);
                Ok(())
            }
        }
    }

    fn write_at(&self, _: u64, _: &[u8]) -> StorageResult<()> {
        Err(StorageError::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> StorageResult<()> {
        Ok(())
    }
}

/// The whole tree of an image.
pub(crate) fn read_all(iso: &Iso) -> Model {
    let mut out = Model::new();
    let mut stack = vec![(iso.root(), Vec::new())];
    while let Some((dir, prefix)) = stack.pop() {
        let mut entries = Vec::new();
        iso.read_dir(dir, 0, &mut |entry| {
            entries.push(entry);
            true
        })
        .unwrap();
        for entry in entries {
            let mut path: Vec<u8> = prefix.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            let metadata = iso.metadata(entry.inode).unwrap();
            assert_eq!(metadata.file_type, entry.file_type);
            let kind = match entry.file_type {
                FileType::Directory => {
                    assert_eq!(iso.parent(entry.inode).unwrap(), dir);
                    stack.push((entry.inode, path.clone()));
                    Kind::Directory
                }
                FileType::Symlink => Kind::Symlink(iso.read_link(entry.inode).unwrap()),
                _ => {
                    let mut bytes = vec![0; metadata.size as usize + 1];
                    assert_eq!(
                        iso.read(entry.inode, 0, &mut bytes).unwrap() as u64,
                        metadata.size
                    );
                    bytes.pop();
                    Kind::File(bytes)
                }
            };
            out.insert(
                path,
                Item {
                    kind,
                    mode: metadata.permissions,
                    uid: metadata.uid,
                    gid: metadata.gid,
                    mtime: metadata.modified.seconds,
                },
            );
        }
    }
    out
}

/// A folder of the host with most kinds of things in it.
fn sample(folder: &Path) {
    std::fs::create_dir_all(folder.join("one/two three")).unwrap();
    let mut deep = folder.join("deep");
    for level in 0..12 {
        deep = deep.join(format!("level{level}"));
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), b"bottom").unwrap();
    std::fs::write(folder.join("one/größe.conf"), b"big").unwrap();
    std::fs::write(folder.join("one").join("n".repeat(200)), b"long").unwrap();
    std::fs::write(folder.join("empty"), b"").unwrap();
    let text: Vec<u8> = (0..300_000u32)
        .flat_map(|i| format!("line {}\n", i / 7).into_bytes())
        .collect();
    std::fs::write(folder.join("text"), text).unwrap();
    std::fs::write(folder.join("zeroes"), vec![0; 200_000]).unwrap();
    std::fs::set_permissions(folder.join("empty"), PermissionsExt::from_mode(0o4711)).unwrap();
    std::os::unix::fs::symlink("../one/./two three", folder.join("one/link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("absolute")).unwrap();
    for i in 0..200 {
        std::fs::write(folder.join(format!("one/many-{i}")), format!("{i}")).unwrap();
    }
}

#[test]
fn what_others_wrote_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample(&source);
    let expected = model::read_host(&source);
    let iso = folder.path().join("x.iso");
    let mut ways: Vec<(&str, Vec<&str>)> = vec![
        (
            "genisoimage",
            vec!["-quiet", "-R", "-J", "-D", "-o", path(&iso), path(&source)],
        ),
        (
            "genisoimage",
            vec!["-quiet", "-R", "-iso-level", "4", "-o", path(&iso), path(&source)],
        ),
        (
            "xorriso",
            vec![
                "-as",
                "mkisofs",
                "-quiet",
                "-R",
                "-J",
                "-o",
                path(&iso),
                path(&source),
            ],
        ),
    ];
    let compressed = [
        "-outdev",
        path(&iso),
        "-map",
        path(&source),
        "/",
        "-set_filter_r",
        "--zisofs",
        "/",
    ];
    ways.push(("xorriso", compressed.to_vec()));
    let relocated = [
        "-compliance",
        "deep_paths_off",
        "-rr_reloc_dir",
        "rr_moved",
        "-outdev",
        path(&iso),
        "-map",
        path(&source),
        "/",
    ];
    ways.push(("xorriso", relocated.to_vec()));
    for (program, arguments) in ways {
        let _ = std::fs::remove_file(&iso);
        if run(program, &arguments).is_none() {
            continue;
        }
        let opened = Iso::open(Image::open(&iso)).unwrap();
        assert!(opened.has_rock_ridge());
        assert_same(
            &expected,
            &read_all(&opened),
            true,
            true,
            &format!("{program} {arguments:?}"),
        );
    }
}

#[test]
fn a_folder_of_the_host_goes_in_whole() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample(&source);
    std::fs::hard_link(source.join("text"), source.join("one/same")).unwrap();
    std::fs::write(source.join("one/left-out"), b"x").unwrap();
    let exclude = |path: &Path| path.ends_with("left-out");
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let host = HostOptions {
        exclude: Some(&exclude),
        ..HostOptions::default()
    };
    tree.add_host_contents(tree.root(), &source, &host).unwrap();
    let options = Options {
        rock_ridge: true,
        joliet: true,
        ..Options::new("host", at(0))
    };
    let mut bytes = Vec::new();
    let image = IsoImage::plan(tree, options).unwrap();
    image.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, image.size());
    std::fs::remove_file(source.join("one/left-out")).unwrap();
    let iso = Iso::open(Arc::new(Image::Bytes(bytes))).unwrap();
    let mut expected = model::read_host(&source);
    let mut found = read_all(&iso);
    // Taking a file away changed its folder's time.
    for model in [&mut expected, &mut found] {
        model.get_mut(b"one".as_slice()).unwrap().mtime = 0;
    }
    assert_same(&expected, &found, true, true, "host");
    let text = iso.lookup(iso.root(), b"text").unwrap();
    assert_eq!(iso.metadata(text).unwrap().links, 2);
    // The file's data is there once.
    assert!(image.size() < 5_500_000, "{}", image.size());
}

#[test]
fn genisoimage_relocates_and_joliet_and_plain_names_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample(&source);
    let iso = folder.path().join("x.iso");
    if run("genisoimage", &["-quiet", "-R", "-o", path(&iso), path(&source)]).is_some() {
        let mut found = read_all(&Iso::open(Image::open(&iso)).unwrap());
        // genisoimage shows its directory of relocated ones.
        assert!(found.remove(b"rr_moved".as_slice()).is_some());
        assert_same(&model::read_host(&source), &found, true, true, "relocated");
    }
    if run(
        "genisoimage",
        &[
            "-quiet",
            "-J",
            "-joliet-long",
            "-D",
            "-o",
            path(&iso),
            path(&source),
        ],
    )
    .is_some()
    {
        let opened = Iso::open(Image::open(&iso)).unwrap();
        assert!(opened.has_joliet() && !opened.has_rock_ridge());
        let found = read_all(&opened);
        assert_eq!(
            found["one/größe.conf".as_bytes()].kind,
            Kind::File(b"big".to_vec())
        );
        assert!(!found.contains_key(b"absolute".as_slice()));
    }
    if run("genisoimage", &["-quiet", "-D", "-o", path(&iso), path(&source)]).is_some() {
        let found = read_all(&Iso::open(Image::open(&iso)).unwrap());
        assert_eq!(found[b"one/many_0".as_slice()].kind, Kind::File(b"0".to_vec()));
    }
}

#[test]
fn label_uuid_and_lookup() {
    let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
    let root = tree.root();
    let dir = tree
        .add_directory(root, b"d", Attributes::new(0o700, at(5)))
        .unwrap();
    tree.add_file(dir, b"f", Attributes::new(0o600, at(5)), Source::bytes(*b"hello"))
        .unwrap();
    tree.add_special(
        dir,
        b"tty",
        Attributes::new(0o600, at(5)),
        FileType::CharDevice,
        (5, 300),
    )
    .unwrap();
    let options = Options {
        joliet: true,
        rock_ridge: true,
        ..Options::new("cidata", at(1_700_000_000))
    };
    let mut bytes = Vec::new();
    IsoImage::plan(tree, options)
        .unwrap()
        .write_to(&mut bytes)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.iso");
    std::fs::write(&file, &bytes).unwrap();
    let iso = Iso::open(Arc::new(Image::Bytes(bytes))).unwrap();
    assert_eq!(iso.label().as_deref(), Some(&b"cidata"[..]));
    if let Some(out) = run("blkid", &["-p", "-o", "value", "-s", "UUID", path(&file)]) {
        assert_eq!(iso.uuid().as_deref(), Some(out.trim()));
    }
    let d = iso.lookup(iso.root(), b"d").unwrap();
    let f = iso.lookup(d, b"f").unwrap();
    let mut buf = [0; 3];
    assert_eq!(iso.read(f, 1, &mut buf).unwrap(), 3);
    assert_eq!(&buf, b"ell");
    assert_eq!(iso.read(f, 4, &mut buf).unwrap(), 1);
    assert_eq!(iso.read(f, 5, &mut buf).unwrap(), 0);
    assert_eq!(
        iso.metadata(iso.lookup(d, b"tty").unwrap()).unwrap().device,
        (5, 300)
    );
    assert_eq!(iso.lookup(d, b"x").unwrap_err().errno(), 2);
    assert_eq!(iso.read_dir(f, 0, &mut |_| true).unwrap_err().errno(), 20);
    assert_eq!(iso.read(d, 0, &mut buf).unwrap_err().errno(), 21);
    assert!(iso.metadata(InodeNo(u64::MAX)).is_err());
    assert!(Iso::open(Arc::new(Image::Bytes(vec![0; 100_000]))).is_err());
    assert!(Iso::open(Arc::new(Image::Bytes(vec![]))).is_err());
}

/// Goes through everything that can be reached, within a bound that an image of this size cannot pass rightly.
fn walk_hostile(bytes: Vec<u8>) {
    let Ok(iso) = Iso::open(Arc::new(Image::Bytes(bytes))) else {
        return;
    };
    let _ = (iso.label(), iso.uuid(), iso.stat_fs());
    let mut stack = vec![iso.root()];
    let mut seen = 0;
    while let Some(dir) = stack.pop() {
        let _ = iso.parent(dir);
        let mut entries = Vec::new();
        let _ = iso.read_dir(dir, 0, &mut |entry| {
            entries.push(entry);
            true
        });
        for entry in entries {
            seen += 1;
            assert!(seen < 100_000, "the tree does not end");
            let _ = iso.metadata(entry.inode);
            let _ = iso.read_link(entry.inode);
            let mut buf = [0; 5000];
            for offset in [0, 1, 4000, u64::from(u32::MAX), u64::MAX] {
                let _ = iso.read(entry.inode, offset, &mut buf);
            }
            if entry.file_type == FileType::Directory {
                stack.push(entry.inode);
            }
        }
    }
}

fn victim() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
        let mut dir = tree.root();
        let attributes = Attributes::new(0o755, at(0));
        for level in 0..10 {
            tree.add_file(dir, b"file", attributes, Source::bytes(vec![level; 3000]))
                .unwrap();
            tree.add_symlink(dir, b"link", attributes, "../x/".repeat(60).as_bytes())
                .unwrap();
            tree.add_file(dir, "long".repeat(60).as_bytes(), attributes, Source::bytes(*b""))
                .unwrap();
            dir = tree
                .add_directory(dir, format!("d{level}").as_bytes(), attributes)
                .unwrap();
        }
        let options = Options {
            joliet: true,
            rock_ridge: true,
            padding_blocks: 0,
            ..Options::new("v", at(0))
        };
        let mut bytes = Vec::new();
        IsoImage::plan(tree, options)
            .unwrap()
            .write_to(&mut bytes)
            .unwrap();
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("DISKSMITH_LONG").is_some() { 20_000 } else { 300 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn broken_images_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(255), 16u8..60]), 1..40),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = victim().to_vec();
        // Everything before the files is worth breaking.
        let from = 16 * 2048;
        let area = bytes.len() - from;
        for (index, value) in changes {
            bytes[from + index.index(area)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        walk_hostile(bytes);
    }
}

/// Where the numbers stand that are written in both byte orders: of the descriptors, and of every directory record.
fn numbers_in_both_orders(bytes: &[u8]) -> Vec<usize> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut out = Vec::new();
    let mut directories = Vec::new();
    for descriptor in (16 * 2048..).step_by(2048) {
        match bytes[descriptor] {
            1 | 2 => {}
            255 => break,
            _ => continue,
        }
        out.extend([80, 132, 158, 166].map(|at| descriptor + at));
        directories.push((word(descriptor + 158) * 2048, word(descriptor + 166)));
    }
    let mut seen = std::collections::HashSet::new();
    while let Some((start, len)) = directories.pop() {
        if !seen.insert(start) {
            continue;
        }
        let mut at = start;
        while at < start + len {
            let size = usize::from(bytes[at]);
            if size == 0 {
                at = at / 2048 * 2048 + 2048;
                continue;
            }
            out.extend([at + 2, at + 10]);
            if bytes[at + 25] & 2 != 0 {
                directories.push((word(at + 2) * 2048, word(at + 10)));
            }
            at += size;
        }
    }
    out
}

#[test]
fn one_byte_order_is_enough() {
    let whole = read_all(&Iso::open(Arc::new(Image::Bytes(victim().to_vec()))).unwrap());
    assert!(whole.len() > 30);
    let places = numbers_in_both_orders(victim());
    assert!(places.len() > 100, "{}", places.len());
    for (offset, value) in [(4, 0), (4, 0xA5), (0, 0)] {
        let mut bytes = victim().to_vec();
        for place in &places {
            bytes[place + offset..place + offset + 4].fill(value);
        }
        let read = read_all(&Iso::open(Arc::new(Image::Bytes(bytes))).unwrap());
        assert_same(&whole, &read, true, true, "with one byte order");
    }
}

#[test]
fn a_directory_that_names_an_upper_one_is_found_out() {
    let mut bytes = victim().to_vec();
    let iso = Iso::open(Arc::new(Image::Bytes(bytes.clone()))).unwrap();
    let root = iso.root().0;
    let d0 = iso.lookup(iso.root(), b"d0").unwrap().0;
    // The record of d1 in d0 shall name the root.
    let d1 = iso.lookup(InodeNo(d0), b"d1").unwrap().0 / 2048;
    let area = &bytes[d0 as usize..d0 as usize + 2048];
    let le = (d1 as u32).to_le_bytes();
    let place = (0..2044).filter(|i| area[*i..*i + 4] == le).collect::<Vec<_>>();
    assert!(!place.is_empty());
    for at in place {
        let to = d0 as usize + at;
        bytes[to..to + 4].copy_from_slice(&((root / 2048) as u32).to_le_bytes());
    }
    let iso = Iso::open(Arc::new(Image::Bytes(bytes.clone()))).unwrap();
    let d0 = iso.lookup(iso.root(), b"d0").unwrap();
    let error = iso.read_dir(d0, 0, &mut |_| true).unwrap_err();
    assert!(
        error.to_string().contains("names the directory at offset"),
        "{error}"
    );
    walk_hostile(bytes);
}
