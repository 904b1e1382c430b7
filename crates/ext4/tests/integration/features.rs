//! Features one by one: what is inherited, what is counted, what is refused, and how a listing goes on.

use crate::edit::{Dice, open};
use crate::judges::{assert_clean, debugfs, have, long, mke2fs, run, run_ok};
use crate::kernel::{Mount, can_mount};
use crate::snapshot::{self, Compare, differences};
use disksmith_ext4::Ext4;
use disksmith_vfs::{
    Error, FileSystem, FileType, InodeNo, MetadataChange, NewNode, RenameMode, Timestamp, XattrMode,
};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn node(file_type: FileType, permissions: u16) -> NewNode<'static> {
    NewNode {
        file_type,
        permissions,
        uid: 0,
        gid: 0,
        time: Timestamp {
            seconds: 1_700_000_000,
            nanoseconds: 0,
        },
        target: b"",
        device: (0, 0),
    }
}

fn create(fs: &Ext4, dir: InodeNo, name: &str, file_type: FileType) -> InodeNo {
    fs.create(dir, name.as_bytes(), &node(file_type, 0o755)).unwrap()
}

fn judges() -> bool {
    have("mke2fs") && have("e2fsck") && have("debugfs")
}

fn image(dir: &Path, size: u64, options: &str) -> std::path::PathBuf {
    let image = dir.join("image");
    mke2fs(&image, size, options);
    image
}

const CONTENTS: Compare = Compare {
    times: false,
    blocks: false,
};

/// An access control list as `setxattr` takes it: tag, permissions, id.
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

#[test]
fn default_access_lists_are_inherited_as_by_the_kernel() {
    if !judges() || !can_mount() {
        return;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    const NONE: u32 = u32::MAX;
    let lists = [
        access_list(&[(1, 7, NONE), (4, 5, NONE), (32, 0, NONE)]),
        access_list(&[
            (1, 6, NONE),
            (2, 7, 1000),
            (4, 7, NONE),
            (16, 5, NONE),
            (32, 4, NONE),
        ]),
        access_list(&[
            (1, 7, NONE),
            (2, 4, 7),
            (2, 6, 70_000),
            (4, 4, NONE),
            (8, 7, 50),
            (16, 7, NONE),
            (32, 5, NONE),
        ]),
        access_list(&[(1, 7, NONE), (4, 7, NONE), (16, 3, NONE), (32, 7, NONE)]),
    ];
    for options in ["-t ext4", "-t ext4 -I 128", "-t ext4 -O inline_data"] {
        let dir = tempfile::tempdir().unwrap();
        let ours = image(dir.path(), 32 * MIB, options);
        let theirs = dir.path().join("theirs");
        std::fs::copy(&ours, &theirs).unwrap();
        let fs = open(&ours, true).unwrap();
        let mount = Mount::new(&theirs, "acl");
        for (i, list) in lists.iter().enumerate() {
            let name = format!("d{i}");
            let sub = create(&fs, fs.root(), &name, FileType::Directory);
            fs.set_xattr(sub, b"system.posix_acl_default", list, XattrMode::Set)
                .unwrap();
            std::fs::create_dir(mount.at(&name)).unwrap();
            std::fs::set_permissions(mount.at(&name), PermissionsExt::from_mode(0o755)).unwrap();
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(mount.at(&name), "system.posix_acl_default", list, flags).unwrap();
            for mode in [0o777, 0o640, 0o600, 0o1755, 0o004, 0o770] {
                for kind in [FileType::Regular, FileType::Directory, FileType::Fifo] {
                    let entry = format!("{kind:?}-{mode:o}");
                    fs.create(sub, entry.as_bytes(), &node(kind, mode)).unwrap();
                    let path = mount.at(&name).join(&entry);
                    let bits = rustix::fs::Mode::from_raw_mode(mode.into());
                    match kind {
                        FileType::Directory => rustix::fs::mkdir(&path, bits).unwrap(),
                        FileType::Fifo => {
                            let kind = rustix::fs::FileType::Fifo;
                            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, bits, 0).unwrap();
                        }
                        _ => {
                            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
                            drop(rustix::fs::open(&path, flags, bits).unwrap());
                        }
                    }
                }
                // And once more below, where the list was inherited.
                let below = format!("Directory-{mode:o}");
                let inner = fs.lookup(sub, below.as_bytes()).unwrap();
                fs.create(inner, b"deep", &node(FileType::Regular, 0o666))
                    .unwrap();
                std::fs::write(mount.at(&name).join(below).join("deep"), "").unwrap();
            }
            let file = fs.lookup(sub, b"Regular-777").unwrap();
            let change = MetadataChange {
                permissions: Some(0o531),
                ..MetadataChange::default()
            };
            fs.set_metadata(file, &change).unwrap();
            let path = mount.at(&name).join("Regular-777");
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o531)).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&ours, options);
        drop(mount);
        let theirs = snapshot::of_mounted(Mount::new(&theirs, "ro,acl").path());
        let different = differences(&snapshot::of(&fs), &theirs, CONTENTS);
        assert!(different.is_empty(), "{options}:\n{different}");
        drop(fs);
        let seen = snapshot::of_mounted(Mount::new(&ours, "ro,acl").path());
        let different = differences(&seen, &theirs, CONTENTS);
        assert!(
            different.is_empty(),
            "{options}, ours as the kernel sees it:\n{different}"
        );
    }
}

