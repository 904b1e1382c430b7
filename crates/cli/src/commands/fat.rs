//! `disksmith fat`: FAT volumes by themselves.

use super::{Globals, image_unchanged};
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, finish, print, print_json};
use clap::{Args, Subcommand, ValueEnum};
use disksmith_fat::{BootSector, Content, Fat, FatKind, FormatOptions, OpenOptions, VolumeBuilder};
use disksmith_image::{DiskSpec, Image, Transaction, TransactionOptions};
use disksmith_storage::{Durability, ErrorKind, Existing, NewFile, Storage, StorageRef, Window};
use disksmith_vfs::{
    CopyInOptions, CopyOutOptions, FileSystem, FileSystemRef, Owner, OwnerPolicy, Timestamp, Tree,
};
use disksmith_volume::Disk;
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The deepest tree of the host that is taken.
const MAX_DEPTH: usize = 256;
/// What is left free in a new volume where nothing is said.
const FREE: u64 = 0;

/// Make FAT volumes, look into them and edit them
#[derive(Debug, Args)]
pub(crate) struct FatArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(CreateArgs),
    Ls(PathsArgs),
    Cat(PathsArgs),
    CopyIn(CopyInArgs),
    CopyOut(CopyOutArgs),
    Mkdir(PathsArgs),
    Rm(PathsArgs),
    Label(LabelArgs),
    Info(InfoArgs),
}

/// Which volume.
#[derive(Debug, Args)]
struct Place {
    /// The image, in any format
    image: PathBuf,
    /// Where the volume begins in it, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
}

/// The width of table entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Width {
    #[value(name = "12")]
    Fat12,
    #[value(name = "16")]
    Fat16,
    #[value(name = "32")]
    Fat32,
}

/// Make a volume that holds files and directories, as large as they need
///
/// A directory that is given with a slash at its end gives its contents, otherwise itself.
#[derive(Debug, Args)]
struct CreateArgs {
    /// The image to make
    image: PathBuf,
    /// Files and directories of this host
    sources: Vec<PathBuf>,
    /// The label
    #[arg(short = 'n', long)]
    label: Option<String>,
    /// Bytes of the image, instead of as many as are needed (k, M, G)
    #[arg(short = 's', long, value_parser = size)]
    size: Option<u64>,
    /// Bytes that stay free for further files (k, M, G)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value_t = FREE)]
    free: u64,
    /// Bits of a table entry, instead of what the size asks for
    #[arg(short = 'F', long = "fat", value_name = "BITS")]
    width: Option<Width>,
    /// The serial number, eight hexadecimal digits, instead of one from the time
    #[arg(short = 'i', long, value_name = "HEX", value_parser = volume_id)]
    volume_id: Option<u32>,
    /// Begin with a partition table, with the volume as the only partition
    #[arg(long)]
    partitioned: bool,
    /// Replace an image that is there
    #[arg(long)]
    force: bool,
}

/// Paths in the volume
#[derive(Debug, Args)]
struct PathsArgs {
    #[command(flatten)]
    place: Place,
    /// Paths in the volume
    paths: Vec<PathBuf>,
}

/// Copy files and directories of this host into the volume
#[derive(Debug, Args)]
struct CopyInArgs {
    #[command(flatten)]
    place: Place,
    /// Files and directories of this host, then a directory in the volume
    #[arg(required = true, num_args = 2.., value_names = ["PATH", "DIRECTORY"])]
    paths: Vec<PathBuf>,
}

/// Copy files and directories out of the volume
#[derive(Debug, Args)]
struct CopyOutArgs {
    #[command(flatten)]
    place: Place,
    /// Paths in the volume, then a directory of this host
    #[arg(required = true, num_args = 2.., value_names = ["PATH", "DIRECTORY"])]
    paths: Vec<PathBuf>,
}

/// Show or set the label
#[derive(Debug, Args)]
struct LabelArgs {
    #[command(flatten)]
    place: Place,
    /// The new label; empty for none
    label: Option<String>,
}

/// Show what kind of volume it is
#[derive(Debug, Args)]
struct InfoArgs {
    #[command(flatten)]
    place: Place,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "k" | "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        other => return Err(format!("{other} is none of k, M, G and T")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text} is no size"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("{text} is too much"))
}

fn volume_id(text: &str) -> Result<u32, String> {
    u32::from_str_radix(&text.replace('-', ""), 16)
        .map_err(|_| format!("{text} is no number of eight hexadecimal digits"))
}

