//! What the kernel's own reader sees of an image, mounted through a loop device; also of the partition that holds it.

use crate::judge::{path, run};
use crate::model::{self, Item, Kind, Model, assert_same, at};
use disksmith_iso9660::{Hybrid, HybridKind, IsoImage, Options};
use disksmith_storage::{Durability, Existing};
use std::path::Path;
use std::process::Command;

/// A mounted filesystem, that is unmounted whatever happens.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn sample() -> Model {
    let mut model = Model::new();
    let item = |kind, mode| Item {
        kind,
        mode,
        uid: 1000,
        gid: 100,
        mtime: 1_650_000_000,
    };
    let mut deep = Vec::new();
    for level in 0..12 {
        if level > 0 {
            deep.push(b'/');
        }
        deep.extend_from_slice(format!("directory {level}").as_bytes());
        model.insert(deep.clone(), item(Kind::Directory, 0o750));
        let file = [&deep[..], b"/some file.tar.gz"].concat();
        model.insert(file, item(Kind::File(vec![level as u8; 3000 * level]), 0o640));
    }
    model.insert(vec![b'n'; 200], item(Kind::File(b"long".to_vec()), 0o4755));
    let target = [&b"a/"[..], &[b't'; 240], b"/../x"].concat();
    model.insert(b"link".to_vec(), item(Kind::Symlink(target), 0o777));
    for number in 0..200 {
        let name = format!("one of many files, {number}");
        model.insert(name.into_bytes(), item(Kind::File(b"the same".to_vec()), 0o444));
    }
    model
}

#[test]
fn the_kernel_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (iso, mount) = (folder.path().join("x.iso"), folder.path().join("mnt"));
    std::fs::create_dir(&mount).unwrap();
    let model = sample();
    let image = IsoImage::plan(
        model::tree(&model),
        Options {
            joliet: true,
            rock_ridge: true,
            hybrid: Hybrid {
                kind: HybridKind::Isolinux,
                partition_offset: 16,
                ..Hybrid::default()
            },
            ..Options::new("Mounted", at(1_700_000_000))
        },
    )
    .unwrap();
    image
        .write_file(&iso, Existing::Refuse, Durability::Deferred)
        .unwrap();
    // The whole image, and the partition in it, which has descriptors and directories of its own.
    for offset in [0, 16 * 2048] {
        let options = format!("loop,ro,offset={offset}");
        let mounted = Command::new("mount")
            .args(["-t", "iso9660", "-o", &options, path(&iso), path(&mount)])
            .output();
        match mounted {
            Ok(output) if output.status.success() => {
                let guard = Mounted(&mount);
                let found = model::read_host(&mount);
                drop(guard);
                assert_same(&model, &found, true, true, &format!("the kernel at {offset}"));
            }
            other => {
                // A kernel is nothing that a test can install: one without the filesystem is no failure even in CI.
                let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
                assert!(
                    std::env::var_os("CI").is_none() || !known.contains("iso9660"),
                    "cannot mount at {offset}: {other:?}"
                );
                eprintln!("SKIPPED: this kernel does not mount the image at {offset}: {other:?}");
                return;
            }
        }
    }
    if let Some(out) = run("blkid", &["-p", "-O", "32768", "-o", "export", path(&iso)]) {
        assert!(out.contains("LABEL=Mounted\n"), "{out}");
    }
}