#[test]
fn large_values_are_shared_with_the_kernel() {
    if !judges() || !can_mount() {
        return;
    }
    for options in [
        "-t ext4 -O ea_inode",
        "-t ext4 -O ea_inode,^metadata_csum -b 1024",
        "-t ext4 -O ea_inode,metadata_csum_seed -I 128",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), 32 * MIB, options);
        let names = ["user.small", "user.page", "trusted.large", "user.same"];
        let value = |name: &str, by: u8| {
            let len = match name {
                "user.small" => 300,
                "user.page" => 4096,
                "trusted.large" => 40_000,
                _ => 9000,
            };
            vec![if name == "user.same" { 1 } else { by }; len]
        };
        let mut dice = Dice(5);
        for round in 0..4u8 {
            let fs = open(&image, true).unwrap();
            for i in 0..6 {
                let name = format!("ours-{i}");
                let ino = fs.lookup(fs.root(), name.as_bytes());
                let ino = ino.unwrap_or_else(|_| create(&fs, fs.root(), &name, FileType::Regular));
                for name in names {
                    let bytes = value(name, round * 16 + i);
                    fs.set_xattr(ino, name.as_bytes(), &bytes, XattrMode::Set)
                        .unwrap();
                }
                // What the kernel made is changed, removed, and deleted here.
                if let Ok(theirs) = fs.lookup(fs.root(), format!("theirs-{i}").as_bytes()) {
                    for name in names {
                        let bytes = value(name, (round - 1) * 16 + i);
                        let found = fs.xattr(theirs, name.as_bytes()).unwrap_or_else(|error| {
                            panic!(
                                "{options}, round {round}, {i}, {name}: {error} {}",
                                crate::judges::keep(&image)
                            )
                        });
                        assert!(found.as_ref() == Some(&bytes), "{options}: {name}");
                    }
                    match dice.below(3) {
                        0 => fs.unlink(fs.root(), format!("theirs-{i}").as_bytes()).unwrap(),
                        1 => fs.remove_xattr(theirs, b"user.same").unwrap(),
                        _ => fs
                            .set_xattr(theirs, b"trusted.large", b"small", XattrMode::Set)
                            .unwrap(),
                    }
                }
            }
            let link = NewNode {
                target: b"short",
                ..node(FileType::Symlink, 0o777)
            };
            let link = fs
                .create(fs.root(), format!("link-{round}").as_bytes(), &link)
                .unwrap();
            fs.set_xattr(link, b"trusted.large", &[4; 5000], XattrMode::Set)
                .unwrap();
            assert_eq!(fs.read_link(link).unwrap(), b"short");
            fs.sync().unwrap();
            drop(fs);
            assert_clean(&image, &format!("{options}, round {round}: ours"));
            let mount = Mount::new(&image, "rw");
            for i in 0..6 {
                let ours = mount.at(&format!("ours-{i}"));
                for name in names {
                    let mut found = vec![0; 70_000];
                    let len = rustix::fs::getxattr(&ours, name, &mut found[..]).unwrap();
                    assert!(found[..len] == value(name, round * 16 + i), "{options}: {name}");
                }
                match dice.below(4) {
                    0 => std::fs::remove_file(&ours).unwrap(),
                    1 => rustix::fs::removexattr(&ours, "user.same").unwrap(),
                    _ => {}
                }
                let link = std::fs::read_link(mount.at(&format!("link-{round}"))).unwrap();
                assert_eq!(link, Path::new("short"));
                let theirs = mount.at(&format!("theirs-{i}"));
                std::fs::write(&theirs, "x").unwrap();
                for name in names {
                    let flags = rustix::fs::XattrFlags::empty();
                    rustix::fs::setxattr(&theirs, name, &value(name, round * 16 + i), flags).unwrap();
                }
            }
            drop(mount);
            assert_clean(&image, &format!("{options}, round {round}: the kernel's"));
        }
    }
}

