//! Files of several extents.

use crate::judge::{path, run};
use crate::model::at;
use crate::reading::Image;
use disksmith_iso9660::{Attributes, Error, ImageTree, Iso, IsoImage, Level, Options, Source};
use disksmith_vfs::FileSystem;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// Writes zeroes as holes.
struct Sparse(File);

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().all(|b| *b == 0) {
            self.0.seek(SeekFrom::Current(bytes.len() as i64))?;
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn options(level: Level) -> Options {
    Options {
        joliet: true,
        rock_ridge: true,
        level,
        ..Options::new("large", at(0))
    }
}

#[test]
fn more_than_four_gib_takes_several_extents() {
    const SIZE: u64 = (4 << 30) + 5000;
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    let file = File::create(&big).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"the end", SIZE - 7).unwrap();
    let tree = || {
        let mut tree = ImageTree::new(Attributes::new(0o755, at(0)));
        let root = tree.root();
        let attributes = Attributes::new(0o644, at(0));
        tree.add_file(root, b"big", attributes, Source::host_file(&big, SIZE))
            .unwrap();
        tree.add_file(root, b"small", attributes, Source::bytes(*b"small"))
            .unwrap();
        tree
    };
    assert!(matches!(
        IsoImage::plan(tree(), options(Level::Two)),
        Err(Error::FileTooLarge {
            size: SIZE,
            level: 2,
            ..
        })
    ));
    let image = IsoImage::plan(tree(), options(Level::Three)).unwrap();
    // Planning is cheap; reading 4 GiB is for the long run.
    assert!(image.size() > SIZE);
    if std::env::var_os("DISKSMITH_LONG").is_none() {
        return;
    }
    let iso = folder.path().join("x.iso");
    let mut out = Sparse(File::create(&iso).unwrap());
    image.write_to(&mut out).unwrap();
    out.0.set_len(image.size()).unwrap();
    let opened = Iso::open(Image::open(&iso)).unwrap();
    let inode = opened.lookup(opened.root(), b"big").unwrap();
    assert_eq!(opened.metadata(inode).unwrap().size, SIZE);
    let mut end = [0; 100];
    assert_eq!(opened.read(inode, SIZE - 7, &mut end).unwrap(), 7);
    assert_eq!(&end[..7], b"the end");
    if let Some(out) = run("bsdtar", &["-tvf", path(&iso)]) {
        assert!(out.contains(&SIZE.to_string()), "{out}");
    }
    if let Some(out) = run(
        "xorriso",
        &["-indev", path(&iso), "-find", "/big", "-exec", "lsdl"],
    ) {
        assert!(out.contains(&SIZE.to_string()), "{out}");
    }
    if let Some(out) = run("7z", &["l", path(&iso)]) {
        assert!(out.contains(&SIZE.to_string()), "{out}");
    }
}
