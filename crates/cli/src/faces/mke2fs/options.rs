//! The command line of mke2fs.

use super::super::getopt::{Arguments, Spec, short_flag, short_value};
use super::Stop;
use crate::commands::filesystem_args::{derived_uuid, parse_uuid, random_uuid};
use disksmith_ext4::{FeatureList, FormatKind, FormatOptions, Usage};
use std::ffi::OsString;

pub(super) const USAGE: &str = "Usage: mke2fs [-c|-l filename] [-b block-size] [-C cluster-size]
\t[-i bytes-per-inode] [-I inode-size] [-J journal-options]
\t[-G flex-group-size] [-N number-of-inodes] [-d root-directory]
\t[-m reserved-blocks-percentage] [-o creator-os]
\t[-g blocks-per-group] [-L volume-label] [-M last-mounted-directory]
\t[-O feature[,...]] [-r fs-revision] [-E extended-option[,...]]
\t[-t fs-type] [-T usage-type ] [-U UUID] [-e errors_behavior][-z undo_file]
\t[-jnqvDFSV] device [blocks-count]
";

const EXTENDED_USAGE: &str = "Extended options are separated by commas, and may take an argument which
\tis set off by an equals ('=') sign.

Valid extended options are:
\tmmp_update_interval=<interval>
\tnum_backup_sb=<0|1|2>
\tstride=<RAID per-disk data chunk in blocks>
\tstripe-width=<RAID stride * data disks in blocks>
\toffset=<offset to create the file system>
\tresize=<resize maximum size in blocks>
\tpacked_meta_blocks=<0 to disable, 1 to enable>
\tlazy_itable_init=<0 to disable, 1 to enable>
\tlazy_journal_init=<0 to disable, 1 to enable>
\troot_owner=<uid of root dir>:<gid of root dir>
\ttest_fs
\tdiscard
\tnodiscard
\tencoding=<encoding>
\tencoding_flags=<flags>
\tquotatype=<quota type(s) to be enabled>
\tassume_storage_prezeroed=<0 to disable, 1 to enable>
";

const SPECS: &[Spec] = &[
    short_value("b", b'b'),
    short_flag("c", b'c'),
    short_value("C", b'C'),
    short_value("d", b'd'),
    short_flag("D", b'D'),
    short_value("e", b'e'),
    short_value("E", b'E'),
    short_flag("F", b'F'),
    short_value("g", b'g'),
    short_value("G", b'G'),
    short_value("i", b'i'),
    short_value("I", b'I'),
    short_flag("j", b'j'),
    short_value("J", b'J'),
    short_flag("K", b'K'),
    short_value("l", b'l'),
    short_value("L", b'L'),
    short_value("m", b'm'),
    short_value("M", b'M'),
    short_flag("n", b'n'),
    short_value("N", b'N'),
    short_value("o", b'o'),
    short_value("O", b'O'),
    short_flag("q", b'q'),
    short_value("r", b'r'),
    short_value("R", b'R'),
    short_value("s", b's'),
    short_flag("S", b'S'),
    short_value("t", b't'),
    short_value("T", b'T'),
    short_value("U", b'U'),
    short_flag("v", b'v'),
    short_flag("V", b'V'),
    short_value("z", b'z'),
];

/// What is asked for.
pub(super) enum Command {
    /// `-V`.
    Version,
    /// A filesystem.
    Format(Box<Request>),
}

