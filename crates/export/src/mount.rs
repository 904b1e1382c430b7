//! Mounting, waiting, unmounting.

use crate::committer::{CommitPolicy, Committer};
use crate::error::{Error, Result};
use crate::guest_tree::{Changes, Opened, Source, reopen};
use crate::joined::Joined;
use crate::listings::Listings;
use crate::lookups::Lookups;
use crate::mounted::Mounted;
use crate::owners::Owners;
use disksmith_image::Image;
use disksmith_vfs::Tree;
use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use rustix::mount::UnmountFlags;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long files that are still open when the mount is to end keep it alive.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the kernel shows as the source of a mount begins with this.
pub const SOURCE: &str = "disksmith:";
/// Threads that answer the kernel.
const THREADS: usize = 4;

/// How a guest appears on the host.
#[derive(Debug, Clone, Default)]
pub struct MountOptions {
    /// Who owns what.
    pub owners: Owners,
    /// Whether other users see it too.
    pub allow_other: bool,
    /// Options for the kernel, as `mount -o` has them: `noexec`, `nosuid`, `nodev`, `noatime`, `sync`, `dirsync` and their
    /// opposites; others go to it as they are.
    pub options: Vec<String>,
    /// When is committed without being asked.
    pub commits: CommitPolicy,
    /// What `mount` shows as its source.
    pub name: String,
}

/// What happens to a mount.
#[derive(Debug)]
pub(crate) enum Event {
    /// The kernel has ended it.
    Ended,
    /// It shall end.
    Stop,
}

/// Ends a mount from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    events: Sender<Event>,
}

impl Stopper {
    /// Asks the mount to end: it is taken away, what is open may be used for a while, and everything is committed.
    pub fn stop(&self) {
        let _ = self.events.send(Event::Stop);
    }
}

/// A guest that is mounted.
#[derive(Debug)]
#[must_use = "a mount ends only by waiting for its end"]
pub struct Running {
    place: PathBuf,
    // Never dropped: it would unmount whatever is mounted there by then.
    _session: ManuallyDrop<BackgroundSession>,
    committer: Arc<Committer>,
    thread: JoinHandle<()>,
    events: Receiver<Event>,
    stopper: Stopper,
    _images: Vec<Image>,
    warnings: Vec<String>,
}

/// Mounts a guest at a directory. On return it can be used.
///
/// # Errors
/// [`Error::Place`], [`Error::Mount`], and those of opening the guest.
pub fn mount(source: &Source, place: &Path, options: &MountOptions) -> Result<Running> {
    let place = check_place(place)?;
    let mut opened = source.open()?;
    let keeps = !matches!(source.changes, Changes::Refused | Changes::Discarded);
    if source.changes != Changes::Refused && !opened.joined.is_writable() {
        opened
            .warnings
            .push("none of the filesystems can be written: the mount is read-only".into());
    }
    start(opened, keeps, place, options)
}

/// Mounts a tree that its owner goes on to hold: what is changed is in its filesystems once the mount has ended, and nothing of
/// it is committed here.
///
/// # Errors
/// [`Error::Place`] and [`Error::Mount`].
pub fn mount_tree(tree: &Tree, place: &Path, options: &MountOptions) -> Result<Running> {
    let opened = Opened {
        joined: Joined::new(tree, |_| None),
        transaction: None,
        images: Vec::new(),
        warnings: Vec::new(),
    };
    start(opened, false, check_place(place)?, options)
}

fn start(opened: Opened, keeps: bool, place: PathBuf, options: &MountOptions) -> Result<Running> {
    let writable = opened.joined.is_writable();
    let joined = Arc::new(opened.joined);
    let committer = Arc::new(Committer::new(
        Arc::clone(&joined),
        place.clone(),
        opened.transaction,
        keeps && writable,
        options.commits,
        reopen(),
    ));
    let (sender, events) = channel();
    let mounted = Mounted {
        joined,
        owners: options.owners,
        lookups: Lookups::new(),
        listings: Listings::default(),
        committer: Arc::clone(&committer),
        opens_itself: (false, false),
        ended: sender.clone(),
    };
    let failed = |source: std::io::Error| Error::Mount {
        path: place.clone(),
        source,
    };
    let thread = committer.start().map_err(failed)?;
    let config = config_of(options, writable);
    let session = fuser::spawn_mount(mounted, &place, &config)
        .map_err(|e| failed(plainly(&e, &config.mount_options)))?;
    Ok(Running {
        place,
        _session: ManuallyDrop::new(session),
        committer,
        thread,
        events,
        stopper: Stopper { events: sender },
        _images: opened.images,
        warnings: opened.warnings,
    })
}

