//! The kernel of a guest that would start: the newest one, with its initial RAM disk.

use crate::error::{Error, Result};
use disksmith_vfs::{Error as FileError, Tree};
use std::cmp::Ordering;

/// A kernel and what belongs to it, as paths in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel's image.
    pub kernel: Vec<u8>,
    /// Its initial RAM disk.
    pub initrd: Option<Vec<u8>>,
}

/// Finds the newest kernel in `/boot`, where distributions put `vmlinuz-VERSION` (or `vmlinux-VERSION`) beside
/// `initramfs-VERSION.img`, `initrd-VERSION` or `initrd.img-VERSION`.
///
/// # Errors
/// A guest without kernel.
pub fn newest_kernel(tree: &Tree) -> Result<Kernel> {
    let mut kernels = glob(tree, &["/boot/vmlinuz-*"])?;
    if kernels.is_empty() {
        kernels = glob(tree, &["/boot/vmlinux-*"])?;
    }
    let mut initrds = glob(
        tree,
        &["/boot/initramfs-*", "/boot/initrd-*", "/boot/initrd.img-*"],
    )?;
    // Those that dracut makes to save a crash, or to start on any hardware.
    let is_special = |path: &Vec<u8>| contains(path, b"rescue") || contains(path, b"kdump");
    kernels.retain(|path| !contains(path, b"rescue"));
    initrds.retain(|path| !is_special(path));
    let newest = |mut paths: Vec<Vec<u8>>| {
        paths.sort_by(|a, b| compare_versions(b, a));
        paths.into_iter().next()
    };
    match newest(kernels) {
        Some(kernel) => Ok(Kernel {
            kernel,
            initrd: newest(initrds),
        }),
        None => Err(Error::guest_path(b"/boot", "there is no kernel in it")),
    }
}

fn glob(tree: &Tree, patterns: &[&str]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for pattern in patterns {
        match tree.glob(pattern) {
            Ok(paths) => found.extend(paths.into_iter().filter(|path| tree.is_file(path))),
            Err(FileError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn contains(path: &[u8], word: &[u8]) -> bool {
    path.windows(word.len()).any(|w| w == word)
}

/// The name of a file without folder and version: `vmlinuz` of `/boot/vmlinuz-6.1.0-9-amd64`.
pub fn unversioned_name(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    name.split(|b| *b == b'-').next().unwrap_or(name)
}

/// Compares names by the numbers in them: runs of digits as numbers, the rest as bytes.
pub(crate) fn compare_versions(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (take_number(&mut a), take_number(&mut b));
            match m.len().cmp(&n.len()).then_with(|| m.cmp(n)) {
                Ordering::Equal => {}
                other => return other,
            }
        } else if x == y {
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        } else {
            return x.cmp(y);
        }
    }
}

/// The digits at the start, without leading zeroes, which are taken off.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    let zeroes = number.iter().take_while(|b| **b == b'0').count();
    number.get(zeroes..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (newer, older) in [
            ("vmlinuz-6.1.0-10-amd64", "vmlinuz-6.1.0-9-amd64"),
            ("vmlinuz-6.10", "vmlinuz-6.9.7"),
            ("vmlinuz-5.14.0-362.el9", "vmlinuz-5.14.0-70.el9"),
            ("vmlinuz-6.1.0", "vmlinuz-6.1"),
        ] {
            let (newer, older) = (newer.as_bytes(), older.as_bytes());
            assert_eq!(compare_versions(newer, older), Ordering::Greater);
            assert_eq!(compare_versions(older, newer), Ordering::Less);
            assert_eq!(compare_versions(newer, newer), Ordering::Equal);
        }
        assert_eq!(unversioned_name(b"/boot/initrd.img-6.1.0-9"), b"initrd.img");
        assert_eq!(unversioned_name(b"/boot/vmlinuz"), b"vmlinuz");
    }
}