/// A filesystem that is asked for.
pub(super) struct Request {
    pub(super) device: OsString,
    pub(super) options: FormatOptions,
    /// `-O`, as far as it is known.
    features: Vec<String>,
    /// The filesystem's size in bytes, where it is given.
    pub(super) bytes: Option<u64>,
    pub(super) offset: u64,
    /// Where the journal shall be: a block, or a size with a suffix.
    pub(super) journal_location: Option<String>,
    /// The size to which it shall be possible to let it grow, likewise.
    pub(super) resize_limit: Option<String>,
    /// The size of the orphan file, likewise.
    pub(super) orphan_file_size: Option<String>,
    pub(super) source: Option<OsString>,
    /// Extended attributes of the files are left out.
    pub(super) no_xattrs: bool,
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) discard: bool,
    pub(super) usage: Option<String>,
    pub(super) kind: String,
    pub(super) warning: Option<String>,
    /// The same, before it says which program it is.
    pub(super) early_warning: Option<String>,
    /// The file was not there.
    pub(super) created: bool,
    /// The file holds something that could be lost.
    pub(super) has_data: bool,
}

impl Request {
    /// The list of features with one more change.
    pub(super) fn features_with(&self, more: &str) -> Result<FeatureList, disksmith_ext4::Error> {
        let mut list = self.features.clone();
        list.push(more.into());
        list.join(",").parse()
    }
}

fn die<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Die(message.into()))
}

fn early<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::DieEarly(message.into()))
}

impl Command {
    pub(super) fn parse(name: &str, words: &[OsString]) -> Result<Self, Stop> {
        let given = Arguments::parse("mke2fs", SPECS, words)
            .map_err(|misused| Stop::Usage(Some(format!("{}: {}", misused.who, misused.message))))?;
        if given.has("V") {
            return Ok(Self::Version);
        }
        let (device, blocks) = match given.operands.as_slice() {
            [device] => (device.clone(), None),
            [device, blocks] => (device.clone(), Some(blocks.to_string_lossy().into_owned())),
            _ => return Err(Stop::Usage(None)),
        };
        let kind = given.text("t").unwrap_or_else(|| {
            let from_name =
                name.strip_prefix("mkfs.")
                    .unwrap_or(if given.has("j") { "ext3" } else { "ext2" });
            from_name.to_owned()
        });
        let uuid = match given.text("U").as_deref() {
            None | Some("random" | "time") => random_uuid(),
            Some("clear" | "null") => Ok([0; 16]),
            Some(text) => match parse_uuid(text) {
                Ok(uuid) => Ok(uuid),
                Err(_) => {
                    return Err(Stop::Say(format!(
                        "{}: could not parse UUID: {text}\n",
                        device.display()
                    )));
                }
            },
        };
        let uuid = uuid.map_err(|failure| Stop::Die(failure.message().to_owned()))?;
        let seed = match given.has("U") {
            // Stable where the UUID is.
            true => derived_uuid(&uuid, 1),
            false => random_uuid().map_err(|failure| Stop::Die(failure.message().to_owned()))?,
        };
        let mut request = Request {
            device,
            options: FormatOptions::new(uuid, seed, 0),
            features: Vec::new(),
            bytes: None,
            offset: 0,
            journal_location: None,
            resize_limit: None,
            orphan_file_size: None,
            no_xattrs: false,
            source: given.last("d").map(Into::into),
            quiet: given.has("q"),
            verbose: given.has("v"),
            force: given.has("F"),
            dry_run: given.has("n"),
            discard: !given.has("K"),
            usage: given.text("T"),
            kind,
            warning: None,
            early_warning: None,
            created: false,
            has_data: true,
        };
        request.read(&given)?;
        if let Some(text) = blocks {
            request.bytes = Some(size(&text, request.options.block_size).ok_or_else(|| {
                Stop::Die(format!(
                    "invalid blocks '{text}' on device '{}'",
                    request.device.display()
                ))
            })?);
            request.options.blocks = match (request.bytes, request.options.block_size) {
                (Some(bytes), Some(block)) => Some(bytes / u64::from(block)),
                _ => None,
            };
            request.options.size = request.bytes;
        }
        Ok(Self::Format(Box::new(request)))
    }
}

