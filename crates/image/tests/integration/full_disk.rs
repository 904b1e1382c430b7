//! A host filesystem without space, by a small tmpfs where this process may mount one: what fails leaves the old state and nothing else.

use crate::judge::{assert_clean, assert_same, directory, have, qemu_img, qemu_io};
use disksmith_image::{
    AmendOptions, BitmapChange, ChangeOptions, CloneOptions, CommitOptions, ConvertOptions, CreateOptions,
    DiskSpec, Error, Format, NewSize, NewSnapshot, NoProgress, OpenOptions, PullOptions, RebaseOptions,
    ResizeOptions, Result, SnapshotKey, SnapshotOptions, Transaction, TransactionOptions, amend,
    apply_snapshot, change_bitmap, clone_linked, commit, convert, create, create_snapshot, delete_snapshot,
    import_snapshot, pull, rebase, resize,
};
use disksmith_qcow2::Preallocation;
use disksmith_storage::{Diagnose, ErrorKind, Existing};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A small filesystem.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Option<Self> {
        let directory = directory();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(directory.path())
            .output()
            .ok()?;
        if !output.status.success() {
            assert!(
                std::env::var_os("CI").is_none(),
                "these tests need to mount a tmpfs"
            );
            eprintln!("SKIPPED: no tmpfs: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all space but so many KiB.
    fn fill(&self, left: usize) {
        let mut filler = std::fs::File::create(self.path().join("filler")).unwrap();
        let page = [0x55; 4096];
        while filler.write_all(&page).is_ok() {}
        let len = filler.metadata().unwrap().len();
        filler.set_len(len - (left as u64) * 1024).unwrap();
    }

    fn free(&self) {
        let filler = self.path().join("filler");
        // A program that another test starts may hold the file for a moment.
        std::fs::File::create(&filler).unwrap();
        std::fs::remove_file(filler).unwrap();
    }

    /// All files, with their lengths and what space they take.
    fn files(&self) -> Vec<(String, u64, u64)> {
        let mut files: Vec<_> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, metadata.len(), metadata.blocks() * 512)
            })
            .collect();
        files.sort();
        files
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// The images that every case begins with: base ← top, `other` beside them, a raw one, one whose tables are large, and one with
/// a snapshot.
fn images(dir: &Path) {
    qemu_img(dir, "create -q -f qcow2 base 16M");
    qemu_io(dir, "qcow2", "base", &["write -q -P 1 0 2M"]);
    qemu_img(dir, "create -q -f qcow2 -b base -F qcow2 top");
    qemu_io(dir, "qcow2", "top", &["write -q -P 2 4M 2M"]);
    qemu_img(dir, "create -q -f qcow2 other 16M");
    qemu_img(dir, "create -q -f raw flat.raw 8M");
    qemu_io(dir, "raw", "flat.raw", &["write -q -P 3 1M 1M"]);
    qemu_img(dir, "create -q -f qcow2 -b flat.raw -F raw over");
    qemu_io(dir, "qcow2", "over", &["write -q -P 4 3M 2M"]);
    qemu_img(dir, "create -q -f qcow2 -o cluster_size=512 small 64M");
    qemu_io(
        dir,
        "qcow2",
        "small",
        &["write -q -P 5 0 1M", "write -q -P 5 63M 512k"],
    );
    qemu_img(dir, "snapshot -c kept small");
    qemu_io(dir, "qcow2", "small", &["write -q -P 6 512k 256k"]);
}

const IMAGES: &[&str] = &["base", "top", "other", "flat.raw", "over", "small"];

/// The images as they are in the beginning.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let dir = directory();
            images(dir.path());
            dir
        })
        .path()
}

fn copy_sparsely(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("--sparse=always")
        .arg(from)
        .arg(to)
        .status();
    assert!(status.unwrap().success());
}

type Verb = fn(&Path) -> Result<()>;

