//! The options of mkfs.fat, and what it says of wrong ones.

use super::Stop;
use crate::faces::getopt::{Arguments, Spec, flag, short_flag, short_value, value};
use disksmith_fat::{CodePage, FatKind, FormatOptions};
use disksmith_vfs::Timestamp;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The time and the serial number of `--invariant`.
pub(super) const INVARIANT_TIME: Timestamp = Timestamp {
    seconds: 1_426_325_212,
    nanoseconds: 0,
};
pub(super) const INVARIANT_ID: u32 = 0x1234_abcd;
/// The longest message for the boot sector.
const MAX_MESSAGE: usize = 418;

const SPECS: &[Spec] = &[
    short_flag("unaligned", b'a'),
    short_flag("atari", b'A'),
    short_value("backup", b'b'),
    short_flag("check", b'c'),
    short_flag("create", b'C'),
    short_value("drive", b'D'),
    short_value("fats", b'f'),
    short_value("kind", b'F'),
    short_value("geometry", b'g'),
    short_value("hidden", b'h'),
    short_value("id", b'i'),
    short_flag("unsafe", b'I'),
    short_value("bad", b'l'),
    short_value("message", b'm'),
    short_value("media", b'M'),
    short_value("label", b'n'),
    short_value("root", b'r'),
    short_value("reserved", b'R'),
    short_value("cluster", b's'),
    short_value("sector", b'S'),
    short_flag("verbose", b'v'),
    value("mbr", 0),
    value("codepage", 0),
    flag("invariant", 0),
    value("variant", 0),
    value("offset", 0),
    flag("help", 0),
];

/// What is asked for.
pub(super) enum Command {
    Help,
    Format(Box<Request>),
}

/// A filesystem to make.
pub(super) struct Request {
    pub(super) target: PathBuf,
    pub(super) blocks: Option<u64>,
    pub(super) create: bool,
    pub(super) invariant: bool,
    pub(super) volume_id_given: bool,
    pub(super) partition_table: bool,
    pub(super) check: bool,
    pub(super) verbose: u32,
    /// Bytes before the filesystem.
    pub(super) offset: u64,
    pub(super) bad_blocks: Option<PathBuf>,
    pub(super) options: FormatOptions,
}

/// A number as strtol reads it: decimal, octal after 0, hexadecimal after 0x.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// A number in a range, or the message that it is none.
fn within<T: TryFrom<u64>>(text: &str, least: u64, most: u64, name: &str) -> Result<T, Stop> {
    number(text)
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| wrong(&format!("{name} : {text}")))
}

fn wrong(message: &str) -> Stop {
    Stop::Usage(Some(message.to_owned()))
}

impl Command {
    /// Reads the arguments.
    pub(super) fn parse(name: &str, arguments: &[OsString]) -> Result<Self, Stop> {
        // Its value can be left out, and is attached where it is not.
        let words: Vec<OsString> = arguments
            .iter()
            .map(|word| match word == "--mbr" {
                true => OsString::from("--mbr=y"),
                false => word.clone(),
            })
            .collect();
        let given = Arguments::parse(name, SPECS, &words).map_err(|misused| {
            eprintln!("{}: {}", misused.who, misused.message);
            Stop::Usage(None)
        })?;
        let mut request = Request {
            target: PathBuf::new(),
            blocks: None,
            create: false,
            invariant: false,
            volume_id_given: false,
            partition_table: false,
            check: false,
            verbose: 0,
            offset: 0,
            bad_blocks: None,
            options: FormatOptions::new(0, Timestamp::default()),
        };
        let mut label = None;
        for (key, text) in given.options() {
            if *key == "help" {
                return Ok(Self::Help);
            }
            match *key {
                "label" => label = Some(text.clone()),
                "bad" => request.bad_blocks = Some(PathBuf::from(text)),
                "message" => request.options.message = read_message(Path::new(text)),
                _ => request.take(key, text)?,
            }
        }
        request.finish(label.as_deref(), &given.operands)?;
        Ok(Self::Format(Box::new(request)))
    }
}