#[test]
fn small_files_and_directories_are_inline_where_the_filesystem_has_that() {
    if !judges() || !can_mount() {
        return;
    }
    for options in ["-t ext4 -O inline_data", "-t ext4 -O inline_data -I 512 -b 1024"] {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), 32 * MIB, options);
        let fs = open(&image, true).unwrap();
        let sub = create(&fs, fs.root(), "dir", FileType::Directory);
        for len in [0usize, 1, 59, 60, 61, 100, 150, 200, 400, 5000] {
            let ino = create(&fs, sub, &format!("f{len}"), FileType::Regular);
            fs.write(ino, 0, &vec![len as u8 | 1; len / 2]).unwrap();
            fs.write(ino, len as u64 / 2, &vec![len as u8 | 1; len - len / 2])
                .unwrap();
        }
        let few = create(&fs, fs.root(), "few", FileType::Directory);
        for name in ["a", "bcd", "efghijkl"] {
            create(&fs, few, name, FileType::Fifo);
        }
        fs.unlink(few, b"bcd").unwrap();
        fs.rename(few, b"a", few, b"other", RenameMode::Replace).unwrap();
        for (path, inline) in [
            ("/dir/f60", true),
            ("/dir/f100", true),
            ("/dir/f5000", false),
            ("/few", true),
        ] {
            let ino = crate::acts::find(&fs, path).unwrap();
            assert_eq!(fs.metadata(ino).unwrap().blocks == 0, inline, "{options}: {path}");
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
        let ours = snapshot::of(&fs);
        drop(fs);
        {
            let mount = Mount::new(&image, "rw");
            let different = differences(&ours, &snapshot::of_mounted(mount.path()), CONTENTS);
            assert!(different.is_empty(), "{options}:\n{different}");
            for len in [0, 59, 61, 150] {
                let path = mount.at(&format!("dir/f{len}"));
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.write_all_at(b"more", len).unwrap();
            }
            std::fs::rename(mount.at("few/other"), mount.at("few/again")).unwrap();
            std::fs::write(mount.at("few/new"), "kernel's").unwrap();
            std::fs::remove_file(mount.at("few/efghijkl")).unwrap();
        }
        assert_clean(&image, &format!("{options}: the kernel's"));
        let fs = open(&image, true).unwrap();
        let few = fs.lookup(fs.root(), b"few").unwrap();
        let ino = fs.lookup(few, b"new").unwrap();
        fs.set_size(ino, 3).unwrap();
        fs.write(ino, 70, b"end").unwrap();
        let mut found = vec![9; 100];
        assert_eq!(fs.read(ino, 0, &mut found).unwrap(), 73);
        assert_eq!(found[..73], [&b"ker"[..], &[0; 67], b"end"].concat());
        for i in 0..60 {
            create(&fs, few, &format!("name-{i}"), FileType::Regular);
        }
        fs.unlink(few, b"again").unwrap();
        fs.sync().unwrap();
        assert_clean(&image, &format!("{options}: ours again"));
    }
}

fn list(fs: &Ext4, dir: InodeNo, cookie: u64, most: usize) -> Vec<(Vec<u8>, u64)> {
    let mut found = vec![];
    fs.read_dir(dir, cookie, &mut |entry| {
        found.push((entry.name, entry.cookie));
        found.len() < most
    })
    .unwrap();
    found
}