/// Runs a verb for which `left` KiB are too little. Afterwards everything must read as before, and no file may be there, or take
/// more space, than before, but for those `growing` which are the scene of unfinished work. Then it is run again with enough space.
fn case(name: &str, left: usize, changed_in_place: &[&str], verb: Verb) {
    let Some(mount) = Mount::new() else { return };
    for image in IMAGES {
        let (from, to) = (template().join(image), mount.path().join(image));
        copy_sparsely(&from, &to);
    }
    mount.fill(left);
    let files = mount.files();
    let error = match verb(mount.path()) {
        Ok(()) => panic!("{name}: {left} KiB were enough"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{name}: {error}");
    for ((was, length, space), (is, length_now, space_now)) in files.iter().zip(mount.files()) {
        assert_eq!(
            *was,
            is,
            "{name}: files were made or removed: {:?}",
            mount.files()
        );
        if changed_in_place.contains(&is.as_str()) {
            continue;
        }
        assert!(
            *space >= space_now,
            "{name}: {is} takes {space_now} bytes, and took {space}"
        );
        if is.ends_with("raw") {
            assert_eq!(*length, length_now, "{name}: {is}");
        }
    }
    assert_eq!(files.len(), mount.files().len(), "{name}: {:?}", mount.files());
    mount.free();
    for image in IMAGES.iter().filter(|image| !image.ends_with("raw")) {
        assert_clean(&mount.path().join(image));
    }
    for image in IMAGES.iter().filter(|image| !changed_in_place.contains(image)) {
        assert_same(&template().join(image), &mount.path().join(image));
    }
    verb(mount.path()).unwrap_or_else(|error| panic!("{name} with enough space: {error}"));
    for image in IMAGES.iter().filter(|image| !image.ends_with("raw")) {
        assert_clean(&mount.path().join(image));
    }
}

fn commit_of(dir: &Path, name: &str) -> Result<()> {
    let options = CommitOptions {
        force: true,
        ..CommitOptions::default()
    };
    commit(&dir.join(name), &options, &NoProgress).map(drop)
}

fn grow(dir: &Path, name: &str, preallocation: Preallocation) -> Result<()> {
    let options = ResizeOptions {
        force: true,
        preallocation,
        ..ResizeOptions::default()
    };
    resize(&dir.join(name), NewSize::Grow(4 << 20), &options).map(drop)
}

fn snapshot(name: &str) -> NewSnapshot {
    NewSnapshot {
        name: name.into(),
        ..NewSnapshot::default()
    }
}

#[test]
fn stops_commits_rebases_and_pulls() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    case("commit", 600, &[], |dir| commit_of(dir, "top"));
    // What has come into the raw image is hidden by the image above it.
    case("commit to raw", 600, &["flat.raw"], |dir| commit_of(dir, "over"));
    case("rebase", 600, &[], |dir| {
        let options = RebaseOptions {
            backing: Some(b"other".to_vec()),
            ..RebaseOptions::default()
        };
        rebase(&dir.join("top"), &options, &NoProgress).map(drop)
    });
    case("pull", 600, &[], |dir| {
        pull(&dir.join("top"), &PullOptions::default(), &NoProgress).map(drop)
    });
}

#[test]
fn stops_resizing() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    case("resize, full", 600, &[], |dir| {
        grow(dir, "top", Preallocation::Full)
    });
    case("resize, falloc", 600, &[], |dir| {
        grow(dir, "top", Preallocation::Falloc)
    });
    case("resize raw, full", 600, &[], |dir| {
        grow(dir, "flat.raw", Preallocation::Full)
    });
    case("resize raw, falloc", 600, &[], |dir| {
        grow(dir, "flat.raw", Preallocation::Falloc)
    });
    case("resize, larger tables", 4, &[], |dir| {
        let options = ResizeOptions {
            force: true,
            ..ResizeOptions::default()
        };
        resize(&dir.join("small"), NewSize::To(1 << 30), &options).map(drop)
    });
}

#[test]
fn stops_changes_of_metadata() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    case("snapshot", 8, &[], |dir| {
        create_snapshot(&dir.join("small"), &snapshot("new"), &SnapshotOptions::default()).map(drop)
    });
    case("snapshot apply", 8, &[], |dir| {
        // Applied twice it is the same, so the case may look at what is read.
        let key = SnapshotKey::Name(b"kept");
        apply_snapshot(&dir.join("small"), key, &SnapshotOptions::default()).map(drop)
    });
    case("snapshot delete", 0, &[], |dir| {
        let key = SnapshotKey::Name(b"kept");
        delete_snapshot(&dir.join("small"), key, &SnapshotOptions::default()).map(drop)
    });
    case("snapshot import", 600, &[], |dir| {
        let open = OpenOptions::read();
        let new = snapshot("theirs");
        import_snapshot(
            &dir.join("other"),
            &dir.join("flat.raw"),
            &new,
            &open,
            &open,
            &NoProgress,
        )
        .map(drop)
    });
    case("amend", 0, &[], |dir| {
        let options = AmendOptions {
            refcount_bits: Some(64),
            ..AmendOptions::default()
        };
        amend(&dir.join("small"), &options, &ChangeOptions::default())
    });
    case("bitmap add", 0, &[], |dir| {
        let add = [BitmapChange::Add(None)];
        change_bitmap(&dir.join("other"), b"b", &add, None, &ChangeOptions::default())
    });
}

