//! Changes to a tree of files, told by paths, so that any executor can make them: ours, the model, the kernel.

use disksmith_vfs::{
    FileSystem, FileType, InodeNo, MetadataChange, NewNode, RenameMode, Timestamp, XattrMode,
};
use rustix::fs as sys;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A number as `errno` has it.
pub type Errno = i32;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Create {
        path: String,
        kind: FileType,
        permissions: u16,
        owner: (u32, u32),
        device: (u32, u32),
        target: String,
    },
    Write {
        path: String,
        offset: u64,
        data: Vec<u8>,
    },
    SetSize {
        path: String,
        size: u64,
    },
    Punch {
        path: String,
        offset: u64,
        len: u64,
    },
    Allocate {
        path: String,
        offset: u64,
        len: u64,
        keep_size: bool,
    },
    Unlink {
        path: String,
    },
    RemoveDir {
        path: String,
    },
    Rename {
        path: String,
        to: String,
        mode: RenameMode,
    },
    Link {
        path: String,
        to: String,
    },
    SetOwner {
        path: String,
        owner: (u32, u32),
        permissions: u16,
    },
    SetTimes {
        path: String,
        accessed: Timestamp,
        modified: Timestamp,
    },
    SetXattr {
        path: String,
        name: String,
        value: Vec<u8>,
        mode: XattrMode,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Finds an inode by path, without following links.
pub fn find(fs: &dyn FileSystem, path: &str) -> Result<InodeNo, Errno> {
    path.split('/')
        .filter(|name| !name.is_empty())
        .try_fold(fs.root(), |dir, name| fs.lookup(dir, name.as_bytes()))
        .map_err(|error| error.errno())
}

/// Makes a change through the trait.
pub fn apply(fs: &dyn FileSystem, act: &Act, now: Timestamp) -> Result<(), Errno> {
    let errno = |error: disksmith_vfs::Error| {
        assert!(!matches!(error.errno(), 117 | 5), "{act:?}: {error}");
        error.errno()
    };
    let parent = |path: &str| {
        let (dir, name) = split(path);
        find(fs, dir).map(|dir| (dir, name.as_bytes().to_vec()))
    };
    match act {
        Act::Create {
            path,
            kind,
            permissions,
            owner,
            device,
            target,
        } => {
            let (dir, name) = parent(path)?;
            let node = NewNode {
                file_type: *kind,
                permissions: *permissions,
                uid: owner.0,
                gid: owner.1,
                time: now,
                target: target.as_bytes(),
                device: *device,
            };
            let inode = fs.create(dir, &name, &node).map_err(errno)?;
            if *kind == FileType::Symlink {
                return Ok(());
            }
            // As done by the kernel: a default access control list takes bits away.
            let change = MetadataChange {
                permissions: Some(*permissions),
                changed: Some(now),
                ..MetadataChange::default()
            };
            fs.set_metadata(inode, &change).map_err(errno)
        }
        Act::Write { path, offset, data } => fs.write(find(fs, path)?, *offset, data).map_err(errno),
        Act::SetSize { path, size } => fs.set_size(find(fs, path)?, *size).map_err(errno),
        Act::Punch { path, offset, len } => fs.punch_hole(find(fs, path)?, *offset, *len).map_err(errno),
        Act::Allocate {
            path,
            offset,
            len,
            keep_size,
        } => fs
            .allocate(find(fs, path)?, *offset, *len, *keep_size)
            .map_err(errno),
        Act::Unlink { path } => {
            let (dir, name) = parent(path)?;
            fs.unlink(dir, &name).map_err(errno)
        }
        Act::RemoveDir { path } => {
            let (dir, name) = parent(path)?;
            fs.remove_dir(dir, &name).map_err(errno)
        }
        Act::Rename { path, to, mode } => {
            let (dir, name) = parent(path)?;
            let (to_dir, to_name) = parent(to)?;
            fs.rename(dir, &name, to_dir, &to_name, *mode).map_err(errno)
        }
        Act::Link { path, to } => {
            let inode = find(fs, path)?;
            let (dir, name) = parent(to)?;
            fs.link(inode, dir, &name).map_err(errno)
        }
        Act::SetOwner {
            path,
            owner,
            permissions,
        } => {
            let change = MetadataChange {
                uid: Some(owner.0),
                gid: Some(owner.1),
                permissions: Some(*permissions),
                ..MetadataChange::default()
            };
            fs.set_metadata(find(fs, path)?, &change).map_err(errno)
        }
        Act::SetTimes {
            path,
            accessed,
            modified,
        } => {
            let change = MetadataChange {
                accessed: Some(*accessed),
                modified: Some(*modified),
                ..MetadataChange::default()
            };
            fs.set_metadata(find(fs, path)?, &change).map_err(errno)
        }
        Act::SetXattr {
            path,
            name,
            value,
            mode,
        } => fs
            .set_xattr(find(fs, path)?, name.as_bytes(), value, *mode)
            .map_err(errno),
        Act::RemoveXattr { path, name } => fs.remove_xattr(find(fs, path)?, name.as_bytes()).map_err(errno),
    }
}

/// Makes a change through the kernel, in a mounted filesystem.
pub fn apply_by_kernel(root: &Path, act: &Act) -> Result<(), Errno> {
    let at = |path: &str| -> PathBuf { root.join(path.trim_start_matches('/')) };
    let open = |path: &str| {
        std::fs::File::options()
            .write(true)
            .open(at(path))
            .map_err(|error| error.raw_os_error().unwrap_or(-1))
    };
    let errno = |error: rustix::io::Errno| error.raw_os_error();
    match act {
        Act::Create {
            path,
            kind,
            permissions,
            owner,
            device,
            target,
        } => {
            let place = at(path);
            let mode = sys::Mode::from_raw_mode(u32::from(*permissions));
            let kind = match kind {
                FileType::Directory => {
                    return sys::mkdir(&place, mode)
                        .map_err(errno)
                        .and_then(|()| own(&place, *owner, *permissions));
                }
                FileType::Symlink => {
                    sys::symlink(target.as_str(), &place).map_err(errno)?;
                    return own(&place, *owner, 0o7777);
                }
                FileType::Regular => sys::FileType::RegularFile,
                FileType::Fifo => sys::FileType::Fifo,
                FileType::Socket => sys::FileType::Socket,
                FileType::CharDevice => sys::FileType::CharacterDevice,
                FileType::BlockDevice => sys::FileType::BlockDevice,
            };
            let device = sys::makedev(device.0, device.1);
            sys::mknodat(sys::CWD, &place, kind, mode, device).map_err(errno)?;
            own(&place, *owner, *permissions)
        }
        Act::Write { path, offset, data } => open(path)?
            .write_all_at(data, *offset)
            .map_err(|error| error.raw_os_error().unwrap_or(-1)),
        Act::SetSize { path, size } => open(path)?
            .set_len(*size)
            .map_err(|error| error.raw_os_error().unwrap_or(-1)),
        Act::Punch { path, offset, len } => sys::fallocate(
            open(path)?,
            sys::FallocateFlags::PUNCH_HOLE | sys::FallocateFlags::KEEP_SIZE,
            *offset,
            *len,
        )
        .map_err(errno),
        Act::Allocate {
            path,
            offset,
            len,
            keep_size,
        } => {
            let flags = if *keep_size {
                sys::FallocateFlags::KEEP_SIZE
            } else {
                sys::FallocateFlags::empty()
            };
            sys::fallocate(open(path)?, flags, *offset, *len).map_err(errno)
        }
        Act::Unlink { path } => sys::unlink(at(path)).map_err(errno),
        Act::RemoveDir { path } => sys::rmdir(at(path)).map_err(errno),
        Act::Rename { path, to, mode } => {
            let flags = match mode {
                RenameMode::Replace => sys::RenameFlags::empty(),
                RenameMode::NoReplace => sys::RenameFlags::NOREPLACE,
                RenameMode::Exchange => sys::RenameFlags::EXCHANGE,
            };
            sys::renameat_with(sys::CWD, at(path), sys::CWD, at(to), flags).map_err(errno)
        }
        Act::Link { path, to } => sys::link(at(path), at(to)).map_err(errno),
        Act::SetOwner {
            path,
            owner,
            permissions,
        } => own(&at(path), *owner, *permissions),
        Act::SetTimes {
            path,
            accessed,
            modified,
        } => {
            let spec = |time: &Timestamp| sys::Timespec {
                tv_sec: time.seconds,
                tv_nsec: i64::from(time.nanoseconds),
            };
            let times = sys::Timestamps {
                last_access: spec(accessed),
                last_modification: spec(modified),
            };
            sys::utimensat(sys::CWD, at(path), &times, sys::AtFlags::SYMLINK_NOFOLLOW).map_err(errno)
        }
        Act::SetXattr {
            path,
            name,
            value,
            mode,
        } => {
            let flags = match mode {
                XattrMode::Set => sys::XattrFlags::empty(),
                XattrMode::Create => sys::XattrFlags::CREATE,
                XattrMode::Replace => sys::XattrFlags::REPLACE,
            };
            sys::lsetxattr(at(path), name.as_str(), value, flags).map_err(errno)
        }
        Act::RemoveXattr { path, name } => sys::lremovexattr(at(path), name.as_str()).map_err(errno),
    }
}

fn own(place: &Path, owner: (u32, u32), permissions: u16) -> Result<(), Errno> {
    std::os::unix::fs::lchown(place, Some(owner.0), Some(owner.1))
        .map_err(|e| e.raw_os_error().unwrap_or(-1))?;
    if permissions != 0o7777 && !place.is_symlink() {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(u32::from(permissions));
        std::fs::set_permissions(place, mode).map_err(|e| e.raw_os_error().unwrap_or(-1))?;
    }
    Ok(())
}

/// Random numbers that are the same each time (xorshift).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut this = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            this.next();
        }
        this
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Which paths there are, so that random changes mostly meet something.
#[derive(Debug, Default, Clone)]
pub struct Names {
    kinds: BTreeMap<String, FileType>,
    /// Access control lists are among the attributes; a model does not know what they do.
    pub access_lists: bool,
    /// Values of attributes may be larger than a block.
    pub large_values: bool,
}