#[test]
fn a_listing_goes_on_while_names_come_and_go() {
    if !judges() {
        return;
    }
    for (options, counts) in [
        ("-t ext4 -b 1024 -N 8000", &[10u64, 40, 900][..]),
        ("-t ext4 -N 8000", &[30, 700]),
        ("-t ext4 -O inline_data", &[1, 3, 6]),
        ("-t ext2 -O ^dir_index -N 8000", &[30, 700]),
        ("-t ext4 -b 1024 -O large_dir -N 8000", &[600]),
    ] {
        for count in counts {
            let dir = tempfile::tempdir().unwrap();
            let image = image(dir.path(), 32 * MIB, options);
            let fs = open(&image, true).unwrap();
            let sub = create(&fs, fs.root(), "dir", FileType::Directory);
            for i in 0..*count {
                create(&fs, sub, &format!("stays-{i}"), FileType::Fifo);
                create(&fs, sub, &format!("goes-{i}"), FileType::Fifo);
            }
            let mut dice = Dice(*count);
            let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
            let mut gone = BTreeSet::new();
            let mut cookie = 0;
            let mut fresh = 0;
            loop {
                let part = list(&fs, sub, cookie, 1 + dice.below(40) as usize);
                let Some((_, last)) = part.last() else { break };
                assert_ne!(*last, 0);
                cookie = *last;
                for (name, _) in part {
                    *seen.entry(name).or_default() += 1;
                }
                for _ in 0..20 {
                    let i = dice.below(*count);
                    if gone.insert(i) {
                        fs.unlink(sub, format!("goes-{i}").as_bytes()).unwrap();
                    }
                    // Without hashes, what is new may be seen again and again: there are only few.
                    if fresh < *count / 2 {
                        fresh += 1;
                        create(&fs, sub, &format!("new-{fresh}"), FileType::Fifo);
                    }
                }
            }
            for i in 0..*count {
                let times = seen.get(format!("stays-{i}").as_bytes());
                assert_eq!(times, Some(&1), "{options}, {count}: stays-{i}");
            }
            assert!(
                seen.values().all(|times| *times == 1),
                "{options}, {count}: twice"
            );
            fs.sync().unwrap();
            assert_clean(&image, options);
        }
    }
}

#[test]
fn removing_everything_while_listing_leaves_nothing() {
    if !judges() {
        return;
    }
    for options in ["-t ext4 -b 1024 -N 4000", "-t ext2 -O ^dir_index -N 4000"] {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), 32 * MIB, options);
        let fs = open(&image, true).unwrap();
        let sub = create(&fs, fs.root(), "dir", FileType::Directory);
        for i in 0..1500 {
            create(&fs, sub, &format!("some-name-{i}"), FileType::Fifo);
        }
        let mut cookie = 0;
        loop {
            let part = list(&fs, sub, cookie, 7);
            let Some((_, last)) = part.last() else { break };
            cookie = *last;
            for (name, _) in part {
                fs.unlink(sub, &name).unwrap();
            }
        }
        fs.remove_dir(fs.root(), b"dir").unwrap();
        fs.sync().unwrap();
        assert_clean(&image, options);
    }
}

