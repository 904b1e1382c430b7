//! Single cases: deep trees, full filesystems, what the kernel left behind, damage.

use crate::edit::{Dice, open};
use crate::judges::{assert_clean, debugfs, have, mke2fs, run, run_ok};
use crate::kernel::{Mount, can_mount};
use disksmith_ext4::{Ext4, HashKind, NameHasher, OpenOptions};
use disksmith_storage::{Memory, Storage, StorageRef};
use disksmith_vfs::{
    Error, FileSystem, FileType, InodeNo, MetadataChange, NewNode, RenameMode, Timestamp, XattrMode,
};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn node(file_type: FileType) -> NewNode<'static> {
    NewNode {
        file_type,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time: Timestamp {
            seconds: 1_600_000_000,
            nanoseconds: 0,
        },
        target: b"",
        device: (0, 0),
    }
}

fn file(fs: &Ext4, name: &str) -> InodeNo {
    fs.create(fs.root(), name.as_bytes(), &node(FileType::Regular))
        .unwrap()
}

fn judges() -> bool {
    have("mke2fs") && have("e2fsck") && have("debugfs")
}

#[test]
fn trees_of_every_depth_grow_and_shrink() {
    if !judges() {
        return;
    }
    for options in [
        "-t ext4 -b 1024 -O ^has_journal",
        "-t ext4 -b 1024 -O ^metadata_csum,^has_journal",
        "-t ext2 -b 1024",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 40 * MIB, options);
        let fs = open(&image, true).unwrap();
        let ino = file(&fs, "sparse");
        // Depth 2 and double indirection need few.
        let count = if crate::judges::long() { 15_000u64 } else { 4_000 };
        for i in 0..count {
            // From both ends towards the middle, so that leaves split everywhere.
            let at = if i % 2 == 0 { i } else { 2 * count - i };
            fs.write(ino, at * 2048, &[i as u8; 1024]).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
        let depth = debugfs(&image, "stat sparse", false);
        let mut block = [0; 1024];
        for i in (0..count).step_by(7) {
            let at = if i % 2 == 0 { i } else { 2 * count - i };
            fs.read(ino, at * 2048, &mut block).unwrap();
            assert_eq!(block, [i as u8; 1024], "{options} block {i}\n{depth}");
        }
        let mut dice = Dice(3);
        for _ in 0..300 {
            let at = dice.below(2 * count * 2048);
            fs.punch_hole(ino, at, dice.below(90_000)).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
        for size in [20_000_000, 5_000_000, 100_000, 5000, 0] {
            fs.set_size(ino, size).unwrap();
            fs.sync().unwrap();
            assert_clean(&image, options);
        }
        assert_eq!(fs.metadata(ino).unwrap().blocks, 0);
    }
}

#[test]
fn a_full_filesystem_stays_as_it_was() {
    if !judges() {
        return;
    }
    for options in [
        "-t ext4 -b 1024 -N 200",
        "-t ext2 -b 1024 -N 200",
        "-t ext4 -N 64 -O bigalloc",
        "-t ext4 -b 1024 -N 200 -O quota,ea_inode,inline_data",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 10 * MIB, options);
        let fs = open(&image, true).unwrap();
        let root = fs.root();
        let before = fs.stat_fs().unwrap();
        let big = file(&fs, "big");
        let mut at = 0;
        let error = loop {
            match fs.write(big, at, &[7; 50_000]) {
                Ok(()) => at += 50_000,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::NoSpace { what: "blocks", .. }), "{error}");
        assert_eq!(fs.metadata(big).unwrap().size, at);
        fs.sync().unwrap();
        assert_clean(&image, options);
        let error = loop {
            let n = fs.stat_fs().unwrap().free_inodes;
            if let Err(error) = fs.create(root, format!("f{n}").as_bytes(), &node(FileType::Regular)) {
                break error;
            }
        };
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        let error = fs.create(root, b"dir", &node(FileType::Directory)).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        let error = fs.allocate(big, 0, 100 * MIB, false).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        fs.sync().unwrap();
        assert_clean(&image, options);
        let mut names = vec![];
        fs.read_dir(root, 0, &mut |e| {
            if e.file_type == FileType::Regular {
                names.push(e.name);
            }
            true
        })
        .unwrap();
        for name in names {
            fs.unlink(root, &name).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
        let after = fs.stat_fs().unwrap();
        assert_eq!(after.free_inodes, before.free_inodes);
        assert!(after.free_blocks + 20 >= before.free_blocks);
    }
}

#[test]
fn new_files_lie_in_one_piece() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(&image, 256 * MIB, "-t ext4");
    let fs = open(&image, true).unwrap();
    let mut dice = Dice(9);
    let mut sizes = vec![];
    for i in 0..100u64 {
        let ino = file(&fs, &format!("f{i}"));
        let size = dice.below(2_000_000) + 1;
        let mut at = 0;
        while at < size {
            let n = (size - at).min(65_536);
            fs.write(ino, at, &vec![1; n as usize]).unwrap();
            at += n;
        }
        sizes.push(size);
        if i % 5 == 4 {
            fs.unlink(fs.root(), format!("f{}", i - 2).as_bytes()).unwrap();
        }
    }
    fs.sync().unwrap();
    assert_clean(&image, "files");
    let mut extents = 0;
    let mut files = 0;
    for i in 0..100 {
        let text = debugfs(&image, &format!("dump_extents f{i}"), false);
        let lines = text.lines().filter(|l| l.trim_start().starts_with("0/")).count();
        if lines > 0 {
            files += 1;
            extents += lines;
        }
    }
    assert!(files >= 80, "{files}");
    assert!(extents * 10 <= files * 11, "{extents} extents of {files} files");
}

