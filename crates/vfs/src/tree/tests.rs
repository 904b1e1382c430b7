use super::*;
use crate::{FileType, MemoryFs, RenameMode};
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};
const ALICE: Owner = Owner { uid: 1000, gid: 1000 };

fn memory() -> FileSystemRef {
    Arc::new(MemoryFs::new(Timestamp {
        seconds: 1,
        nanoseconds: 0,
    }))
}

fn tree() -> Tree {
    Tree::new(memory(), CLOCK)
}

fn texts(paths: Vec<Vec<u8>>) -> Vec<String> {
    paths.into_iter().map(|p| String::from_utf8(p).unwrap()).collect()
}

#[test]
fn links_stay_inside_the_tree() {
    let tree = tree();
    tree.create_dir_all("/usr/lib", Owner::ROOT, 0o755).unwrap();
    tree.write("/usr/lib/os-release", b"ID=x\n", Owner::ROOT, 0o644)
        .unwrap();
    tree.create_dir("/etc", Owner::ROOT, 0o755).unwrap();
    tree.symlink("../../../../usr/lib/os-release", "/etc/relative", Owner::ROOT)
        .unwrap();
    tree.symlink("/usr/lib/os-release", "/etc/absolute", Owner::ROOT)
        .unwrap();
    tree.symlink("loop", "/etc/loop", Owner::ROOT).unwrap();
    assert_eq!(tree.read("/etc/relative").unwrap(), b"ID=x\n");
    assert_eq!(tree.read("etc/absolute").unwrap(), b"ID=x\n");
    assert_eq!(tree.read("/../../etc/../etc//./absolute").unwrap(), b"ID=x\n");
    let error = tree.read("/etc/loop/x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "/etc/loop/x: too many levels of symbolic links"
    );
    assert_eq!(tree.metadata("/etc/absolute/").unwrap_err().errno(), 20);
    assert_eq!(tree.metadata("/etc/absolute/../x").unwrap_err().errno(), 20);
    assert_eq!(tree.metadata("").unwrap_err().errno(), 2);
    assert!(tree.symlink_metadata("/etc/absolute").unwrap().is_symlink());
}

#[test]
fn writing_through_a_dangling_link_makes_its_target_inside() {
    let tree = tree();
    tree.create_dir("/run", Owner::ROOT, 0o755).unwrap();
    tree.symlink("/run/resolv.conf", "/resolv.conf", Owner::ROOT)
        .unwrap();
    tree.write("/resolv.conf", b"x", ALICE, 0o600).unwrap();
    let metadata = tree.symlink_metadata("/run/resolv.conf").unwrap();
    assert_eq!(
        (metadata.uid, metadata.permissions, metadata.size),
        (1000, 0o600, 1)
    );
    tree.symlink("/nowhere/x", "/broken", Owner::ROOT).unwrap();
    let error = tree.write("/broken", b"x", ALICE, 0o600).unwrap_err();
    assert_eq!(error.to_string(), "/broken: no such file or directory");
}

#[test]
fn mountpoints_are_crossed_both_ways() {
    let mut tree = tree();
    tree.create_dir_all("/boot/efi", Owner::ROOT, 0o755).unwrap();
    tree.write("/boot/efi/hidden", b"", Owner::ROOT, 0o644).unwrap();
    tree.mount("/boot", memory()).unwrap();
    assert!(!tree.exists("/boot/efi"));
    tree.create_dir("/boot/efi", Owner::ROOT, 0o755).unwrap();
    tree.mount("/boot/efi/", memory()).unwrap();
    tree.create_dir("/boot/efi/EFI", Owner::ROOT, 0o755).unwrap();
    tree.write("/boot/vmlinuz", b"k", Owner::ROOT, 0o644).unwrap();
    tree.write("/top", b"t", Owner::ROOT, 0o644).unwrap();
    assert_eq!(tree.read("/boot/efi/EFI/../../vmlinuz").unwrap(), b"k");
    assert_eq!(tree.read("/boot/efi/EFI/../../../top").unwrap(), b"t");
    assert_eq!(tree.resolve("/boot/efi/../..").unwrap(), tree.root());
    assert_eq!(tree.rename("/boot/vmlinuz", "/vmlinuz").unwrap_err().errno(), 18);
    assert_eq!(
        tree.hard_link("/boot/vmlinuz", "/vmlinuz").unwrap_err().errno(),
        18
    );
    assert_eq!(tree.rename("/boot", "/other").unwrap_err().errno(), 1);
    assert_eq!(tree.remove_all("/boot").unwrap_err().errno(), 1);
    assert!(tree.exists("/boot/vmlinuz"));
    let mut seen = Vec::new();
    tree.walk("/", |entry| {
        seen.push(entry.path.clone());
        Ok::<_, Error>(WalkStep::Continue)
    })
    .unwrap();
    assert_eq!(
        texts(seen),
        [
            "/",
            "/boot",
            "/boot/efi",
            "/boot/efi/EFI",
            "/boot/vmlinuz",
            "/top"
        ]
    );
}

