//! The face of `virt-cat`: prints files of a guest.

use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, KEY, KEYS_FROM_STDIN, MOUNT,
    TRACE, Tool, VERBOSE, api_error,
};
use crate::output::{Gathered, finish};
use disksmith_vfs::Error;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-cat",
    "virt-cat: print files of a guest
Usage:
  virt-cat [OPTIONS] -a IMAGE [-a IMAGE …] FILE …
Options:
",
    &[
        ADD,
        BLOCKSIZE,
        CONNECT,
        DOMAIN,
        ECHO_KEYS,
        FORMAT,
        HELP,
        KEY,
        KEYS_FROM_STDIN,
        MOUNT,
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "acdmvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let mut call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if let Err(status) = call.take_old_style(1) {
        return status;
    }
    if call.operands().is_empty() {
        return TOOL.wrong_use();
    }
    let mut out = Gathered::new();
    let printed = call.look(|guest| {
        let mut good = true;
        for file in call.operands() {
            let path = file.as_bytes();
            let error = if path.starts_with(b"/") {
                match guest.tree().copy_to(path, &mut out, "standard output") {
                    Ok(_) => continue,
                    Err(error @ Error::Storage(_)) => return Err(error.into()),
                    Err(Error::IsADirectory { .. }) => {
                        format!("libguestfs: error: download: {}: is a directory", file.display())
                    }
                    Err(error) => api_error("download", path, &error),
                }
            } else {
                "libguestfs: error: download: download_stub: path must start with a / character".to_owned()
            };
            // what was printed before comes before; a failure shows again when the rest is written
            let _ = out.flush();
            eprintln!("{error}");
            good = false;
        }
        Ok(good)
    });
    match printed.and_then(|good| finish(out.flush()).map(|()| good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => TOOL.fail_with(&failure),
    }
}
