//! The face of `cloud-localds` (cloud-image-utils 0.33): a NoCloud seed as an ISO image, a FAT filesystem or a tar archive, in any format
//! of disk images.
//!
//! Messages and exit status are those of the script, also where it lets `cp` and `qemu-img` speak. A FAT volume grows where the
//! documents need more than the script's 128 KiB.

mod tar;

use super::getopt::{Arguments, Spec, flag, value};
use crate::clock;
use crate::output;
use disksmith_image::{ConvertOptions, Format, NoProgress, OpenOptions};
use disksmith_seed::{Media, MediaFormat, SeedFile};
use disksmith_storage::{Durability, Existing, LockMode};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const SPECS: &[Spec] = &[
    flag("help", b'h'),
    value("hostname", b'H'),
    value("interfaces", b'i'),
    value("disk-format", b'd'),
    value("filesystem", b'f'),
    value("dsmode", b'm'),
    value("network-config", b'N'),
    value("output", b'o'),
    value("vendor-data", b'V'),
    flag("verbose", b'v'),
];

const USAGE: &str = include_str!("cloud_localds/usage.txt");

/// What ends the work: lines for standard error.
struct Stop {
    /// What stands before the usage.
    before: Option<String>,
    lines: Vec<String>,
    usage: bool,
}

fn fail(line: impl Into<String>) -> Stop {
    Stop {
        before: None,
        lines: vec![line.into()],
        usage: false,
    }
}

/// Runs the face with the arguments behind its name.
pub(super) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    match make(name, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            let mut text = stop.before.map(|line| format!("{line}\n")).unwrap_or_default();
            if stop.usage {
                text.push_str(USAGE);
            }
            for line in &stop.lines {
                text.push_str(line);
                text.push('\n');
            }
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(1)
        }
    }
}

fn make(name: &str, words: &[OsString]) -> Result<(), Stop> {
    let given = Arguments::parse(name, SPECS, words).map_err(|misused| Stop {
        before: Some(format!("{name}: {}", misused.message)),
        lines: Vec::new(),
        usage: true,
    })?;
    if given.has("help") {
        return output::print(USAGE).map_err(|failure| fail(failure.message()));
    }
    let (target, user_data, meta_data) = match given.operands.as_slice() {
        [] | [_] => return Err(usage("must provide output, userdata")),
        [target, user_data] => (target, user_data, None),
        [target, user_data, meta_data] => (target, user_data, Some(meta_data).filter(|m| !m.is_empty())),
        _ => return Err(usage("confused by additional args")),
    };
    let text = |key: &str| given.text(key).filter(|text| !text.is_empty());
    let interfaces = given.last("interfaces");
    if meta_data.is_some() && (interfaces.is_some() || text("dsmode").is_some() || text("hostname").is_some())
    {
        return Err(fail(
            "metadata is incompatible with: --interfaces, --hostname, --dsmode",
        ));
    }
    let disk_format = text("disk-format").unwrap_or_else(|| "raw".into());
    let mut filesystem = text("filesystem");
    match disk_format.as_str() {
        "tar" | "tar-seed-local" | "tar-seed-net" => {
            if filesystem.as_deref().is_some_and(|f| f != "tar") {
                return Err(fail("diskformat=tar is incompatible with filesystem"));
            }
            filesystem = Some(disk_format.clone());
        }
        other if other.starts_with("tar") => {
            return Err(fail(
                "supported 'tar' formats are tar, tar-seed-local, tar-seed-net",
            ));
        }
        _ => {}
    }
    let filesystem = match filesystem.as_deref() {
        None | Some("iso") => "iso9660".to_string(),
        Some(other) => other.to_string(),
    };
    if !["iso9660", "vfat", "tar", "tar-seed-local", "tar-seed-net"].contains(&filesystem.as_str()) {
        return Err(fail(format!("unknown filesystem {filesystem}")));
    }
    if let Some(path) = interfaces.filter(|path| std::fs::File::open(path).is_err()) {
        return Err(fail(format!("{}: not a readable file", path.display())));
    }
    let files = documents(&given, user_data, meta_data)?;
    let image = Image::new(&filesystem, files)?;
    write(&image, &disk_format, target)?;
    if given.has("verbose") {
        let line = format!(
            "wrote {} with filesystem={filesystem} and diskformat={disk_format}\n",
            target.display()
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    Ok(())
}

fn usage(line: &str) -> Stop {
    Stop {
        before: None,
        lines: vec![line.into()],
        usage: true,
    }
}

/// Copies a file as `cp` does, in its words; `then` is what the script says after that.
fn copied(path: &OsStr, then: String) -> Result<Vec<u8>, Stop> {
    let shown = path.display();
    let lines = |reason: String| Stop {
        before: None,
        lines: vec![reason, then.clone()],
        usage: false,
    };
    if Path::new(path).is_dir() {
        return Err(lines(format!(
            "cp: -r not specified; omitting directory '{shown}'"
        )));
    }
    std::fs::read(path).map_err(|error| {
        let verb = match error.kind() {
            std::io::ErrorKind::NotFound => "stat",
            _ => "open",
        };
        let verb = if verb == "open" {
            format!("open '{shown}' for reading")
        } else {
            format!("stat '{shown}'")
        };
        lines(format!("cp: cannot {verb}: {}", reason(&error)))
    })
}

/// What the system said, without the number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).to_string(),
        None => text,
    }
}