#[test]
fn writing_keeps_the_inode_and_replacing_keeps_the_rest() {
    let tree = tree();
    tree.write("/f", b"long contents", ALICE, 0o4711).unwrap();
    tree.set_xattr("/f", b"security.selinux", b"label\0").unwrap();
    tree.hard_link("/f", "/g").unwrap();
    let before = tree.resolve("/f").unwrap();
    tree.write("/f", b"short", Owner::ROOT, 0o600).unwrap();
    assert_eq!(tree.resolve("/f").unwrap(), before);
    assert_eq!(tree.read("/g").unwrap(), b"short");
    tree.symlink("f", "/link", Owner::ROOT).unwrap();
    tree.replace("/link", b"new").unwrap();
    assert!(tree.is_symlink("/link"));
    assert_ne!(tree.resolve("/f").unwrap(), before);
    let metadata = tree.metadata("/f").unwrap();
    assert_eq!(
        (metadata.uid, metadata.permissions, metadata.modified),
        (1000, 0o4711, CLOCK)
    );
    assert_eq!(
        tree.xattr("/f", b"security.selinux").unwrap().unwrap(),
        b"label\0"
    );
    assert_eq!(tree.read("/g").unwrap(), b"short");
    assert_eq!(tree.read_dir("/").unwrap().len(), 3);
    let error = tree.remove_xattr("/f", b"user.x").unwrap_err();
    assert_eq!(error.to_string(), "/f: no extended attribute user.x");
}

#[test]
fn a_failed_replace_leaves_nothing_behind() {
    let fs = Arc::new(MemoryFs::new(CLOCK).with_capacity(8192));
    let tree = Tree::new(fs, CLOCK);
    tree.write("/f", b"old", ALICE, 0o600).unwrap();
    let error = tree.replace("/f", &[1; 8192]).unwrap_err();
    assert_eq!(error.errno(), 28);
    assert_eq!(tree.read_dir("/").unwrap().len(), 1);
    assert_eq!(tree.read("/f").unwrap(), b"old");
}

#[test]
fn whole_directories_are_removed_and_links_not_followed() {
    let tree = tree();
    tree.create_dir_all("/a/b/c/d", Owner::ROOT, 0o755).unwrap();
    tree.create_dir_all("/keep", Owner::ROOT, 0o755).unwrap();
    tree.write("/keep/f", b"", Owner::ROOT, 0o644).unwrap();
    tree.symlink("/keep", "/a/b/link", Owner::ROOT).unwrap();
    tree.write("/a/b/c/f", b"", Owner::ROOT, 0o644).unwrap();
    assert_eq!(tree.remove_dir("/a").unwrap_err().errno(), 39);
    assert_eq!(tree.remove_dir_all("/a/b/link").unwrap_err().errno(), 20);
    tree.remove_dir_all("/a").unwrap();
    assert!(!tree.exists("/a"));
    assert!(tree.exists("/keep/f"));
    assert_eq!(tree.remove_dir_all("/").unwrap_err().errno(), 22);
    assert_eq!(
        tree.remove_all("/a").unwrap_err().to_string(),
        "/a: no such file or directory"
    );
}

#[test]
fn a_deep_tree_is_walked_and_removed_without_recursion() {
    let tree = tree();
    let fs = tree.fs(tree.root()).clone();
    let mut dir = fs.root();
    let new = tree.new_node(FileType::Directory, Owner::ROOT, 0o755, b"");
    for _ in 0..3000 {
        dir = fs.create(dir, b"d", &new).unwrap();
    }
    let mut deepest = 0;
    tree.walk("/d", |entry| {
        deepest = entry.depth;
        Ok::<_, Error>(WalkStep::Continue)
    })
    .unwrap();
    assert_eq!(deepest, 2999);
    tree.remove_all("/d").unwrap();
    assert!(tree.read_dir("/").unwrap().is_empty());
}

