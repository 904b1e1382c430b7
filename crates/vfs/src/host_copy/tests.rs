use super::*;
use crate::{
    DirEntry, DirSink, FileSystem, FileSystemRef, FileType, InodeNo, MemoryFs, Metadata, NewNode, Owner,
    StatFs, Timestamp, Tree,
};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};

fn tree() -> Tree {
    Tree::new(Arc::new(MemoryFs::new(CLOCK)), CLOCK)
}

fn plain() -> CopyOutOptions {
    CopyOutOptions {
        owner: false,
        ..CopyOutOptions::default()
    }
}

/// A directory with one of everything that an ordinary user can make.
fn make_source(dir: &Path) {
    fs::create_dir_all(dir.join("src/empty")).unwrap();
    fs::create_dir_all(dir.join("src/sub/deep")).unwrap();
    let sparse = fs::File::create(dir.join("src/sparse")).unwrap();
    sparse.write_all_at(b"middle", 5 << 20).unwrap();
    sparse.set_len(20 << 20).unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n >> 7) as u8).collect();
    fs::write(dir.join("src/sub/big"), big).unwrap();
    fs::hard_link(dir.join("src/sub/big"), dir.join("src/sub/deep/again")).unwrap();
    symlink("/etc/passwd", dir.join("src/absolute")).unwrap();
    symlink("sub/nowhere", dir.join("src/dangling")).unwrap();
    fs::set_permissions(dir.join("src/sub/big"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(dir.join("src/sub"), fs::Permissions::from_mode(0o2750)).unwrap();
    let old = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789));
    fs::File::open(dir.join("src/sub/big"))
        .unwrap()
        .set_times(old)
        .unwrap();
    fs::File::open(dir.join("src/sub"))
        .unwrap()
        .set_times(old)
        .unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.join("src/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
}

/// What `find` says of everything below a directory.
fn listing(dir: &Path, format: &str) -> String {
    let output = std::process::Command::new("find")
        .arg(".")
        .args(["-printf", format])
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn in_and_out_again_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    make_source(dir.path());
    let tree = tree();
    let report = tree
        .copy_in(&dir.path().join("src"), "/", CopyInOptions::default())
        .unwrap();
    assert_eq!(
        (report.files, report.directories, report.links, report.others),
        (2, 4, 1, 3)
    );
    assert!(report.bytes < 3_100_000, "{}", report.bytes);
    assert_eq!(tree.metadata("/src/sub/big").unwrap().links, 2);
    assert_eq!(tree.metadata("/src/sparse").unwrap().size, 20 << 20);
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let options = CopyOutOptions {
        special_files: true,
        ..plain()
    };
    let back = tree.copy_out("/src", &out, options).unwrap();
    assert_eq!(
        (back.files, back.directories, back.links, back.others),
        (2, 4, 1, 3)
    );
    // Type, permissions (without set-gid, which goes without ownership), links, modification time, target, path.
    let format = "%y %n %T@ %l %p\n";
    let (before, after) = (dir.path().join("src"), out.join("src"));
    assert_eq!(listing(&before, format), listing(&after, format));
    assert_eq!(fs::metadata(after.join("sub")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(
        fs::metadata(after.join("sub/big")).unwrap().mode() & 0o7777,
        0o640
    );
    assert!(fs::metadata(after.join("sparse")).unwrap().blocks() < 64);
    for file in ["sub/big", "sparse"] {
        assert_eq!(
            fs::read(before.join(file)).unwrap(),
            fs::read(after.join(file)).unwrap()
        );
    }
    // Again, over what is there.
    tree.copy_out("/src", &out, options).unwrap();
    let format = "%y %n %l %p\n";
    assert_eq!(listing(&before, format), listing(&after, format));
    tree.copy_in(&before, "/", CopyInOptions::default()).unwrap();
    assert_eq!(tree.metadata("/src/sub/big").unwrap().links, 2);
}

#[test]
fn owners_are_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"x").unwrap();
    let tree = tree();
    let owner = |policy| {
        let options = CopyInOptions {
            owner: policy,
            xattrs: false,
        };
        tree.copy_in_as(&dir.path().join("f"), "/g", options).unwrap();
        tree.metadata("/g").unwrap().uid
    };
    assert_eq!(owner(OwnerPolicy::Host), fs::metadata(dir.path()).unwrap().uid());
    assert_eq!(owner(OwnerPolicy::Root), 0);
    assert_eq!(owner(OwnerPolicy::Fixed(Owner { uid: 33, gid: 34 })), 33);
    if host_directory::is_root() {
        let options = CopyOutOptions {
            owner: true,
            ..plain()
        };
        tree.set_permissions("/g", 0o4755).unwrap();
        tree.copy_out_as("/g", &dir.path().join("h"), options).unwrap();
        let metadata = fs::metadata(dir.path().join("h")).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
            (33, 34, 0o4755)
        );
    }
}

