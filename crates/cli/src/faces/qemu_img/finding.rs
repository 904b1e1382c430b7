//! Findings of a check in qemu-img's words.

use disksmith_qcow2::{Finding, Repair, Stop};

/// What the operating system would call the reason why a check ended.
pub(super) fn stopped(why: Stop) -> &'static str {
    match why {
        Stop::TooLarge => "File too large",
        Stop::Invalid => "Invalid argument",
        Stop::Failed => "Input/output error",
        _ => "Unknown error",
    }
}

/// The lines that qemu-img prints for a finding; `None` where it says nothing.
pub(super) fn worded(finding: &Finding, repair: Repair) -> Option<String> {
    let what = |repaired: &bool| if *repaired { "Repairing" } else { "ERROR" };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match finding {
        Finding::Refcount {
            cluster,
            refcount,
            references,
            repaired,
        } => {
            let what = match (*repaired, refcount > references) {
                (true, _) => "Repairing",
                (false, true) => "Leaked",
                (false, false) => "ERROR",
            };
            format!("{what} cluster {cluster} refcount={refcount} reference={references}")
        }
        Finding::RefcountUnreadable { cluster } => {
            format!("Can't get refcount for cluster {cluster}: Input/output error")
        }
        Finding::BlockUnusable { offset, index } => {
            let place = format!("Refblock offset {offset:#x} unaligned (reftable index: {})", hex(*index));
            if repair == Repair::None {
                format!("qcow2: Image is corrupt: {place}; further non-fatal corruption events will be suppressed")
            } else {
                format!("qcow2: Marking image as corrupt: {place}; further corruption events will be suppressed")
            }
        }
        Finding::BeyondEnd { offset, len } => format!(
            "ERROR: counting reference for region exceeding the end of the file by one cluster or more: \
             offset 0x{offset:x} size 0x{len:x}"
        ),
        Finding::RefcountOverflow { offset } => format!(
            "ERROR: overflow cluster offset=0x{offset:x}\n\
             Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy if the \
             image cannot be opened for writing"
        ),
        Finding::L1Reserved { entry } => format!("ERROR found L1 entry with reserved bits set: {entry:x}"),
        Finding::L2TableMisaligned { offset } => {
            format!("ERROR l2_offset={offset:x}: Table is not cluster aligned; L1 entry corrupted")
        }
        Finding::L2Reserved { entry } => format!("ERROR found l2 entry with reserved bits set: {entry:x}"),
        Finding::CompressedCopied { offset } => {
            format!("ERROR: coffset=0x{offset:x}: copied flag must never be set for compressed clusters")
        }
        Finding::CompressedInDataFile { index, entry } => {
            format!("ERROR compressed cluster {index} with data file, entry=0x{entry:x}")
        }
        Finding::CompressedSubclusters { index, entry } => format!(
            "ERROR compressed cluster {index} with non-zero subcluster allocation bitmap, entry=0x{entry:x}"
        ),
        Finding::SubclusterBitmap { offset } => {
            format!("ERROR offset={offset:x}: Allocated cluster has corrupted subcluster allocation bitmap")
        }
        Finding::StraySubclusters => {
            "ERROR: Unallocated cluster has non-zero subcluster allocation map".into()
        }
        Finding::PreallocatedMisaligned { offset, repaired } => format!(
            "{} offset={offset:x}: Preallocated cluster is not properly aligned; L2 entry corrupted.",
            what(repaired)
        ),
        Finding::DataMisaligned { offset } => {
            format!("ERROR offset={offset:x}: Data cluster is not properly aligned; L2 entry corrupted.")
        }
        Finding::CopiedL2 {
            index,
            entry,
            refcount,
            repaired,
        } => format!(
            "{} OFLAG_COPIED L2 cluster: l1_index={index} l1_entry={entry:x} refcount={refcount}",
            what(repaired)
        ),
        Finding::CopiedData {
            entry,
            refcount,
            repaired,
        } => format!(
            "{} OFLAG_COPIED data cluster: l2_entry={entry:x} refcount={refcount}",
            what(repaired)
        ),
        Finding::TooManySnapshots { excess, repaired: true } => {
            format!("Discarding {excess} overhanging snapshots")
        }
        Finding::TooManySnapshots { excess, .. } => format!(
            "qemu-img: ERROR snapshot table too large\n\
             You can force-remove all {excess} overhanging snapshots with qemu-img check -r all"
        ),
        Finding::SnapshotTableUnreadable => {
            "qemu-img: ERROR failed to read the snapshot table: Failed to read snapshot table: Input/output error".into()
        }
        Finding::L1Unreadable => "ERROR: I/O error in check_refcounts_l1".into(),
        Finding::SnapshotTablePlace => "qemu-img: ERROR snapshot table offset invalid".into(),
        Finding::SnapshotTableTooLong { excess, repaired: true } => {
            format!("Discarding {excess} overhanging snapshots (snapshot table is too big)")
        }
        Finding::SnapshotTableTooLong { excess, .. } => format!(
            "qemu-img: ERROR failed to read the snapshot table: Snapshot table is too big\n\
             You can force-remove all {excess} overhanging snapshots with qemu-img check -r all"
        ),
        Finding::SnapshotExtraTooLong {
            index,
            len,
            repaired: true,
        } => {
            format!("Discarding too much extra metadata in snapshot table entry {index} ({len} > 1024)")
        }
        Finding::SnapshotExtraTooLong { index, .. } => format!(
            "qemu-img: ERROR failed to read the snapshot table: Too much extra metadata in snapshot table entry {index}\n\
             You can force-remove this extra metadata with qemu-img check -r all"
        ),
        Finding::SnapshotIncomplete { index, repaired } => {
            format!("{} snapshot table entry {index} is incomplete", what(repaired))
        }
        Finding::SnapshotsWithDataFile { count } => format!("ERROR {count} snapshots in image with data file"),
        Finding::SnapshotL1Misaligned { id, name, offset } => format!(
            "ERROR snapshot {} ({}) l1_offset={}: L1 table is not cluster aligned; snapshot table entry corrupted",
            text(id),
            text(name),
            hex(*offset)
        ),
        Finding::SnapshotL1TooLong { id, name, entries } => format!(
            "ERROR snapshot {} ({}) l1_size={}: L1 table is too large; snapshot table entry corrupted",
            text(id),
            text(name),
            hex((*entries).into())
        ),
        Finding::TableReserved { index } => format!("ERROR refcount table entry {index} has reserved bits set"),
        Finding::BlockMisaligned { index } => {
            format!("ERROR refcount block {index} is not cluster aligned; refcount table entry corrupted")
        }
        Finding::BlockOutside { index, repaired } => {
            format!("{} refcount block {index} is outside image", what(repaired))
        }
        Finding::BlockShared { index, references } => {
            format!("ERROR refcount block {index} refcount={references}")
        }
        Finding::CannotGrow { impossible: true } => "ERROR could not resize image: Invalid argument".into(),
        Finding::CannotGrow { .. } => {
            "qemu-img: Could not resize file: File too large\nERROR could not resize image: File too large".into()
        },
        Finding::Rebuilding => "Rebuilding refcount structure".into(),
        Finding::StillBroken => "ERROR rebuilt refcount structure is still broken".into(),
        Finding::NeedsRebuild => "ERROR need to rebuild refcount structures".into(),
        Finding::LeaksKept => "Leaked clusters are kept: it is not known what a damaged table uses".into(),
        _ => return None,
    })
}

/// C's `%#x`: zero has no prefix.
fn hex(number: u64) -> String {
    if number == 0 {
        "0".into()
    } else {
        format!("{number:#x}")
    }
}
