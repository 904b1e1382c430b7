//! The formats of image files, and how they are told apart.

use disksmith_storage::Storage;
use std::fmt;

/// A format that disksmith reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The guest's bytes as they are.
    Raw,
    /// qcow2, version 2 or 3.
    Qcow2,
    /// LUKS, version 1: the guest's bytes encrypted, behind a header.
    Luks,
}

impl Format {
    /// The name that qemu-img and libvirt use, and that is recorded as a backing file's format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Luks => "luks",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"raw" => Some(Self::Raw),
            b"qcow2" => Some(Self::Qcow2),
            b"luks" => Some(Self::Luks),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the bytes of a file look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// A format that disksmith opens. Everything that looks like nothing else is raw.
    Known(Format),
    /// An image format that disksmith does not open yet, by the name that qemu-img has for it.
    Foreign(&'static str),
    /// A compressed file or an archive, which may hold an image.
    Packed(Packing),
}

/// A compression or archive format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// What it is called.
    pub name: &'static str,
    /// The shell command that unpacks it, up to the file's name.
    pub unpack: &'static str,
}

/// How many bytes from the start of a file are looked at.
pub const PROBE_SIZE: usize = 2048;

/// Signatures at fixed offsets, from the specification of each format.
const FOREIGN: &[(usize, &[u8], &str)] = &[
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"QED\0", "qed"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
];

const PACKED: &[(usize, &[u8], Packing)] = &[
    (
        0,
        b"\x1f\x8b\x08",
        Packing {
            name: "gzip",
            unpack: "gunzip -k",
        },
    ),
    (
        0,
        b"\xfd7zXZ\0",
        Packing {
            name: "xz",
            unpack: "unxz -k",
        },
    ),
    (
        0,
        b"\x28\xb5\x2f\xfd",
        Packing {
            name: "zstd",
            unpack: "unzstd",
        },
    ),
    (
        0,
        b"BZh",
        Packing {
            name: "bzip2",
            unpack: "bunzip2 -k",
        },
    ),
    (
        0,
        b"PK\x03\x04",
        Packing {
            name: "zip",
            unpack: "unzip",
        },
    ),
    (
        0,
        b"7z\xbc\xaf\x27\x1c",
        Packing {
            name: "7z",
            unpack: "7z x",
        },
    ),
    (
        257,
        b"ustar",
        Packing {
            name: "tar",
            unpack: "tar xf",
        },
    ),
];

fn has(head: &[u8], offset: usize, signature: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(signature))
}

/// Tells a file's format by its first [`PROBE_SIZE`] bytes (fewer where the file is shorter).
#[must_use]
pub fn detect(head: &[u8]) -> Detected {
    if has(head, 0, b"QFI\xfb") {
        // The version decides between qcow, which is another format, and qcow2 (2, 3 and whatever comes after it).
        return if has(head, 4, &[0, 0, 0, 1]) {
            Detected::Foreign("qcow")
        } else {
            Detected::Known(Format::Qcow2)
        };
    }
    if has(head, 0, b"LUKS\xba\xbe\0\x01") {
        return Detected::Known(Format::Luks);
    }
    if let Some((_, _, name)) = FOREIGN
        .iter()
        .find(|(offset, signature, _)| has(head, *offset, signature))
    {
        return Detected::Foreign(name);
    }
    if let Some((_, _, packing)) = PACKED
        .iter()
        .find(|(offset, signature, _)| has(head, *offset, signature))
    {
        return Detected::Packed(*packing);
    }
    Detected::Known(Format::Raw)
}

/// Tells the format of an open file by its start, and, where that says nothing, by its end (a fixed VHD has only a footer).
///
/// # Errors
/// Those of reading.
pub fn detect_in(file: &dyn Storage) -> disksmith_storage::Result<Detected> {
    let size = file.size();
    let mut head = vec![0; size.min(PROBE_SIZE as u64) as usize];
    file.read_at(0, &mut head)?;
    let by_head = detect(&head);
    if by_head == Detected::Known(Format::Raw) && size > 512 && size.is_multiple_of(512) {
        let mut footer = [0; 8];
        file.read_at(size - 512, &mut footer)?;
        if &footer == b"conectix" {
            return Ok(Detected::Foreign("vpc"));
        }
    }
    Ok(by_head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_told_apart() {
        assert_eq!(detect(b"QFI\xfb\0\0\0\x03"), Detected::Known(Format::Qcow2));
        assert_eq!(detect(b"QFI\xfb\0\0\0\x01"), Detected::Foreign("qcow"));
        assert_eq!(detect(b"LUKS\xba\xbe\0\x01"), Detected::Known(Format::Luks));
        // Version 2 is nothing that QEMU opens: the bytes as they are.
        assert_eq!(detect(b"LUKS\xba\xbe\0\x02"), Detected::Known(Format::Raw));
        assert_eq!(detect(b""), Detected::Known(Format::Raw));
        assert_eq!(detect(&[0; 512]), Detected::Known(Format::Raw));
        assert!(matches!(detect(b"\x1f\x8b\x08\x00"), Detected::Packed(p) if p.name == "gzip"));
        let mut vdi = vec![0; 100];
        vdi[0x40..0x44].copy_from_slice(b"\x7f\x10\xda\xbe");
        assert_eq!(detect(&vdi), Detected::Foreign("vdi"));
    }
}