#[test]
fn statistics_are_those_of_the_kernel() {
    if !judges() || !can_mount() {
        return;
    }
    for options in [
        "-t ext4",
        "-t ext4 -b 1024",
        "-t ext2",
        "-t ext3 -m 1",
        "-t ext4 -O bigalloc",
        "-t ext4 -O meta_bg,^resize_inode -b 1024",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 64 * MIB, options);
        let fs = open(&image, false).unwrap();
        let ours = fs.stat_fs().unwrap();
        let mount = Mount::new(&image, "ro");
        let text = run_ok(
            "stat",
            &["-f", "-c", "%S %b %f %a %c %d", mount.path().to_str().unwrap()],
        );
        let ours = format!(
            "{} {} {} {} {} {}",
            ours.block_size,
            ours.blocks,
            ours.free_blocks,
            ours.available_blocks,
            ours.inodes,
            ours.free_inodes
        );
        assert_eq!(ours, text.trim(), "{options}");
    }
}

#[test]
fn large_files_and_late_times() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(&image, 32 * MIB, "-t ext4 -b 4096 -O ^large_file");
    let fs = open(&image, true).unwrap();
    let ino = file(&fs, "large");
    fs.write(ino, (16 << 40) - 5000 - 1024, b"the end").unwrap();
    fs.write(ino, 3 << 30, b"middle").unwrap();
    let size = fs.metadata(ino).unwrap().size;
    assert_eq!(size, (16 << 40) - 5000 - 1024 + 7);
    assert_eq!(fs.next_data(ino, 0).unwrap().map(|d| d.0 >> 20), Some(3 << 10));
    assert!(matches!(
        fs.write(ino, 16 << 40, b"x"),
        Err(Error::FileTooLarge { .. })
    ));
    let late = Timestamp {
        seconds: 10_000_000_000,
        nanoseconds: 999_999_999,
    };
    fs.set_metadata(
        ino,
        &MetadataChange {
            modified: Some(late),
            accessed: Some(late),
            ..MetadataChange::default()
        },
    )
    .unwrap();
    fs.sync().unwrap();
    assert_clean(&image, "large");
    assert_eq!(open(&image, false).unwrap().metadata(ino).unwrap().modified, late);
    fs.unlink(fs.root(), b"large").unwrap();
    fs.sync().unwrap();
    assert_clean(&image, "large removed");
}

#[test]
fn access_control_lists_are_the_kernels() {
    if !judges() || !can_mount() || !have("setfacl") {
        return;
    }
    for options in ["-t ext4", "-t ext4 -I 128"] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 32 * MIB, options);
        {
            let mount = Mount::new(&image, "acl");
            let path = mount.at("file");
            std::fs::write(&path, "x").unwrap();
            run_ok(
                "setfacl",
                &["-m", "u:1000:rw,g:50:r,m:rw", path.to_str().unwrap()],
            );
        }
        let fs = open(&image, true).unwrap();
        let ino = fs.lookup(fs.root(), b"file").unwrap();
        let acl = fs.xattr(ino, b"system.posix_acl_access").unwrap().unwrap();
        let copy = file(&fs, "copy");
        fs.set_xattr(copy, b"system.posix_acl_access", &acl, XattrMode::Set)
            .unwrap();
        let chmod = MetadataChange {
            permissions: Some(0o604),
            ..MetadataChange::default()
        };
        fs.set_metadata(ino, &chmod).unwrap();
        fs.sync().unwrap();
        assert_clean(&image, options);
        let mount = Mount::new(&image, "ro");
        let show = |name: &str| {
            run_ok(
                "getfacl",
                &["-nc", "--absolute-names", mount.at(name).to_str().unwrap()],
            )
        };
        let entries = show("copy");
        assert!(
            entries.contains("user:1000:rw-") && entries.contains("mask::rw-"),
            "{entries}"
        );
        let entries = show("file");
        assert!(
            entries.contains("mask::---") && entries.contains("other::r--"),
            "{entries}"
        );
    }
}