#[test]
fn patterns_find_sorted_paths() {
    let tree = tree();
    for dir in ["/home/alice/.ssh", "/home/bob", "/root"] {
        tree.create_dir_all(dir, Owner::ROOT, 0o755).unwrap();
    }
    for file in [
        "/home/alice/a.txt",
        "/home/alice/.hidden",
        "/home/bob/b.txt",
        "/home/file",
        "/root/c.txt",
    ] {
        tree.write(file, b"", Owner::ROOT, 0o644).unwrap();
    }
    tree.symlink("/home/bob", "/home/carol", Owner::ROOT).unwrap();
    tree.symlink("/nowhere", "/home/dangling", Owner::ROOT).unwrap();
    let glob = |pattern: &str| texts(tree.glob(pattern).unwrap());
    assert_eq!(glob("/home/*/.ssh"), ["/home/alice/.ssh"]);
    assert_eq!(
        glob("/home/*/*.txt"),
        ["/home/alice/a.txt", "/home/bob/b.txt", "/home/carol/b.txt"]
    );
    assert_eq!(glob("/{root,home/*}/*.txt").len(), 4);
    assert_eq!(glob("/home/*/"), ["/home/alice/", "/home/bob/", "/home/carol/"]);
    assert_eq!(glob("/home/d*"), ["/home/dangling"]);
    assert_eq!(glob("/home/dangling"), ["/home/dangling"]);
    assert_eq!(glob("home/[ab]*"), ["home/alice", "home/bob"]);
    assert_eq!(glob("/"), ["/"]);
    assert!(glob("/none/*").is_empty() && glob("").is_empty() && glob("/home/none").is_empty());
}

#[test]
fn making_follows_the_rules_of_the_kernel() {
    let tree = tree();
    tree.create_dir("/d/", Owner::ROOT, 0o755).unwrap();
    assert_eq!(tree.create_dir("/d", Owner::ROOT, 0o755).unwrap_err().errno(), 17);
    assert_eq!(tree.create_dir("/", Owner::ROOT, 0o755).unwrap_err().errno(), 17);
    assert_eq!(tree.write("/d", b"", ALICE, 0o600).unwrap_err().errno(), 21);
    assert_eq!(tree.write("/new/", b"", ALICE, 0o600).unwrap_err().errno(), 21);
    assert_eq!(tree.write("/x/y", b"", ALICE, 0o600).unwrap_err().errno(), 2);
    tree.touch("/f", ALICE, 0o600).unwrap();
    assert_eq!(
        tree.create_dir_all("/f/x", ALICE, 0o755).unwrap_err().to_string(),
        "/f: not a directory"
    );
    assert_eq!(tree.write("/f/x", b"", ALICE, 0o600).unwrap_err().errno(), 20);
    tree.append("/f", b"ab", ALICE, 0o600).unwrap();
    tree.append("/f", b"cd", ALICE, 0o600).unwrap();
    assert_eq!(tree.read_to_string("/f").unwrap(), "abcd");
    tree.truncate("/f", 1).unwrap();
    assert_eq!(tree.read_to_string("/f").unwrap(), "a");
    assert!(matches!(
        tree.read_limited("/f", 0),
        Err(Error::FileTooLarge { .. })
    ));
    tree.rename_with("/f", "/d", RenameMode::Exchange).unwrap();
    assert!(tree.is_file("/d") && tree.is_dir("/f"));
    assert_eq!(
        tree.rename("/missing", "/d").unwrap_err().to_string(),
        "/missing: no such file or directory"
    );
    assert_eq!(tree.rename("/f", "/f/g").unwrap_err().errno(), 22);
    let mut out = Vec::new();
    assert_eq!(tree.copy_to("/d", &mut out, "standard output").unwrap(), 1);
    assert_eq!(out, b"a");
    tree.chown("/d", Owner { uid: 7, gid: 8 }).unwrap();
    tree.set_permissions("/d", 0o2755).unwrap();
    let metadata = tree.metadata("/d").unwrap();
    assert_eq!((metadata.uid, metadata.gid, metadata.permissions), (7, 8, 0o2755));
}
