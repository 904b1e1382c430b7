//! `/etc/fstab` (fstab(5)).

use super::{lines, text};

/// One line of `/etc/fstab`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FstabEntry {
    /// What is mounted: `UUID=…`, `/dev/sda1`.
    pub spec: String,
    /// Where: an absolute path, or `none`. Bytes as they are in the file.
    pub mountpoint: Vec<u8>,
    /// The filesystem's type.
    pub fs_type: String,
    /// The options, split at commas.
    pub options: Vec<String>,
    /// The line, counted from 1.
    pub line: usize,
}

/// Parses the file. Returns the entries, and (line, reason) of each line that is none.
pub fn parse_fstab(contents: &[u8]) -> (Vec<FstabEntry>, Vec<(usize, String)>) {
    let (mut entries, mut damaged) = (Vec::new(), Vec::new());
    for (index, line) in lines(contents).enumerate() {
        let line_number = index + 1;
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let fields: Vec<Vec<u8>> = line
            .split(|b| matches!(b, b' ' | b'\t'))
            .filter(|f| !f.is_empty())
            .map(unescape)
            .collect();
        let (Some(spec), Some(mountpoint), Some(fs_type)) = (fields.first(), fields.get(1), fields.get(2))
        else {
            damaged.push((line_number, "fewer than three fields".into()));
            continue;
        };
        if spec.contains(&0) || mountpoint.contains(&0) {
            damaged.push((line_number, "a NUL byte".into()));
            continue;
        }
        entries.push(FstabEntry {
            spec: text(&unquote_tag(spec)),
            mountpoint: mountpoint.clone(),
            fs_type: text(fs_type),
            options: fields
                .get(3)
                .map(|options| text(options).split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            line: line_number,
        });
    }
    (entries, damaged)
}

/// `\040` and other octal escapes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut at = 0;
    while let Some(byte) = field.get(at) {
        let digits = field.get(at + 1..at + 4).unwrap_or_default();
        let octal = digits.len() == 3 && digits.iter().all(|b| matches!(b, b'0'..=b'7'));
        if *byte == b'\\' && octal {
            let value = digits
                .iter()
                .fold(0u32, |value, b| value * 8 + u32::from(b - b'0'));
            out.push(value as u8);
            at += 4;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    out
}

/// `UUID="…"` is written with quotes by some.
fn unquote_tag(spec: &[u8]) -> Vec<u8> {
    spec.iter().copied().filter(|b| *b != b'"').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_distributions_write() {
        let (entries, damaged) = parse_fstab(
            b"# /etc/fstab\nUUID=\"ab-cd\" / ext4 rw,discard,errors=remount-ro 0 1\n\nLABEL=data\t/srv/my\\040data  xfs\tnofail\n/dev/sdb1 none\nproc /proc proc",
        );
        assert_eq!(damaged, [(5, "fewer than three fields".to_owned())]);
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0].spec, "UUID=ab-cd");
        assert_eq!(entries[0].options, ["rw", "discard", "errors=remount-ro"]);
        assert_eq!(entries[1].mountpoint, b"/srv/my data");
        assert_eq!(entries[2].line, 6);
    }
}
