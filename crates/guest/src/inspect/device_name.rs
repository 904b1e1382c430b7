//! Names of disks and partitions.

/// The canonical name of a disk (counted from 0) or of a partition of it: `/dev/sda`, `/dev/sdb1`.
pub fn canonical_device_name(disk: usize, partition: Option<u32>) -> String {
    let mut letters = Vec::new();
    let mut left = disk;
    loop {
        letters.push(char::from(b'a' + (left % 26) as u8));
        match (left / 26).checked_sub(1) {
            Some(more) => left = more,
            None => break,
        }
    }
    letters.reverse();
    let letters: String = letters.into_iter().collect();
    match partition {
        Some(number) if number > 0 => format!("/dev/sd{letters}{number}"),
        _ => format!("/dev/sd{letters}"),
    }
}

/// The disk (counted from 0) and the partition that a Linux device name means: `/dev/vdb2` is (1, Some(2)). The disks of each
/// kind (`sd`, `hd`, `vd`, `xvd`, `ubd`, `nvme`, `mmcblk`, `cciss`) are taken in the order of their names.
pub fn parse_device_name(name: &str) -> Option<(usize, Option<u32>)> {
    let name = name.strip_prefix("/dev/")?;
    if let Some(rest) = name.strip_prefix("nvme") {
        let (controller, rest) = rest.split_once('n')?;
        let (namespace, partition) = split_partition(rest)?;
        let namespace: usize = namespace.parse().ok()?;
        let disk = controller
            .parse::<usize>()
            .ok()?
            .checked_add(namespace.checked_sub(1)?)?;
        return Some((disk, partition));
    }
    if let Some(rest) = name.strip_prefix("cciss/c") {
        let (_, rest) = rest.split_once('d')?;
        let (disk, partition) = split_partition(rest)?;
        return Some((disk.parse().ok()?, partition));
    }
    if let Some(rest) = name.strip_prefix("mmcblk") {
        let (disk, partition) = split_partition(rest)?;
        return Some((disk.parse().ok()?, partition));
    }
    let rest = ["xvd", "sd", "hd", "vd", "ubd"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
    let (letters, number) = rest.split_at(letters);
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let disk = letters
        .bytes()
        .fold(0usize, |sum, b| sum * 26 + usize::from(b - b'a') + 1)
        - 1;
    let partition = if number.is_empty() {
        None
    } else {
        Some(partition_number(number)?)
    };
    Some((disk, partition))
}

/// `0p2` and `0`.
fn split_partition(text: &str) -> Option<(&str, Option<u32>)> {
    match text.split_once('p') {
        Some((disk, number)) => Some((disk, Some(partition_number(number)?))),
        None => Some((text, None)),
    }
}

fn partition_number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_on_after_z() {
        assert_eq!(canonical_device_name(0, Some(1)), "/dev/sda1");
        assert_eq!(canonical_device_name(25, None), "/dev/sdz");
        assert_eq!(canonical_device_name(26, None), "/dev/sdaa");
        assert_eq!(canonical_device_name(701, Some(12)), "/dev/sdzz12");
        assert_eq!(canonical_device_name(702, None), "/dev/sdaaa");
        for disk in [0, 1, 25, 26, 27, 700, 701, 702, 800] {
            assert_eq!(
                parse_device_name(&canonical_device_name(disk, Some(3))),
                Some((disk, Some(3)))
            );
        }
    }

    #[test]
    fn all_kinds_map_by_position() {
        for (name, found) in [
            ("/dev/vda1", Some((0, Some(1)))),
            ("/dev/xvdb", Some((1, None))),
            ("/dev/hdc5", Some((2, Some(5)))),
            ("/dev/nvme0n1p2", Some((0, Some(2)))),
            ("/dev/nvme1n1", Some((1, None))),
            ("/dev/mmcblk0p1", Some((0, Some(1)))),
            ("/dev/mapper/vg-root", None),
            ("/dev/sda0", None),
            ("/dev/sda+1", None),
            ("/dev/sd", None),
            ("/dev/sda1x", None),
            ("/dev/nvme0n0p1", None),
            ("sda1", None),
        ] {
            assert_eq!(parse_device_name(name), found, "{name}");
        }
    }
}
