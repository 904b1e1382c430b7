//! `disksmith df`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::Outcome;
use crate::output::{OutputFormat, print, print_json};
use crate::table_text::{csv_field, human_size};
use clap::Args;
use disksmith_guest::{Usage, UsageUnknown, disk_usage};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Show how full the filesystems of a guest are
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Sizes with a unit
    #[arg(short = 'h', long)]
    human_readable: bool,
    /// Inodes instead of space
    #[arg(short = 'i', long)]
    inodes: bool,
    /// Fields between commas
    #[arg(long, conflicts_with = "human_readable")]
    csv: bool,
    /// How to print the table
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(crate) fn run(args: &DfArgs, globals: &Globals) -> Outcome {
    let (known, unknown) = args.guest.look_at_disks(globals, disk_usage)?;
    if args.output == OutputFormat::Json {
        print_json(&as_json(&known, &unknown))?;
        return Ok(ExitCode::SUCCESS);
    }
    let look = UsageTable {
        human_readable: args.human_readable,
        inodes: args.inodes,
        csv: args.csv,
    };
    print(usage_table(&guest_name(args.guest.images()), &known, look))?;
    say_unknown("disksmith", &unknown);
    Ok(ExitCode::SUCCESS)
}

/// Says which filesystems are not in the table, on standard error.
pub(crate) fn say_unknown(program: &str, unknown: &[UsageUnknown]) {
    for UsageUnknown { device, vfs, reason } in unknown {
        eprintln!("{program}: warning: {device} ({vfs}) is not shown: {reason}");
    }
}

fn as_json(known: &[Usage], unknown: &[UsageUnknown]) -> Value {
    let known = known.iter().map(|usage| {
        let stat = &usage.stat;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.block_size);
        json!({
            "device": usage.device,
            "type": usage.vfs,
            "size": bytes(stat.blocks),
            "used": bytes(stat.blocks.saturating_sub(stat.free_blocks)),
            "available": bytes(stat.available_blocks),
            "inodes": stat.inodes,
            "inodes-used": stat.inodes.saturating_sub(stat.free_inodes),
            "inodes-free": stat.free_inodes,
        })
    });
    let unknown = unknown
        .iter()
        .map(|usage| json!({"device": usage.device, "type": usage.vfs, "unknown": usage.reason}));
    known.chain(unknown).collect()
}

/// The name of a guest of these images: that of the first, and a `+` for each other.
pub(crate) fn guest_name<P: AsRef<Path>>(images: &[P]) -> String {
    let first = images.first().and_then(|image| image.as_ref().file_name());
    let mut name = first.unwrap_or_default().to_string_lossy().into_owned();
    name.extend(std::iter::repeat_n('+', images.len().saturating_sub(1)));
    name
}

/// How the table looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UsageTable {
    pub(crate) human_readable: bool,
    pub(crate) inodes: bool,
    pub(crate) csv: bool,
}

/// How wide the first column is.
const NAME_WIDTH: usize = 36;

/// The table, as virt-df prints it.
pub(crate) fn usage_table(guest: &str, known: &[Usage], look: UsageTable) -> Vec<u8> {
    let titles = match look {
        UsageTable { inodes: true, .. } => ["Inodes", "IUsed", "IFree", "IUse%"],
        UsageTable {
            human_readable: true, ..
        } => ["Size", "Used", "Available", "Use%"],
        _ => ["1K-blocks", "Used", "Available", "Use%"],
    };
    let mut text = Vec::new();
    if look.csv {
        text.extend_from_slice(format!("VirtualMachine,Filesystem,{}\n", titles.join(",")).as_bytes());
    } else {
        let [size, used, free, percent] = titles;
        let line = format!(
            "{:<NAME_WIDTH$}{size:>10} {used:>10} {free:>10} {percent:>5}\n",
            "Filesystem"
        );
        text.extend_from_slice(line.as_bytes());
    }
    for usage in known {
        let stat = &usage.stat;
        let [size, used, free] = if look.inodes {
            [
                stat.inodes,
                stat.inodes.saturating_sub(stat.free_inodes),
                stat.free_inodes,
            ]
        } else {
            [
                stat.blocks,
                stat.blocks.saturating_sub(stat.free_blocks),
                stat.available_blocks,
            ]
        };
        let part = if size == 0 {
            0.0
        } else {
            100.0 * used as f64 / size as f64
        };
        let number = |n: u64| {
            let bytes = u128::from(n) * u128::from(stat.block_size);
            match look {
                UsageTable {
                    inodes: true,
                    human_readable: true,
                    ..
                } => human_size(n),
                UsageTable { inodes: true, .. } => n.to_string(),
                UsageTable {
                    human_readable: true, ..
                } => human_size(u64::try_from(bytes).unwrap_or(u64::MAX)),
                _ => (bytes / 1024).to_string(),
            }
        };
        if look.csv {
            text.extend(csv_field(guest.as_bytes()));
            text.push(b',');
            text.extend(csv_field(usage.device.as_bytes()));
            let rest = format!(",{},{},{},{part:.1}\n", number(size), number(used), number(free));
            text.extend_from_slice(rest.as_bytes());
            continue;
        }
        let name = format!("{guest}:{}", usage.device);
        text.extend_from_slice(name.as_bytes());
        // a name that is too long has a line of its own
        let mut width = name.len();
        if width > NAME_WIDTH {
            text.push(b'\n');
            width = 0;
        }
        text.extend(std::iter::repeat_n(b' ', NAME_WIDTH - width));
        let percent = format!("{}%", part.ceil());
        let line = format!(
            "{:>10} {:>10} {:>10} {percent:>5}\n",
            number(size),
            number(used),
            number(free)
        );
        text.extend_from_slice(line.as_bytes());
    }
    text
}
