//! The face of `resize2fs` (e2fsprogs 1.47.0): grows and shrinks the ext2, ext3 or ext4 filesystem that fills a file or a
//! block device.

use crate::clock;
use disksmith_ext4::{
    BlockNumbers, Compat, Error, Incompat, ResizeOptions, Resized, SizeReport, Superblock, fitting_blocks,
    resize, size_report,
};
use disksmith_image::{DiskSpec, Format, Transaction, TransactionOptions};
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef, read_vec};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const BANNER: &str = "resize2fs 1.47.0 (5-Feb-2023)";
const PAGE: u64 = 4096;
/// Where logs of changes of devices go, unless the environment names another folder.
const LOG_FOLDER: &str = "/var/lib/disksmith";

/// What stands on the command line.
#[derive(Debug, Default)]
struct Request {
    file: PathBuf,
    size: Option<String>,
    force: bool,
    print_minimum: bool,
    to_minimum: bool,
    to_64bit: bool,
    to_32bit: bool,
    stride: Option<u16>,
    undo: bool,
    progress: bool,
}

/// Runs the face.
pub(super) fn run(name: &str, words: &[OsString]) -> ExitCode {
    eprintln!("{BANNER}");
    let request = match read(name, words) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    match work(name, &request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [-d debug_flags] [-f] [-F] [-M] [-P] [-p] device [-b|-s|new_size] [-S RAID-stride] [-z undo_file]\n"
    )
}

/// Reads the options, which are single letters only.
fn read(name: &str, words: &[OsString]) -> Result<Request, String> {
    let mut request = Request::default();
    let mut operands: Vec<&OsStr> = Vec::new();
    let mut words = words.iter();
    let mut only_operands = false;
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if only_operands || bytes.len() < 2 || !bytes.starts_with(b"-") {
            operands.push(word);
            continue;
        }
        if bytes == b"--" {
            only_operands = true;
            continue;
        }
        let mut rest = bytes.get(1..).unwrap_or(&[]);
        while let Some((letter, after)) = rest.split_first() {
            rest = after;
            match letter {
                b'f' => request.force = true,
                b'F' => {}
                b'p' => request.progress = true,
                b'M' => request.to_minimum = true,
                b'P' => request.print_minimum = true,
                b'b' => request.to_64bit = true,
                b's' => request.to_32bit = true,
                b'h' => return Err(usage(name)),
                b'd' | b'S' | b'z' => {
                    let value = if rest.is_empty() {
                        words.next().map(OsString::as_os_str)
                    } else {
                        Some(OsStr::from_bytes(std::mem::take(&mut rest)))
                    };
                    let Some(value) = value else {
                        let letter = char::from(*letter);
                        return Err(format!(
                            "{name}: option requires an argument -- '{letter}'\n{}",
                            usage(name)
                        ));
                    };
                    match letter {
                        b'S' => {
                            let stride = value.to_str().and_then(|text| text.parse().ok());
                            request.stride = Some(stride.ok_or(format!("{name}: Invalid stride length"))?);
                        }
                        b'z' => request.undo = true,
                        _ => {}
                    }
                }
                other => {
                    let letter = char::from(*other);
                    return Err(format!("{name}: invalid option -- '{letter}'\n{}", usage(name)));
                }
            }
        }
    }
    match operands.as_slice() {
        [file] => request.file = PathBuf::from(file),
        [file, size] => {
            request.file = PathBuf::from(file);
            request.size = Some(size.to_string_lossy().into_owned());
        }
        _ => return Err(usage(name)),
    }
    Ok(request)
}

