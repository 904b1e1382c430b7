//! Random operations on a [`Tree`] over [`MemoryFs`] and on a directory of the host: same results, same error numbers, same tree.
//!
//! The host's directory is reached with `openat2` and `RESOLVE_IN_ROOT`, the kernel's own way of resolving every path inside a
//! root.

use disksmith_vfs::{Error, MemoryFs, Owner, RenameMode, Timestamp, Tree, WalkStep};
use proptest::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Operation {
    Resolve(Vec<u8>, bool),
    CreateDir(Vec<u8>),
    Write(Vec<u8>, u8, usize),
    Truncate(Vec<u8>, u64),
    Symlink(Vec<u8>, Vec<u8>),
    HardLink(Vec<u8>, Vec<u8>),
    Rename(Vec<u8>, Vec<u8>, RenameMode),
    RemoveFile(Vec<u8>),
    RemoveDir(Vec<u8>),
    ReadLink(Vec<u8>),
    SetPermissions(Vec<u8>, u16),
}

/// Few names, so that paths meet.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let step = prop_oneof![
        8 => "[abcd]".prop_map(String::from),
        2 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
    ];
    (
        any::<bool>(),
        prop::collection::vec(step, 1..5),
        prop::bool::weighted(0.15),
    )
        .prop_map(|(absolute, steps, slash)| {
            let start = if absolute { "/" } else { "" };
            let end = if slash { "/" } else { "" };
            format!("{start}{}{end}", steps.join("/")).into_bytes()
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let mode = prop_oneof![
        Just(RenameMode::Replace),
        Just(RenameMode::NoReplace),
        Just(RenameMode::Exchange)
    ];
    prop_oneof![
        3 => (path(), any::<bool>()).prop_map(|(p, follow)| Resolve(p, follow)),
        4 => path().prop_map(CreateDir),
        3 => (path(), any::<u8>(), 0..9000usize).prop_map(|(p, byte, len)| Write(p, byte, len)),
        1 => (path(), 0..20_000u64).prop_map(|(p, size)| Truncate(p, size)),
        4 => (path(), path()).prop_map(|(target, p)| Symlink(target, p)),
        2 => (path(), path()).prop_map(|(a, b)| HardLink(a, b)),
        4 => (path(), path(), mode).prop_map(|(a, b, mode)| Rename(a, b, mode)),
        1 => path().prop_map(RemoveFile),
        1 => path().prop_map(RemoveDir),
        1 => path().prop_map(ReadLink),
        1 => (path(), 0..0o1000u16).prop_map(|(p, mode)| SetPermissions(p, mode | 0o700)),
    ]
}

/// The host's side.
struct Host {
    root: OwnedFd,
}

type HostResult<T> = Result<T, Errno>;

fn as_os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

impl Host {
    fn new(dir: &Path) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            root: rustix::fs::open(dir, flags, Mode::empty()).unwrap(),
        }
    }

    fn open(&self, path: &[u8], flags: OFlags) -> HostResult<OwnedFd> {
        let mode = if flags.contains(OFlags::CREATE) {
            Mode::from_raw_mode(0o644)
        } else {
            Mode::empty()
        };
        loop {
            let flags = flags | OFlags::CLOEXEC;
            match rustix::fs::openat2(&self.root, as_os(path), flags, mode, ResolveFlags::IN_ROOT) {
                // Something was renamed elsewhere on the machine while `..` was resolved.
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
    }

    /// The directory above the last name, and the name with the slashes after it.
    fn entry<'a>(&self, path: &'a [u8]) -> HostResult<(OwnedFd, &'a [u8])> {
        let bare = path.len() - path.iter().rev().take_while(|b| **b == b'/').count();
        let start = path[..bare]
            .iter()
            .rposition(|b| *b == b'/')
            .map_or(0, |slash| slash + 1);
        let above: &[u8] = if start == 0 { b"/" } else { &path[..start] };
        Ok((
            self.open(above, OFlags::PATH | OFlags::DIRECTORY)?,
            &path[start..],
        ))
    }
}

/// Operations on a last name that is none mean the root or a directory's own dot: the kernel has an error for each call,
/// the tree one for all.
fn names_something(path: &[u8]) -> bool {
    let mut steps = path.split(|b| *b == b'/').rev().filter(|step| !step.is_empty());
    !matches!(steps.next(), None | Some(b"." | b".."))
}