#[test]
fn projects_are_inherited_and_counted() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = "-t ext4 -O quota,project,ea_inode -E quotatype=usrquota:grpquota:prjquota";
    let image = image(dir.path(), 32 * MIB, options);
    let fs = open(&image, true).unwrap();
    let root = fs.root();
    let [a, b] = ["a", "b"].map(|name| create(&fs, root, name, FileType::Directory));
    fs.set_project(a, 17, true).unwrap();
    fs.set_project(b, 70_000, true).unwrap();
    let file = create(&fs, a, "file", FileType::Regular);
    fs.write(file, 0, &[1; 50_000]).unwrap();
    fs.set_xattr(file, b"user.large", &[2; 10_000], XattrMode::Set)
        .unwrap();
    let sub = create(&fs, a, "sub", FileType::Directory);
    assert_eq!(fs.project(file).unwrap(), (17, false));
    assert_eq!(fs.project(sub).unwrap(), (17, true));
    let plain = create(&fs, root, "plain", FileType::Regular);
    for (result, what) in [
        (fs.rename(a, b"file", b, b"file", RenameMode::Replace), "rename"),
        (
            fs.rename(root, b"plain", a, b"file", RenameMode::Replace),
            "replace",
        ),
        (
            fs.rename(a, b"file", root, b"plain", RenameMode::Exchange),
            "exchange",
        ),
        (fs.link(file, b, b"file"), "link"),
        (fs.link(plain, a, b"plain"), "link"),
    ] {
        assert_eq!(result.unwrap_err().errno(), 18, "{what}");
    }
    fs.rename(a, b"file", root, b"out", RenameMode::Replace).unwrap();
    fs.sync().unwrap();
    assert_clean(&image, "projects");
    fs.set_project(file, 70_000, false).unwrap();
    fs.rename(root, b"out", b, b"in", RenameMode::Replace).unwrap();
    let change = MetadataChange {
        uid: Some(1234),
        gid: Some(u32::MAX - 1),
        ..MetadataChange::default()
    };
    fs.set_metadata(file, &change).unwrap();
    fs.sync().unwrap();
    assert_clean(&image, "moved");
    let usage = |kind: &str, id: &str| {
        let text = debugfs(&image, &format!("get_quota {kind} {id}"), false);
        let line = text.lines().find(|l| l.trim_start().starts_with(id));
        let words: Vec<u64> = line
            .unwrap_or_else(|| panic!("{text}"))
            .split_whitespace()
            .filter_map(|w| w.parse().ok())
            .collect();
        (words[1], words[4])
    };
    // Space of the file, the directory and the value; two inodes and the one with the value.
    let blocks = 512 * (fs.metadata(file).unwrap().blocks + fs.metadata(b).unwrap().blocks);
    assert_eq!(usage("project", "70000"), (blocks, 3));
    fs.unlink(b, b"in").unwrap();
    fs.sync().unwrap();
    assert_clean(&image, "removed");
    assert_eq!(usage("user", "1234"), (0, 0));
    let error = fs.set_project(plain, 5, true).unwrap_err();
    assert!(matches!(error, Error::NotPermitted { .. }), "{error}");
}

#[test]
fn quotas_of_many_owners_grow_their_tree() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 64 * MIB, "-t ext4 -O quota -N 6000 -b 1024");
    let count = if long() { 5000u32 } else { 700 };
    for round in 0..2 {
        let fs = open(&image, true).unwrap();
        for i in 0..count {
            let name = format!("{round}-{i}");
            let owner = NewNode {
                uid: i.wrapping_mul(2_654_435_761),
                gid: i * 3,
                ..node(FileType::Regular, 0o600)
            };
            let result = fs.create(fs.root(), name.as_bytes(), &owner);
            if round == 0 || !long() {
                result.unwrap();
            }
        }
        fs.sync().unwrap();
        assert_clean(&image, "many owners");
    }
}

#[test]
fn others_are_kept_off_while_writing() {
    if !judges() {
        return;
    }
    for options in ["-t ext4 -O mmp", "-t ext4 -O mmp,^metadata_csum -b 1024"] {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), 32 * MIB, options);
        let fs = open(&image, true).unwrap();
        let file = create(&fs, fs.root(), "file", FileType::Regular);
        fs.write(file, 0, &[1; 9000]).unwrap();
        let error = open(&image, true).unwrap_err();
        assert!(error.to_string().contains("disksmith"), "{error}");
        let text = debugfs(&image, "dump_mmp", false);
        assert!(text.contains("sequence: e24d4d50"), "{text}");
        fs.sync().unwrap();
        assert_clean(&image, options);
        let text = debugfs(&image, "dump_mmp", false);
        assert!(text.contains("sequence: ff4d4d50"), "{text}");
        open(&image, true).unwrap();
        if can_mount() {
            assert!(Mount::new(&image, "rw").at("file").exists());
        }
    }
}