/// A size: blocks, or with a letter sectors (s), KiB, MiB, GiB or TiB. `None` where it is none.
fn parse_blocks(text: &str, block_size: u64) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (at, last) if last.is_ascii_alphabetic() => (text.get(..at)?, last.to_ascii_uppercase()),
        _ => (text, 'B'),
    };
    let number = match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => number.parse(),
    }
    .ok()?;
    let bytes = match unit {
        'B' => return (number > 0).then_some(number),
        'S' => number.checked_mul(512),
        'K' => number.checked_mul(1 << 10),
        'M' => number.checked_mul(1 << 20),
        'G' => number.checked_mul(1 << 30),
        'T' => number.checked_mul(1 << 40),
        _ => None,
    }?;
    Some(bytes / block_size).filter(|blocks| *blocks > 0)
}

/// What is known before anything is changed.
struct Found {
    superblock: Superblock,
    report: SizeReport,
    /// Size of the file or device in bytes.
    size: u64,
    is_device: bool,
}

pub(super) fn clock() -> Result<disksmith_ext4::Clock, String> {
    let now = clock::now().map_err(|_| "SOURCE_DATE_EPOCH is no number of seconds".to_owned())?;
    Ok(Arc::new(move || now))
}

fn look(name: &str, file: &Path) -> Result<Found, String> {
    let shown = file.display();
    let is_device = match std::fs::metadata(file) {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            return Err(format!("open: {text} while opening {shown}"));
        }
    };
    let bad = || {
        println!("Couldn't find valid filesystem superblock.");
        format!("{name}: Bad magic number in super-block while trying to open {shown}")
    };
    let opened = HostFile::open(file, OpenMode::Read, LockMode::Lock);
    let storage: StorageRef = match opened {
        Ok(file) => Arc::new(file),
        Err(_) if is_device => return Err(bad()),
        Err(error) => return Err(format!("{name}: {error} while trying to open {shown}")),
    };
    let raw = read_vec(&*storage, 1024, 1024).map_err(|_| bad())?;
    let superblock = match Superblock::from_bytes(&raw, 1024) {
        Ok(superblock) => superblock,
        Err(Error::NotExt { .. }) => return Err(bad()),
        Err(error) => return Err(format!("{name}: {error} while trying to open {shown}")),
    };
    let report = size_report(&storage, clock()?)
        .map_err(|error| format!("{name}: {error} while trying to open {shown}"))?;
    Ok(Found {
        superblock,
        report,
        size: storage.size(),
        is_device,
    })
}

/// Whether e2fsck has to look at it first.
fn needs_check(sb: &Superblock) -> bool {
    let last_check = u64::from(sb.last_check_hi) << 32 | u64::from(sb.last_check);
    let mounted = u64::from(sb.mount_time_hi) << 32 | u64::from(sb.mount_time);
    last_check < mounted
        || sb.state & 1 == 0
        || sb.state & 2 != 0
        || sb.last_orphan != 0
        || sb.features().incompat.contains(Incompat::RECOVER)
        || sb.free_blocks() > sb.blocks_count()
        || sb.free_inodes > sb.inodes_count
}

