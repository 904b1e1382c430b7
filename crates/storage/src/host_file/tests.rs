use super::*;
use crate::error::LockHolder;

fn temporary(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.raw");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn writable(path: &Path) -> HostFile {
    HostFile::open(path, OpenMode::Write, LockMode::Lock).unwrap()
}

#[test]
fn reads_and_writes_inside_its_size() {
    let (_directory, path) = temporary(b"0123456789");
    let file = writable(&path);
    file.write_at(2, b"xy").unwrap();
    let mut buf = [0; 10];
    file.read_at(0, &mut buf).unwrap();
    assert_eq!(&buf, b"01xy456789");
    assert!(matches!(
        file.write_at(9, b"ab"),
        Err(Error::OutOfBounds { size: 10, .. })
    ));
    assert!(file.read_at(u64::MAX, &mut buf).is_err());
    file.set_size(20).unwrap();
    file.write_at(18, b"ab").unwrap();
    file.flush().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"01xy456789\0\0\0\0\0\0\0\0ab");
}

#[test]
fn a_reader_changes_nothing() {
    let (_directory, path) = temporary(b"0123456789");
    let file = HostFile::open(&path, OpenMode::Read, LockMode::Lock).unwrap();
    assert!(matches!(file.write_at(0, b"x"), Err(Error::ReadOnly { .. })));
    assert!(matches!(
        file.write_zeroes(0, 1, ZeroMode::Keep),
        Err(Error::ReadOnly { .. })
    ));
    assert!(matches!(file.discard(0, 1), Err(Error::ReadOnly { .. })));
    assert!(matches!(file.set_size(0), Err(Error::ReadOnly { .. })));
    assert!(matches!(file.preallocate(0, 1), Err(Error::ReadOnly { .. })));
    file.flush().unwrap();
}

#[test]
fn knows_its_holes() {
    let (_directory, path) = temporary(b"");
    let file = writable(&path);
    file.set_size(1 << 30).unwrap();
    file.write_at(512 << 20, &[1; 65536]).unwrap();
    let hole = file.extent_at(0, u64::MAX).unwrap();
    assert_eq!((hole.state, hole.len), (ExtentState::Zero, 512 << 20));
    assert_eq!(hole.host.unwrap().offset, 0);
    let data = file.extent_at(512 << 20, u64::MAX).unwrap();
    assert_eq!((data.state, data.len), (ExtentState::Data, 65536));
    let tail = file.extent_at((512 << 20) + 65536, u64::MAX).unwrap();
    assert_eq!((tail.state, tail.len), (ExtentState::Zero, (512 << 20) - 65536));
    assert_eq!(file.extent_at(512 << 20, 100).unwrap().len, 100);
    assert!(file.extent_at(1 << 30, 1).is_err());
}

#[test]
fn zeroes_give_space_back_or_keep_it() {
    let (_directory, path) = temporary(&vec![0xaa; 1 << 20]);
    let file = writable(&path);
    let full = file.allocated().unwrap();
    file.write_zeroes(0, 512 << 10, ZeroMode::Keep).unwrap();
    assert_eq!(file.allocated().unwrap(), full);
    file.write_zeroes(1, (512 << 10) - 2, ZeroMode::Unmap).unwrap();
    assert!(file.allocated().unwrap() < full);
    file.write_zeroes((1 << 20) - 10, 10, ZeroMode::Unmap).unwrap();
    file.discard(600 << 10, 8192).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes[..512 << 10].iter().all(|b| *b == 0));
    assert!(bytes[512 << 10..600 << 10].iter().all(|b| *b == 0xaa));
    assert!(bytes[(1 << 20) - 10..].iter().all(|b| *b == 0));
    assert_eq!(bytes.len(), 1 << 20);
}

#[test]
fn takes_space_beforehand() {
    let (_directory, path) = temporary(b"");
    let file = writable(&path);
    file.set_size(1 << 20).unwrap();
    file.write_at(4096, b"kept").unwrap();
    file.preallocate(0, 1 << 20).unwrap();
    assert!(file.allocated().unwrap() >= 1 << 20);
    let mut buf = [0; 4];
    file.read_at(4096, &mut buf).unwrap();
    assert_eq!(&buf, b"kept");
    assert_eq!(file.size(), 1 << 20);
}

#[test]
fn copies_inside_the_kernel_through_windows() {
    let (_directory, source) = temporary(&(0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    let (_other, target) = temporary(&[0; 100_000]);
    let from: crate::StorageRef = Arc::new(HostFile::open(&source, OpenMode::Read, LockMode::Lock).unwrap());
    let window = crate::Window::new(from, 1000, 50_000, "part").unwrap();
    let to = writable(&target);
    assert_eq!(to.copy_range(7, &window, 500, 40_000).unwrap(), 40_000);
    assert!(to.copy_range(7, &window, 500, 50_000).is_err());
    let (a, b) = (std::fs::read(&source).unwrap(), std::fs::read(&target).unwrap());
    assert_eq!(a[1500..41_500], b[7..40_007]);
    assert_eq!(b[40_007], 0);
    assert_eq!(to.copy_range(0, &crate::Memory::new(10), 0, 10).unwrap(), 0);
}

#[test]
fn refuses_what_is_no_image() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for path in [directory.path(), &pipe, Path::new("/dev/full")] {
        let result = HostFile::open(path, OpenMode::Read, LockMode::Lock);
        assert!(
            matches!(result, Err(Error::Unsupported { .. })),
            "{}",
            path.display()
        );
    }
    // QEMU's users write to it, to see how fast the rest is.
    let null = HostFile::open("/dev/null", OpenMode::Write, LockMode::Lock).unwrap();
    assert_eq!(null.size(), 0);
    let absent = HostFile::open(directory.path().join("absent"), OpenMode::Read, LockMode::Lock);
    assert_eq!(
        crate::Diagnose::kind(&absent.unwrap_err()),
        crate::ErrorKind::NotFound
    );
}

#[test]
fn two_openings_exclude_each_other_as_two_processes_do() {
    let (_directory, path) = temporary(b"x");
    let open = |mode, lock| HostFile::open(&path, mode, lock);
    let me = |error: Error| match error {
        Error::Locked { holders, .. } => {
            assert!(matches!(holders.as_slice(), [LockHolder { pid, .. }] if *pid == std::process::id()));
        }
        other => panic!("{other}"),
    };
    let writer = open(OpenMode::Write, LockMode::Lock).unwrap();
    me(open(OpenMode::Read, LockMode::Lock).unwrap_err());
    me(open(OpenMode::Write, LockMode::Lock).unwrap_err());
    assert!(open(OpenMode::Write, LockMode::ForceShare).is_err());
    open(OpenMode::Read, LockMode::ForceShare).unwrap();
    open(OpenMode::Write, LockMode::None).unwrap();
    drop(writer);
    let reader = open(OpenMode::Read, LockMode::Lock).unwrap();
    let _second = open(OpenMode::Read, LockMode::Lock).unwrap();
    assert!(open(OpenMode::Write, LockMode::Lock).is_err());
    drop(reader);
    assert!(open(OpenMode::Write, LockMode::Lock).is_err());
}
