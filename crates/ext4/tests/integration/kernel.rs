//! The kernel's own ext4, through a loop mount.

use super::judges::{have, missing, run, run_ok};
use std::path::{Path, PathBuf};

/// Whether loop mounts are possible here.
pub fn can_mount() -> bool {
    if !have("mount") || !have("losetup") {
        return false;
    }
    let root = run("id", &["-u"]).stdout.starts_with(b"0\n");
    if !root || !Path::new("/dev/loop-control").exists() {
        missing("permission for loop mounts");
        return false;
    }
    true
}

/// A mounted image; unmounted when dropped.
pub struct Mount {
    image: PathBuf,
    dir: tempfile::TempDir,
    mounted: bool,
}

impl Mount {
    /// Mounts an image; `options` are those of `mount -o`.
    pub fn new(image: &Path, options: &str) -> Self {
        Self::try_new(image, options).unwrap_or_else(|error| panic!("mount -o {options}: {error}"))
    }

    /// As [`Self::new`]; an error is what mount printed.
    pub fn try_new(image: &Path, options: &str) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("loop,{options}");
        let output = run(
            "mount",
            &[
                "-t",
                "ext4",
                "-o",
                &options,
                image.to_str().unwrap(),
                dir.path().to_str().unwrap(),
            ],
        );
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(Self {
            image: image.to_owned(),
            dir,
            mounted: true,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Stops the filesystem dead, as if the machine had lost power; the log in memory is written first if `flush_log`.
    pub fn shut_down(mut self, flush_log: bool) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_LOGFLUSH (1) or EXT4_GOING_FLAGS_NOLOGFLUSH (2).
        let script = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', int(sys.argv[2])))";
        let flag = if flush_log { "1" } else { "2" };
        run_ok(
            "python3",
            &["-c", script, self.dir.path().to_str().unwrap(), flag],
        );
        self.unmount();
    }

    /// Waits until the loop device is gone: whoever else looks at it keeps it for a moment, and what the kernel still
    /// holds for it is written to the image only then.
    fn wait_for_device(&self) {
        for _ in 0..100 {
            if run("losetup", &["-j", self.image.to_str().unwrap()])
                .stdout
                .is_empty()
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        eprintln!("{} keeps its loop device", self.image.display());
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let path = self.dir.path().to_str().unwrap();
            for _ in 0..50 {
                if run("umount", &[path]).status.success() {
                    return self.wait_for_device();
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            eprintln!("cannot unmount {path}");
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.unmount();
    }
}