impl Request {
    fn take(&mut self, key: &str, text: &OsStr) -> Result<(), Stop> {
        let text = &*text.to_string_lossy();
        let options = &mut self.options;
        match key {
            "unaligned" => options.align = false,
            "check" => self.check = true,
            "create" => self.create = true,
            "invariant" => self.invariant = true,
            "verbose" => self.verbose += 1,
            "atari" => return Err(atari()),
            "variant" => match text.to_ascii_lowercase().as_str() {
                "standard" => {}
                "atari" => return Err(atari()),
                _ => return Err(wrong(&format!("Unknown variant: {text}"))),
            },
            "backup" => {
                options.backup_sector = Some(within(text, 0, 0xffff, "Bad location for backup boot sector")?);
            }
            "drive" => {
                let drive = number(text).and_then(|number| u8::try_from(number).ok());
                options.drive_number =
                    Some(drive.ok_or_else(|| wrong(&format!("Bad drive number: {text}")))?);
            }
            "fats" => options.fats = within(text, 1, 4, "Bad number of FATs")?,
            "kind" => {
                options.kind = Some(match within::<u64>(text, 12, 32, "Bad FAT type")? {
                    12 => FatKind::Fat12,
                    16 => FatKind::Fat16,
                    32 => FatKind::Fat32,
                    _ => return Err(wrong(&format!("Bad FAT type : {text}"))),
                });
            }
            "geometry" => {
                let parts = text.split_once(['/', ',']);
                let parts = parts.and_then(|(heads, track)| {
                    let heads = number(heads).filter(|n| (1..=0xffff).contains(n))?;
                    let track = number(track).filter(|n| (1..=0xffff).contains(n))?;
                    Some((u16::try_from(heads).ok()?, u16::try_from(track).ok()?))
                });
                let parts = parts.ok_or_else(|| wrong(&format!("Bad format of geometry : {text}")))?;
                options.geometry = Some(parts);
            }
            "hidden" => {
                options.hidden_sectors =
                    within(text, 0, u64::from(u32::MAX), "Bad number of hidden sectors")?;
            }
            "id" => {
                let digits = text.trim_start_matches("0x").trim_start_matches("0X");
                let id = u64::from_str_radix(digits, 16)
                    .map_err(|_| wrong("Volume ID must be a hexadecimal number"))?;
                options.volume_id =
                    u32::try_from(id).map_err(|_| wrong("Volume ID does not fit in 32 bit"))?;
                self.volume_id_given = true;
            }
            "media" => {
                let media = number(text)
                    .ok_or_else(|| wrong(&format!("Bad number for media descriptor : {text}")))?;
                if media != 0xf0 && !(0xf8..=0xff).contains(&media) {
                    return Err(wrong(&format!(
                        "FAT Media byte must either be between 0xF8 and 0xFF or be 0xF0 : {text}"
                    )));
                }
                options.media = u8::try_from(media).ok();
            }
            "root" => {
                options.root_entries = Some(within(text, 1, 32_767, "Bad number of root directory entries")?);
            }
            "reserved" => {
                options.reserved_sectors = Some(within(text, 1, 0xffff, "Bad number of reserved sectors")?);
            }
            "cluster" => {
                let sectors = within::<u8>(text, 1, 128, "Bad number of sectors per cluster")?;
                if !sectors.is_power_of_two() {
                    return Err(wrong(&format!("Bad number of sectors per cluster : {text}")));
                }
                options.sectors_per_cluster = Some(sectors);
            }
            "sector" => {
                let len = within::<u32>(text, 512, 32_768, "Bad logical sector size")?;
                if !len.is_power_of_two() {
                    return Err(wrong(&format!("Bad logical sector size : {text}")));
                }
                options.sector_len = len;
            }
            "mbr" => {
                self.partition_table = match text {
                    "y" | "yes" => true,
                    "n" | "no" | "a" | "auto" => false,
                    _ => return Err(wrong(&format!("Unknown option for --mbr: '{text}'"))),
                };
            }
            "codepage" => {
                let page = number(text).and_then(|number| u16::try_from(number).ok());
                options.code_page = page.and_then(CodePage::new).ok_or_else(|| {
                    eprintln!(
                        "Cannot initialize conversion from codepage {text} to UTF-8: Invalid argument\n\
                         Cannot initialize conversion from UTF-8 to codepage {text}: Invalid argument"
                    );
                    Stop::Usage(None)
                })?;
            }
            "offset" => {
                let sectors = number(text).filter(|sectors| *sectors <= (i64::MAX as u64) / 512);
                self.offset = sectors.ok_or_else(|| wrong(&format!("Bad number for offset : {text}")))? * 512;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, label: Option<&OsStr>, operands: &[OsString]) -> Result<(), Stop> {
        let Some((target, rest)) = operands.split_first() else {
            return Err(wrong("No device specified."));
        };
        self.target = PathBuf::from(target);
        if let Some((blocks, more)) = rest.split_first() {
            if !more.is_empty() {
                eprintln!("Excess arguments on command line");
                return Err(Stop::Usage(None));
            }
            let text = blocks.to_string_lossy();
            let blocks = text
                .parse()
                .map_err(|_| wrong(&format!("Bad block count : {text}")))?;
            self.blocks = Some(blocks);
        } else if self.create {
            return Err(Stop::Die("Need intended size with -C.".into()));
        }
        if self.check && self.bad_blocks.is_some() {
            return Err(Stop::Die("-c and -l are incompatible".into()));
        }
        if self.options.sector_len > 4096 {
            eprintln!(
                "Warning: sector size {} > 4096 is non-standard, filesystem may not be usable",
                self.options.sector_len
            );
        }
        if self.options.kind == Some(FatKind::Fat32) && self.options.root_entries.is_some() {
            eprintln!("Warning: root directory entries specified with -r have no effect on FAT32");
        }
        self.set_label(label)
    }

    fn set_label(&mut self, label: Option<&OsStr>) -> Result<(), Stop> {
        let Some(label) = label.filter(|label| !label.is_empty()) else {
            return Ok(());
        };
        let text = label
            .to_str()
            .ok_or_else(|| Stop::Die("Error when processing label".into()))?;
        let page = self.options.code_page;
        let mut bytes = Vec::new();
        for character in text.chars() {
            let Some(byte) = page.encode(character) else {
                let mut utf8 = [0; 4];
                let first = character
                    .encode_utf8(&mut utf8)
                    .bytes()
                    .next()
                    .unwrap_or_default();
                eprintln!(
                    "Cannot convert input sequence '\\x{first:02X}' from codeset 'UTF-8' to 'CP{}': Invalid or incomplete multibyte or wide character",
                    page.number()
                );
                return Err(Stop::Die("Error when processing label".into()));
            };
            bytes.push(byte);
        }
        if bytes.len() > 11 {
            return Err(Stop::Die("Label can be no longer than 11 characters".into()));
        }
        if text.chars().any(char::is_lowercase) {
            eprintln!("mkfs.fat: Warning: lowercase labels might not work properly on some systems");
        }
        if bytes.iter().any(|byte| !(0x20..0x80).contains(byte)) {
            return Err(Stop::Die(
                "Labels with characters below 0x20 are not allowed\n".into(),
            ));
        }
        if bytes.iter().any(|byte| b"*?.,;:/\\|+=<>[]\"".contains(byte)) {
            return Err(Stop::Die(
                "Labels with characters *?.,;:/\\|+=<>[]\" are not allowed\n".into(),
            ));
        }
        if bytes.first() == Some(&b' ') {
            return Err(Stop::Die("Label can't start with a space character".into()));
        }
        // This is how a volume without a label is noted.
        let label = text.trim_end_matches(' ');
        self.options.label = (label != "NO NAME").then(|| label.to_owned());
        Ok(())
    }
}

fn atari() -> Stop {
    Stop::Die("the Atari variant of the filesystem cannot be made".into())
}

/// The text for the boot sector, with line ends as a BIOS prints them.
fn read_message(path: &Path) -> Option<Vec<u8>> {
    let text = std::fs::read(path)
        .inspect_err(|error| eprintln!("{}: {}", path.display(), super::reason(error)))
        .ok()?;
    let mut message = Vec::new();
    for byte in text {
        match byte {
            0 => break,
            b'\n' => message.extend_from_slice(b"\r\n"),
            b'\r' => {}
            byte => message.push(byte),
        }
    }
    if message.len() > MAX_MESSAGE {
        eprintln!("Warning: message too long; truncated");
        message.truncate(MAX_MESSAGE);
    }
    Some(message)
}

/// The numbers in a list of bad blocks, one a line.
pub(super) fn read_bad_blocks(path: &Path) -> Result<Vec<u64>, Stop> {
    let text =
        std::fs::read_to_string(path).map_err(|_| Stop::Die("Can't open file of bad blocks".into()))?;
    let mut blocks = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        let word = line.trim();
        if word.is_empty() {
            continue;
        }
        blocks.push(word.parse().map_err(|_| {
            eprintln!("Badly formed number in bad blocks file line {at}");
            Stop::Die("Error in bad blocks file".into())
        })?);
    }
    Ok(blocks)
}

/// How it is used.
pub(super) fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [OPTIONS] TARGET [BLOCKS]\n\
Create FAT filesystem in TARGET, which can be a block device or file. Use only\n\
up to BLOCKS 1024 byte blocks if specified. With the -C option, file TARGET will be\n\
created with a size of 1024 bytes times BLOCKS, which must be specified.\n\n{OPTIONS}"
    )
}

