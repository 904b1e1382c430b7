//! The face of `virt-sparsify`: gives back what no file of the guest takes, in place or in a copy.

use super::getopt::{also, flag, short_value, value};
use super::guestfs_options::{
    DISPLAY_VERSION, ECHO_KEYS, HELP, Invocation, KEY, KEYS_FROM_STDIN, MACHINE_READABLE, QUIET, TRACE, Tool,
    VERBOSE,
};
use crate::clock;
use crate::commands::create_options::{self, ImageOptions};
use crate::commands::sparsify::format_of;
use crate::failure::{Failure, Outcome};
use disksmith_disks::{Error, SparsifiedVolume, SparsifyOptions, VolumeOutcome, sparsify, sparsify_copy};
use disksmith_image::{ConvertOptions, DiskSpec, Format, NoProgress, Output, TransactionOptions};
use disksmith_storage::Existing;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

static TOOL: Tool = Tool {
    capabilities: "linux-swap\nzero\ncheck-tmpdir\nin-place\ntmp-option\n",
    ..Tool::new(
        "virt-sparsify",
        "virt-sparsify: sparsify a virtual machine disk

 virt-sparsify [OPTIONS] INPUT OUTPUT

 virt-sparsify [OPTIONS] --in-place DISK

Options:
  --check-tmpdir ignore|continue|warn|fail  Accepted: little temporary space is needed
  --compress           Compress the output (qcow2)
  --convert FORMAT     Format of the output (default: that of the input)
  --ignore FILESYSTEM  Leave this one alone
  --in-place           Work on the disk itself
  -o OPTIONS           Properties of the output, as for qemu-img
  --tmp DIR            Where temporary files go
  --zero FILESYSTEM    Make all of this one zero
",
        &[
            value("check-tmpdir", 0),
            flag("color", 0),
            flag("colors", 0),
            flag("colour", 0),
            flag("colours", 0),
            flag("compress", 0),
            value("convert", 0),
            flag("debug-gc", 0),
            ECHO_KEYS,
            FORMAT_OF_INPUT,
            HELP,
            value("ignore", 0),
            flag("in-place", 0),
            also("inplace", flag("in-place", 0)),
            KEY,
            KEYS_FROM_STDIN,
            MACHINE_READABLE,
            QUIET,
            value("tmp", 0),
            DISPLAY_VERSION,
            VERBOSE,
            flag("wrap", 0),
            value("zero", 0),
            short_value("o", b'o'),
            TRACE,
        ],
        "oqVvx",
    )
    .ocaml("for more information.")
};

/// Here it is an option with a value, of the one disk.
const FORMAT_OF_INPUT: super::getopt::Spec = value("format", 0);

/// How the tool says what it does, with the seconds since it started.
struct Log {
    start: Instant,
    quiet: bool,
}