#[test]
fn a_lost_mark_of_checksums_is_noticed() {
    if !judges() || !have("tune2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 32 * MIB, "-t ext4");
    let path = image.to_str().unwrap();
    let fs = open(&image, true).unwrap();
    create(&fs, fs.root(), "file", FileType::Regular);
    fs.sync().unwrap();
    drop(fs);
    let whole = std::fs::read(&image).unwrap();
    // s_feature_ro_compat and s_rev_level.
    for (at, bit) in [(1024 + 0x65, 0x04), (1024 + 0x4c, 0x01)] {
        let mut bytes = whole.clone();
        bytes[at] ^= bit;
        std::fs::write(&image, &bytes).unwrap();
        let error = open(&image, true).unwrap_err();
        assert!(matches!(error, disksmith_ext4::Error::Corrupt { .. }), "{error}");
    }
    // Taken off in earnest, at once after it was made, and with e2fsck's consent.
    for how in ["^metadata_csum", "^metadata_csum,^uninit_bg"] {
        std::fs::write(&image, &whole).unwrap();
        run("e2fsck", &["-fy", path]);
        run_ok("tune2fs", &["-O", how, path]);
        run("e2fsck", &["-fy", path]);
        let fs = open(&image, true).unwrap();
        create(&fs, fs.root(), "more", FileType::Regular);
        fs.sync().unwrap();
        assert_clean(&image, how);
    }
}

#[test]
fn case_is_folded_where_names_are_ascii() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 32 * MIB, "-t ext4 -b 1024 -N 4000 -O casefold");
    debugfs(
        &image,
        "mkdir folded\nset_inode_field folded flags 0x40080000",
        true,
    );
    assert_clean(&image, "as made");
    let fs = open(&image, true).unwrap();
    let folded = fs.lookup(fs.root(), b"folded").unwrap();
    for i in 0..600 {
        create(&fs, folded, &format!("Some-Name-{i}"), FileType::Regular);
    }
    let sub = create(&fs, folded, "Sub", FileType::Directory);
    create(&fs, sub, "Inherits", FileType::Regular);
    fs.lookup(sub, b"iNHERITS").unwrap();
    for i in 0..600 {
        let name = format!("sOME-nAME-{i}");
        let found = fs.lookup(folded, name.as_bytes()).unwrap();
        assert_eq!(
            found,
            fs.lookup(folded, format!("Some-Name-{i}").as_bytes()).unwrap()
        );
        let error = fs
            .create(folded, name.as_bytes(), &node(FileType::Regular, 0o644))
            .unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
    }
    let error = fs
        .create(folded, "stra\u{df}e".as_bytes(), &node(FileType::Regular, 0o644))
        .unwrap_err();
    assert!(error.to_string().contains("case-insensitive"), "{error}");
    for i in (0..600).step_by(3) {
        fs.unlink(folded, format!("SOME-NAME-{i}").as_bytes()).unwrap();
    }
    fs.sync().unwrap();
    assert_clean(&image, "folded");
    // e2fsck builds the same tree.
    run("e2fsck", &["-fyD", image.to_str().unwrap()]);
    let fs = open(&image, true).unwrap();
    for i in 0..600 {
        let found = fs.lookup(folded, format!("some-name-{i}").as_bytes());
        assert_eq!(found.is_ok(), i % 3 != 0, "{i}");
    }
}

/// Extents of a file as debugfs shows them.
fn extents(image: &Path, path: &str) -> usize {
    debugfs(image, &format!("dump_extents {path}"), false)
        .lines()
        .filter(|line| {
            let mut words = line.split_whitespace();
            let level = words.next().unwrap_or("");
            level
                .split_once('/')
                .is_some_and(|(a, b)| !b.is_empty() && a == b)
                || level.ends_with('/') && level.trim_end_matches('/') == words.next().unwrap_or("")
        })
        .count()
}

#[test]
fn files_written_at_the_same_time_do_not_cut_each_other_up() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 512 * MIB, "-t ext4 -b 4096");
    let fs = open(&image, true).unwrap();
    let files: Vec<InodeNo> = (0..8)
        .map(|i| create(&fs, fs.root(), &format!("f{i}"), FileType::Regular))
        .collect();
    let piece = vec![7; 256 << 10];
    for step in 0..80u64 {
        for file in &files {
            fs.write(*file, step * piece.len() as u64, &piece).unwrap();
        }
    }
    fs.sync().unwrap();
    assert_clean(&image, "interleaved");
    let all: usize = (0..8).map(|i| extents(&image, &format!("f{i}"))).sum();
    assert!(all <= 8 * 8, "{all} extents of 8 files");
    // One that is alone lies in one piece, or as few as groups allow.
    let alone = create(&fs, fs.root(), "alone", FileType::Regular);
    for step in 0..160u64 {
        fs.write(alone, step << 20, &vec![1; 1 << 20]).unwrap();
    }
    fs.sync().unwrap();
    assert!(extents(&image, "alone") <= 4, "{}", extents(&image, "alone"));
}