#[test]
fn a_directory_behind_a_link_takes_the_contents_in() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lib")).unwrap();
    fs::write(dir.path().join("lib/module"), b"m").unwrap();
    let tree = tree();
    tree.create_dir_all("/usr/lib", Owner::ROOT, 0o711).unwrap();
    tree.symlink("usr/lib", "/lib", Owner::ROOT).unwrap();
    tree.copy_in(&dir.path().join("lib"), "/", CopyInOptions::default())
        .unwrap();
    assert!(tree.is_symlink("/lib"));
    assert_eq!(tree.read("/usr/lib/module").unwrap(), b"m");
    assert_eq!(tree.metadata("/usr/lib").unwrap().permissions, 0o711);
    // A file is no directory, and a directory no file.
    tree.write("/x", b"", Owner::ROOT, 0o644).unwrap();
    let error = tree
        .copy_in_as(&dir.path().join("lib"), "/x", CopyInOptions::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "/x: not a directory");
    let error = tree
        .copy_in_as(&dir.path().join("lib/module"), "/usr", CopyInOptions::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "/usr: is a directory");
    let error = tree
        .copy_in(&dir.path().join("none"), "/", CopyInOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn links_in_the_destination_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), b"precious").unwrap();
    let tree = tree();
    tree.create_dir_all("/d/sub", Owner::ROOT, 0o755).unwrap();
    tree.write("/d/sub/victim", b"evil", Owner::ROOT, 0o644).unwrap();
    tree.write("/d/file", b"evil", Owner::ROOT, 0o644).unwrap();
    fs::create_dir(out.join("d")).unwrap();
    symlink(outside.join("victim"), out.join("d/file")).unwrap();
    symlink(&outside, out.join("d/sub")).unwrap();
    let error = tree.copy_out("/d", &out, plain()).unwrap_err();
    assert!(error.to_string().contains("use as a directory"), "{error}");
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // The link to a file is replaced, not written through.
    fs::remove_file(out.join("d/sub")).unwrap();
    tree.copy_out("/d", &out, plain()).unwrap();
    assert!(fs::symlink_metadata(out.join("d/file")).unwrap().is_file());
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"precious");
}

#[test]
fn special_files_are_left_out_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree();
    let mut node = tree.new_node(FileType::BlockDevice, Owner::ROOT, 0o660, b"");
    node.device = (8, 0);
    tree.create_node("/sda", &node).unwrap();
    let report = tree.copy_out("/", dir.path(), plain()).unwrap();
    assert_eq!(
        report.skipped,
        [Skipped {
            path: b"/sda".to_vec(),
            file_type: FileType::BlockDevice
        }]
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A filesystem whose directories hold whatever names somebody wrote into the image.
#[derive(Debug)]
struct Evil {
    inner: MemoryFs,
    names: Vec<(&'static [u8], FileType)>,
}

impl FileSystem for Evil {
    fn kind(&self) -> &'static str {
        "evil"
    }
    fn label(&self) -> Option<Vec<u8>> {
        None
    }
    fn uuid(&self) -> Option<String> {
        None
    }
    fn is_writable(&self) -> bool {
        false
    }
    fn root(&self) -> InodeNo {
        self.inner.root()
    }
    fn stat_fs(&self) -> Result<StatFs> {
        self.inner.stat_fs()
    }
    fn lookup(&self, dir: InodeNo, name: &[u8]) -> Result<InodeNo> {
        self.inner.lookup(dir, name)
    }
    fn metadata(&self, inode: InodeNo) -> Result<Metadata> {
        self.inner.metadata(inode)
    }
    fn read_dir(&self, _dir: InodeNo, _cookie: u64, sink: DirSink<'_>) -> Result<()> {
        for (name, file_type) in &self.names {
            let inode = match file_type {
                FileType::Directory => self.root(),
                FileType::Symlink => self.inner.lookup(self.root(), b"link")?,
                _ => self.inner.lookup(self.root(), b"file")?,
            };
            sink(DirEntry {
                name: name.to_vec(),
                inode,
                file_type: *file_type,
                cookie: 1,
            });
        }
        Ok(())
    }
    fn parent(&self, _dir: InodeNo) -> Result<InodeNo> {
        Ok(self.root())
    }
    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.inner.read(inode, offset, buf)
    }
    fn read_link(&self, inode: InodeNo) -> Result<Vec<u8>> {
        self.inner.read_link(inode)
    }
}

use crate::Result;

#[test]
fn no_name_leads_out_of_the_destination() {
    let cases: [&[(&'static [u8], FileType)]; 7] = [
        &[(b"..", FileType::Directory)],
        &[(b"../escaped", FileType::Regular)],
        &[(b"/escaped", FileType::Regular)],
        &[(b".", FileType::Regular)],
        &[(b"", FileType::Regular)],
        // A link and a file of one name: the file must not be written through the link.
        &[(b"x", FileType::Symlink), (b"x", FileType::Regular)],
        &[(b"x", FileType::Directory)],
    ];
    for names in cases {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let inner = MemoryFs::new(CLOCK);
        let escaped = dir.path().join("escaped");
        let target = escaped.to_str().unwrap().as_bytes();
        let node = |file_type, target| NewNode {
            file_type,
            permissions: 0o644,
            uid: 0,
            gid: 0,
            time: CLOCK,
            target,
            device: (0, 0),
        };
        inner
            .create(inner.root(), b"file", &node(FileType::Regular, b""))
            .unwrap();
        inner
            .create(inner.root(), b"link", &node(FileType::Symlink, target))
            .unwrap();
        let fs: FileSystemRef = Arc::new(Evil {
            inner,
            names: names.to_vec(),
        });
        let tree = Tree::new(fs, CLOCK);
        let error = tree.copy_out("/", &out, plain()).unwrap_err();
        assert_eq!(error.errno(), 117, "{error}");
        assert!(!escaped.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let _ = tree.remove_all("/x");
        let _ = tree.glob("/*/*");
    }
}
