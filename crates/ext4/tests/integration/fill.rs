//! New filesystems with files in them, judged by e2fsck and by the kernel, which shows the same tree as the source.

use super::judges::{assert_clean, have, run, run_ok};
use super::kernel::{Mount, can_mount};
use super::options::parse;
use disksmith_ext4::{Error, fit_format, format_filled};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use disksmith_vfs::HostSource;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Makes a filesystem of a directory, as large as that needs.
fn fill(source: &Path, image: &Path, options: &str) -> Result<u64, Error> {
    let (tree, mut contents) = HostSource::scan(source)?;
    let (size, options) = fit_format(&parse(options)?, &tree, 0)?;
    File::create(image).unwrap().set_len(size).unwrap();
    let file = HostFile::open(image, OpenMode::Write, LockMode::None).unwrap();
    format_filled(&file, &options, &tree, &mut contents)?;
    Ok(size)
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(path, CString::new(name).unwrap().as_c_str(), value, flags).unwrap();
}

/// A tree of everything that a filesystem can hold.
fn sample(dir: &Path, many: usize) {
    for name in ["etc", "usr/bin", "var/empty", "lost+found", "many"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    fs::write(dir.join("etc/hostname"), "web1\n").unwrap();
    fs::write(dir.join("lost+found/#17"), "found").unwrap();
    fs::set_permissions(dir.join("etc/hostname"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(dir.join("etc/hostname"), dir.join("usr/bin/second-name")).unwrap();
    symlink("short", dir.join("usr/short")).unwrap();
    symlink("long/".repeat(40), dir.join("usr/long")).unwrap();
    fs::write(dir.join("usr/bin/large"), vec![0x5a; 3_000_001]).unwrap();
    let sparse = File::create(dir.join("var/sparse")).unwrap();
    for i in 0..12u64 {
        sparse.write_all_at(b"island", i * 3_000_000 + 17).unwrap();
    }
    sparse.set_len(90_000_000).unwrap();
    File::create(dir.join("var/hole"))
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    File::create(dir.join("var/nothing")).unwrap();
    for i in 0..many {
        fs::write(
            dir.join(format!("many/a file with a name of some length {i}")),
            i.to_string(),
        )
        .unwrap();
    }
    if rustix::process::geteuid().is_root() {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        for (name, kind, device) in [
            ("var/null", FileType::CharacterDevice, makedev(1, 3)),
            ("var/disk", FileType::BlockDevice, makedev(259, 70_000)),
            ("var/pipe", FileType::Fifo, 0),
            ("var/socket", FileType::Socket, 0),
        ] {
            mknodat(CWD, dir.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
        }
        std::os::unix::fs::lchown(dir.join("etc"), Some(70_000), Some(90_000)).unwrap();
        for (path, name, value) in [
            ("etc", "trusted.small", &b"v"[..]),
            ("usr/bin/large", "trusted.large", &[7; 300]),
            ("usr/bin/second-name", "trusted.large", &[7; 300]),
            ("var/sparse", "security.selinux", b"system_u:object_r:var_t:s0\0"),
        ] {
            set_xattr(&dir.join(path), name, value);
        }
    }
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    File::open(dir.join("usr/bin/large"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    rustix::fs::utimensat(
        rustix::fs::CWD,
        dir.join("var/empty"),
        &rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec {
                tv_sec: 5_000_000_000,
                tv_nsec: 7,
            },
            last_modification: rustix::fs::Timespec {
                tv_sec: 5_000_000_000,
                tv_nsec: 7,
            },
        },
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
}

/// All that can be told of the files below a directory; `nanoseconds` says whether times have them.
fn describe(root: &Path, nanoseconds: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let shown = path.strip_prefix(root).unwrap().to_owned();
            let mut line = format!(
                "{} {:o} {}:{} links {} dev {:x}",
                shown.display(),
                meta.mode(),
                meta.uid(),
                meta.gid(),
                if meta.is_dir() { 0 } else { meta.nlink() },
                meta.rdev()
            );
            if shown.as_os_str() != "lost+found" {
                line += &format!(" mtime {}", meta.mtime());
                if nanoseconds {
                    line += &format!(".{}", meta.mtime_nsec());
                }
            }
            if meta.is_dir() {
                todo.push(path.clone());
            } else if meta.is_symlink() {
                line += &format!(" -> {}", fs::read_link(&path).unwrap().display());
            } else if meta.is_file() {
                let bytes = fs::read(&path).unwrap();
                let sum = bytes
                    .iter()
                    .fold(17u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
                line += &format!(" size {} {sum:x}", bytes.len());
                if meta.len() > 1 << 19 {
                    line += &format!(" sparse {}", meta.blocks() * 512 < meta.len() / 2);
                }
            }
            let mut names = vec![0u8; 4096];
            let len = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
            let mut names: Vec<&[u8]> = names[..len]
                .split(|b| *b == 0)
                .filter(|n| !n.is_empty())
                .collect();
            names.sort();
            for name in names {
                let mut value = vec![0u8; 4096];
                let name = std::ffi::OsStr::from_bytes(name);
                let len = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap();
                line += &format!(" {}={:?}", name.display(), &value[..len]);
            }
            lines.push(line);
        }
    }
    lines.sort();
    lines
}

#[test]
fn the_kernel_shows_the_same_tree_as_the_source() {
    if !have("e2fsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    sample(&source, 700);
    let image = dir.path().join("image");
    for options in [
        "-t ext4 -b 4096",
        "-t ext4 -b 1024",
        "-t ext4 -b 4096 -O bigalloc",
        "-t ext4 -b 1024 -O bigalloc,quota -C 8192",
        "-t ext4 -b 1024 -O quota,project,mmp,orphan_file",
        "-t ext3 -b 1024 -O quota",
        "-t ext2 -b 1024",
        "-t ext3 -b 4096",
        "-t ext4 -I 128 -b 2048 -O ^metadata_csum",
        "-t ext4 -O ^dir_index,^flex_bg",
        "-t ext4 -O orphan_file,^64bit,meta_bg,^resize_inode -b 1024",
        "-t ext4 -O inline_data -b 4096",
        "-t ext4 -O ^filetype,^has_journal",
    ] {
        fill(&source, &image, options).unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_clean(&image, options);
        if can_mount() {
            let mount = Mount::new(&image, "ro");
            let nanoseconds = !options.contains("-I 128");
            let (ours, theirs) = (
                describe(mount.path(), nanoseconds),
                describe(&source, nanoseconds),
            );
            for (a, b) in ours.iter().zip(&theirs) {
                if options.contains("-I 128") && a.contains("var/empty") {
                    continue; // no time after 2038 there
                }
                assert_eq!(a, b, "{options}");
            }
            assert_eq!(ours.len(), theirs.len(), "{options}");
        }
    }
}

#[test]
fn large_directories_and_files_in_many_pieces_are_whole() {
    if !have("e2fsck") || !have("debugfs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    // More leaves than the root of a hash tree of 1 KiB blocks has room for.
    for i in 0..6000 {
        let name = format!("d/{i}-{}", "x".repeat(60));
        File::create(source.join(name)).unwrap();
    }
    let pieces = File::create(source.join("pieces")).unwrap();
    for i in 0..500u64 {
        pieces
            .write_all_at(&[(i % 200) as u8 + 1; 100], i * 16_384)
            .unwrap();
    }
    let image = dir.path().join("image");
    for options in ["-t ext4 -b 1024", "-t ext2 -b 1024", "-t ext4 -b 4096"] {
        fill(&source, &image, options).unwrap();
        assert_clean(&image, options);
        let out = dir.path().join("out");
        let path = image.to_str().unwrap();
        run_ok(
            "debugfs",
            &["-R", &format!("dump /pieces {}", out.display()), path],
        );
        assert_eq!(
            fs::read(&out).unwrap(),
            fs::read(source.join("pieces")).unwrap(),
            "{options}"
        );
        let listed = run("debugfs", &["-R", "ls -p /d", path]).stdout;
        assert_eq!(
            String::from_utf8_lossy(&listed).matches("-xxx").count(),
            6000,
            "{options}"
        );
    }
}

#[test]
fn files_lie_in_one_piece_and_the_same_files_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(&source).unwrap();
    for i in 0..100usize {
        fs::write(source.join(format!("{i}")), vec![i as u8; i * 7_000]).unwrap();
    }
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let size = fill(&source, &a, "-t ext4 -b 4096").unwrap();
    fill(&source, &b, "-t ext4 -b 4096").unwrap();
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    // 35 MB of files, and what a filesystem needs: nothing is wasted.
    assert!(size < 48 << 20, "{size}");
    if have("debugfs") {
        for i in 0..100 {
            let stat = run_ok("debugfs", &["-R", &format!("ex /{i}"), a.to_str().unwrap()]);
            assert!(stat.lines().count() <= 2, "file {i}: {stat}");
        }
    }
}

#[test]
fn a_file_called_lost_and_found_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("lost+found"), "a file").unwrap();
    let image = dir.path().join("image");
    File::create(&image).unwrap().set_len(2 << 20).unwrap();
    let (tree, mut contents) = HostSource::scan(&source).unwrap();
    let file = HostFile::open(&image, OpenMode::Write, LockMode::None).unwrap();
    let error = format_filled(&file, &parse("-t ext4").unwrap(), &tree, &mut contents).unwrap_err();
    assert!(error.to_string().contains("lost+found"), "{error}");
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("large"), vec![1; 3 << 20]).unwrap();
    let image = dir.path().join("image");
    File::create(&image).unwrap().set_len(2 << 20).unwrap();
    let (tree, mut contents) = HostSource::scan(&source).unwrap();
    let file = HostFile::open(&image, OpenMode::Write, LockMode::None).unwrap();
    let error = format_filled(&file, &parse("-t ext2").unwrap(), &tree, &mut contents).unwrap_err();
    assert!(matches!(error, Error::NoSpace { what: "blocks" }), "{error}");
    let few = parse("-t ext2 -N 16").unwrap();
    for i in 0..20 {
        File::create(source.join(format!("{i}"))).unwrap();
    }
    fs::remove_file(source.join("large")).unwrap();
    let (tree, mut contents) = HostSource::scan(&source).unwrap();
    let error = format_filled(&file, &few, &tree, &mut contents).unwrap_err();
    assert!(matches!(error, Error::NoSpace { what: "inodes" }), "{error}");
}