#[test]
fn what_the_kernel_wrote_is_read_and_edited() {
    if !judges() || !can_mount() {
        return;
    }
    for options in [
        "-t ext4 -O inline_data",
        "-t ext4 -O ea_inode,inline_data -I 512",
        "-t ext4 -O ea_inode",
        "-t ext4 -I 128",
        "-t ext4 -O ^metadata_csum,uninit_bg",
        "-t ext3 -b 1024",
        "-t ext4 -O large_dir -b 1024",
        "-t ext4 -O bigalloc",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 64 * MIB, options);
        {
            let mount = Mount::new(&image, "rw");
            let script = r#"
import os, sys
os.chdir(sys.argv[1])
for n in (0, 1, 50, 60, 61, 100, 150, 300, 5000):
    open('f%d' % n, 'wb').write(bytes([n & 255]) * n)
    os.symlink('t' * max(n, 1) if n < 1000 else 'x', 'l%d' % n)
for n in (1, 3, 20):
    os.mkdir('d%d' % n)
    for i in range(n): os.mkdir('d%d/sub%d' % (n, i))
os.mkdir('many')
for i in range(1500): open('many/entry-%d-%s' % (i, 'y' * (i % 30)), 'w').write('%d' % i)
for n in (10, 100, 1000, 3000, 20000):
    try: os.setxattr('f100', 'user.x%d' % n, b'v' * n)
    except OSError: pass
for i in range(4):
    open('s%d' % i, 'w').close()
    try: os.setxattr('s%d' % i, 'security.selinux', b'system_u:object_r:etc_t:s0' * 12)
    except OSError: pass
f = open('unwritten', 'wb'); os.posix_fallocate(f.fileno(), 0, 300000); f.seek(100000); f.write(b'hello'); f.close()
"#;
            run_ok("python3", &["-c", script, mount.path().to_str().unwrap()]);
        }
        let listing = |root: &Path| {
            let script = r#"
import os, sys, hashlib
for top, dirs, files in os.walk(sys.argv[1]):
    dirs.sort()
    for n in sorted(dirs + files):
        p = os.path.join(top, n); s = os.lstat(p)
        x = [(a, hashlib.md5(os.getxattr(p, a, follow_symlinks=False)).hexdigest()) for a in sorted(os.listxattr(p, follow_symlinks=False))]
        if os.path.islink(p): c = os.readlink(p)
        elif os.path.isfile(p): c = hashlib.md5(open(p, 'rb').read()).hexdigest()
        else: c = ''
        print(os.path.relpath(p, sys.argv[1]), oct(s.st_mode), s.st_nlink, s.st_size if not os.path.isdir(p) else 0, c, x)
"#;
            run_ok("python3", &["-c", script, root.to_str().unwrap()])
        };
        let fs = open(&image, true).unwrap();
        let root = fs.root();
        for n in [0u64, 1, 50, 60, 61, 100, 150, 300, 5000] {
            let ino = fs.lookup(root, format!("f{n}").as_bytes()).unwrap();
            let mut data = vec![0; 6000];
            let len = fs.read(ino, 0, &mut data).unwrap();
            assert_eq!(len as u64, n);
            assert!(data[..len].iter().all(|b| *b == n as u8));
            let link = fs.lookup(root, format!("l{n}").as_bytes()).unwrap();
            let want = if n < 1000 { n.max(1) } else { 1 };
            assert_eq!(fs.read_link(link).unwrap().len() as u64, want, "{options}");
        }
        let ino = fs.lookup(root, b"f100").unwrap();
        for name in fs.list_xattrs(ino).unwrap() {
            let n: usize = String::from_utf8(name.clone()).unwrap()[6..].parse().unwrap();
            assert_eq!(fs.xattr(ino, &name).unwrap().unwrap(), vec![b'v'; n], "{options}");
        }
        let many = fs.lookup(root, b"many").unwrap();
        for i in 0..1500usize {
            let name = format!("entry-{i}-{}", "y".repeat(i % 30));
            fs.lookup(many, name.as_bytes()).unwrap();
        }
        // Every kind of change on every kind of thing.
        for n in [0u64, 50, 61, 150] {
            let name = format!("f{n}");
            let ino = fs.lookup(root, name.as_bytes()).unwrap();
            fs.write(ino, n, b"more").unwrap();
            fs.set_xattr(ino, b"user.new", b"value", XattrMode::Create)
                .unwrap();
            fs.rename(
                root,
                name.as_bytes(),
                root,
                format!("r{n}").as_bytes(),
                RenameMode::NoReplace,
            )
            .unwrap();
        }
        for n in [1usize, 3, 20] {
            let d = fs.lookup(root, format!("d{n}").as_bytes()).unwrap();
            let made = fs.create(d, b"new", &node(FileType::Regular));
            if let Err(error) = &made {
                panic!("{options} d{n}: {error} ({})", crate::judges::keep(&image));
            }
            fs.remove_dir(d, b"sub0").unwrap();
        }
        for name in [&b"s0"[..], b"s1", b"f300"] {
            fs.unlink(root, name).unwrap();
        }
        let s2 = fs.lookup(root, b"s2").unwrap();
        if fs.xattr(s2, b"security.selinux").unwrap().is_some() {
            fs.set_xattr(s2, b"security.selinux", b"short", XattrMode::Set)
                .unwrap();
        }
        for i in (0..1500usize).step_by(3) {
            let name = format!("entry-{i}-{}", "y".repeat(i % 30));
            fs.unlink(many, name.as_bytes()).unwrap();
        }
        let ino = fs.lookup(root, b"f100").unwrap();
        for name in fs.list_xattrs(ino).unwrap() {
            fs.remove_xattr(ino, &name).unwrap();
        }
        let ino = fs.lookup(root, b"unwritten").unwrap();
        let mut data = vec![1; 300_000];
        assert_eq!(fs.read(ino, 0, &mut data).unwrap(), 300_000);
        assert_eq!(&data[100_000..100_005], b"hello");
        assert!(data[..100_000].iter().all(|b| *b == 0));
        fs.write(ino, 200_000, b"there").unwrap();
        fs.sync().unwrap();
        drop(fs);
        assert_clean(&image, options);
        let seen = {
            let mount = Mount::new(&image, "ro");
            listing(mount.path())
        };
        assert!(seen.contains("r150 0o100644 1 154"), "{options}\n{seen}");
        // The kernel goes on where we stopped.
        {
            let mount = Mount::new(&image, "rw");
            let script = r#"
import os, sys
os.chdir(sys.argv[1])
for i in range(600): open('many/again-%d' % i, 'w').write('%d' % i)
for i in range(0, 600, 2): os.unlink('many/again-%d' % i)
open('r150', 'ab').write(b'kernel')
"#;
            run_ok("python3", &["-c", script, mount.path().to_str().unwrap()]);
        }
        assert_clean(&image, &format!("{options}: after the kernel"));
        let fs = open(&image, false).unwrap();
        let many = fs.lookup(fs.root(), b"many").unwrap();
        for i in (1..600).step_by(2) {
            fs.lookup(many, format!("again-{i}").as_bytes()).unwrap();
        }
    }
}