fn work(name: &str, request: &Request) -> Result<(), String> {
    let shown = request.file.display();
    let found = look(name, &request.file)?;
    let sb = &found.superblock;
    let block_size = u64::from(found.report.block_size);
    if request.print_minimum {
        println!(
            "Estimated minimum size of the filesystem: {}",
            found.report.minimum
        );
        return Ok(());
    }
    if found.is_device
        && let Some(path) = mounted_on(&request.file)
    {
        return Err(format!(
            "The filesystem on {shown} is mounted on {path}; on-line resizing is the kernel's and is not done here.\nUnmount it, then run this again."
        ));
    }
    if !request.force && needs_check(sb) {
        return Err(format!("Please run 'e2fsck -f {shown}' first.\n"));
    }
    let mut most = found.size / block_size;
    most -= most % (PAGE / block_size).max(1);
    let converts = request.to_64bit || request.to_32bit;
    let blocks = match &request.size {
        _ if request.to_minimum => found.report.minimum,
        Some(text) => {
            parse_blocks(text, block_size).ok_or_else(|| format!("{name}: Invalid new size: {text}\n"))?
        }
        None if converts => found.report.blocks,
        None => most,
    };
    let blocks = blocks >> sb.cluster_shift() << sb.cluster_shift();
    if !request.force && blocks < found.report.minimum {
        return Err(format!(
            "{name}: New size smaller than minimum ({})\n",
            found.report.minimum
        ));
    }
    let kib = block_size / 1024;
    if found.is_device && blocks > found.size / block_size {
        return Err(format!(
            "The containing partition (or device) is only {} ({kib}k) blocks.\nYou requested a new size of {blocks} blocks.\n",
            found.size / block_size
        ));
    }
    let blocks = fitting(request, blocks);
    let is_64bit = sb.features().incompat.contains(Incompat::BIT64);
    if request.to_64bit && request.to_32bit {
        return Err("Cannot set and unset 64bit feature.".into());
    }
    if converts {
        if blocks >= 1 << 32 {
            return Err(
                "Cannot change the 64bit feature on a filesystem that is larger than 2^32 blocks.".into(),
            );
        }
        if request.to_64bit && !sb.features().incompat.contains(Incompat::EXTENTS) {
            return Err(
                "Please enable the extents feature with tune2fs before enabling the 64bit feature.".into(),
            );
        }
        if request.to_64bit && is_64bit {
            eprintln!("The filesystem is already 64-bit.");
            return Ok(());
        }
        if request.to_32bit && !is_64bit {
            eprintln!("The filesystem is already 32-bit.");
            return Ok(());
        }
    } else if blocks == found.report.blocks {
        eprintln!("The filesystem is already {blocks} ({kib}k) blocks long.  Nothing to do!\n");
        return Ok(());
    }
    if !converts && !is_64bit && blocks >= 1 << 32 {
        return Err(format!("{name}: New size too large to be expressed in 32 bits\n"));
    }
    if blocks < found.report.blocks && sb.features().compat.contains(Compat::STABLE_INODES) {
        return Err("Cannot shrink this filesystem because it has the stable_inodes feature flag.".into());
    }
    if !request.force && sb.cluster_shift() > 0 {
        return Err(
            "\nResizing bigalloc file systems has not been fully tested.  Proceed at\nyour own risk!  Use the force option if you want to go ahead anyway.\n"
                .into(),
        );
    }
    if request.undo {
        eprintln!("{name}: no undo file is written: the change is made as a whole or not at all");
    }
    if request.to_64bit {
        println!("Converting the filesystem to 64-bit.");
    } else if request.to_32bit {
        println!("Converting the filesystem to 32-bit.");
    } else {
        println!("Resizing the filesystem on {shown} to {blocks} ({kib}k) blocks.");
    }
    let done = change(request, &found, blocks).map_err(|reason| {
        format!("{name}: {reason} while trying to resize {shown}\nThe filesystem on {shown} is as it was.")
    })?;
    if request.progress {
        show_passes(&done, sb.features().has_group_checksums());
    }
    println!(
        "The filesystem on {shown} is now {} ({kib}k) blocks long.\n",
        done.blocks
    );
    Ok(())
}

/// As many blocks as the filesystem will get: a last group that would be too small is not made. A size that is none stays, to
/// be refused.
fn fitting(request: &Request, blocks: u64) -> u64 {
    let options = clock().map(ResizeOptions::new);
    let file = HostFile::open(&request.file, OpenMode::Read, LockMode::Lock);
    match (options, file) {
        (Ok(options), Ok(file)) => {
            let storage: StorageRef = Arc::new(file);
            fitting_blocks(&storage, blocks, &options).unwrap_or(blocks)
        }
        _ => blocks,
    }
}