/// The files of the seed, in the script's order.
fn documents(
    given: &Arguments,
    user_data: &OsStr,
    meta_data: Option<&OsString>,
) -> Result<Vec<SeedFile>, Stop> {
    let meta = match meta_data {
        Some(path) => copied(path, format!("{}: failed to copy", path.display()))?,
        None => made_meta_data(given)?,
    };
    let mut more = Vec::new();
    for (key, name, then) in [
        (
            "network-config",
            "network-config",
            "failed to copy network config",
        ),
        ("vendor-data", "vendor-data", "failed to copy vendor data"),
    ] {
        if let Some(path) = given.last(key).filter(|path| !path.is_empty()) {
            more.push((name.to_string(), copied(path, then.into())?));
        }
    }
    let user = if user_data == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|_| fail("failed to read from stdin"))?;
        bytes
    } else {
        copied(user_data, format!("{}: failed to copy", user_data.display()))?
    };
    let mut files = vec![("user-data".to_string(), user), ("meta-data".to_string(), meta)];
    files.append(&mut more);
    Ok(files)
}

/// meta-data as JSON, one key a line.
fn made_meta_data(given: &Arguments) -> Result<Vec<u8>, Stop> {
    let interfaces = match given.last("interfaces") {
        Some(path) => {
            let bytes =
                std::fs::read(path).map_err(|_| fail(format!("{}: not a readable file", path.display())))?;
            // the shell drops line ends at the end
            String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_string()
        }
        None => String::new(),
    };
    let lines: Vec<String> = [
        ("instance-id", "iid-local01".to_string()),
        ("local-hostname", given.text("hostname").unwrap_or_default()),
        ("interfaces", interfaces),
        ("dsmode", given.text("dsmode").unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| format!("\"{key}\": {}", serde_json::Value::from(value)))
    .collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes())
}

/// What the seed is put on.
enum Image {
    Media(Media),
    Archive(Vec<u8>),
}

impl Image {
    fn new(filesystem: &str, files: Vec<SeedFile>) -> Result<Self, Stop> {
        let time = clock::now().map_err(|failure| fail(failure.message()))?;
        let folder = match filesystem {
            "tar" => None,
            "tar-seed-local" => Some("var/lib/cloud/seed/nocloud"),
            "tar-seed-net" => Some("var/lib/cloud/seed/nocloud-net"),
            volume => {
                let format = if volume == "vfat" {
                    MediaFormat::Vfat
                } else {
                    MediaFormat::Iso
                };
                let media = Media::new(format, "cidata", time, &files).map_err(|e| fail(e.to_string()))?;
                return Ok(Self::Media(media));
            }
        };
        Ok(Self::Archive(tar::archive(folder, &files, time.seconds)))
    }

    fn write_to(&self, out: &mut dyn Write) -> Result<(), Stop> {
        match self {
            Self::Media(media) => media.write_to(out).map_err(|e| fail(e.to_string())),
            Self::Archive(bytes) => out.write_all(bytes).map_err(|e| fail(reason(&e))),
        }
    }

    /// Writes a file, which appears whole.
    fn write_file(&self, path: &Path) -> Result<(), Stop> {
        // cp puts the copy into a folder
        let inside = path.join("seed-data");
        let path = if path.is_dir() { &inside } else { path };
        let result = match self {
            Self::Media(media) => media
                .write_file(path, Existing::Replace, Durability::Deferred)
                .map_err(|e| e.to_string()),
            Self::Archive(bytes) => std::fs::write(path, bytes).map_err(|e| reason(&e)),
        };
        result.map_err(|why| Stop {
            before: None,
            lines: vec![why, format!("failed to copy image to {}", path.display())],
            usage: false,
        })
    }
}

fn write(image: &Image, disk_format: &str, target: &OsStr) -> Result<(), Stop> {
    let to_stdout = target == "-";
    if disk_format == "raw" || disk_format.starts_with("tar") {
        if !to_stdout {
            return image.write_file(Path::new(target));
        }
        let mut out = std::io::stdout().lock();
        image.write_to(&mut out)?;
        return out.flush().map_err(|_| fail("failed to write to -"));
    }
    let then = format!("failed to convert to disk format {disk_format}");
    let failed = |why: String| Stop {
        before: None,
        lines: vec![format!("qemu-img: {why}"), then.clone()],
        usage: false,
    };
    let format = Format::from_name(disk_format.as_bytes())
        .ok_or_else(|| failed(format!("Unknown file format '{disk_format}'")))?;
    let scratch = Scratch::new()?;
    let raw = scratch.0.join("seed-data");
    image.write_file(&raw)?;
    let made = match to_stdout {
        true => scratch.0.join("final"),
        false => PathBuf::from(target),
    };
    let options = ConvertOptions {
        existing: Existing::Replace,
        ..ConvertOptions::new(format)
    };
    let source = OpenOptions::read().format(Some(Format::Raw)).lock(LockMode::None);
    disksmith_image::convert(&[raw], &source, &made, &options, &NoProgress)
        .map_err(|error| failed(error.to_string()))?;
    if to_stdout {
        let mut file = std::fs::File::open(&made).map_err(|e| fail(reason(&e)))?;
        let mut out = std::io::stdout().lock();
        std::io::copy(&mut file, &mut out)
            .and_then(|_| out.flush())
            .map_err(|_| fail("failed to write to -"))?;
    }
    Ok(())
}

/// A folder of its own, which is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Stop> {
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        for number in 0..1000 {
            let name = format!("cloud-localds.{}.{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
            }
        }
        Err(fail("failed to make tempdir"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
