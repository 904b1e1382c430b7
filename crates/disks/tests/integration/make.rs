//! Images that are made of directories and archives.

use super::judge::{assert_clean, debugfs, have, run_ok};
use disksmith_disks::{DiskIds, Error, Files, ImageSize, MakeFs, PartitionTable, Placement, make_fs};
use disksmith_fs::NewFileSystem;
use disksmith_image::Format;
use disksmith_storage::{Diagnose, ErrorKind, Existing};
use disksmith_vfs::Timestamp;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

fn ext4() -> NewFileSystem {
    let mut options = disksmith_ext4::FormatOptions::new([1; 16], [2; 16], 1_700_000_000);
    options.block_size = Some(4096);
    NewFileSystem::Ext(Box::new(options))
}

fn vfat() -> NewFileSystem {
    let time = Timestamp {
        seconds: 1_700_000_000,
        nanoseconds: 0,
    };
    NewFileSystem::Fat(Box::new(disksmith_fat::FormatOptions::new(7, time)))
}

fn sample(dir: &Path) {
    fs::create_dir_all(dir.join("etc/apt")).unwrap();
    fs::write(dir.join("etc/hostname"), "web1\n").unwrap();
    fs::hard_link(dir.join("etc/hostname"), dir.join("etc/name")).unwrap();
    symlink("hostname", dir.join("etc/link")).unwrap();
    fs::write(dir.join("etc/apt").join("n".repeat(200)), vec![9; 70_000]).unwrap();
    let sparse = File::create(dir.join("sparse")).unwrap();
    for i in 0..30u64 {
        sparse.write_all_at(b"island", i * 200_000 + 5_000).unwrap();
    }
    sparse.set_len(8_000_000).unwrap();
}

