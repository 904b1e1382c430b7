//! The faces of `guestmount` and `guestunmount`.

mod guestunmount;

pub(super) use guestunmount::run as run_guestunmount;

use super::getopt::{flag, value};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, Invocation, KEY,
    KEYS_FROM_STDIN, MOUNT, TRACE, Tool, VERBOSE,
};
use crate::commands::mount::{Serving, mapped_owner, serve};
use crate::failure::{Failure, Outcome};
use disksmith_export::{Changes, CommitPolicy, MountOptions, Owners, Source};
use disksmith_image::TransactionOptions;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "guestmount",
    "guestmount: show the files of a guest in a directory
Usage:
  guestmount [OPTIONS] -a IMAGE [-a IMAGE …] (-i | -m DEVICE[:PATH[:OPTIONS[:TYPE]]] …) DIRECTORY
Options:
  -a|--add IMAGE       A disk image
  --blocksize[=512|4096]  Sector size of the images that follow
  --dir-cache-timeout N   Taken and not needed: what is shown is never stale
  --fd=FD              Write a byte to this descriptor when the directory can be used
  --format[=raw|…]     Format of the images that follow
  --fuse-help          The options that -o takes
  -i|--inspector       Mount what the guest's own fstab says
  --key SELECTOR       A passphrase
  --keys-from-stdin    Read passphrases from standard input
  -m|--mount DEVICE…   Mount this filesystem
  --no-fork            Stay in the foreground
  -n|--no-sync         Taken and not needed: changes are committed
  -o|--option OPTION   An option for FUSE
  --pid-file FILE      Write the number of the process here
  -r|--ro              Only read
  -v|--verbose         Say more
  -V|--version         Show the version
  -w|--rw              Let files be changed (this is the default)
  -x|--trace           Stay in the foreground
",
    &[
        ADD,
        BLOCKSIZE,
        CONNECT,
        value("dir-cache-timeout", 0),
        DOMAIN,
        ECHO_KEYS,
        value("fd", 0),
        FORMAT,
        flag("fuse-help", 0),
        HELP,
        flag("inspector", b'i'),
        KEY,
        KEYS_FROM_STDIN,
        flag("live", 0),
        MOUNT,
        flag("no-fork", 0),
        flag("no-sync", b'n'),
        value("option", b'o'),
        value("pid-file", 0),
        flag("ro", b'r'),
        flag("rw", b'w'),
        flag("selinux", 0),
        TRACE,
        VERBOSE,
        DISPLAY_VERSION,
    ],
    "acdimnorvVwx",
);

/// The text of `--fuse-help`.
const FUSE_HELP: &str = "Options for -o:
  allow_other            let other users see it
  allow_root             let root see it
  default_permissions    let the kernel check permissions
  map_owner              show root's files as mine
  uid=N gid=N            show everything as owned by these
  dev nodev suid nosuid exec noexec sync async dirsync noatime   as mount(8) has them
  attr_timeout=N entry_timeout=N kernel_cache auto_cache use_ino big_writes max_read=N …   taken and not needed
";