impl Request {
    fn read(&mut self, given: &Arguments) -> Result<(), Stop> {
        for (option, what) in [
            ("l", "a list of bad blocks"),
            ("S", "writing superblocks alone"),
            ("z", "an undo file"),
        ] {
            if given.has(option) {
                return die(format!("-{option}: {what} cannot be made yet"));
            }
        }
        self.options.kind = match self.kind.as_str() {
            "ext2" => FormatKind::Ext2,
            "ext3" => FormatKind::Ext3,
            "ext4" | "ext4dev" => FormatKind::Ext4,
            other => {
                return Err(Stop::Print(format!(
                    "\nYour mke2fs.conf file does not define the {other} filesystem type.\nAborting..."
                )));
            }
        };
        if given.has("j") && self.options.kind == FormatKind::Ext2 {
            self.features.push("has_journal".into());
        }
        for usage in self.usage.clone().iter().flat_map(|list| list.split(',')) {
            match usage {
                "default" => self.options.usage = Usage::Default,
                "floppy" => self.options.usage = Usage::Floppy,
                "small" => self.options.usage = Usage::Small,
                "big" => self.options.usage = Usage::Big,
                "huge" => self.options.usage = Usage::Huge,
                "news" => self.options.usage = Usage::News,
                "largefile" => self.options.usage = Usage::LargeFile,
                "largefile4" => self.options.usage = Usage::LargeFile4,
                "ext2" | "ext3" | "ext4" => {}
                other => {
                    self.options.usage = Usage::Ordinary;
                    self.warning = Some(format!(
                        "\nWarning: the fs_type {other} is not defined in mke2fs.conf"
                    ));
                }
            }
        }
        if let Some(text) = given.text("b") {
            match text.parse::<i64>() {
                Ok(least) if least < 0 => {
                    self.options.block_size = Some(least.unsigned_abs().max(4096) as u32);
                }
                Ok(size) if (1024..=65536).contains(&size) => self.options.block_size = Some(size as u32),
                _ => return early(format!("invalid block size - {text}")),
            }
            if self
                .options
                .block_size
                .is_some_and(|size| !size.is_power_of_two())
            {
                // It takes the power of two below.
                self.options.block_size = self.options.block_size.map(|size| 1 << size.ilog2());
            }
            if let Some(size) = self.options.block_size.filter(|size| *size > 4096) {
                eprintln!("Warning: blocksize {size} not usable on most systems.");
            }
        }
        if let Some(text) = given.text("C") {
            self.options.cluster_size = match size(&text, Some(1)) {
                Some(size) if (1024..=1 << 29).contains(&size) && size.is_power_of_two() => Some(size as u32),
                _ => return early(format!("invalid cluster size - {text}")),
            };
        }
        if let Some(text) = given.text("i") {
            match text.parse() {
                Ok(ratio) if (1024..=67_108_864).contains(&ratio) => self.options.inode_ratio = Some(ratio),
                _ => return early(format!("invalid inode ratio {text} (min 1024/max 67108864)")),
            }
        }
        if let Some(text) = given.text("I") {
            let max = self.options.block_size.unwrap_or(1024).min(65_535);
            match text.parse::<u32>() {
                Ok(size)
                    if size >= 128
                        && (size <= max || self.options.block_size.is_none())
                        && size.is_power_of_two() =>
                {
                    self.options.inode_size = u16::try_from(size).ok();
                }
                Ok(size) => return die(format!("invalid inode size {size} (min 128/max {max})")),
                Err(_) => return die(format!("invalid inode size - {text}")),
            }
        }
        if let Some(text) = given.text("N") {
            match text.parse() {
                Ok(inodes) => self.options.inodes = Some(inodes).filter(|inodes| *inodes > 0),
                Err(_) => return early(format!("bad num inodes - {text}")),
            }
        }
        if let Some(text) = given.text("m") {
            match text.parse() {
                Ok(percent) if (0.0..=50.0).contains(&percent) => self.options.reserved_percent = percent,
                _ => return early(format!("invalid reserved blocks percent - {text}")),
            }
        }
        if let Some(text) = given.text("g") {
            match text.parse::<u32>() {
                Ok(blocks) if blocks % 8 == 0 => self.options.blocks_per_group = Some(blocks),
                Ok(_) => return early("blocks per group must be multiple of 8"),
                Err(_) => return early("Illegal number for blocks per group"),
            }
        }
        if let Some(text) = given.text("G") {
            match text.parse::<u32>() {
                Ok(0) | Err(_) => return early("Illegal number for flex_bg size"),
                Ok(groups) if !groups.is_power_of_two() => return early("flex_bg size must be a power of 2"),
                Ok(groups) => self.options.flex_groups = Some(groups),
            }
        }
        if let Some(text) = given.text("e") {
            self.options.errors = match text.as_str() {
                "continue" => 1,
                "remount-ro" => 2,
                "panic" => 3,
                other => return Err(Stop::Usage(Some(format!("mke2fs: bad error behavior - {other}")))),
            };
        }
        if let Some(label) = given.last("L") {
            let mut label = std::os::unix::ffi::OsStrExt::as_bytes(label).to_vec();
            if label.len() > 16 {
                label.truncate(16);
                self.early_warning = Some(format!(
                    "Warning: label too long; will be truncated to '{}'",
                    String::from_utf8_lossy(&label)
                ));
            }
            self.options.label = label;
        }
        if let Some(path) = given.last("M") {
            let mut path = std::os::unix::ffi::OsStrExt::as_bytes(path).to_vec();
            path.truncate(64);
            self.options.last_mounted = path;
        }
        match given.text("r").as_deref() {
            None | Some("1") => {}
            Some("0") => return die("-r 0: a filesystem of revision 0 cannot be made yet"),
            Some(other) => return die(format!("bad revision level - {other}")),
        }
        match given.text("o").as_deref() {
            None | Some("linux" | "Linux" | "0") => {}
            Some(other) => return die(format!("-o {other}: only Linux can be the creator")),
        }
        for text in given.texts("J") {
            self.journal(&text)?;
        }
        for text in given.texts("O") {
            if text.split([',', ' ']).any(|name| name == "journal_dev") {
                return die("-O journal_dev: an external journal cannot be made yet");
            }
            self.features.push(text.clone());
            if text.parse::<FeatureList>().is_err() {
                return Err(Stop::Say(format!("Invalid filesystem option set: {text}")));
            }
        }
        for text in given.texts("E").iter().chain(&given.texts("R")) {
            self.extended(text)?;
        }
        self.options.features = self
            .features
            .join(",")
            .parse()
            .map_err(|error: disksmith_ext4::Error| Stop::Die(error.to_string()))?;
        Ok(())
    }

