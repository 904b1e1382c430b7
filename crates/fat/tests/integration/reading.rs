use crate::judge::{format, have, is_clean, mcopy, run, storage, tree};
use disksmith_fat::{Fat, FatKind, identify};
use disksmith_storage::Memory;
use disksmith_vfs::{Error, FileSystem, Tree, WalkStep};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const KINDS: [(FatKind, u64, &[&str]); 6] = [
    (FatKind::Fat12, 2, &["-F", "12"]),
    (FatKind::Fat12, 4, &["-F", "12", "-s", "1", "-S", "2048"]),
    (FatKind::Fat16, 16, &["-F", "16"]),
    (FatKind::Fat16, 64, &["-F", "16", "-S", "4096"]),
    (FatKind::Fat32, 34, &["-F", "32", "-s", "1"]),
    (FatKind::Fat32, 300, &["-F", "32", "-s", "8"]),
];

fn tools() -> bool {
    ["mkfs.vfat", "mcopy", "mdir", "fsck.vfat"].into_iter().all(have)
}

/// Files of many sizes and names, and directories that take several clusters.
fn make_source(dir: &Path) {
    std::fs::create_dir_all(dir.join("many")).unwrap();
    std::fs::create_dir_all(dir.join("Deep/er and deeper/down")).unwrap();
    for n in 0..120_u32 {
        std::fs::write(
            dir.join(format!("many/file with a long name {n}.txt")),
            vec![b'x'; n as usize * 7],
        )
        .unwrap();
    }
    let noise: Vec<u8> = (0..300_001_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    std::fs::write(dir.join("noise.bin"), &noise).unwrap();
    for name in [
        "README.TXT",
        "lower.txt",
        "Mixed.Txt",
        "UPPER.low",
        "noext",
        "a.b.c",
        "Grüße ☃.md",
        "ÄÖÜ.TXT",
        "empty",
    ] {
        std::fs::write(
            dir.join("Deep/er and deeper").join(name),
            name.repeat(usize::from(name != "empty")),
        )
        .unwrap();
    }
    let long = "n".repeat(251) + ".txt";
    std::fs::write(dir.join("Deep/er and deeper/down").join(long), b"long").unwrap();
}

/// Every file of the source is in the image with its contents and its time (to two seconds), and nothing else.
fn same(tree: &Tree, source: &Path, top: &str) {
    let mut files = 0;
    tree.walk(top, |entry| {
        let path = String::from_utf8(entry.path.clone()).unwrap();
        let host = source.join(path.trim_start_matches('/'));
        let metadata = std::fs::metadata(&host).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(entry.metadata.is_dir(), metadata.is_dir(), "{path}");
        if metadata.is_file() {
            files += 1;
            assert_eq!(
                tree.read(&entry.path).unwrap(),
                std::fs::read(&host).unwrap(),
                "{path}"
            );
            let seconds = u64::try_from(entry.metadata.modified.seconds).unwrap();
            let age = metadata
                .modified()
                .unwrap()
                .duration_since(UNIX_EPOCH + Duration::from_secs(seconds))
                .unwrap();
            assert!(age < Duration::from_secs(2), "{path}: {age:?}");
        }
        Ok::<_, Error>(WalkStep::Continue)
    })
    .unwrap();
    let all = Command::new("find")
        .arg("-L")
        .arg(source)
        .args(["-type", "f"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(files, all.iter().filter(|b| **b == b'\n').count());
}

#[test]
fn what_mcopy_wrote_reads_back() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("src");
    make_source(&source);
    for (kind, mib, args) in KINDS {
        let image = format(dir.path(), mib, args);
        run(Command::new("mcopy")
            .args(["-s", "-m", "-i"])
            .arg(&image)
            .arg(&source)
            .arg("::/top"));
        is_clean(&image);
        let fat = Fat::open(storage(&image)).unwrap();
        assert_eq!(fat.boot_sector().kind, kind, "{args:?}");
        assert!(!fat.is_dirty());
        let fat = tree(&image);
        let mirror = dir.path().join("mirror");
        std::fs::create_dir(&mirror).unwrap();
        std::os::unix::fs::symlink(&source, mirror.join("top")).unwrap();
        same(&fat, &mirror.canonicalize().unwrap(), "/top");
        std::fs::remove_dir_all(&mirror).unwrap();
        assert_eq!(
            fat.read("/TOP/deep/ER AND DEEPER/readme.txt").unwrap(),
            b"README.TXT"
        );
        assert_eq!(fat.read("/top/Deep/../noise.bin").unwrap().len(), 300_001);
        assert_eq!(fat.metadata("/top/none").unwrap_err().errno(), 2);
        assert_eq!(
            fat.create_dir("/new", disksmith_vfs::Owner::ROOT, 0o755)
                .unwrap_err()
                .errno(),
            30
        );
    }
}

/// The bare listing of mdir has the same paths.
#[test]
fn mdir_lists_the_same() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("src");
    make_source(&source);
    let image = format(dir.path(), 34, &["-F", "32", "-s", "1"]);
    mcopy(&image, &source);
    let listing = run(Command::new("mdir")
        .args(["-/", "-b", "-a", "-i"])
        .arg(&image)
        .arg("::/")
        .env("LC_ALL", "C.UTF-8"));
    let listing = String::from_utf8(listing).unwrap();
    let mut theirs: Vec<&str> = listing
        .lines()
        .map(|l| l.trim_start_matches("::").trim_end_matches('/'))
        .collect();
    let mut ours = Vec::new();
    tree(&image)
        .walk("/", |entry| {
            ours.push(String::from_utf8(entry.path.clone()).unwrap());
            Ok::<_, Error>(WalkStep::Continue)
        })
        .unwrap();
    ours.retain(|path| path != "/");
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn labels_and_serial_numbers_are_those_of_blkid() {
    if !tools() || !have("blkid") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (args, label) in [
        (
            &["-F", "12", "-i", "1234abcd", "-n", "CIDATA"][..],
            Some("CIDATA"),
        ),
        (&["-F", "12", "-i", "00000001"], None),
        (&["-F", "12", "-n", "A B  C"], Some("A B  C")),
    ] {
        let image = format(dir.path(), 2, args);
        let fat = Fat::open(storage(&image)).unwrap();
        let blkid = String::from_utf8(run(Command::new("blkid")
            .args(["-p", "-o", "export"])
            .arg(&image)))
        .unwrap();
        let field = |key: &str| {
            blkid
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .map(|v| v.replace('\\', ""))
        };
        assert_eq!(fat.uuid(), field("UUID="), "{blkid}");
        assert_eq!(
            fat.label().map(|l| String::from_utf8(l).unwrap()),
            field("LABEL="),
            "{blkid}"
        );
        assert_eq!(fat.label().as_deref(), label.map(str::as_bytes));
        let identity = identify(&storage(&image)).unwrap();
        assert_eq!((identity.label, identity.uuid), (fat.label(), fat.uuid()));
    }
}

#[test]
fn the_dirty_bit_is_noted() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (kind, args, at) in [
        ("16", &["-F", "16"][..], 37),
        ("32", &["-F", "32", "-s", "1"], 65),
    ] {
        let image = format(dir.path(), 34, args);
        let mut bytes = std::fs::read(&image).unwrap();
        bytes[at] |= 1;
        assert!(
            Fat::open(Arc::new(Memory::from_bytes(&bytes)))
                .unwrap()
                .is_dirty(),
            "{kind}"
        );
    }
}

/// Free space is what fsck counts, and free ranges add up to it.
#[test]
fn free_space_adds_up() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("src");
    make_source(&source);
    for (_, mib, args) in KINDS {
        let image = format(dir.path(), mib, args);
        mcopy(&image, &source);
        let fat = Fat::open(storage(&image)).unwrap();
        let stat = fat.stat_fs().unwrap();
        let mut free = 0;
        fat.free_ranges(&mut |start, len| {
            assert!(start >= fat.boot_sector().data_offset);
            free += len;
            Ok(())
        })
        .unwrap();
        assert_eq!(free, stat.free_blocks * stat.block_size);
        let text = String::from_utf8(run(Command::new("fsck.vfat").arg("-n").arg(&image))).unwrap();
        let used = format!(" {}/{} clusters", stat.blocks - stat.free_blocks, stat.blocks);
        assert!(text.contains(&used), "{text} / {used}");
    }
}

