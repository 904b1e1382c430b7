//! `info` for people, laid out as qemu-img does.

use super::{ChildInfo, ImageInfo, SnapshotInfo};
use crate::byte_size::human_size;
use serde_json::Value;
use std::fmt::Write;

/// Turns seconds since 1970 into `2026-11-20 21:08:59`, in whatever time zone the caller shows.
pub type FormatDate<'a> = &'a dyn Fn(i64) -> String;

// Writing to a String cannot fail, so the results of write! and writeln! are dropped in this file.

impl ImageInfo {
    /// The text that `qemu-img info` prints for this image.
    #[must_use]
    pub fn to_human(&self, date: FormatDate<'_>) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "image: {}", self.filename);
        let _ = writeln!(out, "file format: {}", self.format);
        let _ = writeln!(
            out,
            "virtual size: {} ({} bytes)",
            human_size(self.virtual_size),
            self.virtual_size
        );
        let _ = writeln!(out, "disk size: {}", disk_size(self.actual_size));
        if self.encrypted {
            out.push_str("encrypted: yes\n");
        }
        if let Some(size) = self.cluster_size {
            let _ = writeln!(out, "cluster_size: {size}");
        }
        if self.dirty {
            out.push_str("cleanly shut down: no\n");
        }
        if let Some(backing) = &self.backing {
            let _ = write!(out, "backing file: {}", backing.filename);
            if backing.filename != backing.full_filename {
                let _ = write!(out, " (actual path: {})", backing.full_filename);
            }
            out.push('\n');
            if let Some(format) = &backing.format {
                let _ = writeln!(out, "backing file format: {format}");
            }
        }
        if !self.snapshots.is_empty() {
            out.push_str(&snapshot_table(&self.snapshots, date));
        }
        if let Some(specific) = self.format_specific.as_ref().filter(|s| s.kind != "file") {
            out.push_str("Format specific information:\n");
            members(&mut out, &specific.data, 1);
        }
        self.children.iter().for_each(|c| child(&mut out, c));
        out
    }

    /// The text that `qemu-img info --backing-chain` prints.
    #[must_use]
    pub fn chain_to_human(chain: &[Self], date: FormatDate<'_>) -> String {
        let images: Vec<String> = chain.iter().map(|image| image.to_human(date)).collect();
        images.join("\n")
    }
}

/// The list of snapshots that `qemu-img snapshot -l` prints, with its title.
#[must_use]
pub fn snapshot_table(snapshots: &[SnapshotInfo], date: FormatDate<'_>) -> String {
    let mut out = String::from("Snapshot list:\n");
    let mut row = |id: &str, tag: &str, size: &str, date: &str, clock: &str, icount: &str| {
        let _ = writeln!(
            out,
            "{id:<7} {tag:<16} {size:>8} {date:>19} {clock:>15} {icount:>10}"
        );
    };
    row("ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT");
    for snapshot in snapshots {
        let seconds = snapshot.vm_clock_nsec / 1_000_000_000;
        let clock = format!(
            "{:04}:{:02}:{:02}.{:03}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            snapshot.vm_clock_nsec / 1_000_000 % 1000
        );
        let icount = snapshot.icount.map_or_else(|| "--".to_owned(), |n| n.to_string());
        row(
            &snapshot.id,
            &snapshot.name,
            &human_size(snapshot.vm_state_size),
            &date(snapshot.date_sec),
            &clock,
            &icount,
        );
    }
    out
}

fn disk_size(size: Option<u64>) -> String {
    size.map_or_else(|| "unavailable".to_owned(), human_size)
}

fn child(out: &mut String, child: &ChildInfo) {
    let _ = writeln!(out, "Child node '/{}':", child.name);
    let _ = writeln!(out, "    filename: {}", child.filename);
    let _ = writeln!(out, "    protocol type: {}", child.driver);
    let _ = writeln!(
        out,
        "    file length: {} ({} bytes)",
        human_size(child.length),
        child.length
    );
    let _ = writeln!(out, "    disk size: {}", disk_size(child.actual_size));
}

/// Members of an object or items of an array, each on its own line below its name.
fn members(out: &mut String, value: &Value, level: usize) {
    let indent = "    ".repeat(level);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let _ = write!(out, "{indent}{}:", key.replace('-', " "));
                member(out, value, level);
            }
        }
        Value::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let _ = write!(out, "{indent}[{index}]:");
                member(out, value, level);
            }
        }
        _ => {}
    }
}

fn member(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Object(_) | Value::Array(_) => {
            out.push('\n');
            members(out, value, level + 1);
        }
        Value::String(text) => {
            let _ = writeln!(out, " {text}");
        }
        other => {
            let _ = writeln!(out, " {other}");
        }
    }
}