/// A valid access control list as `setxattr` takes it.
fn access_list(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    let named = dice.below(4) as u32;
    let mut add = |tag: u16, id: u32, permissions: u64| {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&(permissions as u16).to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    };
    add(1, u32::MAX, dice.below(8));
    for i in 0..named {
        add(2, 1000 + i, dice.below(8));
    }
    add(4, u32::MAX, dice.below(8));
    if named == 3 {
        add(8, 70_000, dice.below(8));
    }
    if named > 0 || dice.one_in(2) {
        add(16, u32::MAX, dice.below(8));
    }
    add(32, u32::MAX, dice.below(8));
    bytes
}

/// Names of extended attributes that all kinds of files can have, then one for files and directories only.
const XATTRS: &[&str] = &[
    "trusted.a",
    "trusted.longer-name",
    "security.selinux",
    "user.x",
    "user.another",
];

impl Names {
    fn pick(&self, dice: &mut Dice, kind: Option<FileType>) -> Option<String> {
        let list: Vec<&String> = self
            .kinds
            .iter()
            .filter(|(_, k)| kind.is_none_or(|kind| kind == **k))
            .map(|(path, _)| path)
            .collect();
        (!list.is_empty()).then(|| list[dice.below(list.len() as u64) as usize].clone())
    }