fn apply_host(host: &Host, operation: &Operation) -> HostResult<Vec<u8>> {
    let done = |()| Vec::new();
    match operation {
        Operation::Resolve(path, follow) => {
            let flags = if *follow {
                OFlags::PATH
            } else {
                OFlags::PATH | OFlags::NOFOLLOW
            };
            let stat = rustix::fs::fstat(host.open(path, flags)?)?;
            Ok(format!("{:?}", FileType::from_raw_mode(stat.st_mode)).into_bytes())
        }
        Operation::CreateDir(path) => {
            let (dir, name) = host.entry(path)?;
            rustix::fs::mkdirat(dir, as_os(name), Mode::from_raw_mode(0o755)).map(done)
        }
        Operation::Write(path, byte, len) => {
            let file = File::from(host.open(
                path,
                OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK,
            )?);
            file.write_all_at(&vec![*byte; *len], 0).unwrap();
            Ok(Vec::new())
        }
        Operation::Truncate(path, size) => {
            let file = host.open(path, OFlags::WRONLY | OFlags::NONBLOCK)?;
            rustix::fs::ftruncate(file, *size).map(done)
        }
        Operation::Symlink(target, path) => {
            let (dir, name) = host.entry(path)?;
            rustix::fs::symlinkat(as_os(target), dir, as_os(name)).map(done)
        }
        Operation::HardLink(from, to) => {
            let file = host.open(from, OFlags::PATH | OFlags::NOFOLLOW)?;
            let (dir, name) = host.entry(to)?;
            let from = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            // A link to a symbolic link itself cannot be made through /proc: only its two parents help.
            if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            rustix::fs::linkat(
                rustix::fs::CWD,
                from.as_str(),
                dir,
                as_os(name),
                AtFlags::SYMLINK_FOLLOW,
            )
            .map(done)
        }
        Operation::Rename(from, to, mode) => {
            let (old_dir, old) = host.entry(from)?;
            let (new_dir, new) = host.entry(to)?;
            let flags = match mode {
                RenameMode::Replace => RenameFlags::empty(),
                RenameMode::NoReplace => RenameFlags::NOREPLACE,
                RenameMode::Exchange => RenameFlags::EXCHANGE,
            };
            rustix::fs::renameat_with(old_dir, as_os(old), new_dir, as_os(new), flags).map(done)
        }
        Operation::RemoveFile(path) => {
            let (dir, name) = host.entry(path)?;
            rustix::fs::unlinkat(dir, as_os(name), AtFlags::empty()).map(done)
        }
        Operation::RemoveDir(path) => {
            let (dir, name) = host.entry(path)?;
            rustix::fs::unlinkat(dir, as_os(name), AtFlags::REMOVEDIR).map(done)
        }
        Operation::ReadLink(path) => {
            let link = host.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&link)?.st_mode);
            if kind != FileType::Symlink {
                return Err(Errno::INVAL);
            }
            Ok(rustix::fs::readlinkat(link, "", Vec::new())?.into_bytes())
        }
        Operation::SetPermissions(path, mode) => {
            let file = host.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
            rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(u32::from(*mode))).map(done)
        }
    }
}

fn apply_tree(tree: &Tree, operation: &Operation) -> Result<Vec<u8>, Error> {
    let done = |()| Vec::new();
    match operation {
        Operation::Resolve(path, follow) => {
            let metadata = if *follow {
                tree.metadata(path)?
            } else {
                tree.symlink_metadata(path)?
            };
            let kind = match metadata.file_type {
                disksmith_vfs::FileType::Regular => FileType::RegularFile,
                disksmith_vfs::FileType::Directory => FileType::Directory,
                _ => FileType::Symlink,
            };
            Ok(format!("{kind:?}").into_bytes())
        }
        Operation::CreateDir(path) => tree.create_dir(path, Owner::ROOT, 0o755).map(done),
        Operation::Write(path, byte, len) => {
            tree.write(path, &vec![*byte; *len], Owner::ROOT, 0o644).map(done)
        }
        Operation::Truncate(path, size) => tree.truncate(path, *size).map(done),
        Operation::Symlink(target, path) => tree.symlink(target, path, Owner::ROOT).map(done),
        Operation::HardLink(from, to) => tree.hard_link(from, to).map(done),
        Operation::Rename(from, to, mode) => tree.rename_with(from, to, *mode).map(done),
        Operation::RemoveFile(path) => tree.remove_file(path).map(done),
        Operation::RemoveDir(path) => tree.remove_dir(path).map(done),
        Operation::ReadLink(path) => tree.read_link(path),
        Operation::SetPermissions(path, mode) => tree.set_permissions(path, *mode).map(done),
    }
}

