//! `check`: whether an image's metadata agrees with itself, as qemu-img reports it.

use crate::error::{Error, Result};
use crate::format::{Detected, Format, detect_in};
use crate::json::pretty_json;
use crate::open::path_of_name;
use crate::recover::open_recovered;
use disksmith_qcow2::{Finding, Repair, Stop};
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// The exit status of a check on a format that has nothing to check.
pub const EXIT_NOT_CHECKABLE: u8 = 63;

/// What a check found, and repaired. All numbers but the end offset are counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The image's file as it was named.
    pub filename: String,
    /// Its format.
    pub format: String,
    /// Errors that kept parts from being checked.
    pub check_errors: u64,
    /// Errors by which data may be lost, those left after the repair.
    pub corruptions: u64,
    /// Clusters that are allocated and used by nothing, those left after the repair.
    pub leaks: u64,
    /// Corruptions that were repaired.
    pub corruptions_fixed: u64,
    /// Leaks that were repaired.
    pub leaks_fixed: u64,
    /// Byte offset in the file behind the last cluster in use.
    pub image_end_offset: u64,
    /// Guest clusters of the image.
    pub total_clusters: u64,
    /// Guest clusters that are allocated.
    pub allocated_clusters: u64,
    /// Guest clusters that do not follow the one before them in the file.
    pub fragmented_clusters: u64,
    /// Guest clusters that are compressed.
    pub compressed_clusters: u64,
    /// Why the check came to its end too early, where it did: the numbers say nothing then.
    pub stopped: Option<Stop>,
}

/// Checks the image at `path`, not the images below it, and repairs it if told so.
///
/// # Errors
/// [`Error::NotForFormat`] for a raw image, which has nothing to check (qemu-img exits with [`EXIT_NOT_CHECKABLE`]); where the
/// image is in use; where its header cannot be understood.
pub fn check(path: &Path, format: Option<Format>, repair: Repair, lock: LockMode) -> Result<CheckReport> {
    check_telling(path, format, repair, lock, &mut |_| {})
}

/// As [`check`], and tells of each finding as soon as it is found. An image that was repaired is checked once more, so that
/// what is left is told of again.
///
/// # Errors
/// Those of [`check`].
pub fn check_telling(
    path: &Path,
    format: Option<Format>,
    repair: Repair,
    lock: LockMode,
    tell: &mut dyn FnMut(&Finding),
) -> Result<CheckReport> {
    let path = path_of_name(path)?;
    let file: StorageRef = Arc::new(match repair {
        Repair::None => HostFile::open(&path, OpenMode::Read, lock)?,
        _ => open_recovered(&path, LockMode::Lock, None, format)?,
    });
    let detected = match format {
        Some(format) => Detected::Known(format),
        None => detect_in(&*file)?,
    };
    match detected {
        Detected::Known(Format::Qcow2) => {}
        Detected::Known(format) => {
            return Err(Error::NotForFormat {
                path,
                verb: "a check",
                format,
            });
        }
        Detected::Foreign(format) => return Err(Error::ForeignFormat { path, format }),
        Detected::Packed(packing) => return Err(Error::Packed { path, packing }),
    }
    let check =
        |repair, tell| disksmith_qcow2::check_telling(&file, repair, tell).map_err(Error::qcow2(&path));
    let mut found = check(repair, &mut *tell)?;
    let (leaks_fixed, corruptions_fixed) = (found.leaks_fixed, found.corruptions_fixed);
    if found.stopped.is_none() && (leaks_fixed > 0 || corruptions_fixed > 0) {
        found = disksmith_qcow2::check_telling(&file, Repair::None, tell).map_err(Error::qcow2(&path))?;
    }
    Ok(CheckReport {
        filename: path.display().to_string(),
        format: Format::Qcow2.name().into(),
        check_errors: found.check_errors,
        corruptions: found.corruptions,
        leaks: found.leaks,
        corruptions_fixed,
        leaks_fixed,
        image_end_offset: found.image_end_offset,
        total_clusters: found.total_clusters,
        allocated_clusters: found.allocated_clusters,
        fragmented_clusters: found.fragmented_clusters,
        compressed_clusters: found.compressed_clusters,
        stopped: found.stopped,
    })
}

impl CheckReport {
    /// The exit status of `qemu-img check`: 0 clean, 1 the check failed, 2 corrupt, 3 leaks only.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        if self.check_errors > 0 || self.stopped.is_some() {
            1
        } else if self.corruptions > 0 {
            2
        } else if self.leaks > 0 {
            3
        } else {
            0
        }
    }

    /// Whether the image is as it should be (after the repair).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.exit_status() == 0
    }

    /// The object that `qemu-img check --output=json` prints.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        let mut count = |key: &str, number: u64, always: bool| {
            if always || number != 0 {
                out.insert(key.into(), json!(number));
            }
        };
        count("image-end-offset", self.image_end_offset, false);
        count("compressed-clusters", self.compressed_clusters, false);
        count("total-clusters", self.total_clusters, false);
        count("corruptions", self.corruptions, false);
        count("corruptions-fixed", self.corruptions_fixed, false);
        count("check-errors", self.check_errors, true);
        count("leaks", self.leaks, false);
        count("leaks-fixed", self.leaks_fixed, false);
        count("allocated-clusters", self.allocated_clusters, false);
        out.insert("filename".into(), json!(self.filename));
        out.insert("format".into(), json!(self.format));
        if self.fragmented_clusters != 0 {
            out.insert("fragmented-clusters".into(), json!(self.fragmented_clusters));
        }
        Value::Object(out)
    }

    /// The text that `qemu-img check --output=json` prints.
    #[must_use]
    pub fn to_json(&self) -> String {
        pretty_json(&self.to_value()) + "\n"
    }

    /// The text that `qemu-img check` prints to its standard output.
    #[must_use]
    pub fn to_human(&self) -> String {
        // Writing to a String cannot fail.
        let mut out = String::new();
        if self.corruptions_fixed > 0 || self.leaks_fixed > 0 {
            let _ = write!(
                out,
                "The following inconsistencies were found and repaired:\n\n    {} leaked clusters\n    {} corruptions\n\n\
                 Double checking the fixed image now...\n",
                self.leaks_fixed, self.corruptions_fixed
            );
        }
        if self.is_clean() {
            out.push_str("No errors were found on the image.\n");
        }
        if self.corruptions > 0 {
            let _ = write!(
                out,
                "\n{} errors were found on the image.\n\
                 Data may be corrupted, or further writes to the image may corrupt it.\n",
                self.corruptions
            );
        }
        if self.leaks > 0 {
            let _ = write!(
                out,
                "\n{} leaked clusters were found on the image.\n\
                 This means waste of disk space, but no harm to data.\n",
                self.leaks
            );
        }
        if self.check_errors > 0 {
            let _ = write!(
                out,
                "\n{} internal errors have occurred during the check.\n",
                self.check_errors
            );
        }
        if self.total_clusters != 0 && self.allocated_clusters != 0 {
            let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole as f64;
            let _ = writeln!(
                out,
                "{}/{} = {:.2}% allocated, {:.2}% fragmented, {:.2}% compressed clusters",
                self.allocated_clusters,
                self.total_clusters,
                percent(self.allocated_clusters, self.total_clusters),
                percent(self.fragmented_clusters, self.allocated_clusters),
                percent(self.compressed_clusters, self.allocated_clusters)
            );
        }
        if self.image_end_offset > 0 {
            let _ = writeln!(out, "Image end offset: {}", self.image_end_offset);
        }
        out
    }
}
