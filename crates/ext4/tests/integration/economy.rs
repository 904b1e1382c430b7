//! What reading and changing costs: nothing is written where nothing changed, little where little did, and memory does
//! not grow with files.

use super::judges::{assert_clean, have, long, mke2fs};
use super::options::{TIME, make};
use disksmith_ext4::{Ext4, OpenOptions};
use disksmith_storage::{HostFile, LockMode, OpenMode, Result, Storage, StorageRef, ZeroMode};
use disksmith_vfs::{FileSystem, FileType, InodeNo, NewNode, Timestamp};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;

/// What was done to a storage.
#[derive(Debug, Default, Clone)]
struct Tally {
    writes: u64,
    bytes: u64,
    largest: u64,
    /// Blocks written.
    blocks: BTreeSet<u64>,
    discards: u64,
    flushes: u64,
}

/// A storage that counts what is written to it.
#[derive(Debug)]
struct Counting {
    inner: StorageRef,
    tally: Mutex<Tally>,
}

impl Counting {
    fn open(image: &Path) -> Arc<Self> {
        let file = HostFile::open(image, OpenMode::Write, LockMode::None).unwrap();
        Arc::new(Self {
            inner: Arc::new(file),
            tally: Mutex::default(),
        })
    }

    /// What was done since this was asked last.
    fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap())
    }

    fn note(&self, offset: u64, len: u64) {
        let mut tally = self.tally.lock().unwrap();
        tally.writes += 1;
        tally.bytes += len;
        tally.largest = tally.largest.max(len);
        if len > 0 {
            tally
                .blocks
                .extend(offset / BLOCK..(offset + len).div_ceil(BLOCK));
        }
    }
}

impl Storage for Counting {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.note(offset, buf.len() as u64);
        self.inner.write_at(offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.note(offset, len);
        self.inner.write_zeroes(offset, len, mode)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.tally.lock().unwrap().discards += 1;
        self.inner.discard(offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.tally.lock().unwrap().flushes += 1;
        self.inner.flush()
    }
}

const NOW: Timestamp = Timestamp {
    seconds: TIME,
    nanoseconds: 0,
};

fn open(storage: &Arc<Counting>) -> Ext4 {
    let fs = Ext4::open(storage.clone(), OpenOptions::new(Arc::new(|| NOW)).writable(true)).unwrap();
    assert!(fs.is_writable(), "{:?}", fs.read_only_reason());
    fs
}

fn create(fs: &Ext4, dir: InodeNo, name: &str, file_type: FileType) -> InodeNo {
    let node = NewNode {
        file_type,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time: NOW,
        target: b"",
        device: (0, 0),
    };
    fs.create(dir, name.as_bytes(), &node).unwrap()
}

/// Two directories of a few files.
fn fill(fs: &Ext4) {
    for dir in ["etc", "var"] {
        let dir = create(fs, fs.root(), dir, FileType::Directory);
        for i in 0..50 {
            let file = create(fs, dir, &format!("file-{i}"), FileType::Regular);
            fs.write(file, 0, &[i; 3000]).unwrap();
        }
    }
    fs.sync().unwrap();
}

/// Reads every file and everything that is told about it.
fn read_all(fs: &Ext4) {
    super::snapshot::of(fs);
    fs.stat_fs().unwrap();
    fs.free_ranges(&mut |_, _| Ok(())).unwrap();
}

const KINDS: &[&str] = &[
    "-t ext2 -b 4096",
    "-t ext3 -b 4096",
    "-t ext4 -b 4096",
    "-t ext4 -b 4096 -O orphan_file,metadata_csum_seed",
    "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 4096 -O inline_data",
    "-t ext4 -b 4096 -O bigalloc",
    "-t ext4 -b 4096 -O mmp",
];

#[test]
fn nothing_is_written_where_nothing_changed() {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    for options in KINDS {
        mke2fs(&image, 24 * MIB, options);
        // As mke2fs left it, and as we leave it.
        for filled in [false, true] {
            let storage = Counting::open(&image);
            if filled {
                fill(&open(&storage));
                assert!(storage.take().writes > 0);
            }
            let before = std::fs::read(&image).unwrap();
            let fs = open(&storage);
            read_all(&fs);
            fs.sync().unwrap();
            fs.sync().unwrap();
            drop(fs);
            let tally = storage.take();
            assert_eq!(
                (tally.writes, tally.discards),
                (0, 0),
                "{options}, {filled}: {tally:?}"
            );
            assert!(before == std::fs::read(&image).unwrap(), "{options}");
        }
        // A change that fails changes nothing.
        let storage = Counting::open(&image);
        let fs = open(&storage);
        fs.remove_dir(fs.root(), b"etc").unwrap_err();
        fs.unlink(fs.root(), b"none").unwrap_err();
        fs.sync().unwrap();
        let tally = storage.take();
        assert_eq!((tally.writes, tally.discards), (0, 0), "{options}: {tally:?}");
        // After a sync there is nothing left to write.
        create(&fs, fs.root(), "new", FileType::Regular);
        fs.sync().unwrap();
        assert!(storage.take().writes > 0);
        fs.sync().unwrap();
        assert_eq!(storage.take().writes, 0, "{options}: second sync");
        assert_clean(&image, options);
    }
}

#[test]
fn a_small_edit_writes_few_blocks() {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    for options in KINDS {
        mke2fs(&image, 64 * MIB, options);
        let storage = Counting::open(&image);
        fill(&open(&storage));
        storage.take();
        let edit = |what: &str, most: usize, change: &dyn Fn(&Ext4, InodeNo)| {
            let fs = open(&storage);
            let etc = fs.lookup(fs.root(), b"etc").unwrap();
            change(&fs, etc);
            fs.sync().unwrap();
            let blocks = storage.take().blocks;
            // The multi-mount protection block tells others to stay away.
            let most = most + usize::from(options.contains("mmp"));
            assert!(blocks.len() <= most, "{options}: {what} wrote {blocks:?}");
        };
        // Superblock, inode, contents.
        edit("writing in place", 3, &|fs, etc| {
            let file = fs.lookup(etc, b"file-7").unwrap();
            fs.write(file, 100, b"other").unwrap();
        });
        // And both bitmaps, descriptors, the directory, and its inode.
        edit("a new file", 8, &|fs, etc| {
            let file = create(fs, etc, "new", FileType::Regular);
            fs.write(file, 0, &[1; 3000]).unwrap();
        });
        // And the inode of the old file.
        edit("replacing by renaming", 9, &|fs, etc| {
            let file = create(fs, etc, "temporary", FileType::Regular);
            fs.write(file, 0, &[2; 3000]).unwrap();
            fs.rename(
                etc,
                b"temporary",
                etc,
                b"file-8",
                disksmith_vfs::RenameMode::Replace,
            )
            .unwrap();
        });
        edit("removing", 7, &|fs, etc| fs.unlink(etc, b"file-9").unwrap());
        assert_clean(&image, options);
    }
}

/// Memory of this process that was in use at most, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

const FILL: u8 = 0xd7;

/// Keeps metadata, forgets the contents that the test writes.
#[derive(Debug)]
struct Forgetful(HostFile);

impl Storage for Forgetful {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        assert!(buf.len() as u64 <= MIB, "a write of {} bytes", buf.len());
        if buf.first_chunk() == Some(&[FILL; 16]) && buf.last_chunk() == Some(&[FILL; 16]) {
            return Ok(());
        }
        self.0.write_at(offset, buf)
    }

