//! The face of isoinfo: what stands in an ISO 9660 image, printed as isoinfo 1.1.11 prints it.

mod descriptor;
mod listing;

use disksmith_iso9660::{Inspection, View};
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What `-help` prints, and every wrong use.
const USAGE: &str = "\
Usage: isoinfo [options] -i filename
Options:
\t-help,-h\tPrint this help
\t-version\tPrint version info and exit
\t-debug\t\tPrint additional debug info
\t-d\t\tPrint information from the primary volume descriptor
\t-f\t\tGenerate output similar to 'find .  -print'
\t-J\t\tPrint information from Joliet extensions
\t-j charset\tUse charset to display Joliet file names
\t-l\t\tGenerate output similar to 'ls -lR'
\t-p\t\tPrint Path Table
\t-R\t\tPrint information from Rock Ridge extensions
\t-s\t\tPrint file size infos in multiples of sector size (2048 bytes).
\t-N sector\tSector number where ISO image should start on CD
\t-T sector\tSector number where actual session starts on CD
\t-i filename\tFilename to read ISO-9660 image from
\tdev=target\tSCSI target to use as CD/DVD-Recorder
\t-x pathname\tExtract specified file to stdout
";

/// What a command line asks for.
#[derive(Debug, Default)]
struct Request {
    descriptor: bool,
    find: bool,
    list: bool,
    path_table: bool,
    joliet: bool,
    rock_ridge: bool,
    in_sectors: bool,
    /// UTF-8 instead of ISO 8859-1 for names of Joliet.
    utf8: bool,
    session: u32,
    origin: u32,
    image: Option<OsString>,
    extract: Option<OsString>,
    help: bool,
    version: bool,
}

/// Why a run ends: a message, whether usage follows, and the exit status.
#[derive(Debug)]
struct Stop {
    message: String,
    usage: bool,
    status: u8,
}

impl Stop {
    fn bad(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            usage: false,
            status: 255,
        }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self {
            usage: true,
            ..Self::bad(message)
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<disksmith_vfs::Error> for Stop {
    fn from(error: disksmith_vfs::Error) -> Self {
        Self::bad(error.to_string())
    }
}

/// Runs the face with the arguments behind its name.
pub(crate) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    match dispatch(name, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("{name}: {}", stop.message);
            if stop.usage {
                eprint!("{name}: {USAGE}");
            }
            ExitCode::from(stop.status)
        }
    }
}

fn read(arguments: &[OsString]) -> Result<Request, Stop> {
    let mut request = Request::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.as_bytes();
        let Some(option) = text.strip_prefix(b"-").filter(|o| !o.is_empty()) else {
            return Err(Stop::usage(format!("Bad Argument: '{}'", word.display())));
        };
        let bad = || Stop::usage(format!("Bad Option: '{}'", word.display()));
        match option {
            b"help" | b"-help" | b"h" => request.help = true,
            b"version" | b"-version" => request.version = true,
            b"debug" | b"-debug" => {}
            [letter @ (b'i' | b'x' | b'j' | b'T' | b'N'), rest @ ..] => {
                let value = match rest {
                    [] => words.next().cloned().ok_or_else(bad)?,
                    attached => {
                        OsStr::from_bytes(attached.strip_prefix(b"=").unwrap_or(attached)).to_os_string()
                    }
                };
                let number = || value.to_str().and_then(|v| v.parse().ok()).ok_or_else(bad);
                match letter {
                    b'i' => request.image = Some(value),
                    b'x' => request.extract = Some(value),
                    b'T' => request.session = number()?,
                    b'N' => request.origin = number()?,
                    _ => request.utf8 = charset(&value)?,
                }
            }
            flags => {
                for flag in flags {
                    let slot = match flag {
                        b'd' => &mut request.descriptor,
                        b'f' => &mut request.find,
                        b'l' => &mut request.list,
                        b'p' => &mut request.path_table,
                        b'J' => &mut request.joliet,
                        b'R' => &mut request.rock_ridge,
                        b's' => &mut request.in_sectors,
                        _ => return Err(bad()),
                    };
                    *slot = true;
                }
            }
        }
    }
    Ok(request)
}

/// Whether a character set is UTF-8; those that are not known are refused.
fn charset(name: &OsStr) -> Result<bool, Stop> {
    match name.to_string_lossy().to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => Ok(true),
        "iso8859-1" | "default" => Ok(false),
        other => Err(Stop {
            status: 1,
            ..Stop::bad(format!(
                "Unknown charset: {other}\nKnown charsets are:\nutf-8\niso8859-1"
            ))
        }),
    }
}

fn dispatch(name: &str, arguments: &[OsString]) -> Result<(), Stop> {
    let request = read(arguments)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if request.help {
        eprint!("{name}: {USAGE}");
        return Ok(());
    }
    if request.version {
        writeln!(out, "isoinfo 1.1.11 (disksmith {})", env!("CARGO_PKG_VERSION"))?;
        return Ok(out.flush()?);
    }
    let image = request
        .image
        .as_deref()
        .ok_or_else(|| Stop::usage("ISO-9660 image not specified"))?;
    let opened = open(image, &request)?;
    let printed = print(&request, &opened, &mut out).and_then(|()| Ok(out.flush()?));
    match printed {
        Err(stop) if out.get_ref().is_closed(&stop) => Ok(()),
        other => other,
    }
}

/// Whether a failure is that the reader of standard output went away.
trait Closed {
    fn is_closed(&self, stop: &Stop) -> bool;
}

impl<T> Closed for T {
    fn is_closed(&self, stop: &Stop) -> bool {
        stop.message.contains("Broken pipe")
    }
}

fn open(image: &OsStr, request: &Request) -> Result<Inspection, Stop> {
    let path = Path::new(image);
    if let Err(error) = std::fs::File::open(path) {
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or(&text);
        return Err(Stop {
            status: error
                .raw_os_error()
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(255),
            ..Stop::bad(format!("{reason}. Unable to open {}", path.display()))
        });
    }
    let file = HostFile::open(path, OpenMode::Read, LockMode::None).map_err(|e| Stop::bad(e.to_string()))?;
    let storage: StorageRef = Arc::new(file);
    Inspection::open(storage, request.session, request.origin).map_err(|e| match e {
        disksmith_vfs::Error::Corrupt { .. } => Stop::bad("Short read on old image"),
        other => Stop::from(other),
    })
}

fn print(request: &Request, image: &Inspection, out: &mut dyn Write) -> Result<(), Stop> {
    if request.descriptor {
        descriptor::print(image, request.joliet, out)?;
    }
    let view = if request.joliet {
        View::Joliet
    } else if request.rock_ridge {
        View::RockRidge
    } else {
        View::Plain
    };
    if image.root(view).is_none() {
        out.flush()?;
        return Err(Stop::bad("Unable to find Joliet SVD"));
    }
    if request.descriptor {
        return Ok(());
    }
    if request.path_table {
        listing::path_table(image, view, request.utf8, out)?;
    }
    listing::walk(request, image, view, out)
}