impl Log {
    fn say(&self, text: &str) {
        if !self.quiet {
            println!("[{:6.1}] {text}", self.start.elapsed().as_secs_f64());
        }
    }
}

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let operands = &call.arguments.operands;
    let in_place = call.arguments.has("in-place");
    if operands.is_empty() && call.arguments.has("machine-readable") {
        return TOOL.show_capabilities();
    }
    let done = match (in_place, operands.as_slice()) {
        (true, [disk]) => check_in_place(&call).map_or_else(
            |message| Err(Failure::usage(message)),
            |()| thin_in_place(&call, Path::new(disk)),
        ),
        (true, _) => return TOOL.fail("usage: virt-sparsify --in-place [--options] indisk"),
        (false, [input, output]) => copy(&call, Path::new(input), Path::new(output)),
        (false, _) => return TOOL.fail("usage: virt-sparsify [--options] indisk outdisk"),
    };
    match done {
        Ok(status) => status,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

fn check_in_place(call: &Invocation) -> Result<(), String> {
    for (option, shown) in [
        ("check-tmpdir", "--check-tmpdir"),
        ("compress", "--compress"),
        ("convert", "--convert"),
        ("o", "-o"),
        ("tmp", "--tmp"),
    ] {
        if call.arguments.has(option) {
            return Err(format!("you cannot use --in-place and {shown} options together"));
        }
    }
    Ok(())
}

fn format_option(call: &Invocation) -> Outcome<Option<Format>> {
    match call.arguments.last("format") {
        None => Ok(None),
        Some(name) if name.is_empty() || name == "auto" => Ok(None),
        Some(name) => match Format::from_name(name.as_bytes()) {
            Some(format) => Ok(Some(format)),
            None => Err(Failure::usage(format!(
                "--format {}: disksmith reads raw, qcow2 and luks",
                name.display()
            ))),
        },
    }
}

fn spec(call: &Invocation, path: &Path) -> Outcome<DiskSpec> {
    let text = path.to_string_lossy();
    if text.contains("://") || (text.contains(':') && !path.exists()) {
        return Err(Failure::usage(format!(
            "{text}: only files of this host can be made sparse"
        )));
    }
    Ok(DiskSpec {
        path: path.to_owned(),
        format: format_option(call)?,
        output: Output::InPlace,
    })
}

fn options(call: &Invocation) -> Outcome<SparsifyOptions> {
    Ok(SparsifyOptions {
        only: Vec::new(),
        ignore: call.arguments.texts("ignore"),
        zero: call.arguments.texts("zero"),
        clock: clock::now()?,
    })
}

/// Tells what was left alone, which the tool keeps quiet about.
fn warn(volumes: &[SparsifiedVolume]) {
    for volume in volumes {
        if let VolumeOutcome::Skipped { reason } = &volume.outcome
            && volume.kind != "unknown"
        {
            eprintln!(
                "virt-sparsify: warning: {} ({}) was left alone: {reason}",
                volume.device, volume.kind
            );
        }
    }
}

fn thin_in_place(call: &Invocation, path: &Path) -> Outcome {
    let log = Log {
        start: Instant::now(),
        quiet: call.arguments.has("quiet"),
    };
    let report = match sparsify(
        &spec(call, path)?,
        &TransactionOptions::default(),
        &options(call)?,
    ) {
        Ok(report) => report,
        Err(Error::NoDiscard { disk, reason }) => {
            TOOL.fail(&format!(
                "discard/trim is not supported: {}: {reason}",
                disk.display()
            ));
            return Ok(ExitCode::from(3));
        }
        Err(error) => return Err(error.into()),
    };
    for volume in &report.volumes {
        match &volume.outcome {
            VolumeOutcome::Trimmed { .. } if volume.kind == "swap" => {
                log.say(&format!("Clearing Linux swap on {}", volume.device));
            }
            VolumeOutcome::Trimmed { .. } => log.say(&format!("Trimming {}", volume.device)),
            VolumeOutcome::Zeroed => log.say(&format!("Zeroing {}", volume.device)),
            _ => {}
        }
    }
    warn(&report.volumes);
    log.say("Sparsify in-place operation completed with no errors");
    Ok(ExitCode::SUCCESS)
}

fn copy(call: &Invocation, input: &Path, output: &Path) -> Outcome {
    let log = Log {
        start: Instant::now(),
        quiet: call.arguments.has("quiet"),
    };
    if input == output || matches!((input.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b) {
        return Err(Failure::usage(
            "you cannot use the same disk image for input and output",
        ));
    }
    let disk = spec(call, input)?;
    let transaction = TransactionOptions {
        log_dir: temporary(call)?,
        ..TransactionOptions::default()
    };
    let format = match call.arguments.text("convert") {
        Some(name) => Format::from_name(name.as_bytes())
            .filter(|format| *format != Format::Luks)
            .ok_or_else(|| Failure::usage(format!("--convert {name}: raw and qcow2 can be made")))?,
        None => format_of(input, &disk, &transaction)?,
    };
    if call.arguments.has("compress") && format != Format::Qcow2 {
        return Err(Failure::usage("--compress: only qcow2 output can be compressed"));
    }
    let ImageOptions { create, .. } = create_options::parse(&call.arguments.texts("o"), format)?;
    let convert = ConvertOptions {
        create,
        compress: call.arguments.has("compress"),
        existing: Existing::Replace,
        ..ConvertOptions::new(format)
    };
    log.say("Examine source disk");
    let (report, _) = sparsify_copy(
        &disk,
        &transaction,
        &options(call)?,
        output,
        &convert,
        &NoProgress,
    )?;
    for volume in &report.volumes {
        match &volume.outcome {
            VolumeOutcome::Trimmed { .. } if volume.kind == "swap" => {
                log.say(&format!("Clearing Linux swap on {}", volume.device));
            }
            VolumeOutcome::Trimmed { .. } => {
                log.say(&format!("Fill free space in {} with zero", volume.device));
            }
            VolumeOutcome::Zeroed => log.say(&format!("Zeroing {}", volume.device)),
            _ => {}
        }
    }
    warn(&report.volumes);
    log.say("Copy to destination and make sparse");
    log.say("Sparsify operation completed with no errors.");
    if !log.quiet {
        println!(
            "virt-sparsify: Before deleting the old disk, carefully check that the target disk boots and works correctly."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `--tmp`: a directory; a device or a prepared overlay is not needed.
fn temporary(call: &Invocation) -> Outcome<Option<PathBuf>> {
    match call.arguments.text("check-tmpdir").as_deref() {
        None
        | Some(
            "ignore" | "i" | "continue" | "cont" | "c" | "warn" | "warning" | "w" | "fail" | "f" | "error",
        ) => {}
        Some(other) => return Err(Failure::usage(format!("--check-tmpdir: unknown option {other}"))),
    }
    match call.arguments.text("tmp") {
        None => Ok(None),
        Some(text) if text.starts_with("prebuilt:") => {
            eprintln!("virt-sparsify: warning: {text} is not used: no overlay is needed");
            Ok(None)
        }
        Some(text) if Path::new(&text).is_dir() => Ok(Some(PathBuf::from(text))),
        Some(text) if Path::new(&text).exists() => {
            eprintln!("virt-sparsify: warning: {text} is not used, and stays as it is: no overlay is needed");
            Ok(None)
        }
        Some(text) => Err(Failure::usage(format!(
            "--tmp option must point to a directory or a block device: {text}"
        ))),
    }
}
