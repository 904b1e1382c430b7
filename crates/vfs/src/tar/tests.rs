//! Archives made here and read back, and archives that mean no good.

use super::header::Header;
use super::*;
use crate::metadata::{FileType, Timestamp};
use crate::{MemoryFs, Owner, Tree};
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp {
    seconds: 1_750_000_000,
    nanoseconds: 7,
};

fn empty() -> Tree {
    let tree = Tree::new(Arc::new(MemoryFs::new(CLOCK)), CLOCK);
    for dir in ["/in", "/etc"] {
        tree.create_dir(dir, Owner::ROOT, 0o755).unwrap();
    }
    tree.write("/etc/passwd", b"root", Owner::ROOT, 0o644).unwrap();
    tree
}

const ALL: TarInOptions = TarInOptions {
    xattrs: true,
    selinux: true,
    acls: true,
};

fn unpack(tree: &Tree, archive: &[u8]) -> Result<crate::CopyReport, TarError> {
    tree.tar_in(archive, "/in", ALL, &mut |_| Ok(()))
}

/// A member with contents.
fn member(kind: u8, name: &str, link: &str, contents: &[u8]) -> Vec<u8> {
    let header = Header {
        name: name.as_bytes().to_vec(),
        link: link.as_bytes().to_vec(),
        mode: 0o640,
        kind,
        size: contents.len() as u64,
        ..Header::default()
    };
    let mut out = header.encode().to_vec();
    out.extend_from_slice(contents);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

fn extended(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (keyword, value) in records {
        pax::put(&mut bytes, keyword.as_bytes(), value);
    }
    member(b'x', "pax", "", &bytes)
}

#[test]
fn a_tree_comes_back() {
    let tree = empty();
    let long = format!("/etc/{}", "n".repeat(200));
    tree.write(
        &long,
        b"long",
        Owner {
            uid: 70_000_000,
            gid: 5,
        },
        0o4755,
    )
    .unwrap();
    tree.symlink("t".repeat(300), "/etc/link", Owner::ROOT).unwrap();
    tree.hard_link("/etc/passwd", "/etc/second").unwrap();
    tree.set_xattr("/etc/passwd", b"user.a=b%", b"\0\xff=\n").unwrap();
    tree.set_xattr(
        "/etc/passwd",
        b"security.selinux",
        b"system_u:object_r:etc_t:s0\0",
    )
    .unwrap();
    tree.write("/etc/big", &vec![7; 3 << 20], Owner::ROOT, 0o600)
        .unwrap();
    tree.write("/etc/hole", b"start", Owner::ROOT, 0o600).unwrap();
    tree.truncate("/etc/hole", 5 << 20).unwrap();
    let before = Timestamp {
        seconds: -5,
        nanoseconds: 250_000_000,
    };
    tree.set_times("/etc/passwd", None, Some(before)).unwrap();
    for sparse in [false, true] {
        let options = TarOutOptions {
            xattrs: true,
            selinux: true,
            acls: true,
            sparse,
            nanoseconds: true,
            exclude: vec![b"nothing".to_vec()],
        };
        let mut archive = Vec::new();
        let report = tree.tar_out("/etc", &mut archive, &options).unwrap();
        assert_eq!((report.files, report.links, report.others), (4, 1, 1));
        assert_eq!(archive.len() % 10240, 0);
        assert_eq!(archive.len() < 5 << 20, sparse);
        let other = empty();
        unpack(&other, &archive).unwrap();
        assert_eq!(other.read("/in/passwd").unwrap(), b"root");
        assert_eq!(
            other.xattr("/in/second", b"user.a=b%").unwrap().unwrap(),
            b"\0\xff=\n"
        );
        assert_eq!(
            other.xattr("/in/second", b"security.selinux").unwrap().unwrap(),
            b"system_u:object_r:etc_t:s0\0"
        );
        let metadata = other.metadata("/in/second").unwrap();
        assert_eq!((metadata.links, metadata.modified), (2, before));
        let metadata = other.metadata(long.replace("/etc", "/in")).unwrap();
        assert_eq!(
            (metadata.uid, metadata.gid, metadata.permissions),
            (70_000_000, 5, 0o4755)
        );
        assert_eq!(other.read_link("/in/link").unwrap(), vec![b't'; 300]);
        assert_eq!(other.read("/in/big").unwrap(), vec![7; 3 << 20]);
        let hole = other.read("/in/hole").unwrap();
        assert_eq!((hole.len(), &hole[..6]), (5 << 20, &b"start\0"[..]));
        assert_eq!(other.metadata("/in").unwrap().permissions, 0o755);
    }
}

#[test]
fn nothing_leaves_the_directory() {
    let link = |name: &str, target: &str| member(b'2', name, target, b"");
    let file = |name: &str| member(b'0', name, "", b"evil");
    for (what, archive, refused) in [
        ("dots", file("../etc/passwd"), true),
        ("dots within", file("a/../../etc/passwd"), true),
        ("only dots", file(".."), true),
        ("absolute", file("/etc/passwd"), false),
        (
            "through an absolute link",
            [link("x", "/etc"), file("x/passwd")].concat(),
            true,
        ),
        (
            "through a relative link",
            [link("x", "../etc"), file("x/passwd")].concat(),
            true,
        ),
        (
            "through a link to a link",
            [link("x", "y"), link("y", "/etc"), file("x/passwd")].concat(),
            true,
        ),
        (
            "through a link that stays",
            [member(b'5', "d/", "", b""), link("x", "d"), file("x/passwd")].concat(),
            false,
        ),
        (
            "over a link",
            [link("x", "/etc/passwd"), file("x")].concat(),
            false,
        ),
        (
            "a directory over a link",
            [link("x", "/etc"), member(b'5', "x", "", b""), file("x/passwd")].concat(),
            false,
        ),
        (
            "a hard link out",
            [member(b'1', "x", "../etc/passwd", b""), file("x")].concat(),
            true,
        ),
        (
            "a hard link through a link",
            [link("x", "/etc"), member(b'1', "y", "x/passwd", b"")].concat(),
            true,
        ),
        ("a link to itself", [link("x", "x"), file("x/y")].concat(), true),
        (
            "a NUL in a name",
            [extended(&[("path", b"a\0b")]), file("a")].concat(),
            true,
        ),
    ] {
        let tree = empty();
        let result = unpack(&tree, &archive);
        assert_eq!(result.is_err(), refused, "{what}: {result:?}");
        assert_eq!(tree.read("/etc/passwd").unwrap(), b"root", "{what}");
        assert_eq!(tree.read_dir("/etc").unwrap().len(), 1, "{what}");
        assert_eq!(tree.read_dir("/").unwrap().len(), 2, "{what}");
    }
}

#[test]
fn links_of_before_are_followed_and_stay() {
    let tree = empty();
    tree.symlink("/etc", "/in/conf", Owner::ROOT).unwrap();
    let archive = [member(b'5', "conf/", "", b""), member(b'0', "conf/new", "", b"x")].concat();
    unpack(&tree, &archive).unwrap();
    assert!(tree.is_symlink("/in/conf"));
    assert_eq!(tree.read("/etc/new").unwrap(), b"x");
}

#[test]
fn damage_is_told() {
    let mut wrong_sum = member(b'0', "a", "", b"x");
    wrong_sum[0] = b'b';
    let good = member(b'0', "a", "", &[1; 600]);
    let sparse = |map: &[u8], size: &[u8]| {
        [
            extended(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)]),
            member(b'0', "a", "", b"xy"),
        ]
        .concat()
    };
    let huge = Header {
        kind: b'x',
        size: 1 << 40,
        ..Header::default()
    };
    let negative = Header {
        kind: b'0',
        size: -5i64 as u64,
        ..Header::default()
    };
    for (what, archive) in [
        ("no archive", b"hello world".repeat(100)),
        ("a wrong checksum", [good.clone(), wrong_sum].concat()),
        ("contents cut off", good[..1000].to_vec()),
        ("a header cut off", good[..300].to_vec()),
        ("an extended header at the end", extended(&[("path", b"x")])),
        ("records", member(b'x', "a", "", b"99 a=b\n")),
        ("a huge extended header", huge.encode().to_vec()),
        ("a negative size", negative.encode().to_vec()),
        (
            "a size that is no number",
            [extended(&[("size", b"x")]), good.clone()].concat(),
        ),
        (
            "an owner out of range",
            [extended(&[("uid", b"4294967296")]), good.clone()].concat(),
        ),
        ("ranges out of order", sparse(b"8,1,4,1", b"10")),
        ("ranges beyond the end", sparse(b"9,2", b"10")),
        ("ranges too short", sparse(b"0,1", b"10")),
        ("ranges that overflow", sparse(b"9223372036854775807,2", b"10")),
        ("several volumes", member(b'M', "a", "", b"")),
        (
            "an access control list",
            [extended(&[("SCHILY.acl.access", b"x")]), good.clone()].concat(),
        ),
        (
            "a file in the way",
            [good.clone(), member(b'0', "a/b", "", b"")].concat(),
        ),
        ("a hard link to nothing", member(b'1', "a", "b", b"")),
    ] {
        assert!(unpack(&empty(), &archive).is_err(), "{what}");
    }
    // an end without zeroes is one
    assert_eq!(unpack(&empty(), &good).unwrap().files, 1);
}