pub(crate) fn run(args: &FatArgs, _: &Globals) -> Outcome {
    match &args.action {
        Action::Create(args) => create(args),
        Action::Ls(args) => ls(args),
        Action::Cat(args) => look(&args.place, |tree, _| {
            let mut out = std::io::stdout().lock();
            for path in &args.paths {
                tree.copy_to(path.as_os_str().as_bytes(), &mut out, "standard output")?;
            }
            finish(std::io::Write::flush(&mut out))
        }),
        Action::CopyIn(args) => copy_in(args),
        Action::CopyOut(args) => copy_out(args),
        Action::Mkdir(args) => edit(&args.place, |tree, _| {
            for path in &args.paths {
                tree.create_dir_all(path.as_os_str().as_bytes(), Owner::ROOT, 0o755)?;
            }
            Ok(())
        }),
        Action::Rm(args) => edit(&args.place, |tree, _| {
            for path in &args.paths {
                tree.remove_all(path.as_os_str().as_bytes())?;
            }
            Ok(())
        }),
        Action::Label(args) => label(args),
        Action::Info(args) => info(args),
    }
}

fn create(args: &CreateArgs) -> Outcome {
    let now = clock::now()?;
    // The lower half changes most.
    let mixed = now.seconds.cast_unsigned() ^ u64::from(now.nanoseconds) << 20;
    let id = args.volume_id.unwrap_or((mixed ^ mixed >> 32) as u32);
    let mut options = FormatOptions::new(id, now);
    options.label.clone_from(&args.label);
    options.kind = args.width.map(|width| match width {
        Width::Fat12 => FatKind::Fat12,
        Width::Fat16 => FatKind::Fat16,
        Width::Fat32 => FatKind::Fat32,
    });
    let mut builder = VolumeBuilder::new(options);
    builder.partitioned(args.partitioned).free_space(args.free);
    if let Some(size) = args.size {
        builder.size(size);
    }
    for source in &args.sources {
        let contents = source.as_os_str().as_bytes().ends_with(b"/");
        let name = match source.file_name() {
            Some(name) if !contents => name.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        add(&mut builder, source, name, 0)?;
    }
    let volume = builder.plan()?;
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    let file = NewFile::create(&args.image, existing)?;
    file.file().set_size(volume.size())?;
    volume.write_to(&**file.file(), true)?;
    file.commit(existing, Durability::Deferred)?;
    Ok(ExitCode::SUCCESS)
}

/// Adds a file or directory of the host under a path, the root for an empty one.
fn add(builder: &mut VolumeBuilder, host: &Path, path: Vec<u8>, depth: usize) -> Outcome<()> {
    let fail = |error: &std::io::Error| Failure::io("read", host, error);
    let found = std::fs::metadata(host).map_err(|error| fail(&error))?;
    let time = match clock::is_fixed() {
        true => clock::now()?,
        false => Timestamp {
            seconds: found.mtime(),
            nanoseconds: u32::try_from(found.mtime_nsec()).unwrap_or(0),
        },
    };
    if found.is_file() {
        let content = Content::HostFile {
            path: host.to_owned(),
            len: found.len(),
        };
        let read_only = u8::from(found.mode() & 0o222 == 0);
        builder.add_file_with(&path, content, time, read_only)?;
        return Ok(());
    }
    if !found.is_dir() || depth > MAX_DEPTH {
        let text = format!("{} is neither a file nor a directory", host.display());
        return Err(Failure::new(ErrorKind::Unsupported, text)
            .or_hint("FAT holds files and directories only; leave it out"));
    }
    builder.add_directory(&path, time)?;
    let mut entries = std::fs::read_dir(host)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| fail(&error))?;
    // The host's own order differs from run to run.
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let mut below = path.clone();
        below.push(b'/');
        below.extend_from_slice(entry.file_name().as_bytes());
        add(builder, &entry.path(), below, depth + 1)?;
    }
    Ok(())
}

/// The part of an image that is the volume: from the offset on, the whole, or the only FAT partition of a partitioned disk.
fn window(storage: StorageRef, place: &Place) -> Outcome<StorageRef> {
    if place.offset == 0 {
        return partition(storage, place);
    }
    let len = storage.size().saturating_sub(place.offset);
    let name = format!("{} from byte {}", place.image.display(), place.offset);
    Ok(Arc::new(Window::new(storage, place.offset, len, name)?))
}

fn partition(storage: StorageRef, place: &Place) -> Outcome<StorageRef> {
    if BootSector::load(&*storage).is_ok() {
        return Ok(storage);
    }
    let Ok(disk) = Disk::probe(Arc::clone(&storage)) else {
        return Ok(storage);
    };
    let mut volumes = Vec::new();
    for partition in disk.partitions() {
        if let Ok(slice) = disk.open(partition)
            && BootSector::load(&*slice).is_ok()
        {
            volumes.push((partition.start, slice));
        }
    }
    if volumes.len() > 1 {
        let offsets: Vec<String> = volumes.iter().map(|(start, _)| start.to_string()).collect();
        return Err(Failure::usage(format!(
            "{}: several partitions hold a FAT filesystem; say which one by --offset: {}",
            place.image.display(),
            offsets.join(", ")
        )));
    }
    // Without one, what is said of the whole is what is wrong.
    Ok(volumes.pop().map_or(storage, |(_, slice)| slice))
}

