//! What a filesystem is in its operating system, told by its files alone.

use disksmith_vfs::{FileSystemRef, Timestamp, Tree};
use serde::Serialize;

/// A kind of operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum System {
    /// Linux, whichever distribution.
    Linux,
    /// FreeBSD.
    FreeBsd,
    /// NetBSD.
    NetBsd,
    /// OpenBSD.
    OpenBsd,
    /// GNU Hurd.
    Hurd,
    /// Minix 3.
    Minix,
    /// Windows.
    Windows,
    /// FreeDOS.
    FreeDos,
    /// MS-DOS.
    MsDos,
}

impl System {
    /// The word that libguestfs has for the type of operating system.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::FreeBsd => "freebsd",
            Self::NetBsd => "netbsd",
            Self::OpenBsd => "openbsd",
            Self::Hurd => "hurd",
            Self::Minix => "minix",
            Self::Windows => "windows",
            Self::FreeDos | Self::MsDos => "dos",
        }
    }

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::FreeBsd => "FreeBSD",
            Self::NetBsd => "NetBSD",
            Self::OpenBsd => "OpenBSD",
            Self::Hurd => "GNU Hurd",
            Self::Minix => "Minix",
            Self::Windows => "Windows",
            Self::FreeDos => "FreeDOS",
            Self::MsDos => "MS-DOS",
        }
    }
}

/// What a filesystem is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// GRUB's `/boot`.
    Boot,
    /// The root of an operating system.
    Root(System),
    /// The `/usr` of a Linux system.
    Usr,
    /// Its `/usr/local`.
    UsrLocal,
    /// Its `/var`.
    Var,
    /// Where an OSTree system (Fedora CoreOS, Silverblue) keeps its deployments: each is a root of its own.
    OsTree,
    /// Files of Windows that are not its root.
    WindowsData,
    /// None of these.
    Other,
}

impl Role {
    /// Looks at the files; the first that fits counts, in libguestfs's order.
    pub fn of(fs: &FileSystemRef) -> Self {
        let tree = Tree::new(fs.clone(), Timestamp::default());
        let file = |path: &str| has_file(&tree, path);
        let dir = |path: &str| has_dir(&tree, path);
        if ["/grub/menu.lst", "/grub/grub.conf", "/grub2/grub.cfg"]
            .iter()
            .any(|path| file(path))
        {
            return Self::Boot;
        }
        let (etc, bin) = (dir("/etc"), dir("/bin"));
        if etc && bin && file("/etc/fstab") {
            if file("/etc/freebsd-update.conf") {
                return Self::Root(System::FreeBsd);
            }
            if file("/netbsd") && file("/etc/release") {
                return Self::Root(System::NetBsd);
            }
            if file("/bsd") && file("/etc/motd") {
                return Self::Root(System::OpenBsd);
            }
        }
        if ["/hurd/console", "/hurd/hello", "/hurd/null"]
            .iter()
            .all(|path| file(path))
        {
            return Self::Root(System::Hurd);
        }
        if etc && bin && file("/service/vm") && file("/etc/fstab") && file("/etc/version") {
            return Self::Root(System::Minix);
        }
        let linux_bin = bin || is_link_to_usr_bin(&tree);
        if etc && linux_bin && (file("/etc/fstab") || file("/etc/hosts")) {
            return Self::Root(System::Linux);
        }
        // Flatcar and CoreOS bring /usr on a partition of its own; the links into it are made at the first boot.
        let core_os = ["/etc/coreos/update.conf", "/etc/flatcar/update.conf"];
        if etc && dir("/root") && dir("/home") && dir("/usr") && core_os.iter().any(|path| file(path)) {
            return Self::Root(System::Linux);
        }
        if dir("/ostree/deploy") {
            return Self::OsTree;
        }
        if etc && bin && dir("/share") && !file("/etc/fstab") {
            return if dir("/local") { Self::Usr } else { Self::UsrLocal };
        }
        if bin && dir("/share") && (dir("/share/coreos") || dir("/share/flatcar")) {
            return Self::Usr;
        }
        // A /usr of today has no etc in it.
        if bin && dir("/lib") && dir("/share") && dir("/sbin") && dir("/local") && !etc {
            return Self::Usr;
        }
        if dir("/log") && dir("/spool") && (dir("/run") || tree.is_symlink("/run")) {
            return Self::Var;
        }
        Self::of_dos_names(&tree)
    }

    /// Names whose case does not count.
    fn of_dos_names(tree: &Tree) -> Self {
        let dir = |path: &[&str]| find(tree, path).is_some_and(|path| has_dir(tree, &path));
        let file = |path: &[&str]| find(tree, path).is_some_and(|path| has_file(tree, &path));
        for root in ["windows", "winnt", "win32", "win", "reactos"] {
            if dir(&[root, "system32", "config"]) && file(&[root, "system32", "cmd.exe"]) {
                return Self::Root(System::Windows);
            }
        }
        if dir(&["system volume information"]) {
            return Self::WindowsData;
        }
        if file(&["fdos", "freedos.bss"]) {
            return Self::Root(System::FreeDos);
        }
        if file(&["dos", "command.com"]) {
            return Self::Root(System::MsDos);
        }
        Self::Other
    }
}

fn has_file(tree: &Tree, path: &str) -> bool {
    // A link to a place outside of this filesystem counts as the file that it stands for.
    tree.symlink_metadata(path)
        .is_ok_and(|m| m.is_file() || m.is_symlink())
}

fn has_dir(tree: &Tree, path: &str) -> bool {
    tree.symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

fn is_link_to_usr_bin(tree: &Tree) -> bool {
    tree.read_link("/bin")
        .is_ok_and(|to| matches!(to.as_slice(), b"usr/bin" | b"/usr/bin" | b"usr/bin/"))
}

/// The path as the filesystem writes it. Only directories that may well be small are listed, and no links are followed.
fn find(tree: &Tree, names: &[&str]) -> Option<String> {
    let mut path = String::new();
    for name in names {
        let dir = if path.is_empty() { "/" } else { &path };
        let node = tree.resolve_no_follow(dir).ok()?;
        let (fs, inode) = tree.open_node(node);
        let mut found = None;
        fs.read_dir(inode, 0, &mut |entry| {
            if entry.name.eq_ignore_ascii_case(name.as_bytes()) {
                found = Some(String::from_utf8_lossy(&entry.name).into_owned());
            }
            found.is_none()
        })
        .ok()?;
        path = format!("{path}/{}", found?);
    }
    Some(path)
}
