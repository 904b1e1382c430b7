//! Looking into an image: `-indev IMAGE` and what follows it.

use disksmith_iso9660::Iso;
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef};
use disksmith_vfs::{CopyOutOptions, FileSystemRef, FileType, Metadata, Tree};
use std::ffi::{OsStr, OsString};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The deepest directory that is listed.
const MAX_DEPTH: usize = 4096;

/// One command, ready to be run.
enum Command {
    Find { path: OsString, long: bool },
    List { path: OsString, long: bool },
    Extract { path: OsString, to: PathBuf },
}

/// Runs the commands in their order; nothing is done before all are understood.
pub(super) fn run(words: &[OsString]) -> Result<(), String> {
    let mut image = None;
    let mut commands = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let mut value = |what: &str| {
            let missing = format!("{}: missing {what}", word.display());
            words.next().cloned().ok_or(missing)
        };
        match word.to_string_lossy().trim_start_matches('-') {
            "indev" | "dev" => image = Some(value("image")?),
            "osirrox" | "report_about" | "pathspecs" | "rockridge" => drop(value("value")?),
            "find" => {
                let path = value("path")?;
                let mut long = false;
                while let Some(next) = words.next_if(|next| *next == "-exec" || *next == "--") {
                    if next == "-exec" {
                        let action = words.next().map(|a| a.to_string_lossy().into_owned());
                        match action.as_deref() {
                            Some("lsdl") => long = true,
                            Some("echo") => {}
                            other => {
                                return Err(format!("-find: -exec {} is not supported", other.unwrap_or("")));
                            }
                        }
                    }
                }
                commands.push(Command::Find { path, long });
            }
            "ls" | "lsl" | "lsd" | "lsdl" => {
                let long = word.to_string_lossy().contains("ls") && word.to_string_lossy().ends_with('l');
                let path = match words.next_if(|next| !next.as_bytes().starts_with(b"-")) {
                    Some(path) => path.clone(),
                    None => OsString::from("/"),
                };
                commands.push(Command::List { path, long });
            }
            "extract" | "cpx" => {
                let path = value("path in the image")?;
                let to = PathBuf::from(value("path on the disk")?);
                commands.push(Command::Extract { path, to });
            }
            "end" | "rollback_end" | "" => {}
            other => return Err(format!("-{other}: not a command that disksmith has")),
        }
    }
    let Some(image) = image else {
        return Err("no image; say -as mkisofs, or -indev IMAGE".into());
    };
    let path = Path::new(&image);
    let path = path.strip_prefix("stdio:").unwrap_or(path);
    let file = HostFile::open(path, OpenMode::Read, LockMode::None).map_err(|e| e.to_string())?;
    let storage: StorageRef = Arc::new(file);
    let iso: FileSystemRef = Arc::new(Iso::open(storage).map_err(|e| e.to_string())?);
    let tree = Tree::new(iso, disksmith_vfs::Timestamp::default());
    let mut out = BufWriter::new(std::io::stdout().lock());
    for command in &commands {
        command.run(&tree, &mut out)?;
    }
    out.flush().map_err(|e| e.to_string())
}

impl Command {
    fn run(&self, tree: &Tree, out: &mut dyn Write) -> Result<(), String> {
        let fail = |e: disksmith_vfs::Error| e.to_string();
        match self {
            Self::Find { path, long } => {
                let mut pending = vec![(path.as_bytes().to_vec(), 0)];
                while let Some((path, depth)) = pending.pop() {
                    let metadata = tree.symlink_metadata(&path).map_err(fail)?;
                    line(tree, &path, &metadata, *long, out).map_err(|e| e.to_string())?;
                    if metadata.file_type == FileType::Directory && depth < MAX_DEPTH {
                        let mut names = names(tree, &path)?;
                        names.reverse();
                        pending.extend(names.into_iter().map(|name| (joined(&path, &name), depth + 1)));
                    }
                }
                Ok(())
            }
            Self::List { path, long } => {
                for name in names(tree, path.as_bytes())? {
                    let whole = joined(path.as_bytes(), &name);
                    let metadata = tree.symlink_metadata(&whole).map_err(fail)?;
                    let shown = if *long { &whole } else { &name };
                    line(tree, shown, &metadata, *long, out).map_err(|e| e.to_string())?;
                }
                Ok(())
            }
            Self::Extract { path, to } => tree
                .copy_out_as(path.as_bytes(), to, CopyOutOptions::default())
                .map(drop)
                .map_err(fail),
        }
    }
}

fn joined(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    [dir, b"/", name].concat()
}

fn names(tree: &Tree, dir: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut names: Vec<Vec<u8>> = tree
        .read_dir(dir)
        .map_err(|e| e.to_string())?
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name != b"." && name != b"..")
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// A path in quotation marks, with what `ls -dl` says before it.
fn line(
    tree: &Tree,
    path: &[u8],
    metadata: &Metadata,
    long: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    if long {
        let kind = match metadata.file_type {
            FileType::Directory => 'd',
            FileType::Symlink => 'l',
            FileType::CharDevice => 'c',
            FileType::BlockDevice => 'b',
            FileType::Fifo => 'p',
            FileType::Socket => 's',
            FileType::Regular => '-',
        };
        let mode: String = (0..9)
            .rev()
            .zip("rwxrwxrwx".chars())
            .map(|(bit, letter)| {
                if metadata.permissions >> bit & 1 == 1 {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let size = match metadata.file_type {
            FileType::CharDevice | FileType::BlockDevice => {
                format!("{},{}", metadata.device.0, metadata.device.1)
            }
            FileType::Regular => metadata.size.to_string(),
            _ => "0".into(),
        };
        write!(
            out,
            "{kind}{mode} {:4} {:<8} {:<8} {size:>8} {} ",
            metadata.links,
            metadata.uid,
            metadata.gid,
            date(metadata.modified.seconds)
        )?;
    }
    quoted(path, out)?;
    if long
        && metadata.file_type == FileType::Symlink
        && let Ok(target) = tree.read_link(path)
    {
        out.write_all(b" -> ")?;
        quoted(OsStr::from_bytes(&target).as_bytes(), out)?;
    }
    out.write_all(b"\n")
}

/// Month, day and time in this machine's time zone.
fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%b %e %H:%M")
            .to_string(),
        Err(_) => seconds.to_string(),
    }
}

fn quoted(text: &[u8], out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(b"'")?;
    for byte in text {
        match byte {
            b'\'' => out.write_all(b"'\"'\"'")?,
            byte => out.write_all(&[*byte])?,
        }
    }
    out.write_all(b"'")
}
