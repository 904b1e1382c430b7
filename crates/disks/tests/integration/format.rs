//! Disks that are laid out anew.

use super::judge::{assert_clean, have, run_ok};
use disksmith_disks::{DiskContent, DiskIds, FormatDisk, PartitionTable, Placement, format_disk};
use disksmith_fs::NewFileSystem;
use disksmith_image::{DiskSpec, TransactionOptions};
use std::fs;

fn ext3(wipe: bool, table: Option<PartitionTable>) -> FormatDisk {
    let mut options = disksmith_ext4::FormatOptions::new([1; 16], [2; 16], 1_700_000_000);
    options.kind = disksmith_ext4::FormatKind::Ext3;
    FormatDisk {
        content: DiskContent::FileSystem(NewFileSystem::Ext(Box::new(options))),
        table,
        placement: Placement::Libguestfs,
        ids: DiskIds {
            disk: [5; 16],
            partition: [6; 16],
        },
        wipe,
    }
}

#[test]
fn several_disks_become_blank_ones() {
    if !have(&["sfdisk", "e2fsck", "qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (raw, qcow2) = (dir.path().join("a.raw"), dir.path().join("b.qcow2"));
    fs::write(&raw, vec![0xaa; 20 << 20]).unwrap();
    run_ok(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", qcow2.to_str().unwrap(), "20M"],
    );
    run_ok("qemu-io", &["-c", "write -P 0x77 0 20M", qcow2.to_str().unwrap()]);
    let disks = [
        DiskSpec {
            format: Some(disksmith_image::Format::Raw),
            ..DiskSpec::in_place(&raw)
        },
        DiskSpec::in_place(&qcow2),
    ];
    let how = [ext3(false, Some(PartitionTable::Mbr)), ext3(true, None)];
    format_disk(&disks, &TransactionOptions::default(), &how).unwrap();
    // As virt-format of guestfs-tools 1.48 lays out a disk of 100 MiB: start=128, size=204545.
    let dump = run_ok("sfdisk", &["-d", raw.to_str().unwrap()]);
    let size = (20 << 20) / 512 - 255;
    assert!(
        dump.contains(&format!("start=         128, size={size:>12}, type=83")),
        "{dump}"
    );
    let slice = dir.path().join("slice");
    fs::write(&slice, &fs::read(&raw).unwrap()[128 * 512..(128 + size) * 512]).unwrap();
    assert_clean(&slice);
    run_ok("qemu-img", &["check", qcow2.to_str().unwrap()]);
    run_ok(
        "qemu-img",
        &[
            "convert",
            "-O",
            "raw",
            qcow2.to_str().unwrap(),
            slice.to_str().unwrap(),
        ],
    );
    assert_clean(&slice);
    let bytes = fs::read(&slice).unwrap();
    assert!(
        !bytes.chunks(512).any(|sector| sector.iter().all(|b| *b == 0x77)),
        "wiped disks keep nothing"
    );
}