/// What the kernel, or the helper program, says of a mount that it refuses.
fn plainly(error: &std::io::Error, options: &[MountOption]) -> std::io::Error {
    let unknown: Vec<&str> = options
        .iter()
        .filter_map(|option| match option {
            MountOption::CUSTOM(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let said = error.to_string();
    let said = said.trim();
    if !unknown.is_empty() && (said.contains("EINVAL") || said.contains("Invalid argument")) {
        let text = format!("the kernel refuses one of these options: {}", unknown.join(", "));
        return std::io::Error::new(std::io::ErrorKind::InvalidInput, text);
    }
    std::io::Error::new(error.kind(), said.to_owned())
}

fn check_place(place: &Path) -> Result<PathBuf> {
    let wrong = |reason: String| Error::Place {
        path: place.to_owned(),
        reason,
    };
    let real = place.canonicalize().map_err(|e| wrong(e.to_string()))?;
    if real.is_dir() {
        Ok(real)
    } else {
        Err(wrong("not a directory".into()))
    }
}

fn config_of(options: &MountOptions, writable: bool) -> Config {
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    config.acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    // A comma would begin another option.
    let name = options.name.replace([',', '\\', '\n'], "_");
    let mut list = vec![
        MountOption::FSName(format!("{SOURCE}{name}")),
        if writable {
            MountOption::RW
        } else {
            MountOption::RO
        },
    ];
    if options.owners.are_checked() {
        list.push(MountOption::DefaultPermissions);
    }
    for option in &options.options {
        list.push(match option.as_str() {
            "dev" => MountOption::Dev,
            "nodev" => MountOption::NoDev,
            "suid" => MountOption::Suid,
            "nosuid" => MountOption::NoSuid,
            "exec" => MountOption::Exec,
            "noexec" => MountOption::NoExec,
            "atime" => MountOption::Atime,
            "noatime" => MountOption::NoAtime,
            "sync" => MountOption::Sync,
            "async" => MountOption::Async,
            "dirsync" => MountOption::DirSync,
            "default_permissions" => MountOption::DefaultPermissions,
            other => MountOption::CUSTOM(other.into()),
        });
    }
    config.mount_options = list;
    config
}

impl Running {
    /// What was odd about the guest.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The directory, as the kernel names it.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// A handle that ends the mount.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Commits what was changed so far.
    ///
    /// # Errors
    /// Those of the commit.
    pub fn commit(&self) -> Result<()> {
        self.committer.commit()
    }

    /// Waits until the mount has ended, by whoever, and commits the rest. On return the images are closed.
    ///
    /// # Errors
    /// Those of the last commit; [`Error::Lost`] where an earlier one lost changes.
    pub fn wait(self) -> Result<()> {
        let mut stopped = false;
        loop {
            let event = if stopped {
                self.events.recv_timeout(PATIENCE)
            } else {
                self.events.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match event {
                Ok(Event::Stop) if !stopped => {
                    stopped = true;
                    // First what matters most.
                    if let Err(error) = self.committer.commit() {
                        log::error!("{error}");
                    }
                    if let Err(error) = unmount(&self.place, true) {
                        log::warn!("{error}");
                    }
                }
                Ok(Event::Stop) => {}
                Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
            }
        }
        self.committer.stop(self.thread);
        self.committer.finish()
    }
}

/// Takes a mount away. `lazy`: even while somebody uses it, for whom it stays until then.
///
/// # Errors
/// [`Error::Unmount`].
pub fn unmount(place: &Path, lazy: bool) -> Result<()> {
    let flags = if lazy {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    match rustix::mount::unmount(place, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM) => unmount_as_user(place, lazy),
        Err(errno) => Err(Error::Unmount {
            path: place.to_owned(),
            reason: std::io::Error::from(errno).to_string(),
            busy: errno == rustix::io::Errno::BUSY,
        }),
    }
}

/// By the helper that may do what users may not.
fn unmount_as_user(place: &Path, lazy: bool) -> Result<()> {
    let failed = |reason: String| Error::Unmount {
        path: place.to_owned(),
        busy: reason.contains("busy"),
        reason,
    };
    let mut last = String::from("fusermount3 is not installed (package fuse3)");
    for program in ["fusermount3", "fusermount"] {
        let mut command = Command::new(program);
        command.arg("-u");
        if lazy {
            command.arg("-z");
        }
        match command.arg("--").arg(place).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => last = error.to_string(),
        }
    }
    Err(failed(last))
}