#[test]
fn orphans_are_finished() {
    if !judges() || !can_mount() {
        return;
    }
    for options in [
        "-t ext4",
        "-t ext4 -O orphan_file",
        "-t ext3",
        "-t ext4 -O ^metadata_csum",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 64 * MIB, options);
        let mount = Mount::new(&image, "rw");
        let script = r#"
import fcntl, os, struct, sys
os.chdir(sys.argv[1])
keep = []
for i in range(20):
    f = open('o%d' % i, 'wb'); f.write(b'z' * 50000 * (i + 1)); f.flush(); keep.append(f)
os.sync()
for i in range(0, 20, 2): os.unlink('o%d' % i)
os.sync()
d = os.open('.', os.O_RDONLY)
fcntl.ioctl(d, 0x8004587D, struct.pack('I', 1))
"#;
        run_ok("python3", &["-c", script, mount.path().to_str().unwrap()]);
        drop(mount);
        let fs = open(&image, true).unwrap();
        for i in 0..20 {
            let found = fs.lookup(fs.root(), format!("o{i}").as_bytes());
            assert_eq!(found.is_ok(), i % 2 == 1, "{options}");
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
    }
}

#[test]
fn an_active_mount_is_respected() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(&image, 32 * MIB, "-t ext4 -b 1024 -O mmp,^metadata_csum");
    let text = debugfs(&image, "dump_mmp", false);
    let number = text
        .lines()
        .find_map(|l| l.strip_prefix("block_number: "))
        .unwrap();
    let number: u64 = number.trim().parse().unwrap();
    let handle = std::fs::OpenOptions::new().write(true).open(&image).unwrap();
    handle
        .write_all_at(&1234u32.to_le_bytes(), number * 1024 + 4)
        .unwrap();
    let error = open(&image, true).unwrap_err();
    assert!(matches!(error, disksmith_ext4::Error::InUse { .. }), "{error}");
    open(&image, false).unwrap();
}