    fn directory(&self, dice: &mut Dice) -> String {
        if dice.one_in(4) {
            return String::new();
        }
        self.pick(dice, Some(FileType::Directory)).unwrap_or_default()
    }

    fn new_path(&self, dice: &mut Dice) -> String {
        let dir = self.directory(dice);
        let name = match dice.below(12) {
            0 => format!(
                "{:x}-{}",
                dice.below(1 << 20),
                "long".repeat(dice.below(60) as usize)
            ),
            1..4 => format!("n{}", dice.below(4)),
            _ => format!("file-{:x}", dice.below(1 << 16)),
        };
        format!("{dir}/{name}")
    }

    fn size(dice: &mut Dice) -> u64 {
        match dice.below(10) {
            0 => 0,
            1..4 => dice.below(200),
            4..7 => dice.below(20_000),
            7..9 => dice.below(300_000),
            _ => dice.below(1 << 32),
        }
    }

    /// A random change, mostly one that makes sense.
    pub fn draw(&self, dice: &mut Dice) -> Act {
        let some = |dice: &mut Dice, kind| self.pick(dice, kind).unwrap_or_else(|| "/none".into());
        let regular = Some(FileType::Regular);
        let owner = |dice: &mut Dice| (dice.below(3) as u32 * 70_000, dice.below(3) as u32 * 1000);
        let permissions = |dice: &mut Dice| (dice.below(0o1000) | 0o600) as u16;
        match dice.below(100) {
            0..26 => {
                let kind = match dice.below(20) {
                    0..9 => FileType::Regular,
                    9..14 => FileType::Directory,
                    14..17 => FileType::Symlink,
                    17 => FileType::Fifo,
                    18 => FileType::CharDevice,
                    _ => FileType::BlockDevice,
                };
                let target = match (kind, dice.below(3)) {
                    (FileType::Symlink, 0) => "t".repeat(1 + dice.below(70) as usize),
                    (FileType::Symlink, 1) => "long/".repeat(1 + dice.below(180) as usize),
                    (FileType::Symlink, _) => "target".into(),
                    _ => String::new(),
                };
                let device = match kind {
                    FileType::CharDevice | FileType::BlockDevice => {
                        (dice.below(300) as u32, dice.below(70_000) as u32)
                    }
                    _ => (0, 0),
                };
                Act::Create {
                    path: self.new_path(dice),
                    kind,
                    permissions: if kind == FileType::Symlink {
                        0o777
                    } else {
                        permissions(dice)
                    },
                    owner: owner(dice),
                    device,
                    target,
                }
            }
            26..46 => {
                let offset = if dice.one_in(2) { 0 } else { Self::size(dice) };
                let len = match dice.below(4) {
                    0 => dice.below(100),
                    1 => dice.below(5000),
                    2 => dice.below(20_000),
                    _ => dice.below(150_000),
                };
                Act::Write {
                    path: some(dice, regular),
                    offset,
                    data: dice.bytes(len as usize),
                }
            }
            46..52 => Act::SetSize {
                path: some(dice, regular),
                size: Self::size(dice),
            },
            52..57 => Act::Punch {
                path: some(dice, regular),
                offset: Self::size(dice),
                len: 1 + Self::size(dice),
            },
            57..61 => Act::Allocate {
                path: some(dice, regular),
                offset: dice.below(500_000),
                len: 1 + dice.below(300_000),
                keep_size: dice.one_in(2),
            },
            61..67 => Act::Unlink {
                path: some(dice, None),
            },
            67..70 => Act::RemoveDir {
                path: some(dice, Some(FileType::Directory)),
            },
            70..78 => {
                let to = if dice.one_in(2) {
                    some(dice, None)
                } else {
                    self.new_path(dice)
                };
                let mode = match dice.below(6) {
                    0 => RenameMode::NoReplace,
                    1 => RenameMode::Exchange,
                    _ => RenameMode::Replace,
                };
                Act::Rename {
                    path: some(dice, None),
                    to,
                    mode,
                }
            }
            78..82 => Act::Link {
                path: some(dice, None),
                to: self.new_path(dice),
            },
            82..86 => Act::SetOwner {
                path: some(dice, regular),
                owner: owner(dice),
                permissions: permissions(dice),
            },
            86..89 => {
                let time = |dice: &mut Dice| Timestamp {
                    // Up to 2310: what is later e2fsck takes for times before 1970.
                    seconds: if dice.one_in(8) {
                        -(dice.below(1 << 31) as i64)
                    } else {
                        dice.below((1 << 33) + (1 << 31)) as i64
                    },
                    nanoseconds: dice.below(1_000_000_000) as u32,
                };
                Act::SetTimes {
                    path: some(dice, None),
                    accessed: time(dice),
                    modified: time(dice),
                }
            }
            89..97 => {
                let path = some(dice, None);
                let any = matches!(
                    self.kinds.get(&path),
                    Some(FileType::Regular | FileType::Directory)
                );
                let len = match dice.below(5) {
                    0 => 0,
                    1..4 => dice.below(60),
                    _ => dice.below(500),
                };
                let mode = match dice.below(6) {
                    0 => XattrMode::Create,
                    1 => XattrMode::Replace,
                    _ => XattrMode::Set,
                };
                if any && self.access_lists && dice.one_in(3) {
                    let is_dir = self.kinds.get(&path) == Some(&FileType::Directory);
                    let name = if is_dir && dice.one_in(2) {
                        "system.posix_acl_default"
                    } else {
                        "system.posix_acl_access"
                    };
                    return Act::SetXattr {
                        path,
                        name: name.into(),
                        value: access_list(dice),
                        mode: XattrMode::Set,
                    };
                }
                // Not for links: e2fsck mistakes what the kernel makes of them.
                let len = if any && self.large_values && dice.one_in(4) {
                    dice.below(20_000)
                } else {
                    len
                };
                let count = if any { XATTRS.len() } else { 3 };
                Act::SetXattr {
                    path,
                    name: XATTRS[dice.below(count as u64) as usize].into(),
                    value: dice.bytes(len as usize),
                    mode,
                }
            }
            _ => Act::RemoveXattr {
                path: some(dice, None),
                name: XATTRS[dice.below(3) as usize].into(),
            },
        }
    }

    /// Notes what a change that succeeded did to the names.
    pub fn note(&mut self, act: &Act) {
        match act {
            Act::Create { path, kind, .. } => {
                self.kinds.insert(path.clone(), *kind);
            }
            Act::Unlink { path } | Act::RemoveDir { path } => {
                self.kinds.remove(path);
            }
            Act::Link { path, to } => {
                if let Some(kind) = self.kinds.get(path).copied() {
                    self.kinds.insert(to.clone(), kind);
                }
            }
            Act::Rename { path, to, mode } => {
                let exchange = *mode == RenameMode::Exchange;
                let under = |name: &str, of: &str| {
                    name == of || name.strip_prefix(of).is_some_and(|r| r.starts_with('/'))
                };
                let old = std::mem::take(&mut self.kinds);
                for (name, kind) in &old {
                    if under(name, path) {
                        self.kinds.insert(format!("{to}{}", &name[path.len()..]), *kind);
                    } else if under(name, to) {
                        if exchange {
                            self.kinds.insert(format!("{path}{}", &name[to.len()..]), *kind);
                        }
                    } else {
                        self.kinds.insert(name.clone(), *kind);
                    }
                }
            }
            _ => {}
        }
    }
}
