//! `disksmith tail`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{Gathered, finish};
use clap::Args;
use disksmith_guest::{Guest, Tail, last_lines};
use disksmith_storage::ErrorKind;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How often the images are looked at for changes.
const EVERY: Duration = Duration::from_millis(500);

/// Print the end of files of a guest, and follow them as the image changes
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Absolute paths in the guest
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Go on as long as one of the files is there, and print what is added to them
    #[arg(short = 'f', long)]
    follow: bool,
    /// How many lines to print
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value_t = 10,
        value_parser = lines,
        conflicts_with = "follow"
    )]
    lines: u64,
}

/// How many lines; `+N`, which elsewhere means all from line N on, is refused.
fn lines(text: &str) -> Result<u64, String> {
    if text.starts_with('+') {
        return Err("say how many lines from the end; from a line on is not known here".into());
    }
    text.parse().map_err(|_| "it is no number of lines".into())
}

pub(crate) fn run(args: &TailArgs, globals: &Globals) -> Outcome {
    let paths: Vec<&[u8]> = args.paths.iter().map(|p| p.as_os_str().as_bytes()).collect();
    if args.follow {
        let look =
            |work: &mut dyn FnMut(&Guest) -> disksmith_guest::Result<usize>| args.guest.look(globals, work);
        follow(args.guest.images(), &paths, look)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = Gathered::new();
    args.guest.look(globals, |guest| {
        let tree = guest.tree();
        for (number, path) in paths.iter().enumerate() {
            let from = last_lines(tree, path, args.lines)?;
            if paths.len() > 1 {
                let before: &[u8] = if number == 0 { b"" } else { b"\n" };
                let title = [before, b"==> ", *path, b" <==\n"].concat();
                put(&mut out, &title)?;
            }
            let (fs, inode) = tree.open_node(tree.resolve(path)?);
            let mut buf = vec![0; 1 << 18];
            let mut at = from;
            loop {
                let n = fs.read(inode, at, &mut buf).map_err(|e| e.at_path(path))?;
                if n == 0 {
                    break;
                }
                put(&mut out, buf.get(..n).unwrap_or_default())?;
                at += n as u64;
            }
        }
        Ok(())
    })?;
    finish(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn put(out: &mut Gathered, bytes: &[u8]) -> disksmith_guest::Result<()> {
    out.write_all(bytes).map_err(|source| {
        let error = disksmith_storage::Error::io("standard output", "write", None, source);
        disksmith_guest::Error::Files(error.into())
    })
}

/// Prints what is added to files, by looking again whenever the images change. Ends where none of the files is there.
pub(crate) fn follow(
    images: &[PathBuf],
    paths: &[&[u8]],
    look: impl Fn(&mut dyn FnMut(&Guest) -> disksmith_guest::Result<usize>) -> Outcome<usize>,
) -> Outcome<()> {
    let mut tail = Tail::new();
    let mut first = true;
    loop {
        let before = states(images)?;
        let mut out = Gathered::new();
        let found = look(&mut |guest| tail.look(guest.tree(), paths, &mut out, "standard output"));
        finish(out.flush())?;
        drop(out);
        match found {
            Ok(0) if first => {
                return Err(Failure::new(ErrorKind::NotFound, "none of the files is there"));
            }
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(failure) if first => return Err(failure),
            // A guest that runs may be half-way through a write: the next look shows more.
            Err(failure) => log::info!("{}", failure.message()),
        }
        first = false;
        while states(images)? == before {
            std::thread::sleep(EVERY);
        }
    }
}

/// What tells that an image has changed.
fn states(images: &[PathBuf]) -> Outcome<Vec<(i64, i64, u64)>> {
    let state = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).map_err(|e| Failure::io("look at", path, &e))?;
        Ok((metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
    };
    images.iter().map(state).collect()
}