#[test]
fn features_that_forbid_writing_are_named() {
    if !judges() {
        return;
    }
    for name in ["shared_blocks", "read-only"] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 32 * MIB, "-t ext4");
        debugfs(&image, &format!("feature {name}"), true);
        let fs = open(&image, true).unwrap();
        assert!(!fs.is_writable());
        let error = fs.create(fs.root(), b"x", &node(FileType::Regular)).unwrap_err();
        assert!(
            matches!(error, Error::ReadOnly { .. }) && error.to_string().contains(name),
            "{error}"
        );
    }
}

#[test]
fn hashes_are_those_of_debugfs() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(&image, 4 * MIB, "-t ext4");
    let seed = "01020304-0506-0708-090a-0b0c0d0e0f10";
    let words = std::array::from_fn(|i| {
        let b: [u8; 4] = std::array::from_fn(|j| (i * 4 + j + 1) as u8);
        u32::from_le_bytes(b)
    });
    let long = "long-name-".repeat(20);
    let names = [
        "a",
        "file",
        "exactly-16-bytes",
        "a-name-that-is-32-bytes-long-yes",
        "caf\u{e9}\u{df}\u{4e2d}",
        &long,
    ];
    // debugfs knows only the signed ones; unsigned ones are the same for ASCII, and the kernel judges the rest.
    for (kind, plain) in [
        (HashKind::HalfMd4, "half_md4"),
        (HashKind::Tea, "tea"),
        (HashKind::Legacy, "legacy"),
    ] {
        for name in names.iter().filter(|n| n.is_ascii()) {
            let hash = |unsigned| {
                NameHasher {
                    kind,
                    unsigned,
                    seed: words,
                }
                .hash(name.as_bytes())
            };
            assert_eq!(hash(false), hash(true));
        }
        for (is_unsigned, name_of_hash) in [(false, plain)] {
            for name in names {
                let text = debugfs(
                    &image,
                    &format!("dx_hash -h {name_of_hash} -s {seed} {name}"),
                    false,
                );
                let Some(want) = text
                    .split("is 0x")
                    .nth(1)
                    .and_then(|t| t.split_whitespace().next())
                else {
                    eprintln!("debugfs knows no {name_of_hash}: {text}");
                    continue;
                };
                let hasher = NameHasher {
                    kind,
                    unsigned: is_unsigned,
                    seed: words,
                };
                assert_eq!(
                    format!("{:x}", hasher.hash(name.as_bytes())),
                    want,
                    "{name_of_hash} {name}"
                );
            }
        }
    }
}

#[test]
fn more_subdirectories_than_links_can_count() {
    if !judges() || !crate::judges::long() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mke2fs(
        &image,
        160 * MIB,
        "-t ext4 -b 1024 -I 128 -N 70000 -O ^has_journal",
    );
    let fs = open(&image, true).unwrap();
    for i in 0..65_100 {
        fs.create(fs.root(), format!("d{i}").as_bytes(), &node(FileType::Directory))
            .unwrap();
    }
    assert_eq!(fs.metadata(fs.root()).unwrap().links, 1);
    fs.sync().unwrap();
    assert_clean(&image, "65,100 directories");
    let ino = file(&fs, "file");
    for i in 0..64_999 {
        fs.link(ino, fs.root(), format!("l{i}").as_bytes()).unwrap();
    }
    let error = fs.link(ino, fs.root(), b"one more").unwrap_err();
    assert!(matches!(error, Error::TooManyLinks { .. }), "{error}");
    fs.sync().unwrap();
    assert_clean(&image, "65,000 links");
}

