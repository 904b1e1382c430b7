//! A scratch folder, the program under test, and the judges.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A scratch folder that is removed at the end.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Asserts that it ended well; gives its standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            self.status, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self.stdout
    }

    /// Asserts the exit status; gives its standard error.
    #[track_caller]
    pub(crate) fn fails(self, status: i32) -> String {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self.stderr
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Splits a command line at blanks; quotes are not special.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("disksmith-test.")
                .tempdir()
                .unwrap(),
        }
    }

    /// A scratch folder in another place (a small tmpfs, say).
    pub(crate) fn below(parent: &Path) -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("disksmith-test.")
                .tempdir_in(parent)
                .unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The program with these arguments, in this folder.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_disksmith"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Runs the program with arguments that stand in one line.
    pub(crate) fn disksmith(&self, line: &str) -> Said {
        self.command(&words(line)).output().unwrap().into()
    }

    /// Runs the program with arguments that hold blanks.
    pub(crate) fn disksmith_args<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs another program. The caller has made sure by [`judge`] that it is there.
    pub(crate) fn tool(&self, line: &str) -> Said {
        self.tool_args(&words(line))
    }

    pub(crate) fn tool_args<S: AsRef<OsStr> + Debug>(&self, words: &[S]) -> Said {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let (program, arguments) = words.split_first().unwrap();
        let output = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        output.into()
    }

    /// Asserts that `qemu-img check` finds nothing at all.
    #[track_caller]
    pub(crate) fn qemu_check(&self, image: &str) {
        let said = self.tool(&format!("qemu-img check {image}"));
        assert!(
            said.status == 0 && said.stdout.contains("No errors were found"),
            "qemu-img check {image}: {said:?}"
        );
    }

    /// Asserts that two images hold the same bytes.
    #[track_caller]
    pub(crate) fn qemu_same(&self, a: &str, b: &str) {
        let said = self.tool(&format!("qemu-img compare {a} {b}"));
        assert_eq!(said.status, 0, "qemu-img compare {a} {b}: {said:?}");
    }

    /// Asserts that e2fsck, which reads the image at `offset` through a raw copy, has no complaint in its output.
    #[track_caller]
    pub(crate) fn e2fsck(&self, image: &str, offset: u64) {
        let raw = self.raw_copy(image);
        let said = self.tool(&format!("e2fsck -fn {}?offset={offset}", raw.display()));
        std::fs::remove_file(&raw).unwrap();
        let complaints: Vec<&str> = said
            .stdout
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("Pass ") && !line.contains(" files ("))
            .collect();
        assert!(
            said.status == 0 && complaints.is_empty(),
            "e2fsck {image}: {said:?}"
        );
    }

    /// A raw copy of an image, made by qemu-img.
    pub(crate) fn raw_copy(&self, image: &str) -> PathBuf {
        let raw = self.path(&format!("{}.judged", image.replace('/', "_")));
        self.tool(&format!("qemu-img convert -U -O raw {image} {}", raw.display()))
            .ok();
        raw
    }

    /// Mounts the filesystem at `offset` of a raw copy by the kernel, read-only, calls `look` with its root, unmounts.
    pub(crate) fn kernel_mount<T>(&self, image: &str, offset: u64, look: impl FnOnce(&Path) -> T) -> T {
        let raw = self.raw_copy(image);
        let root = self.path("mounted");
        std::fs::create_dir_all(&root).unwrap();
        self.tool(&format!(
            "mount -o ro,loop,offset={offset} {} {}",
            raw.display(),
            root.display()
        ))
        .ok();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(&root)));
        self.tool(&format!("umount {}", root.display())).ok();
        std::fs::remove_file(&raw).unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Whether all these programs are there. With CI set a missing one is a failure; otherwise the test says aloud
/// that it is skipped.
pub(crate) fn judges(programs: &[&str]) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let missing: Vec<_> = programs
        .iter()
        .filter(|p| !std::env::split_paths(&path).any(|folder| folder.join(p).is_file()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "missing judges: {missing:?} (run .ci/install-judges)"
    );
    eprintln!("SKIPPED, for want of {missing:?}: run .ci/install-judges");
    false
}

/// Whether loop mounts are possible (root). The same rule as for [`judges`].
pub(crate) fn may_mount() -> bool {
    let said: Said = Command::new("id").arg("-u").output().unwrap().into();
    if said.stdout.trim() == "0" && Path::new("/dev/loop-control").exists() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "these tests need root and loop devices"
    );
    eprintln!("SKIPPED, for want of root and loop devices");
    false
}

/// Whether the long soaks were asked for.
pub(crate) fn long() -> bool {
    std::env::var_os("DISKSMITH_LONG").is_some()
}
