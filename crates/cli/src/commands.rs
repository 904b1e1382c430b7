//! The verbs, one file each, and what their arguments share.

mod amend;
mod audit;
mod bitmap;
mod capacity;
mod cat;
mod check;
mod clone;
mod commit;
mod compare;
mod completions;
mod compression_args;
mod convert;
mod copy_in;
mod copy_out;
mod create;
pub(crate) mod create_options;
mod customize;
mod df;
mod diff;
mod edit;
mod fat;
pub(crate) mod filesystem_args;
mod filesystems;
mod format;
mod fstrim;
mod gate_args;
mod get_kernel;
mod grow;
mod guest_args;
mod info;
mod inspect;
mod iso;
mod key_args;
mod log;
mod ls;
pub(crate) mod make_fs;
mod map;
pub(crate) mod mount;
mod operation_args;
mod pull;
mod qemu_img;
mod quickstart;
mod rebase;
mod recover;
mod report;
mod resize;
mod seal;
mod seed;
mod shrink;
mod snapshot;
pub(crate) mod sparsify;
mod streamed_file;
mod sysprep;
mod tail;
mod tar_in;
mod tar_out;
mod umount;

pub(crate) use capacity::fixed_clock;
pub(crate) use compression_args::Compression;
pub(crate) use df::{UsageTable, guest_name, say_unknown, usage_table};
pub(crate) use edit::Editing;
pub(crate) use filesystems::{ItemTable, item_table, wanted as wanted_items};
pub(crate) use get_kernel::{KernelNames, take_kernel};
pub(crate) use info::local_date;
pub(crate) use tail::follow;
pub(crate) use tar_in::open as open_archive;
pub(crate) use tar_out::{old_compression, old_option, tar_out};

use crate::failure::{Failure, Outcome};
use crate::progress::{self, ProgressMode};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Everything that is done to a virtual machine's disk while the machine is off
///
/// No root, no daemon, no helper VM: disksmith works on the images' own bytes. Every edit of an image is a transaction.
#[derive(Debug, Parser)]
#[command(name = "disksmith", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// The program as if it had one verb: to read the arguments of all of them takes longer than to make a seed.
#[derive(Debug, Parser)]
#[command(name = "disksmith", version)]
struct SeedOnly {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: SeedVerb,
}

#[derive(Debug, Subcommand)]
enum SeedVerb {
    Seed(seed::SeedArgs),
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it, and help that was asked for, both for the user.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        if std::env::args_os().nth(1).is_some_and(|verb| verb == "seed")
            && let Ok(SeedOnly { globals, verb }) = SeedOnly::try_parse()
        {
            let SeedVerb::Seed(args) = verb;
            return Ok(Self {
                globals,
                verb: Verb::Seed(args),
            });
        }
        Self::try_parse()
    }
}

/// Options that every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Say nothing but the result
    #[arg(short = 'q', long, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
    /// Say what is done; twice: in detail
    #[arg(short = 'v', long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub(crate) verbose: u8,
    /// How to show progress, on standard error
    #[arg(
        long,
        global = true,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Everywhere"
    )]
    pub(crate) progress: ProgressMode,
}

impl Globals {
    /// Says in a line what was done, unless it shall be quiet. Standard error: it is no result.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if !self.quiet {
            eprintln!("{}", line());
        }
    }
}

