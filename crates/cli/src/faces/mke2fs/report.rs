//! What mke2fs tells on standard output while it works.

use super::options::Request;
use disksmith_ext4::Formatted;
use std::fmt::Write;
use std::io::Write as _;

/// Columns behind the tab in the list of copies of the superblock.
const LIST_WIDTH: usize = 72;

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// How a count up to `max` looks when it is over: the first number, taken back, and the end.
fn count(title: &str, max: u64, end: &str) -> String {
    let width = max.checked_ilog10().map_or(1, |n| n as usize + 1);
    let shown = format!("{:>width$}/{max}", 0);
    let back = "\u{8}".repeat(shown.len());
    let blank = " ".repeat(shown.len());
    format!("{title}{shown}{back}{blank}{back}{end}")
}

const DONE: &str = "done                            \n";

/// Blocks of a file that was there are given back first.
pub(super) fn discarded(request: &Request, made: &Formatted) {
    if request.verbose {
        let small = u64::from(made.block_size) * made.blocks < 512 << 20;
        let floppy = u64::from(made.block_size) * made.blocks < 3 << 20;
        let usage = match &request.usage {
            Some(usage) => format!(", '{usage}'"),
            None if floppy => ", 'floppy'".into(),
            None if small => ", 'small'".into(),
            None => String::new(),
        };
        say(&format!(
            "fs_types for mke2fs.conf resolution: '{}'{usage}\n",
            request.kind
        ));
    }
    if request.discard && !request.created && !request.dry_run {
        say(&count("Discarding device blocks: ", made.blocks, DONE));
        if request.verbose {
            say("Discard succeeded and will return 0s - skipping inode table wipe\n");
        }
    }
}

/// What the filesystem is like.
pub(super) fn geometry(request: &Request, made: &Formatted) {
    let mut text = String::new();
    let clusters = made.cluster_size != made.block_size;
    if request.verbose {
        let (unit, units) = if clusters {
            ("Cluster", "clusters")
        } else {
            ("Fragment", "fragments")
        };
        let log = made.block_size.trailing_zeros().saturating_sub(10);
        let unit_log = made.cluster_size.trailing_zeros().saturating_sub(10);
        let _ = write!(
            text,
            "Filesystem label={}\nOS type: Linux\nBlock size={} (log={log})\n{unit} size={} (log={unit_log})\nStride={} blocks, Stripe width={} blocks\n{} inodes, {} blocks\n{} blocks ({:.2}%) reserved for the super user\nFirst data block={}\n",
            String::from_utf8_lossy(&request.options.label),
            made.block_size,
            made.cluster_size,
            request.options.stride,
            request.options.stripe_width,
            made.inodes,
            made.blocks,
            made.reserved_blocks,
            100.0 * made.reserved_blocks as f64 / made.blocks.max(1) as f64,
            made.first_data_block,
        );
        if made.max_blocks > 0 {
            let _ = writeln!(text, "Maximum filesystem blocks={}", made.max_blocks);
        }
        let groups = if made.groups > 1 { "groups" } else { "group" };
        let _ = write!(
            text,
            "{} block {groups}\n{} blocks per group, {} {units} per group\n{} inodes per group\n",
            made.groups,
            made.blocks_per_group,
            made.blocks_per_group / (made.cluster_size / made.block_size.max(1)).max(1),
            made.inodes_per_group
        );
    } else {
        let _ = writeln!(
            text,
            "Creating filesystem with {} {}k blocks and {} inodes",
            made.blocks,
            made.block_size / 1024,
            made.inodes
        );
    }
    if made.groups > 1 {
        let uuid = uuid::Uuid::from_bytes(request.options.uuid);
        let _ = write!(
            text,
            "Filesystem UUID: {uuid}\nSuperblock backups stored on blocks: "
        );
        let mut left = 0;
        for (i, block) in made.backups.iter().enumerate() {
            if i > 0 {
                text.push_str(", ");
            }
            let need = block.checked_ilog10().map_or(0, |n| n as usize) + 3;
            if need > left {
                text.push_str("\n\t");
                left = LIST_WIDTH;
            }
            left -= need;
            let _ = write!(text, "{block}");
        }
        text.push('\n');
    }
    text.push('\n');
    say(&text);
}

/// The tables, the journal, the files.
pub(super) fn work(made: &Formatted, files: bool, packed: bool) {
    let groups = u64::from(made.groups);
    if packed {
        say(&format!("Allocating group tables: {DONE}"));
    } else {
        say(&count("Allocating group tables: ", groups, DONE));
    }
    say(&count("Writing inode tables: ", groups, DONE));
    if made.journal_blocks > 0 {
        say(&format!(
            "Creating journal ({} blocks): done\n",
            made.journal_blocks
        ));
    }
    if let Some(seconds) = made.mmp_interval {
        say(&format!(
            "Multiple mount protection is enabled with update interval {seconds} seconds.\n"
        ));
    }
    if files {
        say("Copying files into the device: ");
    }
}

/// The end.
pub(super) fn end(made: &Formatted, files: bool) {
    if files {
        say("done\n");
    }
    let title = "Writing superblocks and filesystem accounting information: ";
    say(&count(title, u64::from(made.groups), "done\n\n"));
}
