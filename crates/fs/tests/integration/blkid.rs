use disksmith_fs::{Error, OpenOptions, open, probe};
use disksmith_storage::{Diagnose, ErrorKind, HostFile, LockMode, Memory, OpenMode, StorageRef};
use disksmith_vfs::Timestamp;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const OPTIONS: OpenOptions = OpenOptions {
    writable: false,
    clock: Timestamp {
        seconds: 0,
        nanoseconds: 0,
    },
};

/// Programs that the tests cannot do without in CI; others make further rows of the table where they are there.
const NEEDED: [&str; 5] = ["mke2fs", "mkfs.vfat", "mkswap", "xorriso", "blkid"];

fn have(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    assert!(
        found || !NEEDED.contains(&program) || std::env::var_os("CI").is_none(),
        "{program} is missing"
    );
    if !found {
        eprintln!("SKIPPED: {program} is missing");
    }
    found
}

fn storage(path: &Path) -> StorageRef {
    Arc::new(HostFile::open(path, OpenMode::Read, LockMode::None).unwrap())
}

/// TYPE, LABEL, UUID.
fn blkid(path: &Path) -> [Option<String>; 3] {
    let output = Command::new("blkid")
        .args(["-p", "-o", "export"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ["TYPE=", "LABEL=", "UUID="].map(|key| {
        let value = text.lines().find_map(|line| line.strip_prefix(key));
        value.map(|value| value.replace('\\', ""))
    })
}

#[test]
fn everything_is_recognised_as_blkid_does() {
    if !have("blkid") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.img");
    let file = path.to_str().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("a"), b"a").unwrap();
    let tree = tree.to_str().unwrap();
    let rows: &[(&str, &[&str], &str)] = &[
        ("mke2fs", &["-q", "-t", "ext2", "-L", "two", file], "ext2"),
        ("mke2fs", &["-q", "-t", "ext3", file], "ext3"),
        (
            "mke2fs",
            &["-q", "-t", "ext4", "-L", "a label of 16 ch", file],
            "ext4",
        ),
        (
            "mke2fs",
            &["-q", "-t", "ext4", "-O", "^has_journal", file],
            "ext4",
        ),
        ("mke2fs", &["-q", "-O", "journal_dev", "-L", "log", file], "jbd"),
        (
            "mkfs.vfat",
            &["-F", "32", "-s", "1", "-n", "ESP", "-i", "deadbeef", file],
            "vfat",
        ),
        ("mkfs.vfat", &["-F", "16", file], "vfat"),
        ("mkswap", &["-L", "swappy", file], "swap"),
        ("mkfs.xfs", &["-q", "-f", "-L", "ex", file], "xfs"),
        ("mkfs.btrfs", &["-q", "-f", "-L", "butter", file], "btrfs"),
        ("mkfs.ntfs", &["-F", "-Q", "-q", file], "ntfs"),
        (
            "mkfs.ntfs",
            &["-F", "-Q", "-q", "-L", "a data volume", file],
            "ntfs",
        ),
        (
            "mkfs.ntfs",
            &["-F", "-Q", "-q", "-c", "65536", "-L", "big", file],
            "ntfs",
        ),
        ("mkfs.exfat", &[file], "exfat"),
        ("mkfs.exfat", &["-L", "exlabel", file], "exfat"),
        ("mkfs.exfat", &["-L", "cluster", "-c", "128K", file], "exfat"),
        ("mkfs.minix", &["-1", file], "minix"),
        ("mkfs.minix", &["-2", file], "minix"),
        ("mkfs.minix", &["-3", file], "minix"),
        ("mkfs.cramfs", &["-n", "crammed", tree, file], "cramfs"),
        ("mkfs.jfs", &["-q", "-L", "jay", file], "jfs"),
        ("mkfs.nilfs2", &["-q", "-L", "nil", file], "nilfs2"),
        ("mkfs.f2fs", &["-q", "-f", "-l", "flash", file], "f2fs"),
        ("mksquashfs", &[tree, file, "-noappend", "-quiet"], "squashfs"),
        ("mkfs.erofs", &[file, tree], "erofs"),
        (
            "xorriso",
            &[
                "-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-R", "-o", file, tree,
            ],
            "iso9660",
        ),
        (
            "genisoimage",
            &["-quiet", "-V", "cidata", "-J", "-R", "-o", file, tree],
            "iso9660",
        ),
        (
            "cryptsetup",
            &[
                "luksFormat",
                "-q",
                "--type",
                "luks1",
                "--iter-time",
                "10",
                "--key-file",
                "/proc/version",
                file,
            ],
            "crypto_LUKS",
        ),
        (
            "cryptsetup",
            &[
                "luksFormat",
                "-q",
                "--type",
                "luks2",
                "--label",
                "secret",
                "--pbkdf",
                "pbkdf2",
                "--iter-time",
                "10",
                "--key-file",
                "/proc/version",
                file,
            ],
            "crypto_LUKS",
        ),
    ];
    for (program, args, kind) in rows {
        if !have(program) {
            continue;
        }
        std::fs::File::create(&path).unwrap().set_len(320 << 20).unwrap();
        let output = Command::new(program).args(*args).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let found = probe(&storage(&path)).unwrap_or_else(|| panic!("{program} {args:?}: not recognised"));
        let label = found.label.map(|l| String::from_utf8(l).unwrap());
        let ours = [Some(found.kind.name().to_owned()), label, found.uuid];
        assert_eq!(ours, blkid(&path), "{program} {args:?}");
        assert_eq!(found.kind.name(), *kind);
        match open(&storage(&path), OPTIONS) {
            Ok(fs) => assert!(found.kind.is_supported() && fs.is_writable() == OPTIONS.writable),
            Err(error) => {
                assert!(!found.kind.is_supported(), "{error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains(found.kind.description()), "{error}");
            }
        }
    }
}

/// Where the tools are missing: headers as their specifications have them.
#[test]
fn containers_by_their_headers() {
    let mut luks = vec![0; 4096];
    luks[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    luks[24..30].copy_from_slice(b"secret");
    luks[168..204].copy_from_slice(b"01234567-89ab-cdef-0123-456789abcdef");
    let mut lvm = vec![0; 4096];
    lvm[512..520].copy_from_slice(b"LABELONE");
    lvm[532] = 32;
    lvm[536..544].copy_from_slice(b"LVM2 001");
    lvm[544..576].copy_from_slice(b"abcdefGHIJklmnOPQRstuvWXYZ012345");
    let mut raid = vec![0; 16_384];
    raid[4096..4104].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
    raid[4112..4128].copy_from_slice(&[0x11; 16]);
    raid[4128..4134].copy_from_slice(b"host:0");
    raid[4240] = 8;
    for (bytes, kind, label, uuid) in [
        (
            luks,
            "crypto_LUKS",
            Some("secret"),
            "01234567-89ab-cdef-0123-456789abcdef",
        ),
        (lvm, "LVM2_member", None, "abcdef-GHIJ-klmn-OPQR-stuv-WXYZ-012345"),
        (
            raid,
            "linux_raid_member",
            Some("host:0"),
            "11111111-1111-1111-1111-111111111111",
        ),
    ] {
        let storage: StorageRef = Arc::new(Memory::from_bytes(&bytes));
        let found = probe(&storage).unwrap();
        assert_eq!((found.kind.name(), found.uuid.as_deref()), (kind, Some(uuid)));
        assert_eq!(found.label.as_deref(), label.map(str::as_bytes));
        assert!(found.kind.is_container());
        assert!(matches!(open(&storage, OPTIONS), Err(Error::Unsupported { .. })));
    }
}

#[test]
fn nothing_is_nothing() {
    for size in [0, 1, 511, 512, 1024, 1 << 20] {
        let storage: StorageRef = Arc::new(Memory::new(size));
        assert!(probe(&storage).is_none());
        let error = open(&storage, OPTIONS).unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
    }
}