/// Kind, permissions, number of names and contents by path.
type Snapshot = BTreeMap<Vec<u8>, (String, u32, u64, Vec<u8>)>;

fn snapshot_tree(tree: &Tree) -> Snapshot {
    let mut all = Snapshot::new();
    tree.walk("/", |entry| {
        let m = &entry.metadata;
        let (kind, contents) = match m.file_type {
            disksmith_vfs::FileType::Regular => ("file", tree.read(&entry.path)?),
            disksmith_vfs::FileType::Symlink => ("link", tree.read_link(&entry.path)?),
            _ => ("directory", Vec::new()),
        };
        all.insert(
            entry.path.clone(),
            (kind.into(), u32::from(m.permissions), m.links, contents),
        );
        Ok::<_, Error>(WalkStep::Continue)
    })
    .unwrap();
    all.remove(&b"/"[..]);
    all
}

fn snapshot_host(dir: &Path, at: &Path, all: &mut Snapshot) {
    use std::os::unix::fs::MetadataExt;
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        let m = std::fs::symlink_metadata(entry.path()).unwrap();
        let (kind, contents) = if m.is_file() {
            ("file", std::fs::read(entry.path()).unwrap())
        } else if m.is_symlink() {
            (
                "link",
                std::fs::read_link(entry.path())
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
            )
        } else {
            snapshot_host(&entry.path(), &path, all);
            ("directory", Vec::new())
        };
        let links = if m.is_dir() { 0 } else { m.nlink() };
        all.insert(
            path.into_os_string().into_encoded_bytes(),
            (kind.into(), m.mode() & 0o7777, links, contents),
        );
    }
}

/// Whether an operation is one for which both sides promise the same.
fn comparable(operation: &Operation) -> bool {
    match operation {
        Operation::Resolve(..) | Operation::Truncate(..) | Operation::SetPermissions(..) => true,
        Operation::Write(path, ..) => names_something(path),
        // The kernel has no error of its own for a link that leads nowhere.
        Operation::Symlink(target, _) if target.is_empty() => false,
        // A trailing slash on a link is followed by the kernel here and there; the tree takes the link itself.
        Operation::CreateDir(path)
        | Operation::Symlink(_, path)
        | Operation::RemoveFile(path)
        | Operation::RemoveDir(path) => names_something(path) && !path.ends_with(b"/"),
        Operation::ReadLink(path) => !path.ends_with(b"/"),
        Operation::HardLink(a, b) | Operation::Rename(a, b, _) => [a, b]
            .into_iter()
            .all(|p| names_something(p) && !p.ends_with(b"/")),
    }
}

fn run(operations: &[Operation]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    rustix::process::umask(Mode::empty());
    let host = Host::new(dir.path());
    let clock = Timestamp {
        seconds: 1,
        nanoseconds: 0,
    };
    let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
    for operation in operations.iter().filter(|operation| comparable(operation)) {
        let theirs = apply_host(&host, operation);
        if theirs == Err(Errno::OPNOTSUPP) {
            continue;
        }
        let ours = apply_tree(&tree, operation);
        match (&theirs, &ours) {
            // A link whose target ends with a slash: the kernel refuses to create before it looks where the target leads.
            (
                Err(Errno::ISDIR),
                Err(Error::NotFound { .. } | Error::SymlinkLoop { .. } | Error::NotADirectory { .. }),
            ) if matches!(operation, Operation::Write(..)) => {}
            (Ok(a), Ok(b)) => prop_assert_eq!(a, b, "{:?}", operation),
            (Err(a), Err(b)) => {
                prop_assert_eq!(a.raw_os_error(), b.errno(), "{:?}: {} / {}", operation, a, b);
            }
            _ => prop_assert!(false, "{operation:?}: kernel {theirs:?}, tree {ours:?}"),
        }
    }
    let mut theirs = Snapshot::new();
    snapshot_host(dir.path(), Path::new("/"), &mut theirs);
    let mut ours = snapshot_tree(&tree);
    // How many links a directory has is the host filesystem's own business.
    ours.values_mut()
        .filter(|v| v.0 == "directory")
        .for_each(|v| v.2 = 0);
    prop_assert_eq!(ours, theirs);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("DISKSMITH_LONG").is_some() { 20_000 } else { 400 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_kernel_does_the_same(operations in prop::collection::vec(operation(), 1..60)) {
        run(&operations)?;
    }
}
