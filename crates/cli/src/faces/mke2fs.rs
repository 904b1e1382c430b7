//! The face of `mke2fs` and `mkfs.ext2`, `mkfs.ext3`, `mkfs.ext4` (e2fsprogs 1.47.0): options, texts, exit status, and the geometry of
//! the filesystem block for block.

mod options;
mod report;

use crate::clock;
use crate::commands::make_fs::open_files;
use disksmith_disks::Files;
use disksmith_ext4::{Error, FormatOptions, Formatted, format, format_filled, plan_format};
use disksmith_image::{DiskSpec, Format, Output, Transaction, TransactionOptions};
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, StorageRef, Window};
use options::{Command, Request};
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// How it is called in its own banner.
const BANNER: &str = "mke2fs 1.47.0 (5-Feb-2023)";

/// The names it is called by.
pub(super) const NAMES: &[&str] = &["mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4"];

/// Why it ends.
pub(super) enum Stop {
    /// With a message behind the program's name.
    Die(String),
    /// The same, before it has said which program it is.
    DieEarly(String),
    /// With a message as it stands, on standard output.
    Print(String),
    /// With a message as it stands.
    Say(String),
    /// Without another word.
    Nothing,
    /// With the usage, behind a message.
    Usage(Option<String>),
}

/// Runs the face.
pub(super) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    match work(name, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            match stop {
                Stop::Die(message) | Stop::DieEarly(message) => eprintln!("mke2fs: {message}"),
                Stop::Nothing => {}
                Stop::Print(message) => println!("{message}"),
                Stop::Say(message) => eprintln!("{message}"),
                Stop::Usage(message) => {
                    if let Some(message) = message {
                        eprintln!("{message}");
                    }
                    eprint!("{}", options::USAGE);
                }
            }
            ExitCode::FAILURE
        }
    }
}

fn work(name: &str, arguments: &[OsString]) -> Result<(), Stop> {
    let command = Command::parse(name, arguments);
    if let Ok(Command::Format(request)) = &command
        && let Some(warning) = &request.early_warning
    {
        eprintln!("{warning}\n");
    }
    let quiet = match &command {
        Ok(Command::Format(request)) => request.quiet,
        Ok(Command::Version) => false,
        Err(stop) => matches!(stop, Stop::DieEarly(_) | Stop::Usage(_)),
    };
    if !quiet {
        eprintln!("{BANNER}");
    }
    let mut request = match command? {
        Command::Version => {
            eprintln!("\tUsing EXT2FS Library version 1.47.0");
            return Ok(());
        }
        Command::Format(request) => *request,
    };
    if let Some(warning) = &request.warning {
        eprintln!("{warning}\n");
    }
    request.options.time = fake_time()?;
    if let Some(block) = request.options.block_size.filter(|size| *size > PAGE) {
        if request.force {
            eprintln!("Warning: {block}-byte blocks too big for system (max {PAGE}), forced to continue");
        } else {
            eprintln!("mke2fs: {block}-byte blocks too big for system (max {PAGE})");
            if !proceed() {
                return Err(Stop::Nothing);
            }
        }
    }
    let size = prepare(&mut request)?;
    let available = size.saturating_sub(request.offset);
    // Too small for a journal: it is made without one, as long as none was asked for by its size.
    if let Some(without) = without_journal(&request, available) {
        eprintln!("\nFilesystem too small for a journal");
        request.options = without;
    }
    if request.journal_location.is_some()
        || request.resize_limit.is_some()
        || request.orphan_file_size.is_some()
    {
        // The size of a block is known only now.
        let block = plan_format(available, &request.options)
            .map_err(|error| explain(&request, error))?
            .block_size;
        if let Some(text) = request.resize_limit.clone() {
            request.options.resize_limit = match options::size(&text, Some(block)) {
                Some(bytes) => Some(bytes / u64::from(block)),
                None => return Err(Stop::Die(format!("Invalid resize parameter: {text}"))),
            };
        }
        if let Some(text) = &request.orphan_file_size {
            request.options.orphan_file_size = options::size(text, Some(block));
        }
        if let Some(text) = &request.journal_location {
            let location = options::size(text, Some(block)).map(|bytes| bytes / u64::from(block));
            request.options.journal.location = location;
        }
    }
    let planned = plan_format(available, &request.options).map_err(|error| explain(&request, error))?;
    if !request.quiet {
        report::discarded(&request, &planned);
        report::geometry(&request, &planned);
    }
    if request.dry_run {
        return Ok(());
    }
    let mut files = match &request.source {
        None => None,
        Some(source) => {
            let mut files =
                open_files(Path::new(source)).map_err(|failure| Stop::Die(failure.message().to_owned()))?;
            // The root directory itself is a new one.
            files.set_root(0o755, request.options.root_owner);
            if request.no_xattrs {
                files.clear_xattrs();
            }
            Some(files)
        }
    };
    if !request.quiet {
        report::work(&planned, files.is_some(), request.options.packed);
    }
    let has_files = files.is_some();
    write(&request, size, files.as_mut())?;
    if !request.quiet {
        report::end(&planned, has_files);
    }
    Ok(())
}