#[test]
fn members_are_read_in_all_formats() {
    let tree = empty();
    let archive = [
        member(b'L', "././@LongLink", "", &[b"l".repeat(150), vec![0]].concat()),
        member(b'0', "short", "", b"1"),
        extended(&[
            ("GNU.sparse.size", b"10"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"1"),
            ("GNU.sparse.numbytes", b"2"),
            ("GNU.sparse.offset", b"10"),
            ("GNU.sparse.numbytes", b"0"),
        ]),
        member(b'0', "sparse", "", b"ab"),
        extended(&[("LIBARCHIVE.xattr.user.x%20y", b"YWJj")]),
        member(b'0', "attribute", "", b""),
        member(b'3', "device", "", b""),
        member(b'6', "pipe", "", b""),
        member(b'7', "contiguous", "", b"c"),
        member(0, "old/", "", b""),
        member(b'0', "slash/", "", b"what nobody reads"),
        member(b'0', "after", "", b"a"),
    ]
    .concat();
    unpack(&tree, &archive).unwrap();
    assert_eq!(tree.read(format!("/in/{}", "l".repeat(150))).unwrap(), b"1");
    assert_eq!(tree.read("/in/sparse").unwrap(), b"\0ab\0\0\0\0\0\0\0");
    assert_eq!(tree.xattr("/in/attribute", b"user.x y").unwrap().unwrap(), b"abc");
    assert_eq!(
        tree.metadata("/in/device").unwrap().file_type,
        FileType::CharDevice
    );
    assert_eq!(tree.metadata("/in/pipe").unwrap().file_type, FileType::Fifo);
    assert_eq!(tree.read("/in/contiguous").unwrap(), b"c");
    assert!(tree.is_dir("/in/old") && tree.is_dir("/in/slash"));
    assert_eq!(tree.read("/in/after").unwrap(), b"a");
}
