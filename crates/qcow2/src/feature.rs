//! Feature bits and the feature name table (specification: "Feature name table").

use bitflags::bitflags;

bitflags! {
    /// Features without which the image cannot be read.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Incompatible: u64 {
        /// Refcounts may be wrong; they must be rebuilt before the image is written.
        const DIRTY = 1;
        /// A structure was found damaged; the image must not be written.
        const CORRUPT = 1 << 1;
        /// Guest data lies in an external file.
        const DATA_FILE = 1 << 2;
        /// The header has a compression type other than zlib.
        const COMPRESSION = 1 << 3;
        /// L2 entries have 16 bytes.
        const EXTENDED_L2 = 1 << 4;
        /// Bits that are not known.
        const _ = !0;
    }
}

bitflags! {
    /// Features that may be ignored.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Compatible: u64 {
        /// Refcount updates may be put off, with the dirty bit set meanwhile.
        const LAZY_REFCOUNTS = 1;
        /// Bits that are not known.
        const _ = !0;
    }
}

bitflags! {
    /// Features whose bit must be cleared by a writer that does not know them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Autoclear: u64 {
        /// The bitmaps extension is consistent with the guest data.
        const BITMAPS = 1;
        /// The external data file can be read as a raw image.
        const DATA_FILE_RAW = 1 << 1;
        /// Bits that are not known.
        const _ = !0;
    }
}

impl Incompatible {
    /// All that is understood here.
    pub const KNOWN: Self = Self::DIRTY
        .union(Self::CORRUPT)
        .union(Self::DATA_FILE)
        .union(Self::COMPRESSION)
        .union(Self::EXTENDED_L2);
}

/// Which of the three feature sets a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureKind {
    /// Must be understood to read the image.
    Incompatible,
    /// May be ignored.
    Compatible,
    /// Cleared by writers that do not know it.
    Autoclear,
}

/// One entry of the feature name table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureName {
    /// Which set.
    pub kind: FeatureKind,
    /// Bit number, 0 to 63.
    pub bit: u8,
    /// The name, at most 46 bytes.
    pub name: String,
}

/// Size of an entry in bytes: type, bit, and 46 bytes of name padded with zeroes.
const ENTRY: usize = 48;

impl FeatureName {
    /// Reads a feature name table; entries of unknown type are left out.
    pub fn parse_table(bytes: &[u8]) -> Vec<Self> {
        bytes
            .chunks_exact(ENTRY)
            .filter_map(|entry| {
                let (&kind, rest) = entry.split_first()?;
                let (&bit, name) = rest.split_first()?;
                let kind = match kind {
                    0 => FeatureKind::Incompatible,
                    1 => FeatureKind::Compatible,
                    2 => FeatureKind::Autoclear,
                    _ => return None,
                };
                let name = name.split(|b| *b == 0).next().unwrap_or(&[]);
                let name: String = String::from_utf8_lossy(name)
                    .chars()
                    .filter(|c| !c.is_control())
                    .collect();
                Some(Self { kind, bit, name })
            })
            .collect()
    }

    /// The table that is written into new images.
    pub fn default_table() -> Vec<u8> {
        const NAMES: [(u8, u8, &str); 8] = [
            (0, 0, "dirty bit"),
            (0, 1, "corrupt bit"),
            (0, 2, "external data file"),
            (0, 3, "compression type"),
            (0, 4, "extended L2 entries"),
            (1, 0, "lazy refcounts"),
            (2, 0, "bitmaps"),
            (2, 1, "raw external data"),
        ];
        let mut table = Vec::with_capacity(NAMES.len() * ENTRY);
        for (kind, bit, name) in NAMES {
            let start = table.len();
            table.extend_from_slice(&[kind, bit]);
            table.extend_from_slice(name.as_bytes());
            table.resize(start + ENTRY, 0);
        }
        table
    }

    /// The names that the image's own table gives to the incompatible features `bits`, in its order, and those bits that
    /// it gives none.
    pub fn name_incompatible(bits: u64, table: &[Self]) -> (Vec<String>, u64) {
        let mut unnamed = bits;
        let mut names = Vec::new();
        for feature in table {
            let bit = 1u64.checked_shl(feature.bit.into()).unwrap_or(0);
            if feature.kind == FeatureKind::Incompatible && unnamed & bit != 0 && !feature.name.is_empty() {
                unnamed &= !bit;
                names.push(feature.name.clone());
            }
        }
        (names, unnamed)
    }
}