/// The largest blocks that the kernel mounts here.
const PAGE: u32 = 4096;

fn proceed() -> bool {
    print!("Proceed anyway? (y,N) ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    if !std::io::stdin().read_line(&mut answer).is_ok_and(|read| read > 0) {
        println!();
    }
    answer.trim_start().starts_with(['y', 'Y'])
}

/// The time that the filesystem is made: what the environment says, for output that shall be the same every time.
fn fake_time() -> Result<i64, Stop> {
    if let Ok(text) = std::env::var("E2FSPROGS_FAKE_TIME")
        && let Ok(time) = text.trim().parse()
    {
        return Ok(time);
    }
    match clock::now() {
        Ok(now) => Ok(now.seconds),
        Err(failure) => Err(Stop::Die(failure.message().to_owned())),
    }
}

/// Sees to it that the file is there and large enough; gives its size.
fn prepare(request: &mut Request) -> Result<u64, Stop> {
    let path = Path::new(&request.device);
    let shown = request.device.to_string_lossy().into_owned();
    let wanted = |request: &Request| request.bytes.map(|bytes| bytes.saturating_add(request.offset));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let Some(size) = wanted(request) else {
                return Err(Stop::Say(format!(
                    "The file {shown} does not exist and no size was specified."
                )));
            };
            request.created = true;
            if request.dry_run {
                return Err(Stop::Die(
                    "No such file or directory while trying to determine hardware sector size".into(),
                ));
            }
            println!("Creating regular file {shown}");
            let made = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .and_then(|file| file.set_len(size));
            made.map_err(|error| Stop::Die(format!("{error} while creating {shown}")))?;
            return Ok(size);
        }
        Err(error) => return Err(Stop::Die(format!("{error} while trying to open {shown}"))),
    };
    if metadata.is_dir() {
        return Err(Stop::Say(format!("{shown} is not a block special device.")));
    }
    if !request.force && !request.dry_run {
        ask(request, &shown)?;
    }
    let file =
        HostFile::open(path, OpenMode::Read, LockMode::None).map_err(|error| Stop::Die(error.to_string()))?;
    let size = file.size();
    let whole = file.extent_at(0, size.max(1));
    request.has_data = !whole.is_ok_and(|extent| extent.reads_as_zero() && extent.len >= size);
    if let Some(wanted) = wanted(request)
        && wanted > size
    {
        if !metadata.is_file() {
            return Err(Stop::Say(format!(
                "\n{shown}: the filesystem is larger than the device"
            )));
        }
        if !request.dry_run {
            std::fs::OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|file| file.set_len(wanted))
                .map_err(|error| Stop::Die(format!("{error} while enlarging {shown}")))?;
        }
        return Ok(wanted);
    }
    Ok(size)
}

/// Before a filesystem that is there goes, somebody at a terminal is asked.
fn ask(request: &Request, shown: &str) -> Result<(), Stop> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Ok(());
    }
    let open = disksmith_image::OpenOptions::read()
        .format(Some(Format::Raw))
        .lock(LockMode::None);
    let found = disksmith_image::Image::open(Path::new(&request.device), &open)
        .ok()
        .and_then(|image| disksmith_fs::probe(image.storage()));
    let Some(found) = found else { return Ok(()) };
    println!("{shown} contains a {} file system", found.kind.name());
    if proceed() { Ok(()) } else { Err(Stop::Nothing) }
}

