use super::*;

fn node(file_type: FileType) -> NewNode<'static> {
    NewNode {
        file_type,
        permissions: 0o644,
        uid: 1,
        gid: 2,
        time: Timestamp {
            seconds: 5,
            nanoseconds: 6,
        },
        target: if file_type == FileType::Symlink {
            b"target"
        } else {
            b""
        },
        device: (0, 0),
    }
}

fn memory() -> MemoryFs {
    MemoryFs::new(Timestamp {
        seconds: 100,
        nanoseconds: 0,
    })
}

#[test]
fn holes_stay_holes_and_space_is_counted() {
    let fs = memory();
    let file = fs.create(ROOT, b"f", &node(FileType::Regular)).unwrap();
    fs.write(file, 10_000_000, b"end").unwrap();
    assert_eq!(fs.metadata(file).unwrap().blocks, 8);
    let start = 10_000_000 / PAGE * PAGE;
    assert_eq!(fs.next_data(file, 0).unwrap(), Some((start, 10_000_003 - start)));
    fs.punch_hole(file, 0, u64::from(u32::MAX)).unwrap();
    let mut buf = [1; 8];
    assert_eq!(fs.read(file, 9_999_999, &mut buf).unwrap(), 4);
    assert_eq!(buf, [0, 0, 0, 0, 1, 1, 1, 1]);
    fs.set_size(file, 1).unwrap();
    assert_eq!(fs.stat_fs().unwrap().free_blocks, fs.stat_fs().unwrap().blocks);
}

#[test]
fn a_full_filesystem_says_so_and_is_unchanged() {
    let fs = memory().with_capacity(2 * PAGE);
    let file = fs.create(ROOT, b"f", &node(FileType::Regular)).unwrap();
    fs.write(file, 0, b"abc").unwrap();
    let error = fs.write(file, 0, &[1; 9000]).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    let mut buf = [0; 8];
    assert_eq!(fs.read(file, 0, &mut buf).unwrap(), 3);
    assert_eq!(&buf[..3], b"abc");
}

#[test]
fn an_inode_goes_with_its_last_name() {
    let fs = memory();
    let file = fs.create(ROOT, b"a", &node(FileType::Regular)).unwrap();
    fs.link(file, ROOT, b"b").unwrap();
    fs.unlink(ROOT, b"a").unwrap();
    assert_eq!(fs.metadata(file).unwrap().links, 1);
    fs.unlink(ROOT, b"b").unwrap();
    assert!(fs.metadata(file).is_err());
}

#[test]
fn directories_count_their_links_through_every_rename() {
    let fs = memory();
    let a = fs.create(ROOT, b"a", &node(FileType::Directory)).unwrap();
    let b = fs.create(ROOT, b"b", &node(FileType::Directory)).unwrap();
    let c = fs.create(a, b"c", &node(FileType::Directory)).unwrap();
    assert_eq!(fs.metadata(a).unwrap().links, 3);
    fs.rename(a, b"c", b, b"c", RenameMode::Replace).unwrap();
    assert_eq!(
        (fs.metadata(a).unwrap().links, fs.metadata(b).unwrap().links),
        (2, 3)
    );
    assert_eq!(fs.parent(c).unwrap(), b);
    assert_eq!(
        fs.rename(ROOT, b"b", c, b"x", RenameMode::Replace)
            .unwrap_err()
            .errno(),
        22
    );
    assert_eq!(
        fs.rename(ROOT, b"a", b, b"c", RenameMode::NoReplace)
            .unwrap_err()
            .errno(),
        17
    );
    fs.create(ROOT, b"f", &node(FileType::Regular)).unwrap();
    fs.rename(ROOT, b"f", b, b"c", RenameMode::Exchange).unwrap();
    assert_eq!(fs.lookup(ROOT, b"f").unwrap(), c);
    assert_eq!(fs.parent(c).unwrap(), ROOT);
    assert_eq!(fs.metadata(b).unwrap().links, 2);
    assert_eq!(fs.metadata(ROOT).unwrap().links, 5);
}

#[test]
fn a_listing_goes_on_after_its_cookie_whatever_was_removed() {
    let fs = memory();
    for name in [b"a", b"b", b"c", b"d"] {
        fs.create(ROOT, name, &node(FileType::Regular)).unwrap();
    }
    let mut seen = Vec::new();
    let mut cookie = 0;
    loop {
        let mut one = None;
        fs.read_dir(ROOT, cookie, &mut |entry| {
            one = Some(entry);
            false
        })
        .unwrap();
        let Some(entry) = one else { break };
        cookie = entry.cookie;
        fs.unlink(ROOT, &entry.name).unwrap();
        seen.push(entry.name);
    }
    assert_eq!(seen, [b"a", b"b", b"c", b"d"]);
}

#[test]
fn read_only_refuses_every_change() {
    let fs = memory().read_only();
    assert_eq!(
        fs.create(ROOT, b"a", &node(FileType::Fifo)).unwrap_err().errno(),
        30
    );
    assert_eq!(
        fs.set_metadata(ROOT, &MetadataChange::default())
            .unwrap_err()
            .errno(),
        30
    );
}
