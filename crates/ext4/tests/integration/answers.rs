//! Which error is answered where several fit: ours, the model's and the kernel's are the same.

use super::acts::{Act, apply, apply_by_kernel};
use super::judges::{copy_sparse, have, mke2fs};
use super::kernel::{Mount, can_mount};
use super::options::TIME;
use super::random::open;
use disksmith_storage::OpenMode;
use disksmith_vfs::{FileType, MemoryFs, RenameMode, Timestamp};

fn create(path: &str, kind: FileType) -> Act {
    Act::Create {
        path: path.into(),
        kind,
        permissions: 0o755,
        owner: (0, 0),
        device: (0, 0),
        target: String::new(),
    }
}

fn link(path: &str, to: &str) -> Act {
    Act::Link {
        path: path.into(),
        to: to.into(),
    }
}

fn rename(path: &str, to: &str, mode: RenameMode) -> Act {
    Act::Rename {
        path: path.into(),
        to: to.into(),
        mode,
    }
}

#[test]
fn errors_are_those_of_the_kernel_where_several_fit() {
    if !can_mount() || !have("mke2fs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours.img"), dir.path().join("theirs.img"));
    mke2fs(&ours, 8 << 20, "-t ext4");
    copy_sparse(&ours, &theirs);
    let now = Timestamp {
        seconds: TIME,
        nanoseconds: 0,
    };
    let fs = open(&ours, OpenMode::Write);
    let model = MemoryFs::new(now);
    let mount = Mount::new(&theirs, "rw");
    let mut acts = vec![
        create("/d", FileType::Directory),
        create("/d/e", FileType::Directory),
        create("/d/e/f", FileType::Regular),
        create("/d/g", FileType::Regular),
        create("/empty", FileType::Directory),
        create("/f", FileType::Regular),
    ];
    // Of a directory, a file, what is missing; to all kinds of places; those that succeed change what comes after them.
    let places = [
        "/d",
        "/d/e",
        "/d/e/f",
        "/d/g",
        "/empty",
        "/f",
        "/none",
        "/f/none",
        "/none/none",
    ];
    for from in places {
        for to in places.into_iter().chain(["/d/e/new", "/d/e/f/new"]) {
            let (mut inside, fresh) = (to.to_owned(), !matches!(from, "/none" | "/f/none" | "/none/none"));
            inside.push_str("/x");
            acts.push(link(from, to));
            for mode in [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange] {
                acts.push(rename(from, to, mode));
                if fresh {
                    acts.push(rename(from, &inside, mode));
                }
            }
        }
        acts.push(create(from, FileType::Directory));
        acts.push(Act::Unlink { path: from.into() });
        acts.push(Act::RemoveDir { path: from.into() });
    }
    for act in &acts {
        let by_us = apply(&fs, act, now);
        let by_kernel = apply_by_kernel(mount.path(), act);
        assert_eq!(by_us, by_kernel, "ours, the kernel's: {act:?}");
        assert_eq!(by_us, apply(&model, act, now), "ours, the model's: {act:?}");
    }
}