    fn flush(&self) -> Result<()> {
        self.0.flush()
    }
}

/// Writes a file of that size in pieces into an image, with a small cache, and then another that has holes everywhere; tells how much
/// memory that took at most beyond what was in use before.
fn memory_of_writing(image: &Path, options: &str, size: u64) -> u64 {
    let file = HostFile::open(image, OpenMode::Write, LockMode::None).unwrap();
    let mut open = OpenOptions::new(Arc::new(|| NOW)).writable(true);
    open.cache_bytes = MIB as usize / 2;
    let piece = vec![FILL; MIB as usize];
    let fs = Ext4::open(Arc::new(Forgetful(file)), open).unwrap();
    let before = peak_memory();
    let ino = create(&fs, fs.root(), "large", FileType::Regular);
    for at in (0..size).step_by(MIB as usize) {
        fs.write(ino, at, &piece).unwrap();
    }
    let holes = create(&fs, fs.root(), "holes", FileType::Regular);
    for i in 0..size / (32 * BLOCK) {
        fs.write(holes, i * 3 * BLOCK, &piece[..BLOCK as usize]).unwrap();
    }
    let after = peak_memory();
    assert_eq!(fs.metadata(ino).unwrap().size, size);
    fs.sync().unwrap();
    drop(fs);
    assert_clean(image, options);
    after - before
}

const CHILD: &str = "DISKSMITH_TEST_MEMORY";

#[test]
fn memory_does_not_grow_with_files() {
    if !have("e2fsck") {
        return;
    }
    if let Ok(job) = std::env::var(CHILD) {
        // In a process of its own: here no other test takes memory.
        let [image, size, options] = job.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{job}");
        };
        let used = memory_of_writing(Path::new(image), options, size.parse().unwrap());
        println!("used {} KiB", used / 1024);
        assert!(used < 12 * MIB, "{options}: {used} bytes for a file of {size}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let size = if long() { 3072 * MIB } else { 256 * MIB };
    for options in ["-t ext4 -b 4096", "-t ext4 -b 1024", "-t ext3 -b 1024"] {
        make(&image, size + size / 4, options).unwrap();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "economy::memory_does_not_grow_with_files",
                "--nocapture",
            ])
            .env(CHILD, format!("{} {size} {options}", image.display()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("used "),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        println!(
            "{options}: {}",
            text.lines().find(|l| l.contains("used ")).unwrap_or("")
        );
    }
}
