//! `--help` and `--version`.

use super::VERSION;
use super::stop::Done;
use crate::output::print;

/// Each subcommand: its name, what it does, how it is called.
const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "amend",
        "change the form of an image",
        "[-f FMT | --image-opts] [-t CACHE] [--force] [-p] [-q] -o OPTIONS FILENAME",
    ),
    (
        "bench",
        "measure the speed of an image",
        "[-f FMT | --image-opts] [-t CACHE] [-c COUNT] [-d DEPTH] [-o OFFSET] [-s BUFFER_SIZE] [-S STEP_SIZE]\n        \
         [-i threads|native|io_uring] [-n] [-w [--pattern PATTERN] [--flush-interval COUNT [--no-drain]]] [-U] [-q]\n        \
         [--object OBJECT] FILENAME",
    ),
    (
        "bitmap",
        "change an image's persistent dirty bitmaps",
        "(--merge SOURCE | --add | --remove | --clear | --enable | --disable)… [-f FMT | --image-opts]\n        \
         [-b SRC_FILENAME [-F SRC_FMT]] [-g SIZE[bkKMGTPE]] FILENAME BITMAP",
    ),
    (
        "check",
        "check an image's structures, and repair them",
        "[-f FMT | --image-opts] [-T CACHE] [-r leaks|all] [-U] [-q] [--output human|json] FILENAME",
    ),
    (
        "commit",
        "write an overlay into its backing file",
        "[-f FMT | --image-opts] [-t CACHE] [-b BASE_IMG] [-d] [-r RATE] [-p] [-q] FILENAME",
    ),
    (
        "compare",
        "tell whether two images hold the same",
        "[--image-opts | [-f FMT] [-F FMT]] [-s] [-T CACHE] [-U] [-p] [-q] FILENAME1 FILENAME2",
    ),
    (
        "convert",
        "copy images into one of any format",
        "[-f FMT | --image-opts] [-T CACHE] [-l SNAPSHOT] [-O FMT] [-o OPTIONS] [-c] [-t CACHE] [-B FILE [-F FMT]]\n        \
         [-n [--target-is-zero] [--target-image-opts]] [-S SIZE] [-m N] [-r RATE] [-C] [-W] [--salvage]\n        \
         [--bitmaps [--skip-broken-bitmaps]] [-U] [-p] [-q] [--object OBJECT] FILENAME [FILENAME2 …] TARGET",
    ),
    (
        "create",
        "make a new image",
        "[-f FMT] [-o OPTIONS] [-b FILE [-F FMT]] [-u] [-q] FILENAME [SIZE[bkKMGTPE]]",
    ),
    (
        "dd",
        "copy a part of an image",
        "[-f FMT | --image-opts] [-O FMT] [-U] [bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT",
    ),
    (
        "info",
        "tell what an image is",
        "[-f FMT | --image-opts] [-b] [-U] [--output human|json] FILENAME",
    ),
    (
        "map",
        "tell where an image's data lies",
        "[-f FMT | --image-opts] [-s OFFSET] [-l LENGTH] [-U] [--output human|json] FILENAME",
    ),
    (
        "measure",
        "tell how much space an image would take",
        "[-f FMT | --image-opts] [-l SNAPSHOT] [-O FMT] [-o OPTIONS] [-U] [--output human|json] [--object OBJECT]\n        \
         (--size SIZE | FILENAME)",
    ),
    (
        "rebase",
        "set an image upon another backing file",
        "[-f FMT | --image-opts] [-t CACHE] [-b BACKING_FILE [-F BACKING_FMT] [-T CACHE]] [-u] [-c] [-U] [-p] [-q] FILENAME",
    ),
    (
        "resize",
        "give an image another size",
        "[-f FMT | --image-opts] [--preallocation MODE] [--shrink] [-q] FILENAME [+-]SIZE[bkKMGTPE]",
    ),
    (
        "snapshot",
        "list and change an image's snapshots",
        "[-f FMT | --image-opts] [-l | (-c | -a | -d) SNAPSHOT] [-U] [-q] [--object OBJECT] FILENAME",
    ),
];

/// The program's name and version, in the form that programs read.
fn version_text() -> String {
    format!(
        "qemu-img version {VERSION} (disksmith {})\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// `qemu-img --version`.
pub(super) fn version() -> Done {
    print(version_text())?;
    Ok(0)
}

/// `qemu-img --help`.
pub(super) fn general() -> Done {
    let mut text = version_text();
    text.push_str("Disk images, by the name and in the manner of QEMU's tool.\n\n");
    text.push_str("Usage: qemu-img [--help | --version] COMMAND [--help | options]\n\nCommands:\n\n");
    for (name, what, _) in COMMANDS {
        text.push_str(&format!("  {name} - {what}\n"));
    }
    text.push_str("\nSupported image formats:\n\n  qcow2 raw\n");
    print(text)?;
    Ok(0)
}

/// `qemu-img COMMAND --help`.
pub(super) fn command(name: &str) -> Done {
    let known = COMMANDS.iter().find(|(command, ..)| *command == name);
    let (what, usage) = known.map_or(("", ""), |(_, what, usage)| (*what, *usage));
    print(format!(
        "qemu-img {name}: {what}\n\nUsage:\n\n  qemu-img {name} {usage}\n\nThe long and short options, and what they mean, are those of qemu-img {VERSION}.\n"
    ))?;
    Ok(0)
}