#[test]
fn extremes_are_met_with_the_right_errors() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 64 * MIB, "-t ext4 -b 4096");
    let fs = open(&image, true).unwrap();
    let root = fs.root();
    // 16 TiB, less one block.
    let most = (16u64 << 40) - 4096;
    let file = create(&fs, root, "sparse", FileType::Regular);
    fs.write(file, most - 3, b"end").unwrap();
    assert_eq!(fs.write(file, most - 1, b"no").unwrap_err().errno(), 27);
    assert_eq!(fs.set_size(file, most + 1).unwrap_err().errno(), 27);
    assert_eq!(fs.allocate(file, 0, 1 << 40, true).unwrap_err().errno(), 28);
    let mut end = [0; 10];
    assert_eq!(fs.read(file, most - 10, &mut end).unwrap(), 10);
    assert_eq!(&end, b"\0\0\0\0\0\0\0end");
    assert_eq!(fs.next_data(file, 0).unwrap(), Some((most - 4096, 4096)));
    // 65,000 links.
    let linked = create(&fs, root, "linked", FileType::Regular);
    let names = create(&fs, root, "names", FileType::Directory);
    let links = if long() { 65_000 } else { 3_000u32 };
    for i in 1..links {
        fs.link(linked, names, format!("{i}").as_bytes()).unwrap();
    }
    fs.sync().unwrap();
    assert_clean(&image, "many links");
    drop(fs);
    if links < 65_000 {
        debugfs(&image, "set_inode_field linked links_count 65000", true);
    }
    let fs = open(&image, true).unwrap();
    assert_eq!(fs.link(linked, names, b"one more").unwrap_err().errno(), 31);
    assert_eq!(fs.metadata(linked).unwrap().links, 65_000);
    fs.sync().unwrap();
    drop(fs);
    if links < 65_000 {
        debugfs(
            &image,
            &format!("set_inode_field linked links_count {links}"),
            true,
        );
    }
    assert_clean(&image, "extremes");
    if can_mount() {
        let mount = Mount::new(&image, "ro");
        assert_eq!(
            std::fs::read_dir(mount.at("names")).unwrap().count() as u32,
            links - 1
        );
        let metadata = std::fs::metadata(mount.at("sparse")).unwrap();
        assert_eq!(metadata.len(), most);
    }
    let fs = open(&image, true).unwrap();
    for i in 1..links {
        fs.unlink(names, format!("{i}").as_bytes()).unwrap();
    }
    fs.remove_dir(root, b"names").unwrap();
    fs.set_size(file, 5).unwrap();
    fs.sync().unwrap();
    assert_clean(&image, "back again");
}

#[test]
fn a_directory_of_a_million_names() {
    if !judges() || !long() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 2 * GIB, "-t ext4 -N 100000");
    let fs = open(&image, true).unwrap();
    let file = create(&fs, fs.root(), "file", FileType::Regular);
    let names = create(&fs, fs.root(), "names", FileType::Directory);
    let start = std::time::Instant::now();
    let mut file = (file, 0u32);
    for i in 0..1_000_000u32 {
        if file.1 == 60_000 {
            file = (create(&fs, fs.root(), &format!("file-{i}"), FileType::Regular), 0);
        }
        file.1 += 1;
        if i % 100_000 == 0 {
            eprintln!("{i} names: {:?}", start.elapsed());
        }
        fs.link(file.0, names, format!("a name {i}").as_bytes()).unwrap();
    }
    fs.sync().unwrap();
    eprintln!("a million names: {:?}", start.elapsed());
    assert_clean(&image, "a million names");
    let start = std::time::Instant::now();
    assert_eq!(list(&fs, names, 0, usize::MAX).len(), 1_000_000);
    eprintln!("listed: {:?}", start.elapsed());
}

