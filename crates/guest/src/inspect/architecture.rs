//! For which processor a guest's programs are made: the header of one of them (ELF: Tool Interface Standard, "ELF Header").

use disksmith_vfs::Tree;

/// Programs that are looked at, the first that is one counts.
const PROGRAMS: &[&str] = &[
    "/bin/bash",
    "/bin/ls",
    "/bin/echo",
    "/bin/rm",
    "/bin/sh",
    "/bin/busybox",
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
];

/// Bytes of the header up to and with `e_machine`.
const HEADER: usize = 20;

/// The name of the processor as libguestfs says it: `x86_64`, `aarch64`. `None` where no program says it.
pub(crate) fn of_guest(tree: &Tree) -> Option<&'static str> {
    PROGRAMS
        .iter()
        .find_map(|path| of_header(&read_header(tree, path)?))
}

fn read_header(tree: &Tree, path: &str) -> Option<[u8; HEADER]> {
    let node = tree.resolve(path).ok()?;
    let (fs, inode) = tree.open_node(node);
    if !fs.metadata(inode).ok()?.is_file() {
        return None;
    }
    let mut header = [0; HEADER];
    let mut have = 0;
    while have < HEADER {
        let part = header.get_mut(have..)?;
        match fs.read(inode, have as u64, part).ok()? {
            0 => return None,
            read => have = have.saturating_add(read),
        }
    }
    Some(header)
}

fn of_header(header: &[u8; HEADER]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = *header else {
        return None;
    };
    let [.., low, high] = *header;
    let little = match order {
        1 => true,
        2 => false,
        _ => return None,
    };
    let machine = if little {
        u16::from_le_bytes([low, high])
    } else {
        u16::from_be_bytes([low, high])
    };
    let wide = class == 2;
    Some(match machine {
        2 | 18 => "sparc",
        3 | 6 => "i386",
        8 if wide => "mips64",
        8 => "mips",
        20 => "ppc",
        21 if little => "ppc64le",
        21 => "ppc64",
        22 if wide => "s390x",
        22 => "s390",
        40 => "arm",
        43 => "sparc64",
        50 => "ia64",
        62 => "x86_64",
        183 => "aarch64",
        243 if wide => "riscv64",
        243 => "riscv32",
        258 => "loongarch64",
        0x9026 => "alpha",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_vfs::{MemoryFs, Owner, Timestamp};
    use std::sync::Arc;

    fn header(class: u8, order: u8, machine: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order]);
        let machine = if order == 2 {
            machine.to_be_bytes()
        } else {
            machine.to_le_bytes()
        };
        header[18..].copy_from_slice(&machine);
        header
    }

    #[test]
    fn headers_of_all_orders_and_widths() {
        for (class, order, machine, name) in [
            (2, 1, 62, Some("x86_64")),
            (1, 1, 3, Some("i386")),
            (2, 1, 183, Some("aarch64")),
            (2, 2, 22, Some("s390x")),
            (1, 2, 22, Some("s390")),
            (2, 2, 21, Some("ppc64")),
            (2, 1, 21, Some("ppc64le")),
            (2, 1, 243, Some("riscv64")),
            (1, 1, 40, Some("arm")),
            (1, 3, 3, None),
            (1, 1, 9999, None),
        ] {
            assert_eq!(of_header(&header(class, order, machine)), name, "{machine}");
        }
    }

    #[test]
    fn this_machines_own_shell_is_known() {
        let clock = Timestamp::default();
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        assert_eq!(of_guest(&tree), None);
        tree.create_dir("/bin", Owner::ROOT, 0o755).unwrap();
        tree.write("/bin/bash", b"\x7fELF", Owner::ROOT, 0o755).unwrap();
        assert_eq!(of_guest(&tree), None);
        let shell = std::fs::read("/bin/sh").unwrap();
        tree.write("/bin/sh", &shell, Owner::ROOT, 0o755).unwrap();
        let found = of_guest(&tree);
        let machine = std::env::consts::ARCH;
        assert_eq!(found, Some(if machine == "x86" { "i386" } else { machine }));
    }
}