/// The passes that were worth a bar, with full bars.
fn show_passes(done: &Resized, has_checksums: bool) {
    let is_eager = !has_checksums || std::env::var_os("RESIZE2FS_FORCE_ITABLE_INIT").is_some();
    let added = done.groups.saturating_sub(done.old_groups);
    let looked_through = done.moved_blocks > 0 || done.groups < done.old_groups;
    let passes = [
        (1, u64::from(added), is_eager, "Extending the inode table"),
        (2, done.moved_blocks, true, "Relocating blocks"),
        (
            3,
            u64::from(done.old_groups),
            looked_through,
            "Scanning inode table",
        ),
        (5, u64::from(done.moved_tables), true, "Moving inode table"),
    ];
    for (pass, max, is_shown, name) in passes {
        if is_shown && max > 0 {
            let (line, back, bar) = ("-".repeat(40), "\u{8}".repeat(40), "X".repeat(40));
            println!("Begin pass {pass} (max = {max})\n{name:<30}{line}{back}{bar}");
        }
    }
}

/// Where the log of the change of a device lies: it must outlast a power cut, and be nobody else's to write.
fn log_folder() -> Result<PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt;
    let named = std::env::var_os("E2FSPROGS_UNDO_DIR").filter(|name| !name.is_empty());
    let folder = PathBuf::from(named.unwrap_or_else(|| LOG_FOLDER.into()));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("the folder {} for the log of the change cannot be made (name another one in E2FSPROGS_UNDO_DIR): {error}", folder.display()))?;
    Ok(folder)
}

/// Where a device is mounted, if it is.
fn mounted_on(device: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let number = std::fs::metadata(device).ok()?.rdev();
    // How Linux packs a device's number: 12 and 20 bits, each in two pieces.
    let major = number >> 8 & 0xfff | number >> 32 & !0xfff;
    let minor = number & 0xff | number >> 12 & 0xf_ff00;
    let number = format!("{major}:{minor}");
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(2) == Some(&number.as_str())).then(|| fields.get(4).map(|path| (*path).to_owned()))?
    })
}

/// Makes the change, as one transaction.
fn change(request: &Request, found: &Found, blocks: u64) -> Result<Resized, String> {
    let spec = DiskSpec {
        format: Some(Format::Raw),
        ..DiskSpec::in_place(&request.file)
    };
    let log_dir = if found.is_device {
        Some(log_folder()?)
    } else {
        None
    };
    let options = TransactionOptions {
        log_dir,
        ..TransactionOptions::default()
    };
    let transaction = Transaction::begin(&[spec], &options).map_err(|e| e.to_string())?;
    let storage = transaction.storage(0).ok_or("nothing is open")?;
    let block_size = u64::from(found.report.block_size);
    let wanted = blocks
        .checked_mul(block_size)
        .ok_or("New size results in too many block group descriptors.")?;
    if !found.is_device && wanted > found.size {
        storage.set_size(wanted).map_err(|e| e.to_string())?;
    }
    let options = ResizeOptions {
        block_numbers: match (request.to_64bit, request.to_32bit) {
            (true, _) => BlockNumbers::Bits64,
            (_, true) => BlockNumbers::Bits32,
            _ => BlockNumbers::Keep,
        },
        stride: request.stride,
        ..ResizeOptions::new(clock()?)
    };
    let done = resize(&storage, blocks, &options).map_err(|error| match error {
        Error::NoSpace { .. } | Error::InvalidOption { .. } => {
            "Not enough space to build proposed filesystem".to_owned()
        }
        other => other.to_string(),
    })?;
    let len = done.blocks.saturating_mul(block_size);
    if !found.is_device && storage.size() > len {
        storage.set_size(len).map_err(|e| e.to_string())?;
    }
    drop(storage);
    transaction.commit().map_err(|e| e.to_string())?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::parse_blocks;

    #[test]
    fn sizes_are_read_as_resize2fs_reads_them() {
        assert_eq!(parse_blocks("100", 4096), Some(100));
        assert_eq!(parse_blocks("16s", 4096), Some(2));
        assert_eq!(parse_blocks("1M", 1024), Some(1024));
        assert_eq!(parse_blocks("2g", 4096), Some(524_288));
        for text in ["", "abc", "0", "-5", "1X", "1MB"] {
            assert_eq!(parse_blocks(text, 1024), None, "{text}");
        }
    }
}