fn open(storage: StorageRef, place: &Place, writable: bool) -> Outcome<(Tree, Arc<Fat>)> {
    let now = clock::now()?;
    let options = OpenOptions::new(writable, Arc::new(move || now));
    let fat = Fat::open_with(window(storage, place)?, options).map_err(|error| {
        Failure::from(error)
            .doing(place.image.display())
            .or_hint("where the volume does not begin at the first byte, say so by --offset")
    })?;
    let fat = Arc::new(fat);
    Ok((Tree::new(Arc::clone(&fat) as FileSystemRef, now), fat))
}

fn look(place: &Place, work: impl FnOnce(&Tree, &Fat) -> Outcome<()>) -> Outcome {
    let image = Image::open(&place.image, &disksmith_image::OpenOptions::read())?;
    let (tree, fat) = open(image.storage().clone(), place, false)?;
    work(&tree, &fat)?;
    Ok(ExitCode::SUCCESS)
}

fn edit(place: &Place, work: impl FnOnce(&Tree, &Fat) -> Outcome<()>) -> Outcome {
    let unchanged = image_unchanged(std::slice::from_ref(&place.image));
    let change = || -> Outcome<()> {
        let disks = [DiskSpec::in_place(&place.image)];
        let edit = Transaction::begin(&disks, &TransactionOptions::default())?;
        let storage = edit
            .storage(0)
            .ok_or_else(|| Failure::new(ErrorKind::Failed, "the edit has no image"))?;
        let (tree, fat) = open(storage, place, true)?;
        work(&tree, &fat)?;
        tree.sync()?;
        edit.commit()?;
        Ok(())
    };
    change().map_err(unchanged)?;
    Ok(ExitCode::SUCCESS)
}

fn ls(args: &PathsArgs) -> Outcome {
    look(&args.place, |tree, _| {
        let root = [PathBuf::from("/")];
        let paths = if args.paths.is_empty() {
            &root[..]
        } else {
            &args.paths
        };
        let mut text = Vec::new();
        for path in paths {
            for entry in tree.read_dir(path.as_os_str().as_bytes())? {
                text.extend_from_slice(&entry.name);
                text.push(b'\n');
            }
        }
        print(text)
    })
}

fn copy_in(args: &CopyInArgs) -> Outcome {
    let Some((directory, paths)) = args.paths.split_last() else {
        return Err(Failure::usage(
            "copy-in needs a path of this host and a directory in the volume",
        ));
    };
    edit(&args.place, |tree, _| {
        for path in paths {
            let options = CopyInOptions {
                owner: OwnerPolicy::Root,
                ..CopyInOptions::default()
            };
            tree.copy_in(path, directory.as_os_str().as_bytes(), options)?;
        }
        Ok(())
    })
}

fn copy_out(args: &CopyOutArgs) -> Outcome {
    let Some((directory, paths)) = args.paths.split_last() else {
        return Err(Failure::usage(
            "copy-out needs a path in the volume and a directory",
        ));
    };
    if !directory.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a directory",
            directory.display()
        )));
    }
    look(&args.place, |tree, _| {
        for path in paths {
            tree.copy_out(path.as_os_str().as_bytes(), directory, CopyOutOptions::default())?;
        }
        Ok(())
    })
}

fn label(args: &LabelArgs) -> Outcome {
    let Some(label) = &args.label else {
        return look(&args.place, |_, fat| {
            let label = fat.label().unwrap_or_default();
            print([label.as_slice(), b"\n"].concat())
        });
    };
    let now = clock::now()?;
    edit(&args.place, |_, fat| {
        let label = Some(label.as_str()).filter(|label| !label.is_empty());
        Ok(fat.set_label(label, now)?)
    })
}

fn info(args: &InfoArgs) -> Outcome {
    look(&args.place, |_, fat| {
        let boot = fat.boot_sector();
        let space = fat.stat_fs()?;
        let bits = match boot.kind {
            FatKind::Fat12 => 12,
            FatKind::Fat16 => 16,
            FatKind::Fat32 => 32,
        };
        let label = fat
            .label()
            .map(|label| String::from_utf8_lossy(&label).into_owned());
        let free = space.free_blocks * space.block_size;
        if args.output == OutputFormat::Json {
            return print_json(&json!({
                "kind": format!("FAT{bits}"),
                "label": label,
                "volume-id": fat.uuid(),
                "sector-size": boot.sector_len,
                "cluster-size": boot.cluster_len,
                "clusters": boot.clusters,
                "free-bytes": free,
                "fats": boot.fat_count,
                "dirty": fat.is_dirty(),
            }));
        }
        print(format!(
            "kind: FAT{bits}\nlabel: {}\nvolume id: {}\nsector size: {}\ncluster size: {}\nclusters: {}\nfree bytes: {free}\n\
             tables: {}\nclean: {}\n",
            label.unwrap_or_default(),
            fat.uuid().unwrap_or_default(),
            boot.sector_len,
            boot.cluster_len,
            boot.clusters,
            boot.fat_count,
            if fat.is_dirty() { "no" } else { "yes" },
        ))
    })
}