fn check(image: &Path, dir: &Path) {
    assert_clean(image);
    assert_eq!(debugfs(image, "cat /etc/name"), "web1\n");
    assert!(debugfs(image, "stat /etc/hostname").contains("Links: 2"));
    assert!(debugfs(image, "stat /etc/link").contains("Fast link dest: \"hostname\""));
    let out = dir.join("out");
    for file in ["sparse".to_owned(), format!("etc/apt/{}", "n".repeat(200))] {
        debugfs(image, &format!("dump /{file} {}", out.display()));
        assert_eq!(
            fs::read(&out).unwrap(),
            fs::read(dir.join("source").join(&file)).unwrap(),
            "{file}"
        );
    }
    let taken = debugfs(image, "stat /sparse");
    let blocks: u64 = taken
        .split("Blockcount: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap();
    assert!(blocks <= 8 * 64, "holes became blocks: {taken}");
}

#[test]
fn archives_of_every_kind_become_filesystems() {
    if !have(&["tar", "e2fsck", "debugfs", "gzip", "bzip2", "xz", "zstd"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    sample(&source);
    let archive = dir.path().join("archive");
    let image = dir.path().join("image");
    for options in [
        &["--format=gnu", "--sparse"][..],
        &["--format=pax", "--sparse", "--sparse-version=1.0", "--zstd"],
        &["--format=pax", "--sparse", "--sparse-version=0.1", "--xz"],
        &["--format=pax", "--sparse", "--sparse-version=0.0", "--gzip"],
        &["--format=ustar", "--exclude=n*", "--bzip2"],
    ] {
        let mut args = options.to_vec();
        args.extend([
            "-C",
            source.to_str().unwrap(),
            "-cf",
            archive.to_str().unwrap(),
            ".",
        ]);
        run_ok("tar", &args);
        let mut what = MakeFs::new(ext4());
        what.existing = Existing::Replace;
        let files = Files::open(&archive).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        make_fs(files, &image, &what).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        if options.contains(&"--sparse") {
            check(&image, dir.path());
        } else {
            assert_clean(&image);
        }
        // From a stream it is the same.
        let again = dir.path().join("again");
        let mut stream = File::open(&archive).unwrap();
        let files = Files::from_stream(&mut stream, "a stream", dir.path()).unwrap();
        make_fs(files, &again, &what).unwrap();
        assert_eq!(fs::read(&image).unwrap(), fs::read(&again).unwrap());
    }
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let archive = dir.path().join("archive.tar");
    let member = |name: &str, kind: u8, link: &str| {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[108..115].copy_from_slice(b"0000000");
        header[116..123].copy_from_slice(b"0000000");
        header[124..135].copy_from_slice(b"00000000000");
        header[136..147].copy_from_slice(b"00000000000");
        header[148..156].fill(b' ');
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..263].copy_from_slice(b"ustar\0");
        header[263..265].copy_from_slice(b"00");
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header.to_vec()
    };
    // A member that says it has almost 2^64 bytes of data, and holds none.
    let lying = || {
        let records = b"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n44 GNU.sparse.realsize=18446744073709551615\n41 GNU.sparse.map=0,18446744073709551615\n";
        let mut head = member("pax", b'x', "");
        head[124..135].copy_from_slice(format!("{:011o}", records.len()).as_bytes());
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut body = records.to_vec();
        body.resize(512, 0);
        [head, body, member("x", b'0', "")].concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a path that leads out", member("a/../../etc/passwd", b'0', "")),
        ("a link to nothing", member("x", b'1', "nowhere")),
        (
            "a loop",
            [member("l", b'2', "l"), member("l/x", b'0', "")].concat(),
        ),
        (
            "a file as a directory",
            [member("f", b'0', ""), member("f/x", b'0', "")].concat(),
        ),
        ("an empty link", member("x", b'2', "")),
        ("a map that lies", lying()),
        ("no archive", vec![0x55; 4096]),
        ("cut off", member("x", b'0', "")[..300].to_vec()),
    ];
    for (name, mut bytes) in cases {
        if name != "cut off" && name != "no archive" {
            bytes.extend([0; 1024]);
        }
        fs::write(&archive, &bytes).unwrap();
        let made = Files::open(&archive).and_then(|files| make_fs(files, &image, &MakeFs::new(ext4())));
        assert!(made.is_err(), "{name}");
        assert!(!image.exists(), "{name}");
    }
    // A link that leads out of the archive stays inside the tree.
    let inside = [
        member("etc", b'5', ""),
        member("up", b'2', "../../../etc"),
        member("up/passwd", b'0', ""),
        vec![0; 1024],
    ]
    .concat();
    fs::write(&archive, inside).unwrap();
    make_fs(Files::open(&archive).unwrap(), &image, &MakeFs::new(ext4())).unwrap();
    if have(&["debugfs"]) {
        assert!(debugfs(&image, "ls /etc").contains("passwd"));
    }
}

#[test]
fn disks_with_partitions_in_every_format() {
    if !have(&["qemu-img", "sfdisk", "e2fsck", "fsck.fat"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/hello"), vec![b'x'; 300_000]).unwrap();
    let (image, raw, slice) = (
        dir.path().join("image"),
        dir.path().join("raw"),
        dir.path().join("slice"),
    );
    for (filesystem, table, format, placement) in [
        (ext4(), PartitionTable::Gpt, Format::Qcow2, Placement::Aligned),
        (ext4(), PartitionTable::Mbr, Format::Raw, Placement::Libguestfs),
        (vfat(), PartitionTable::Gpt, Format::Raw, Placement::Libguestfs),
        (vfat(), PartitionTable::Mbr, Format::Qcow2, Placement::Aligned),
    ] {
        let what = MakeFs {
            table: Some(table),
            format,
            placement,
            ids: DiskIds {
                disk: [3; 16],
                partition: [4; 16],
            },
            existing: Existing::Replace,
            ..MakeFs::new(filesystem.clone())
        };
        make_fs(Files::open(&source).unwrap(), &image, &what).unwrap();
        let name = format.name();
        run_ok(
            "qemu-img",
            &[
                "convert",
                "-f",
                name,
                "-O",
                "raw",
                image.to_str().unwrap(),
                raw.to_str().unwrap(),
            ],
        );
        let dump = run_ok("sfdisk", &["-d", raw.to_str().unwrap()]);
        let start = if placement == Placement::Aligned {
            2048
        } else {
            128
        };
        assert!(dump.contains(&format!("start={start:>12}")), "{dump}");
        let bytes = fs::read(&raw).unwrap();
        let len: usize = dump
            .split("size=")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        fs::write(&slice, &bytes[start * 512..(start + len) * 512]).unwrap();
        match filesystem {
            NewFileSystem::Ext(_) => assert_clean(&slice),
            NewFileSystem::Fat(_) => {
                run_ok("fsck.fat", &["-n", slice.to_str().unwrap()]);
            }
        }
    }
}

#[test]
fn sizes_are_kept_and_those_too_small_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("large"), vec![1; 5 << 20]).unwrap();
    let image = dir.path().join("image");
    for size in [16 << 20, (64 << 20) + 512] {
        let what = MakeFs {
            size: ImageSize::Exact(size),
            existing: Existing::Replace,
            ..MakeFs::new(ext4())
        };
        make_fs(Files::open(&source).unwrap(), &image, &what)
            .unwrap_or_else(|error| panic!("{size}: {error}"));
        assert_eq!(fs::metadata(&image).unwrap().len(), size);
        if have(&["e2fsck"]) {
            assert_clean(&image);
        }
    }
    let small = MakeFs {
        size: ImageSize::Exact(4 << 20),
        existing: Existing::Replace,
        ..MakeFs::new(ext4())
    };
    let error = make_fs(Files::open(&source).unwrap(), &image, &small).unwrap_err();
    assert!(matches!(error, Error::TooSmall { .. }), "{error}");
    // What was there is still there, and without leave to replace it stays.
    assert_eq!(fs::metadata(&image).unwrap().len(), (64 << 20) + 512);
    let error = make_fs(Files::open(&source).unwrap(), &image, &MakeFs::new(ext4())).unwrap_err();
    assert_eq!(
        error.kind(),
        disksmith_image::Error::OutputExists { path: image }.kind()
    );
    let room = MakeFs {
        size: ImageSize::Computed {
            free: 100 << 20,
            percent: 0,
            at_least: 0,
        },
        ..MakeFs::new(vfat())
    };
    let fat = dir.path().join("fat");
    let made = make_fs(Files::open(&source).unwrap(), &fat, &room).unwrap();
    assert!((105 << 20..112 << 20).contains(&made.disk_size), "{made:?}");
    symlink("x", source.join("link")).unwrap();
    let error = make_fs(
        Files::open(&source).unwrap(),
        &dir.path().join("no"),
        &MakeFs::new(vfat()),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("/link"), "{error}");
}