// In the order of the help: images, guests, seeds, the rest.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one value of it")]
enum Verb {
    Quickstart(quickstart::QuickstartArgs),
    Info(info::InfoArgs),
    Create(create::CreateArgs),
    Clone(clone::CloneArgs),
    Convert(convert::ConvertArgs),
    Check(check::CheckArgs),
    Compare(compare::CompareArgs),
    Map(map::MapArgs),
    Resize(resize::ResizeArgs),
    Grow(grow::GrowArgs),
    Shrink(shrink::ShrinkArgs),
    Snapshot(snapshot::SnapshotArgs),
    Commit(commit::CommitArgs),
    Rebase(rebase::RebaseArgs),
    Pull(pull::PullArgs),
    Amend(amend::AmendArgs),
    Bitmap(bitmap::BitmapArgs),
    Recover(recover::RecoverArgs),
    Customize(customize::CustomizeArgs),
    Sysprep(sysprep::SysprepArgs),
    Audit(audit::AuditArgs),
    Seal(seal::SealArgs),
    // its -h is that of ls
    #[command(disable_help_flag = true)]
    Ls(ls::LsArgs),
    #[command(disable_help_flag = true)]
    Df(df::DfArgs),
    #[command(disable_help_flag = true)]
    Diff(diff::DiffArgs),
    #[command(disable_help_flag = true)]
    Filesystems(filesystems::FilesystemsArgs),
    GetKernel(get_kernel::GetKernelArgs),
    Inspect(inspect::InspectArgs),
    Cat(cat::CatArgs),
    Edit(edit::EditFileArgs),
    Log(log::LogArgs),
    Tail(tail::TailArgs),
    CopyIn(copy_in::CopyInArgs),
    CopyOut(copy_out::CopyOutArgs),
    TarIn(tar_in::TarInArgs),
    TarOut(tar_out::TarOutArgs),
    Mount(mount::MountArgs),
    Umount(umount::UmountArgs),
    MakeFs(make_fs::MakeFsArgs),
    Format(format::FormatArgs),
    Sparsify(sparsify::SparsifyArgs),
    Fstrim(fstrim::FstrimArgs),
    Seed(seed::SeedArgs),
    Iso(iso::IsoArgs),
    Fat(fat::FatArgs),
    #[command(disable_help_flag = true)]
    QemuImg(qemu_img::QemuImgArgs),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// Runs the verb.
pub(crate) fn run(cli: &Cli) -> Outcome {
    let globals = &cli.globals;
    match &cli.verb {
        Verb::Quickstart(args) => quickstart::run(args, globals),
        Verb::Info(args) => info::run(args),
        Verb::Create(args) => create::run(args, globals),
        Verb::Clone(args) => clone::run(args, globals),
        Verb::Convert(args) => convert::run(args, globals),
        Verb::Check(args) => check::run(args, globals),
        Verb::Compare(args) => compare::run(args, globals),
        Verb::Map(args) => map::run(args),
        Verb::Resize(args) => resize::run(args, globals),
        Verb::Grow(args) => grow::run(args, globals),
        Verb::Shrink(args) => shrink::run(args, globals),
        Verb::Snapshot(args) => snapshot::run(args, globals),
        Verb::Commit(args) => commit::run(args, globals),
        Verb::Rebase(args) => rebase::run(args, globals),
        Verb::Pull(args) => pull::run(args, globals),
        Verb::Amend(args) => amend::run(args, globals),
        Verb::Bitmap(args) => bitmap::run(args, globals),
        Verb::Recover(args) => recover::run(args, globals),
        Verb::Customize(args) => customize::run(args, globals),
        Verb::Sysprep(args) => sysprep::run(args, globals),
        Verb::Audit(args) => audit::run(args, globals),
        Verb::Seal(args) => seal::run(args, globals),
        Verb::Ls(args) => ls::run(args, globals),
        Verb::Df(args) => df::run(args, globals),
        Verb::Diff(args) => diff::run(args, globals),
        Verb::Filesystems(args) => filesystems::run(args, globals),
        Verb::GetKernel(args) => get_kernel::run(args, globals),
        Verb::Inspect(args) => inspect::run(args, globals),
        Verb::Cat(args) => cat::run(args, globals),
        Verb::Edit(args) => edit::run(args, globals),
        Verb::Log(args) => log::run(args, globals),
        Verb::Tail(args) => tail::run(args, globals),
        Verb::CopyIn(args) => copy_in::run(args, globals),
        Verb::CopyOut(args) => copy_out::run(args, globals),
        Verb::TarIn(args) => tar_in::run(args, globals),
        Verb::TarOut(args) => tar_out::run(args, globals),
        Verb::Mount(args) => mount::run(args, globals),
        Verb::Umount(args) => umount::run(args, globals),
        Verb::MakeFs(args) => make_fs::run(args, globals),
        Verb::Format(args) => format::run(args, globals),
        Verb::Sparsify(args) => sparsify::run(args, globals),
        Verb::Fstrim(args) => fstrim::run(args, globals),
        Verb::Seed(args) => seed::run(args, globals),
        Verb::Iso(args) => iso::run(args, globals),
        Verb::Fat(args) => fat::run(args, globals),
        Verb::QemuImg(args) => Ok(qemu_img::run(args)),
        Verb::Completions(args) => completions::completions(args),
        Verb::Man(args) => completions::man(args),
    }
}

/// An image format, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    /// The disk's bytes as they are
    Raw,
    /// QEMU's own format
    Qcow2,
    /// The disk's bytes encrypted, behind a LUKS header
    Luks,
}

impl From<ImageFormat> for disksmith_image::Format {
    fn from(format: ImageFormat) -> Self {
        match format {
            ImageFormat::Raw => Self::Raw,
            ImageFormat::Qcow2 => Self::Qcow2,
            ImageFormat::Luks => Self::Luks,
        }
    }
}

/// Reads a size: a number with an optional suffix b, k, M, G, T, P, E (powers of 1024), as qemu-img has them.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write it like 512M or 20G");
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let shift = match suffix.trim_end_matches("iB") {
        "" | "b" | "B" => 0,
        "k" | "K" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        "P" | "p" => 50,
        "E" | "e" => 60,
        _ => return Err(wrong()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(wrong);
    }
    let fraction: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = fraction * (1u64 << shift) as f64;
    if bytes.is_finite() && (0.0..9.2e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(wrong())
    }
}

/// The progress of a long operation, and the user's wish to stop it.
#[derive(Debug)]
pub(crate) struct Watch {
    progress: progress::Progress,
    cancelled: Arc<AtomicBool>,
}

impl Watch {
    /// Starts to watch; from here on Ctrl-C stops the operation tidily.
    pub(crate) fn start(phase: &'static str, globals: &Globals) -> Self {
        let mode = if globals.quiet {
            ProgressMode::None
        } else {
            globals.progress
        };
        Self {
            progress: progress::Progress::start(phase, mode),
            cancelled: progress::cancel_on_signal(),
        }
    }

    /// Ends the watch.
    pub(crate) fn finish(self) {
        self.progress.finish();
    }
}

impl disksmith_image::Progress for Watch {
    fn advance(&self, done: u64, total: u64) {
        self.progress.advance(done, total);
    }

    fn is_cancelled(&self) -> bool {
        progress::is_cancelled(&self.cancelled)
    }
}

/// Failures of an edit leave the image as it was; says so.
pub(crate) fn image_unchanged(images: &[std::path::PathBuf]) -> impl Fn(Failure) -> Failure {
    let names: Vec<String> = images.iter().map(|i| i.display().to_string()).collect();
    let verb = if names.len() == 1 {
        "is as it was"
    } else {
        "are as they were"
    };
    let text = format!("{} {verb}", names.join(", "));
    move |failure| failure.unchanged(text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_of_all_verbs_go_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_as_qemu_img_reads_them() {
        for (text, bytes) in [
            ("512", 512),
            ("1k", 1024),
            ("1.5G", 3 << 29),
            ("20G", 20 << 30),
            ("4096b", 4096),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "-1", "1x", "99999999E", "1 G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