/// Uses everything of a filesystem that may be damaged; only panics, hangs and writes beyond the end count.
fn use_damaged(storage: StorageRef) {
    let clock = Arc::new(|| Timestamp {
        seconds: 1_700_000_000,
        nanoseconds: 0,
    });
    let Ok(fs) = Ext4::open(storage, OpenOptions::new(clock).writable(true)) else {
        return;
    };
    let _ = fs.stat_fs();
    let _ = fs.free_ranges(&mut |_, _| Ok(()));
    let mut queue = vec![fs.root()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(dir) = queue.pop() {
        if !seen.insert(dir) || seen.len() > 300 {
            continue;
        }
        let mut entries = vec![];
        let _ = fs.read_dir(dir, 0, &mut |e| {
            entries.push(e);
            entries.len() < 3000
        });
        for entry in entries {
            let _ = fs.lookup(dir, &entry.name);
            let _ = fs.metadata(entry.inode);
            let mut buf = vec![0; 20_000];
            let _ = fs.read(entry.inode, 0, &mut buf);
            let _ = fs.read_link(entry.inode);
            let _ = fs.next_data(entry.inode, 0);
            for name in fs.list_xattrs(entry.inode).unwrap_or_default() {
                let _ = fs.xattr(entry.inode, &name);
            }
            let n = entry.inode.0 % 8;
            let _ = match n {
                0 => fs.unlink(dir, &entry.name),
                1 => fs.set_size(entry.inode, 100),
                2 => fs.write(entry.inode, 7000, &[1; 9000]),
                3 => fs.punch_hole(entry.inode, 1000, 50_000),
                4 => fs.set_xattr(
                    entry.inode,
                    b"user.q",
                    &vec![1; 200 * (entry.inode.0 as usize / 8 % 9)],
                    XattrMode::Set,
                ),
                5 => fs.rename(dir, &entry.name, fs.root(), b"moved", RenameMode::Replace),
                6 => fs.remove_dir(dir, &entry.name),
                _ => fs
                    .create(dir, b"new-name", &node(FileType::Directory))
                    .map(|_| ()),
            };
            if entry.file_type == FileType::Directory {
                queue.push(entry.inode);
            }
        }
    }
    let _ = fs.sync();
}

#[test]
fn damage_never_panics() {
    if !judges() {
        return;
    }
    let rounds = if crate::judges::long() { 20_000 } else { 25 };
    for (number, options) in [
        "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,inline_data,^has_journal",
        "-t ext2 -b 1024",
        "-t ext4 -b 1024 -O ^metadata_csum,bigalloc,^has_journal,ea_inode",
        "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,quota,ea_inode,^has_journal",
        "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,casefold,orphan_file,inline_data",
    ]
    .into_iter()
    .enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        mke2fs(&image, 2 * MIB, &format!("{options} -N 256"));
        {
            let fs = open(&image, true).unwrap();
            for i in 0..120u64 {
                let ino = file(&fs, &format!("file-with-a-name-{i}"));
                if i % 10 == 0 {
                    for j in 0..12 {
                        fs.write(ino, j * 5000, &[j as u8; 900]).unwrap();
                    }
                    fs.set_xattr(ino, b"user.a", &[2; 300], XattrMode::Set).unwrap();
                }
                if i % 30 == 7 && options.contains("ea_inode") {
                    fs.set_xattr(ino, b"user.large", &[i as u8; 3000], XattrMode::Set)
                        .unwrap();
                }
            }
            let sub = fs.create(fs.root(), b"sub", &node(FileType::Directory)).unwrap();
            fs.create(sub, b"below", &node(FileType::Directory)).unwrap();
            fs.sync().unwrap();
        }
        let bytes = std::fs::read(&image).unwrap();
        // Blocks that hold anything are worth damaging.
        let used: Vec<usize> = (0..bytes.len() / 64)
            .filter(|i| bytes[i * 64..i * 64 + 64].iter().any(|b| *b != 0))
            .collect();
        let mut dice = Dice(77 + number as u64);
        for _ in 0..rounds {
            let memory = Memory::new(bytes.len() as u64);
            memory.write_at(0, &bytes).unwrap();
            for _ in 0..1 + dice.below(12) {
                let at = used[dice.below(used.len() as u64) as usize] * 64 + dice.below(64) as usize;
                let value = match dice.below(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => bytes[at] ^ (1 << dice.below(8)),
                    _ => dice.next() as u8,
                };
                memory.write_at(at as u64, &[value]).unwrap();
            }
            use_damaged(Arc::new(memory));
        }
    }
    let _ = run("true", &[]);
}