    fn journal(&mut self, text: &str) -> Result<(), Stop> {
        for item in text.split(',') {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            match (name, value.parse::<u64>()) {
                ("size", Ok(mib)) => self.options.journal.size_mib = u32::try_from(mib).ok(),
                ("fast_commit_size", Ok(kib)) => {
                    self.options.journal.fast_commit_kib = u32::try_from(kib).ok();
                }
                ("location", _) if size(value, Some(1)).is_some() => {
                    self.journal_location = Some(value.to_owned());
                }
                ("device", _) => {
                    return die(format!(
                        "-J {name}: a filesystem with an external journal cannot be made yet"
                    ));
                }
                _ => {
                    return Err(Stop::Say(
                        "\nBad journal options specified.\n\nJournal options are separated by commas, and may take an argument which\n\tis set off by an equals ('=') sign.\n\nValid journal options are:\n\tsize=<journal size in megabytes>\n\tdevice=<journal device>\n\tlocation=<journal location>\n\nThe journal size must be between 1024 and 10240000 filesystem blocks.\n".into(),
                    ));
                }
            }
        }
        if self.options.kind == FormatKind::Ext2 {
            self.features.push("has_journal".into());
        }
        Ok(())
    }

    fn extended(&mut self, text: &str) -> Result<(), Stop> {
        let mut bad = Vec::new();
        let mut before = String::new();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let number = value.parse::<u64>();
            let options = &mut self.options;
            match (name, number) {
                ("hash_seed", _) => match parse_uuid(value) {
                    Ok(seed) => options.hash_seed = seed,
                    Err(_) => return die(format!("Invalid hash seed: {value}")),
                },
                ("stride", Ok(blocks)) => options.stride = u16::try_from(blocks).unwrap_or(0),
                ("stripe-width" | "stripe_width", Ok(blocks)) => {
                    options.stripe_width = u32::try_from(blocks).unwrap_or(0);
                }
                ("resize", _) => self.resize_limit = Some(value.to_owned()),
                ("orphan_file_size", _) => match size(value, Some(1)) {
                    Some(_) => self.orphan_file_size = Some(value.to_owned()),
                    None => return die(format!("Invalid size of orphan file {value}")),
                },
                ("test_fs", _) => options.test = true,
                ("no_copy_xattrs", _) => self.no_xattrs = true,
                ("desc_size" | "desc-size", Ok(64)) => {}
                ("offset", _) => match size(value, Some(1)) {
                    Some(offset) => self.offset = offset,
                    None => return die(format!("Invalid offset: {value}")),
                },
                ("root_owner", _) if value.is_empty() => {
                    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
                    options.root_owner = (uid.as_raw(), gid.as_raw());
                }
                ("root_owner", _) => {
                    let owner = value
                        .split_once(':')
                        .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
                    match owner {
                        Some(owner) => options.root_owner = owner,
                        None => return die(format!("Invalid root_owner: '{value}'")),
                    }
                }
                ("encoding", _) if matches!(value, "utf8" | "utf8-12.1") => {
                    self.features.push("casefold".into());
                }
                ("encoding", _) => return die(format!("Invalid encoding: {value}")),
                ("encoding_flags", _) if value == "strict" => options.encoding_flags = 1,
                ("encoding_flags", _) => return die(format!("Unknown encoding flag: {value}")),
                ("discard", _) => self.discard = true,
                ("nodiscard", _) => self.discard = false,
                // What the kernel would do later is not needed, or done already.
                ("lazy_itable_init" | "lazy_journal_init" | "assume_storage_prezeroed", _) => {}
                ("mmp_update_interval", Ok(seconds)) => {
                    options.mmp_interval = u16::try_from(seconds).unwrap_or(u16::MAX);
                }
                ("packed_meta_blocks", Ok(packed)) => options.packed = packed > 0,
                ("packed_meta_blocks", _) if value.is_empty() => options.packed = true,
                ("num_backup_sb", Ok(copies @ 0..=2)) => options.backups = copies as u8,
                ("quotatype", _) => match quota_kinds(value) {
                    Some(kinds) => options.quotas = Some(kinds),
                    None => {
                        before = format!("Failed to parse quota type at {value}");
                        bad.push(name);
                    }
                },
                ("desc_size" | "desc-size", _) => return die(format!("-E {name}: cannot be made yet")),
                _ => bad.push(name),
            }
        }
        if let Some(name) = bad.first() {
            return Err(Stop::Say(format!(
                "{before}\nBad option(s) specified: {name}\n\n{EXTENDED_USAGE}"
            )));
        }
        Ok(())
    }
}

/// Which quotas are counted: names of kinds with colons between them.
fn quota_kinds(text: &str) -> Option<[bool; 3]> {
    let mut kinds = [false; 3];
    for name in text.split(':').filter(|name| !name.is_empty()) {
        let kind = ["usrquota", "grpquota", "prjquota"]
            .iter()
            .position(|known| *known == name)?;
        *kinds.get_mut(kind)? = true;
    }
    Some(kinds)
}

/// Reads a size: without a suffix in blocks where their size is given, else in KiB.
pub(super) fn size(text: &str, block_size: Option<u32>) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let unit = match suffix {
        "" => u64::from(block_size.unwrap_or(1024)),
        "s" | "S" => 512,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "t" | "T" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}