/// Runs the face.
pub(super) fn run(_name: &str, words: &[OsString]) -> ExitCode {
    let read = match TOOL.read(words) {
        Ok(read) => read,
        Err(status) => return status,
    };
    if read.has("fuse-help") {
        return match crate::output::print(FUSE_HELP) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => TOOL.fail_with(&failure),
        };
    }
    match mount(&read) {
        Ok(status) => status,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

fn mount(read: &Invocation) -> Outcome {
    let arguments = &read.arguments;
    if read.has("live") {
        return Ok(TOOL.fail("live guests are not supported"));
    }
    if read.has("ro") && read.has("rw") {
        return Ok(TOOL.fail("cannot mix --ro and --rw options"));
    }
    let disks = read.disk_specs();
    if disks.is_empty() && !read.has("domain") {
        eprintln!("guestmount: error: you must specify at least one -a or -d option.");
        return Ok(TOOL.wrong_use());
    }
    read.check_disks()?;
    if read.mounts.is_empty() && !read.has("inspector") {
        eprintln!("guestmount: error: you must specify either -i at least one -m option.");
        return Ok(TOOL.wrong_use());
    }
    let [place] = read.operands() else {
        return Ok(TOOL.fail("you must specify a mountpoint in the host filesystem"));
    };
    let place = PathBuf::from(place);
    let pid_file = arguments.last("pid-file").map(PathBuf::from);
    let ready_fd = match arguments.text("fd") {
        None => None,
        Some(text) => match text.parse() {
            Ok(fd) => Some(fd),
            Err(_) => return Ok(TOOL.fail(&format!("cannot parse fd '{text}'"))),
        },
    };
    let mut options = MountOptions {
        owners: Owners::Unchecked,
        allow_other: false,
        options: Vec::new(),
        commits: CommitPolicy::default(),
        name: disks
            .iter()
            .map(|disk| disk.path.display().to_string())
            .collect::<Vec<_>>()
            .join(" "),
    };
    for list in arguments.texts("option") {
        for option in list.split(',').filter(|o| !o.is_empty()) {
            take_option(&mut options, option)?;
        }
    }
    let serving = Serving {
        place: &place,
        options,
        foreground: read.has("no-fork") || read.has("trace"),
        json_ready: false,
        pid_file: pid_file.as_deref(),
        ready_fd,
        log_file: None,
        doing: String::new(),
        warn: read.has("verbose"),
    };
    let changes = if read.has("ro") {
        Changes::Refused
    } else {
        Changes::Kept
    };
    let status = serve(&serving, || {
        // Only here: standard input may hold the passphrases.
        let mut found = read.guest_options()?;
        if read.has("inspector") {
            found.mounts.clear();
        }
        Ok(Source {
            disks: disks.into_iter().map(|disk| (disk.path, disk.format)).collect(),
            mounts: found.mounts,
            root: found.root,
            or_only_files: false,
            changes,
            transaction: TransactionOptions {
                keys: found.keys,
                gate: found.gate,
                ..TransactionOptions::default()
            },
        })
    })?;
    Ok(status.unwrap_or(ExitCode::SUCCESS))
}

/// Takes an option of `-o`.
fn take_option(options: &mut MountOptions, option: &str) -> Outcome<()> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let number = || {
        value.and_then(|v| v.parse::<u32>().ok()).ok_or_else(|| {
            Failure::usage(format!("-o {option}: a number is missing")).or_hint("write it like -o uid=1000")
        })
    };
    match name {
        "allow_other" | "allow_root" => options.allow_other = true,
        "default_permissions" => options.owners = Owners::Same,
        "map_owner" => options.owners = mapped_owner(),
        "uid" | "gid" => {
            let id = number()?;
            let (mut uid, mut gid) = match options.owners {
                Owners::Shown { uid, gid } => (uid, gid),
                _ => (None, None),
            };
            if name == "uid" {
                uid = Some(id);
            } else {
                gid = Some(id);
            }
            options.owners = Owners::Shown { uid, gid };
        }
        "dev" | "nodev" | "suid" | "nosuid" | "exec" | "noexec" | "sync" | "async" | "dirsync" | "atime"
        | "noatime" => options.options.push(name.to_owned()),
        // What libfuse would do is done already, or makes no difference here.
        "attr_timeout" | "entry_timeout" | "negative_timeout" | "ac_attr_timeout" | "kernel_cache"
        | "auto_cache" | "noauto_cache" | "use_ino" | "readdir_ino" | "big_writes" | "max_read"
        | "max_write" | "max_readahead" | "max_background" | "async_read" | "sync_read"
        | "atomic_o_trunc" | "hard_remove" | "nonempty" | "direct_io" | "large_read" | "intr" | "nopath"
        | "fsname" | "subtype" | "rw" | "ro" | "umask" | "splice_read" | "splice_write" | "splice_move"
        | "no_splice_read" | "no_splice_write" | "no_splice_move" | "auto_unmount" | "noforget"
        | "remember" | "modules" | "debug" => {
            log::debug!("-o {option} is not needed");
        }
        _ => {
            return Err(Failure::usage(format!("fuse: unknown option '{option}'"))
                .or_hint("see guestmount --fuse-help"));
        }
    }
    Ok(())
}