#[test]
fn stops_what_makes_files() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    for format in [Format::Qcow2, Format::Raw] {
        let verb: Verb = match format {
            Format::Raw => |dir| convert_to(dir, "new", Format::Raw),
            _ => |dir| convert_to(dir, "new", Format::Qcow2),
        };
        case("convert", 600, &[], verb);
    }
    // What is replaced stays as long as what replaces it is not complete.
    case("convert over a file", 600, &[], |dir| {
        convert_to(dir, "other", Format::Qcow2)
    });
    case("create", 600, &[], |dir| {
        let mut options = CreateOptions::default();
        options.qcow2.preallocation = Preallocation::Full;
        create(
            &dir.join("new"),
            Format::Qcow2,
            4 << 20,
            &options,
            Existing::Refuse,
        )
    });
    case("clone", 0, &[], |dir| {
        let targets = [dir.join("one"), dir.join("two"), dir.join("three")];
        clone_linked(&dir.join("top"), &targets, &CloneOptions::default(), &NoProgress)
    });
}

fn convert_to(dir: &Path, target: &str, format: Format) -> Result<()> {
    let options = ConvertOptions {
        existing: Existing::Replace,
        ..ConvertOptions::new(format)
    };
    let open = OpenOptions::read();
    convert(
        &[dir.join("top")],
        &open,
        &dir.join(target),
        &options,
        &NoProgress,
    )
    .map(drop)
}

#[test]
fn stops_edits() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    case("edit", 600, &[], |dir| edit_of(dir, "top"));
    case("edit of raw", 600, &[], |dir| edit_of(dir, "flat.raw"));
}

/// Changes 2 MiB of a disk.
fn edit_of(dir: &Path, name: &str) -> Result<()> {
    let options = TransactionOptions {
        force: true,
        ..TransactionOptions::default()
    };
    let edit = Transaction::begin(&[DiskSpec::in_place(dir.join(name))], &options)?;
    let Some(disk) = edit.storage(0) else {
        return Err(Error::BadOption("no disk".into()));
    };
    disk.write_at(6 << 20, &vec![9; 2 << 20])?;
    drop(disk);
    edit.commit().map(drop)
}

/// An edit that goes on, with so many KiB of space: what there was no space for is there as soon as there is. Tells whether there
/// was too little.
fn goes_on(image: &str, places: &[(u64, usize)], left: usize) -> bool {
    let mount = Mount::new().unwrap();
    for name in ["base", image] {
        copy_sparsely(&template().join(name), &mount.path().join(name));
    }
    let path = mount.path().join(image);
    let mut edit = Transaction::begin(&[DiskSpec::in_place(&path)], &TransactionOptions::default()).unwrap();
    let disk = edit.storage(0).unwrap();
    let change = |value: u8| {
        for (offset, len) in places {
            disk.write_at(*offset, &vec![value; *len]).unwrap();
        }
    };
    let check = |value: u8| {
        for (offset, len) in places {
            let mut bytes = vec![0; *len];
            disk.read_at(*offset, &mut bytes).unwrap();
            assert!(bytes.iter().all(|b| *b == value), "{image}, {left} KiB: {offset}");
        }
    };
    // A first one that succeeds, of one place only.
    disk.write_at(places[0].0, &vec![7; places[0].1]).unwrap();
    edit.checkpoint().unwrap();
    mount.fill(left);
    change(8);
    let failed = match edit.checkpoint() {
        Ok(_) => false,
        Err(failure) => {
            assert_eq!(
                failure.error.kind(),
                ErrorKind::NoSpace,
                "{left} KiB: {}",
                failure.error
            );
            assert!(failure.staged, "{image}, {left} KiB: {}", failure.error);
            true
        }
    };
    check(8);
    change(9);
    if let Err(failure) = edit.checkpoint() {
        assert!(failure.staged, "{image}, {left} KiB: {}", failure.error);
    }
    check(9);
    mount.free();
    edit.checkpoint().unwrap();
    check(9);
    drop(disk);
    edit.abandon();
    if !image.ends_with("raw") {
        assert_clean(&path);
    }
    let open = disksmith_image::Image::open(&path, &OpenOptions::read()).unwrap();
    for (offset, len) in places {
        let mut bytes = vec![0; *len];
        open.storage().read_at(*offset, &mut bytes).unwrap();
        assert!(bytes.iter().all(|b| *b == 9), "{image}, {left} KiB: {offset}");
    }
    failed
}

#[test]
fn an_edit_that_goes_on_keeps_what_there_is_no_space_for() {
    if !have("qemu-img") || !have("qemu-io") || Mount::new().is_none() {
        return;
    }
    type Places = &'static [(u64, usize)];
    let cases: [(&str, Places, usize); 3] = [
        ("small", &[(0, 5000), (7 << 20, 60_000), (40 << 20, 3000)], 12),
        ("top", &[(3 << 20, 200_000), (9 << 20, 100_000)], 64),
        ("flat.raw", &[(64 << 10, 70_000), (5 << 20, 130_000)], 32),
    ];
    for (image, places, step) in cases {
        let outcomes: Vec<bool> = (0..12).map(|i| goes_on(image, places, i * step)).collect();
        assert!(outcomes[0], "{image}: no space was enough");
        assert!(outcomes.contains(&false), "{image}: no space was ever enough");
    }
}