/// Files that grew into the gaps of deleted ones lie in pieces.
#[test]
fn files_in_pieces_read_whole() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let filler = dir.path().join("filler");
    let big = dir.path().join("big");
    let contents: Vec<u8> = (0..400_000_u32).map(|n| (n >> 6) as u8).collect();
    std::fs::write(&big, &contents).unwrap();
    for (_, mib, args) in KINDS {
        let image = format(dir.path(), mib, args);
        for n in 0..60 {
            std::fs::write(&filler, vec![n; 9000]).unwrap();
            run(Command::new("mcopy")
                .arg("-i")
                .arg(&image)
                .arg(&filler)
                .arg(format!("::/f{n}")));
        }
        for n in (0..60).step_by(2) {
            run(Command::new("mdel").arg("-i").arg(&image).arg(format!("::/f{n}")));
        }
        // The allocation goes on behind the last file until the disk is full.
        let rest = Fat::open(storage(&image)).unwrap().stat_fs().unwrap();
        let gaps = 30 * 9000_u64.div_ceil(rest.block_size);
        let plug = std::fs::File::create(&filler).unwrap();
        plug.set_len((rest.free_blocks - gaps) * rest.block_size).unwrap();
        run(Command::new("mcopy")
            .arg("-i")
            .arg(&image)
            .arg(&filler)
            .arg("::/plug"));
        std::fs::write(&big, &contents[..(gaps * rest.block_size).min(250_000) as usize]).unwrap();
        run(Command::new("mcopy")
            .arg("-i")
            .arg(&image)
            .arg(&big)
            .arg("::/big"));
        is_clean(&image);
        let tree = tree(&image);
        assert_eq!(
            tree.read("/big").unwrap(),
            std::fs::read(&big).unwrap(),
            "{args:?}"
        );
        let typed = run(Command::new("mtype").arg("-i").arg(&image).arg("::/f33"));
        assert_eq!(tree.read("/F33").unwrap(), typed);
        // Any piece of it reads the same.
        let (fs, inode) = tree.open_node(tree.resolve("/big").unwrap());
        for at in (0..200_000).step_by(7919) {
            let mut buf = [0; 3000];
            assert_eq!(fs.read(inode, at, &mut buf).unwrap(), 3000);
            assert_eq!(buf[..], contents[at as usize..at as usize + 3000]);
        }
    }
}