/// The options without a journal, where the filesystem is too small for the one that its type brings.
fn without_journal(request: &Request, size: u64) -> Option<FormatOptions> {
    if request.options.journal.size_mib.is_some() {
        return None;
    }
    match plan_format(size, &request.options) {
        Err(Error::InvalidOption {
            what: "journal size", ..
        }) => {
            let mut options = request.options.clone();
            options.features = request.features_with("^has_journal,^orphan_file").ok()?;
            Some(options)
        }
        _ => None,
    }
}

fn write(request: &Request, size: u64, files: Option<&mut Files>) -> Result<(), Stop> {
    let path = Path::new(&request.device);
    let die = |error: &dyn std::fmt::Display| Stop::Die(error.to_string());
    // A file that holds nothing has nothing to lose: it is written directly.
    if !request.has_data && std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        let file = HostFile::open(path, OpenMode::Write, LockMode::Lock).map_err(|error| die(&error))?;
        let storage: StorageRef = Arc::new(file);
        make(request, &storage, size, files)?;
        return storage.flush().map_err(|error| die(&error));
    }
    let disk = DiskSpec {
        path: path.to_owned(),
        format: Some(Format::Raw),
        output: Output::InPlace,
    };
    let options = TransactionOptions {
        force: request.force,
        ..TransactionOptions::default()
    };
    let edit = Transaction::begin(&[disk], &options).map_err(|error| die(&error))?;
    let storage = edit.storage(0).ok_or_else(|| Stop::Die("no device".into()))?;
    make(request, &storage, size, files)?;
    drop(storage);
    edit.commit().map_err(|error| die(&error))?;
    Ok(())
}

fn make(request: &Request, storage: &StorageRef, size: u64, files: Option<&mut Files>) -> Result<(), Stop> {
    let slice: StorageRef = if request.offset == 0 {
        storage.clone()
    } else {
        let len = size.saturating_sub(request.offset);
        let window = Window::new(storage.clone(), request.offset, len, storage.name());
        Arc::new(window.map_err(|error| Stop::Die(error.to_string()))?)
    };
    let made: Result<Formatted, Error> = match files {
        None => format(&*slice, &request.options),
        Some(files) => {
            let (tree, contents) = files.parts();
            format_filled(&*slice, &request.options, tree, contents)
        }
    };
    match made {
        Ok(_) => Ok(()),
        Err(error) if files_failed(&error) => Err(Stop::Die(format!("{error} while populating file system"))),
        Err(error) => Err(explain(request, error)),
    }
}

fn files_failed(error: &Error) -> bool {
    matches!(error, Error::NoSpace { .. } | Error::File(_))
}

/// What is wrong, in the words of mke2fs where it has some.
fn explain(request: &Request, error: Error) -> Stop {
    let options = &request.options;
    match &error {
        Error::InvalidOption {
            what: "inodes",
            reason,
        } if reason.starts_with("fewer") => Stop::Say(
            "ext2fs_mkdir: Could not allocate inode in ext2 filesystem while creating /lost+found".into(),
        ),
        Error::InvalidOption { what: "inodes", .. } if options.inodes.is_some() => Stop::Say(format!(
            "mke2fs: inode_size ({}) * inodes_count ({}) too big for a\n\tfilesystem with {} blocks, specify higher inode_ratio (-i)\n\tor lower inode count (-N).\n",
            options.inode_size.unwrap_or(256),
            options.inodes.unwrap_or(0),
            request
                .bytes
                .map_or(0, |bytes| bytes / u64::from(options.block_size.unwrap_or(4096))),
        )),
        Error::InvalidOption {
            what: "cluster size",
            reason,
        } if reason.starts_with("clusters need") => {
            Stop::Die("specifying a cluster size requires the bigalloc feature".into())
        }
        Error::InvalidOption {
            what: "inode size",
            reason,
        } if reason.starts_with("project") => {
            Stop::Die("128 byte inodes are too small for project quota".into())
        }
        Error::InvalidOption {
            what: "multi-mount protection interval",
            ..
        } => Stop::Say("\nError while enabling multiple mount protection feature.".into()),
        Error::InvalidOption {
            what: "features",
            reason,
        } if reason == "64bit needs extent" => Stop::Print(
            "Extents MUST be enabled for a 64-bit filesystem.  Pass -O extents to rectify.".into(),
        ),
        Error::InvalidOption { .. } | Error::Unsupported { .. } => Stop::Die(error.to_string()),
        _ => Stop::Die(format!("{error} while setting up superblock")),
    }
}
