//! `disksmith mount`.

mod background;
mod mount_record;
mod serving;

pub(crate) use mount_record::{MountRecord, is_mounted};
pub(crate) use serving::{Serving, serve};

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_export::{Changes, CommitPolicy, MountOptions, Owners, Source};
use disksmith_image::TransactionOptions;
use disksmith_storage::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Show the files of a guest in a directory, to read them or (--rw) to change them
///
/// The guest's filesystems appear as its own fstab joins them; with -m only those that are named. The verb returns when the
/// directory can be used; `disksmith umount DIR` ends it. Neither root nor any service is needed.
///
/// With --rw, fsync of any file or directory in it commits everything changed so far, whole; so do 30 seconds, and the end. A mount
/// that is killed leaves the last commit.
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// The directory, which must exist
    #[arg(value_name = "DIR")]
    place: PathBuf,
    /// Find the guest's filesystems by its fstab (this is the default)
    #[arg(short = 'i', long = "inspector", conflicts_with = "mounts")]
    inspector: bool,
    /// Only read (this is the default)
    #[arg(short = 'r', long, conflicts_with_all = ["writable", "overlay", "discard"])]
    ro: bool,
    /// Let files be changed
    #[arg(short = 'w', long = "rw", id = "writable")]
    writable: bool,
    /// Let files be changed, and keep the changes in this new overlay (one image only); the image stays as it is
    #[arg(long, value_name = "NEW.qcow2", conflicts_with = "discard")]
    overlay: Option<PathBuf>,
    /// Let files be changed, and throw the changes away at the end
    #[arg(long = "discard-on-unmount", id = "discard")]
    discard: bool,
    /// Stay in the foreground until it is unmounted; Ctrl-C ends it
    #[arg(short = 'f', long)]
    foreground: bool,
    /// When the directory can be used print one line of JSON: mounted, pid, writable
    #[arg(long)]
    json_ready: bool,
    /// Write the number of the process here when the directory can be used; it is removed when everything is committed
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Show root's files as mine, and what I make as root's in the guest; no permission is checked
    #[arg(long)]
    map_owner: bool,
    /// Let other users see it too (everybody but root needs user_allow_other in /etc/fuse.conf)
    #[arg(long)]
    allow_other: bool,
    /// Options as mount(8) has them: noexec, nosuid, nodev, sync …; several with commas
    #[arg(short = 'o', long = "option", value_name = "OPTION", value_delimiter = ',')]
    options: Vec<String>,
    /// Commit changes after so many seconds at the latest
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    commit_interval: u64,
    /// Append to this file what the mount in the background has to say: commits that fail, damage in the guest's filesystems
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Change even a base that has clones, which this corrupts
    #[arg(long)]
    force: bool,
    /// Where the redo log of a raw image goes, if not beside it
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

impl MountArgs {
    fn changes(&self) -> Changes {
        match &self.overlay {
            Some(path) => Changes::Overlay(path.clone()),
            None if self.discard => Changes::Discarded,
            None if self.writable => Changes::Kept,
            None => Changes::Refused,
        }
    }

    fn source(&self) -> Outcome<Source> {
        if let Some(path) = self
            .overlay
            .as_ref()
            .filter(|path| path.symlink_metadata().is_ok())
        {
            // Here --force has another meaning.
            let text = format!("{} exists already", path.display());
            return Err(Failure::new(ErrorKind::Refused, text).or_hint("remove it, or name another"));
        }
        let found = self.guest.options()?;
        let images = self.guest.images();
        Ok(Source {
            disks: images
                .iter()
                .map(|path| (path.clone(), self.guest.format()))
                .collect(),
            mounts: found.mounts,
            root: found.root,
            or_only_files: true,
            changes: self.changes(),
            transaction: TransactionOptions {
                log_dir: self.log_dir.clone(),
                force: self.force,
                keys: found.keys,
                gate: found.gate,
                ..TransactionOptions::default()
            },
        })
    }
}

/// The user and group that runs the program.
pub(crate) fn mapped_owner() -> Owners {
    Owners::Mapped {
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
    }
}

pub(crate) fn run(args: &MountArgs, globals: &Globals) -> Outcome {
    if args.commit_interval == 0 {
        return Err(Failure::usage("--commit-interval 0: at least a second"));
    }
    let mut options = MountOptions {
        owners: if args.map_owner {
            mapped_owner()
        } else {
            Owners::Same
        },
        allow_other: args.allow_other,
        options: Vec::new(),
        commits: CommitPolicy {
            interval: Duration::from_secs(args.commit_interval),
            ..CommitPolicy::default()
        },
        name: args.guest.names(),
    };
    for option in args.options.iter().filter(|o| !o.is_empty()) {
        match option.as_str() {
            "allow_other" => options.allow_other = true,
            other => options.options.push(other.to_owned()),
        }
    }
    let serving = Serving {
        place: &args.place,
        options,
        foreground: args.foreground,
        json_ready: args.json_ready,
        pid_file: args.pid_file.as_deref(),
        ready_fd: None,
        log_file: args.log_file.as_deref(),
        doing: format!("cannot mount {}", args.guest.names()),
        warn: !globals.quiet,
    };
    let status = serve(&serving, || args.source())?;
    Ok(status.unwrap_or(ExitCode::SUCCESS))
}