const OPTIONS: &str = "\
Options:
  -a              Disable alignment of data structures
  -A              Toggle Atari variant of the filesystem
  -b SECTOR       Select SECTOR as location of the FAT32 backup boot sector
  -c              Check device for bad blocks before creating the filesystem
  -C              Create file TARGET then create filesystem in it
  -D NUMBER       Write BIOS drive number NUMBER to boot sector
  -f COUNT        Create COUNT file allocation tables
  -F SIZE         Select FAT size SIZE (12, 16 or 32)
  -g GEOM         Select disk geometry: heads/sectors_per_track
  -h NUMBER       Write hidden sectors NUMBER to boot sector
  -i VOLID        Set volume ID to VOLID (a 32 bit hexadecimal number)
  -I              Ignore and disable safety checks
  -l FILENAME     Read bad blocks list from FILENAME
  -m FILENAME     Replace default error message in boot block with contents of FILENAME
  -M TYPE         Set media type in boot sector to TYPE
  --mbr[=y|n|a]   Fill (fake) MBR table with one partition which spans whole disk
  -n LABEL        Set volume name to LABEL (up to 11 characters long)
  --codepage=N    use DOS codepage N to encode label (default: 850)
  -r COUNT        Make room for at least COUNT entries in the root directory
  -R COUNT        Set minimal number of reserved sectors to COUNT
  -s COUNT        Set number of sectors per cluster to COUNT
  -S SIZE         Select a sector size of SIZE (a power of two, at least 512)
  -v              Verbose execution
  --variant=TYPE  Select variant TYPE of filesystem (standard or Atari)

  --invariant     Use constants for randomly generated or time based values
  --offset=SECTOR Write the filesystem at a specific sector into the device file.
  --help          Show this help message and exit
";
