//! Volume groups made by the LVM tools, and volumes that nobody made.

use crate::judge::{LoopDevice, have, image};
use disksmith_storage::{Memory, StorageRef, ZeroMode};
use disksmith_volume::Lvm;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// Runs a program of LVM over these devices only, without the kernel's device-mapper.
fn lvm(devices: &[LoopDevice], arguments: &[&str]) -> String {
    let filter: Vec<String> = devices
        .iter()
        .map(|d| format!("\"a|^{}$|\"", d.path().display()))
        .collect();
    let config = format!(
        "devices {{ filter=[{},\"r|.*|\"] use_devicesfile=0 hints=\"none\" }} activation {{ udev_sync=0 udev_rules=0 monitoring=0 }} backup {{ backup=0 archive=0 }} global {{ locking_type=1 event_activation=0 }}",
        filter.join(",")
    );
    let output = Command::new("lvm")
        .args(arguments)
        .args(["--config", &config, "--driverloaded", "n"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A group of two volumes with a linear, a wandering and a striped volume.
fn make(dir: &Path) -> Option<(Vec<PathBuf>, Vec<LoopDevice>)> {
    if !have("lvm") {
        return None;
    }
    let files: Vec<PathBuf> = (0..2).map(|n| image(dir, &format!("pv{n}"), 32 * MIB)).collect();
    let loops: Vec<LoopDevice> = files
        .iter()
        .map(|file| LoopDevice::new(file, 512))
        .collect::<Option<_>>()?;
    let devices: Vec<&str> = loops.iter().map(|d| d.path().to_str().unwrap()).collect();
    for device in &devices {
        lvm(&loops, &["pvcreate", "-qq", device]);
    }
    lvm(
        &loops,
        &["vgcreate", "-qq", "-s", "1m", "my-vg", devices[0], devices[1]],
    );
    let create = |name: &str, options: &[&str]| {
        let mut all = vec!["lvcreate", "-qq", "-an", "-Zn", "-Wn", "-n", name];
        all.extend(options);
        all.push("my-vg");
        lvm(&loops, &all)
    };
    create("root", &["-l", "10"]);
    create("swap", &["-l", "4"]);
    create("stripes", &["-l", "16", "-i", "2", "-I", "64k"]);
    lvm(&loops, &["lvextend", "-qq", "-l", "+20", "my-vg/root"]);
    Some((files, loops))
}

#[test]
fn the_tools_and_we_see_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some((files, loops)) = make(dir.path()) else {
        return;
    };
    let storages: Vec<StorageRef> = files
        .iter()
        .map(|file| Arc::new(Memory::from_bytes(&std::fs::read(file).unwrap())) as StorageRef)
        .collect();
    let found = Lvm::find(&storages);
    assert!(found.notices.is_empty(), "{:?}", found.notices);
    let table = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--noheadings", "--nosuffix", "--units", "b", "--separator", " "]);
        let output = lvm(&loops, &all);
        let mut lines: Vec<String> = output.lines().map(|l| l.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    let logical: Vec<String> = found
        .logical
        .iter()
        .map(|v| format!("{} {} {} {}", v.group, v.name, v.uuid, v.size))
        .collect();
    assert_eq!(logical, table(&["lvs", "-o", "vg_name,lv_name,lv_uuid,lv_size"]));
    let groups: Vec<String> = found
        .groups
        .iter()
        .map(|g| format!("{} {} {} {}", g.name, g.uuid, g.extent_size, g.extents))
        .collect();
    assert_eq!(
        groups,
        table(&["vgs", "-o", "vg_name,vg_uuid,vg_extent_size,vg_extent_count"])
    );
    let mut physical: Vec<String> = found
        .physical
        .iter()
        .map(|p| format!("{} {} {}", p.uuid, p.size, p.group.as_deref().unwrap_or("")))
        .collect();
    physical.sort();
    assert_eq!(physical, table(&["pvs", "-o", "pv_uuid,pv_size,vg_name"]));

    // What is written lies where the tools say that it does.
    let pe_start: u64 = table(&["pvs", "-o", "pe_start"])[0].parse().unwrap();
    for volume in &found.logical {
        let storage = volume.storage.as_ref().unwrap();
        assert!(storage.is_writable());
        let data: Vec<u8> = (0..volume.size)
            .map(|at| (at / 4096 * 7 + at % 251 + volume.name.len() as u64) as u8)
            .collect();
        storage.write_at(0, &data).unwrap();
        let name = format!("my-vg/{}", volume.name);
        let segments = table(&[
            "lvs",
            "--segments",
            &name,
            "-o",
            "seg_start_pe,seg_size_pe,stripes,stripe_size,seg_pe_ranges",
        ]);
        for segment in segments {
            let mut words = segment.split_whitespace();
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            let (start, extents, stripes, stripe_size) = (number(), number(), number(), number());
            let places: Vec<(usize, u64)> = words
                .map(|range| {
                    let (device, extents) = range.rsplit_once(':').unwrap();
                    let first = extents.split('-').next().unwrap().parse().unwrap();
                    (
                        loops.iter().position(|d| d.path() == Path::new(device)).unwrap(),
                        first,
                    )
                })
                .collect();
            assert_eq!(places.len() as u64, stripes, "{segment}");
            let unit = if stripes > 1 { stripe_size } else { MIB };
            for at in (0..extents * MIB).step_by(unit as usize) {
                let turn = at / unit;
                let (device, first) = places[(turn % stripes) as usize];
                let mut there = vec![0; unit as usize];
                let offset = pe_start + first * MIB + turn / stripes * unit;
                storages[device].read_at(offset, &mut there).unwrap();
                let from = (start * MIB + at) as usize;
                assert!(there == data[from..from + unit as usize], "{name} at {at}");
            }
        }
        let mut back = vec![0; data.len() - 3];
        storage.read_at(3, &mut back).unwrap();
        assert!(back == data[3..]);
        storage.write_zeroes(100, MIB, ZeroMode::Unmap).unwrap();
        storage.read_at(0, &mut back).unwrap();
        assert!(back[100..100 + MIB as usize].iter().all(|b| *b == 0) && back[..100] == data[..100]);
        assert!(storage.write_at(volume.size - 1, b"xx").is_err());
    }

    // One disk of two: what lies on it only is still there.
    let half = Lvm::find(&storages[..1]);
    assert_eq!(
        half.notices,
        ["volume group my-vg lacks 1 of its 2 physical volumes"]
    );
    for volume in &half.logical {
        let whole = volume.name == "swap";
        assert_eq!(volume.storage.is_ok(), whole, "{volume:?}");
    }
    // The same disk twice.
    let copy = vec![storages[0].clone(), storages[1].clone(), storages[0].clone()];
    let found = Lvm::find(&copy);
    assert!(found.notices[0].contains("one is a copy"), "{:?}", found.notices);
    assert!(found.logical.iter().all(|v| v.storage.is_err()));
}

fn crc(bytes: &[u8]) -> u32 {
    // Bit by bit, as the format has it.
    let mut register = 0xf597_a6cfu32;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = (register >> 1) ^ (0xedb8_8320 & (register & 1).wrapping_neg());
        }
    }
    register
}

/// A physical volume of 4 MiB whose text begins so near the end of its ring that it goes round.
fn physical(id: &str, text: &[u8]) -> Vec<u8> {
    let mut disk = vec![0u8; 4 << 20];
    let (area, size) = (4096u64, 64u64 << 10);
    let mut label = [0u8; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1u64.to_le_bytes());
    label[20..24].copy_from_slice(&32u32.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(id.as_bytes());
    label[64..72].copy_from_slice(&(4u64 << 20).to_le_bytes());
    label[72..80].copy_from_slice(&(1u64 << 20).to_le_bytes());
    label[104..112].copy_from_slice(&area.to_le_bytes());
    label[112..120].copy_from_slice(&size.to_le_bytes());
    let sum = crc(&label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    disk[512..1024].copy_from_slice(&label);
    let mut header = [0u8; 512];
    header[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
    header[20..24].copy_from_slice(&1u32.to_le_bytes());
    header[24..32].copy_from_slice(&area.to_le_bytes());
    header[32..40].copy_from_slice(&size.to_le_bytes());
    let at = size - 100;
    header[40..48].copy_from_slice(&at.to_le_bytes());
    header[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    header[56..60].copy_from_slice(&crc(text).to_le_bytes());
    let sum = crc(&header[4..]);
    header[0..4].copy_from_slice(&sum.to_le_bytes());
    disk[4096..4608].copy_from_slice(&header);
    for (index, byte) in text.iter().enumerate() {
        let place = at + index as u64;
        let place = if place < size { place } else { place - size + 512 };
        disk[(area + place) as usize] = *byte;
    }
    disk
}

const ID: &str = "abcdefghijklmnopqrstuvwxyz012345";

fn description(logical: &str) -> String {
    format!(
        "vg {{\nid = \"GGGGGG-GGGG-GGGG-GGGG-GGGG-GGGG-GGGGGG\"\nseqno = 7\nstatus = [\"RESIZEABLE\"]\nextent_size = 128\nphysical_volumes {{\npv0 {{\nid = \"abcdef-ghij-klmn-opqr-stuv-wxyz-012345\"\npe_start = 2048\npe_count = 40\n}}\n}}\nlogical_volumes {{\n{logical}\n}}\n}}\n"
    )
}

fn find(text: &str) -> Lvm {
    Lvm::find(&[Arc::new(Memory::from_bytes(&physical(ID, text.as_bytes())))])
}

#[test]
fn a_text_that_goes_round_is_read() {
    let found = find(&description(
        "lv { id = \"LLLLLL\" status = [\"READ\", \"VISIBLE\"] segment_count = 1 segment1 { start_extent = 0 extent_count = 2 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 38] } }",
    ));
    assert!(found.notices.is_empty(), "{:?}", found.notices);
    let volume = &found.logical[0];
    let storage = volume.storage.as_ref().unwrap();
    assert_eq!((volume.name.as_str(), storage.size()), ("lv", 128 << 10));
    // Its status lacks WRITE.
    assert!(!storage.is_writable() && storage.write_at(0, b"x").is_err());
    assert_eq!(volume.mapper_uuid, format!("{}LLLLLL", "G".repeat(32)));
}

#[test]
fn what_cannot_be_put_together_is_named() {
    let volume = |segments: &str| {
        description(&format!(
            "lv {{ status = [\"READ\", \"WRITE\", \"VISIBLE\"] {segments} }}"
        ))
    };
    let segment = |start: &str, count: &str, rest: &str| {
        volume(&format!(
            "segment_count = 1 segment1 {{ start_extent = {start} extent_count = {count} {rest} }}"
        ))
    };
    let linear = "type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 0]";
    for (text, reason) in [
        (segment("0", "1", "type = \"thin\""), "of the type thin"),
        (segment("1", "1", linear), "do not follow each other"),
        (segment("0", "0", linear), "do not follow each other"),
        (segment("0", "41", linear), "beyond the end of pv0"),
        (segment("0", "9223372036854775807", linear), "range"),
        (volume("segment_count = 0"), "no extents"),
        (
            segment(
                "0",
                "1",
                "type = \"striped\" stripe_count = 1 stripes = [\"pv9\", 0]",
            ),
            "not on the disks given",
        ),
        (
            segment(
                "0",
                "3",
                "type = \"striped\" stripe_count = 2 stripe_size = 128 stripes = [\"pv0\", 0, \"pv0\", 5]",
            ),
            "not of one length",
        ),
        (
            segment(
                "0",
                "2",
                "type = \"striped\" stripe_count = 2 stripe_size = 0 stripes = [\"pv0\", 0, \"pv0\", 5]",
            ),
            "do not fit its extents",
        ),
    ] {
        let found = find(&text);
        let error = found.logical[0].storage.as_ref().unwrap_err();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    for (text, notice) in [
        ("vg {".to_owned(), "a section without end"),
        (volume("segment_count = 2"), "0 of 2 segments"),
        (
            segment(
                "0",
                "1",
                "type = \"striped\" stripe_count = 1 stripes = [\"pv0\"]",
            ),
            "stripes",
        ),
        (description("\"x\" { }"), "no name has"),
        (
            description("../x { segment_count = 0 }"),
            "no name of a logical volume",
        ),
    ] {
        let found = find(&text);
        assert!(found.logical.is_empty());
        assert!(found.notices[0].contains(notice), "{notice}: {:?}", found.notices);
    }
}

#[test]
fn the_origin_of_a_snapshot_is_only_read() {
    let linear = |name: &str, first: u64, visible: &str| {
        format!(
            "{name} {{ id = \"{name}\" status = [\"READ\", \"WRITE\"{visible}] segment_count = 1 segment1 {{ start_extent = 0 extent_count = 2 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", {first}] }} }}\n"
        )
    };
    let snapshot = "snapshot0 { id = \"s\" status = [\"READ\", \"WRITE\"] segment_count = 1 segment1 { start_extent = 0 extent_count = 2 type = \"snapshot\" chunk_size = 8 origin = \"root\" cow_store = \"before\" } }\n";
    let all = [
        linear("root", 0, ", \"VISIBLE\""),
        linear("before", 4, ", \"VISIBLE\""),
        linear("other", 8, ", \"VISIBLE\""),
        linear("hidden", 12, ""),
        snapshot.to_owned(),
    ];
    let found = find(&description(&all.concat()));
    assert!(found.notices.is_empty(), "{:?}", found.notices);
    let names: Vec<&str> = found.logical.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["before", "other", "root"]);
    let storage = |at: usize| found.logical[at].storage.as_ref();
    assert!(storage(0).unwrap_err().contains("snapshot of root"));
    assert!(storage(1).unwrap().is_writable());
    let root = storage(2).unwrap();
    assert!(!root.is_writable() && root.read_at(0, &mut [0; 16]).is_ok());
    assert!(root.write_at(0, b"x").is_err() && root.discard(0, 512).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in the text, or in the labels, nothing panics, and what opens stays inside.
    #[test]
    fn damage_is_survived(at in 0usize..70_000, value in any::<u8>(), cut in 0usize..400, fix in any::<bool>()) {
        let text = description("lv { status = [\"VISIBLE\", \"WRITE\"] segment_count = 1 segment1 { start_extent = 0 extent_count = 2 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 3] } }");
        let mut text = text.into_bytes();
        let disk = if fix {
            // A text that is wrong, under a checksum that is right.
            let place = at % text.len();
            text[place] = value;
            let len = text.len() - cut % text.len();
            physical(ID, &text[..len.max(1)])
        } else {
            let mut disk = physical(ID, &text);
            disk[at] = value;
            disk
        };
        let found = Lvm::find(&[Arc::new(Memory::from_bytes(&disk)) as StorageRef]);
        for volume in &found.logical {
            if let Ok(storage) = &volume.storage {
                let mut buf = vec![0; 16];
                let end = storage.size();
                prop_assert!(storage.read_at(end - 16, &mut buf).is_ok());
                prop_assert!(storage.read_at(end - 15, &mut buf).is_err());
            }
        }
    }
}
