//! Listings of a small tree.

use super::*;
use disksmith_vfs::{FileType, MemoryFs, NewNode, Owner, Timestamp};
use jiff::tz::TimeZone;
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp {
    seconds: 1_750_000_000,
    nanoseconds: 0,
};

fn tree() -> Tree {
    let tree = Tree::new(Arc::new(MemoryFs::new(CLOCK)), CLOCK);
    tree.create_dir_all("/etc/d", Owner::ROOT, 0o1777).unwrap();
    tree.write(
        "/etc/passwd",
        b"root:x:0:0:::\nalice:x:1000:1000:::\n",
        Owner::ROOT,
        0o644,
    )
    .unwrap();
    tree.write("/etc/group", b"root:x:0:\n", Owner::ROOT, 0o644)
        .unwrap();
    tree.write("/etc/d/a,b", &[0; 1536], Owner { uid: 1000, gid: 7 }, 0o4750)
        .unwrap();
    tree.symlink("a,b", "/etc/d/link", Owner::ROOT).unwrap();
    let disk = NewNode {
        file_type: FileType::BlockDevice,
        permissions: 0o660,
        uid: 0,
        gid: 6,
        time: CLOCK,
        target: b"",
        device: (8, 17),
    };
    tree.create_node("/etc/d/x", &disk).unwrap();
    tree
}

fn lines(list: impl FnOnce(&mut ListSink<'_>) -> Result<()>) -> Vec<String> {
    let mut out = Vec::new();
    list(&mut ListSink::new(&mut out, "a list")).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn names_and_paths_are_sorted() {
    let tree = tree();
    assert_eq!(
        lines(|out| list_names(&tree, "/etc", out)),
        ["d", "group", "passwd"]
    );
    assert_eq!(
        lines(|out| list_paths(&tree, "/etc", false, out)),
        ["d", "d/a,b", "d/link", "d/x", "group", "passwd"]
    );
    assert_eq!(
        lines(|out| list_paths(&tree, "/etc/d", true, out)),
        ["/a,b", "/link", "/x"]
    );
    assert_eq!(lines(|out| list_paths(&tree, "/", true, out))[0], "etc");
}

#[test]
fn records_have_the_fields_that_are_asked_for() {
    let tree = tree();
    let plain = lines(|out| list_recursive(&tree, "/etc/d", &ListOptions::default(), out));
    assert_eq!(plain[1], "- 4750       1536 /etc/d/a,b");
    assert_eq!(plain[2], "l 0777          3 /etc/d/link -> a,b");
    assert!(plain[0].starts_with("d 1777 "));
    let all = ListOptions {
        uids: true,
        times: Some(TimeStyle::Seconds),
        human_readable: true,
        csv: true,
        checksum: Some(Checksum::Crc),
        extra_stats: None,
    };
    let csv = lines(|out| list_recursive(&tree, "/etc/d", &all, out));
    assert_eq!(
        csv[1],
        "-,4750,1.5K,1000,   7,1750000000,1750000000,1750000000,3849957965,\"/etc/d/a,b\""
    );
    for (style, text) in [
        (TimeStyle::Date(TimeZone::UTC), "2025-06-15 15:06:40"),
        (TimeStyle::Seconds, "1750000000"),
        (
            TimeStyle::Relative(Timestamp {
                seconds: 1_750_000_009,
                ..CLOCK
            }),
            "       9",
        ),
        (
            TimeStyle::Days(Timestamp {
                seconds: 1_750_086_400,
                ..CLOCK
            }),
            "  1",
        ),
    ] {
        let options = ListOptions {
            times: Some(style),
            ..ListOptions::default()
        };
        let list = lines(|out| list_recursive(&tree, "/etc/d", &options, out));
        assert_eq!(
            list[1],
            format!("- 4750       1536 {text} {text} {text} /etc/d/a,b")
        );
    }
    let mut out = Vec::new();
    let mut sink = ListSink::new(&mut out, "a list");
    assert!(list_recursive(&tree, "/etc/passwd", &all, &mut sink).is_err());
}

#[test]
fn a_directory_is_shown_as_ls_shows_it() {
    let tree = tree();
    let mut options = LongOptions {
        now: CLOCK,
        zone: TimeZone::UTC,
        guest_names: true,
    };
    let named = lines(|out| list_long(&tree, "/etc/d", &options, out));
    assert!(named[0].starts_with("total "));
    assert!(named[1].starts_with("drwxrwxrwt 2 root  root"));
    assert_eq!(named[3], "-rwsr-x--- 1 alice    7  1536 Jun 15 15:06 a,b");
    assert_eq!(named[4], "lrwxrwxrwx 1 root  root     3 Jun 15 15:06 link -> a,b");
    assert_eq!(named[5], "brw-rw---- 1 root     6 8, 17 Jun 15 15:06 x");
    options.guest_names = false;
    options.now.seconds -= 1;
    let numbered = lines(|out| list_long(&tree, "/etc/d", &options, out));
    assert_eq!(numbered[3], "-rwsr-x--- 1 1000 7  1536 Jun 15  2025 a,b");
}

#[test]
fn sizes_are_rounded_as_ls_does() {
    for (bytes, text) in [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1025, "1.1K"),
        (10_240, "10K"),
        (10_241, "11K"),
        (1_048_575, "1024K"),
        (1_048_576, "1.0M"),
        (5_000_000_000, "4.7G"),
        (u64::MAX, "16E"),
    ] {
        assert_eq!(record::human_size(bytes), text, "{bytes}");
    }
}