#[test]
fn journals_on_other_devices_forbid_writing() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let journal = image(dir.path(), 32 * MIB, "-O journal_dev -b 4096");
    for writable in [false, true] {
        let error = open(&journal, writable).unwrap_err();
        assert!(error.to_string().contains("journal_dev"), "{error}");
    }
    let image = image(dir.path(), 32 * MIB, "-t ext4");
    debugfs(
        &image,
        "ssv journal_inum 0\nssv journal_uuid 11111111-2222-3333-4444-555555555555",
        true,
    );
    let fs = open(&image, true).unwrap();
    assert!(fs.read_only_reason().unwrap().contains("another device"));
    let error = fs
        .create(fs.root(), b"x", &node(FileType::Regular, 0o644))
        .unwrap_err();
    assert_eq!(error.errno(), 30);
    assert_eq!(list(&fs, fs.root(), 0, 10).len(), 1);
    debugfs(&image, "feature needs_recovery", true);
    let error = open(&image, true).unwrap_err();
    assert!(error.to_string().contains("external journal"), "{error}");
}

#[test]
fn what_needs_a_key_or_would_break_a_seal_is_refused() {
    if !judges() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 32 * MIB, "-t ext4 -O encrypt,verity");
    let fs = open(&image, true).unwrap();
    for name in ["sealed", "secret"] {
        let file = create(&fs, fs.root(), name, FileType::Regular);
        fs.write(file, 0, b"contents").unwrap();
    }
    create(&fs, fs.root(), "hidden", FileType::Directory);
    fs.sync().unwrap();
    drop(fs);
    debugfs(
        &image,
        "set_inode_field sealed flags 0x180000\nset_inode_field secret flags 0x80800\n\
         set_inode_field hidden flags 0x80800",
        true,
    );
    let fs = open(&image, true).unwrap();
    let find = |name: &str| fs.lookup(fs.root(), name.as_bytes()).unwrap();
    let (sealed, secret, hidden) = (find("sealed"), find("secret"), find("hidden"));
    let mut bytes = [0; 8];
    assert_eq!(fs.read(sealed, 0, &mut bytes).unwrap(), 8);
    assert_eq!(&bytes, b"contents");
    for result in [
        fs.write(sealed, 0, b"x"),
        fs.set_size(sealed, 3),
        fs.punch_hole(sealed, 0, 4),
        fs.allocate(sealed, 0, 9000, false),
    ] {
        assert_eq!(result.unwrap_err().errno(), 1);
    }
    let error = fs.read(secret, 0, &mut bytes).unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
    assert_eq!(fs.write(secret, 0, b"x").unwrap_err().errno(), 95);
    let error = fs
        .create(hidden, b"x", &node(FileType::Regular, 0o644))
        .unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
    assert_eq!(fs.metadata(secret).unwrap().size, 8);
    fs.unlink(fs.root(), b"sealed").unwrap();
    fs.unlink(fs.root(), b"secret").unwrap();
    fs.sync().unwrap();
    drop(fs);
    // It was never really encrypted.
    debugfs(&image, "set_inode_field hidden flags 0x80000", true);
    assert_clean(&image, "without what was sealed");
}

#[test]
fn a_hash_tree_of_three_levels() {
    if !judges() || !long() {
        return;
    }
    for (options, fits) in [("-O large_dir", true), ("-O ^large_dir", false)] {
        let dir = tempfile::tempdir().unwrap();
        let image = image(
            dir.path(),
            256 * MIB,
            &format!("-t ext4 -b 1024 -N 100 {options}"),
        );
        let fs = open(&image, true).unwrap();
        let names = create(&fs, fs.root(), "names", FileType::Directory);
        let name = |i: u32| format!("{i:0>250}").into_bytes();
        let mut count = 0;
        let mut failed = None;
        'files: for f in 0..2 {
            let file = create(&fs, fs.root(), &format!("file-{f}"), FileType::Regular);
            for _ in 0..60_000 {
                if let Err(error) = fs.link(file, names, &name(count)) {
                    failed = Some(error);
                    break 'files;
                }
                count += 1;
            }
        }
        assert_eq!(failed.is_none(), fits, "{count}: {failed:?}");
        assert!(failed.is_none_or(|error| error.errno() == 28));
        for i in (0..count).step_by(1001) {
            fs.lookup(names, &name(i)).unwrap();
        }
        fs.sync().unwrap();
        assert_clean(&image, options);
        assert_eq!(list(&fs, names, 0, usize::MAX).len() as u32, count);
    }
}
