//! How an image is to be made.

use disksmith_vfs::Timestamp;

/// The interchange level of the plain hierarchy (ECMA-119 10; level 4 is ISO 9660:1999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Names of 8 and 3 characters, files of one extent.
    #[default]
    One,
    /// Names of 31 characters, files of one extent.
    Two,
    /// Names of 31 characters, files of several extents (over 4 GiB).
    Three,
    /// Names of up to 193 bytes as they are, any depth; an enhanced volume descriptor is written too.
    Four,
}

impl Level {
    /// The number of the level.
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

/// Which files share their data in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// Every file has its own.
    Keep,
    /// Names of one file (hard links) do.
    #[default]
    Links,
    /// All files of equal contents do. Files whose size another file has too are read twice.
    Contents,
}

/// How the bytes of names are read as characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameCharset {
    /// UTF-8.
    #[default]
    Utf8,
    /// ISO 8859-1.
    Latin1,
}

/// Tables of names, one in each directory (genisoimage `-T`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslationTable {
    /// The name of each table.
    pub name: Vec<u8>,
    /// Whether Joliet shows them.
    pub in_joliet: bool,
}

/// The texts of the volume descriptors. Case is kept as given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeTexts {
    /// Volume identifier, at most 32 bytes (16 characters in Joliet, which is cut).
    pub volume_id: String,
    /// System identifier, at most 32 bytes.
    pub system_id: String,
    /// Volume set identifier, at most 128 bytes.
    pub volume_set_id: String,
    /// Publisher, at most 128 bytes.
    pub publisher: String,
    /// Data preparer, at most 128 bytes.
    pub preparer: String,
    /// Application, at most 128 bytes.
    pub application: String,
    /// Name of the copyright file, at most 37 bytes.
    pub copyright_file: String,
    /// Name of the abstract file, at most 37 bytes.
    pub abstract_file: String,
    /// Name of the bibliographic file, at most 37 bytes.
    pub bibliographic_file: String,
}

/// How an image is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Interchange level of the plain hierarchy.
    pub level: Level,
    /// Whether to write a Joliet hierarchy (for Windows).
    pub joliet: bool,
    /// Whether Joliet names may have 103 characters instead of the 64 of its specification.
    pub joliet_long: bool,
    /// Whether to write Rock Ridge (POSIX names and attributes).
    pub rock_ridge: bool,
    /// Texts of the volume descriptors.
    pub texts: VolumeTexts,
    /// The volume's time of creation and modification.
    pub time: Timestamp,
    /// Zero blocks of 2048 bytes at the end; some readers look ahead of the end of small images.
    pub padding_blocks: u32,
    /// Which files share their data.
    pub duplicates: Duplicates,
    /// El Torito boot images; the first is the default one.
    pub boot: Option<crate::BootCatalog>,
    /// The first 32 KiB of the image, for a master boot record; at most that long.
    pub system_area: Vec<u8>,
    /// Partition tables over the system area, for images that are started from a disk as well as from a CD-ROM.
    pub hybrid: crate::Hybrid,
    /// How the bytes of names are read for Joliet.
    pub charset: NameCharset,
    /// How plain names are made; `None`: as the level allows.
    pub names: Option<crate::PlainRules>,
    /// Whether directories stay where they are however deep, instead of being relocated or refused.
    pub deep_directories: bool,
    /// Name of the directory to which deep ones are relocated, unless the root has that name already. `None`: `rr_moved`.
    pub relocation_name: Option<Vec<u8>>,
    /// Whether each directory gets a table of its names, for readers that know plain names only.
    pub translation_table: Option<TranslationTable>,
    /// Whether entries of a directory may have one name, where plain names tell them apart: neither Rock Ridge nor Joliet is
    /// written.
    pub same_names: bool,
    /// How many volumes the volume set has, and the number of this one in it.
    pub volume_set: (u16, u16),
}

impl Options {
    /// How plain names are made.
    pub fn plain_rules(&self) -> crate::PlainRules {
        self.names
            .unwrap_or_else(|| crate::PlainRules::of_level(self.level))
    }

    /// Whether entries of one name can be told apart.
    pub(crate) fn allows_same_names(&self) -> bool {
        self.same_names && !self.rock_ridge && !self.joliet
    }

    /// Whether directories may be nested deeper than eight levels.
    pub(crate) fn any_depth(&self) -> bool {
        self.deep_directories || self.level == Level::Four
    }

    /// A GUID for a disk that follows from [`time`](Self::time), as it is written: the digits of the time, with version and
    /// variant of a random one (RFC 9562, 5.4).
    pub fn time_guid(&self) -> [u8; 16] {
        let mut out = [0; 16];
        let text = crate::date::encode_volume(Some(self.time));
        // The year down to the hour's second digit, then hundredths of seconds, then the rest.
        let order = [0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 9, 10, 11, 12, 13];
        for (to, from) in out.iter_mut().zip(order) {
            *to = text.get(from).copied().unwrap_or_default();
        }
        out[7] = out[7] & 0x0F | 0x40;
        out[8] = out[8] & 0x3F | 0x80;
        out
    }

    /// Level 1 with 150 blocks of padding, as genisoimage's defaults are, with neither Joliet nor Rock Ridge.
    pub fn new(volume_id: impl Into<String>, time: Timestamp) -> Self {
        Self {
            level: Level::One,
            joliet: false,
            joliet_long: false,
            rock_ridge: false,
            texts: VolumeTexts {
                volume_id: volume_id.into(),
                system_id: "LINUX".into(),
                application: "DISKSMITH".into(),
                ..VolumeTexts::default()
            },
            time,
            padding_blocks: 150,
            duplicates: Duplicates::Links,
            boot: None,
            system_area: Vec::new(),
            hybrid: crate::Hybrid::default(),
            charset: NameCharset::Utf8,
            names: None,
            deep_directories: false,
            relocation_name: None,
            translation_table: None,
            same_names: false,
            volume_set: (1, 1),
        }
    }
}
