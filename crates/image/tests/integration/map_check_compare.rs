//! `map`, `compare` and `measure` print what qemu-img prints.

use crate::judge::{directory, have, ok, qemu_img, qemu_io, run};
use disksmith_image::{
    Format, Image, NoProgress, OpenOptions, Qcow2Layout, check, compare, map, map_to_human, map_to_json,
    measure,
};
use disksmith_qcow2::Repair;
use disksmith_storage::LockMode;
use std::path::Path;

fn images(dir: &Path) -> Vec<&'static str> {
    qemu_img(dir, "create -q -f raw base.raw 10M");
    qemu_io(dir, "raw", "base.raw", &["write -P 7 1M 2M"]);
    qemu_img(dir, "create -q -f qcow2 -b base.raw -F raw a.qcow2");
    qemu_io(
        dir,
        "qcow2",
        "a.qcow2",
        &["write -P 3 0 128k", "write -z 5M 128k", "write -c -P 1 3M 64k"],
    );
    qemu_img(dir, "create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2 12M");
    qemu_img(
        dir,
        "create -q -f qcow2 -b b.qcow2 -F qcow2 -o cluster_size=4k c.qcow2 13M",
    );
    qemu_io(
        dir,
        "qcow2",
        "c.qcow2",
        &["write -P 3 1M 12k", "write -z 2M 1M", "write -P 1 12M 5k"],
    );
    qemu_img(dir, "create -q -f qcow2 empty.qcow2 100G");
    qemu_img(dir, "create -q -f qcow2 flat.qcow2 10M");
    qemu_io(
        dir,
        "qcow2",
        "flat.qcow2",
        &["write -P 9 3M 1M", "write -P 8 0 64k", "write -P 7 64k 64k"],
    );
    vec![
        "base.raw",
        "a.qcow2",
        "b.qcow2",
        "c.qcow2",
        "empty.qcow2",
        "flat.qcow2",
    ]
}

fn open(dir: &Path, name: &str) -> Image {
    Image::open(dir.join(name), &OpenOptions::read()).unwrap()
}

#[test]
fn maps_are_those_of_qemu_img() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    for name in images(dir) {
        let image = open(dir, name);
        let entries = map(&**image.storage(), 0, u64::MAX).unwrap();
        assert_eq!(
            map_to_json(&entries),
            qemu_img(dir, &format!("map --output=json {name}")),
            "{name}"
        );
        let path = dir.join(name);
        let human = run(dir, "qemu-img", &["map", path.to_str().unwrap()]);
        match map_to_human(&entries) {
            Some(text) => assert_eq!(text, String::from_utf8(human.stdout).unwrap(), "{name}"),
            None => assert!(!human.status.success(), "{name}"),
        }
    }
}

#[test]
fn comparisons_are_those_of_qemu_img() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let mut names = images(dir);
    std::fs::write(dir.join("zeroes"), vec![0; 10 << 20]).unwrap();
    std::fs::File::create(dir.join("hole"))
        .unwrap()
        .set_len(10 << 20)
        .unwrap();
    qemu_img(dir, "convert -O raw flat.qcow2 flat.raw");
    std::fs::copy(dir.join("flat.raw"), dir.join("longer.raw")).unwrap();
    std::fs::File::options()
        .write(true)
        .open(dir.join("longer.raw"))
        .unwrap()
        .set_len(12 << 20)
        .unwrap();
    std::fs::copy(dir.join("longer.raw"), dir.join("longest.raw")).unwrap();
    qemu_io(dir, "raw", "longest.raw", &["write -P 1 11000000 1"]);
    names.extend(["zeroes", "hole", "flat.raw", "longer.raw", "longest.raw"]);
    for a in &names {
        for b in &names {
            for strict in [false, true] {
                let (x, y) = (open(dir, a), open(dir, b));
                let ours = compare(&**x.storage(), &**y.storage(), strict, &NoProgress).unwrap();
                let mut args = vec!["compare", a, b];
                if strict {
                    args.push("-s");
                }
                let theirs = run(dir, "qemu-img", &args);
                assert_eq!(
                    ours.to_human(),
                    String::from_utf8(theirs.stdout).unwrap(),
                    "{args:?}"
                );
                assert_eq!(Some(i32::from(ours.exit_status())), theirs.status.code());
            }
        }
    }
}

/// Damages an image in a certain way.
type Damage = fn(&mut Vec<u8>);

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize & 0x00ff_ffff_ffff_fe00
}

/// Where the first refcount block, and the first L2 table, are.
fn refcount_block(bytes: &[u8]) -> usize {
    number(bytes, number(bytes, 48))
}

fn l2_table(bytes: &[u8]) -> usize {
    number(bytes, number(bytes, 40))
}

#[test]
fn checks_are_those_of_qemu_img() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    images(dir);
    let damages: [(&str, Damage); 8] = [
        ("nothing", |_| {}),
        ("a count that is too great", |b| {
            let at = refcount_block(b) + 2 * 3;
            b[at + 1] = 3;
        }),
        ("a count that is too small", |b| {
            let at = refcount_block(b) + 2 * 5;
            b[at + 1] = 0;
        }),
        ("leaks", |b| {
            let at = refcount_block(b) + 2 * 60;
            b[at..at + 4].copy_from_slice(&[0, 1, 0, 2]);
            b.resize(b.len().max(62 << 16), 0);
        }),
        ("an entry that is not aligned", |b| {
            let at = l2_table(b);
            b[at + 6] ^= 2;
        }),
        ("an entry without its copied flag", |b| {
            let at = l2_table(b);
            b[at] &= 0x7f;
        }),
        ("two entries for one cluster", |b| {
            let at = l2_table(b);
            b.copy_within(at..at + 8, at + 8);
        }),
        ("an entry beyond the end", |b| {
            let at = l2_table(b);
            b[at + 2] = 1;
        }),
    ];
    for name in ["flat.qcow2", "a.qcow2", "empty.qcow2"] {
        let sound = std::fs::read(dir.join(name)).unwrap();
        for (what, damage) in damages {
            if name == "empty.qcow2" && what != "nothing" {
                continue;
            }
            let mut bytes = sound.clone();
            damage(&mut bytes);
            let same = |args: &[&str], repair| {
                std::fs::write(dir.join("ours"), &bytes).unwrap();
                std::fs::write(dir.join("theirs"), &bytes).unwrap();
                let theirs = run(dir, "qemu-img", &[&["check"], args, &["theirs"]].concat());
                let mut ours = check(&dir.join("ours"), None, repair, LockMode::Lock).unwrap();
                ours.filename = "theirs".into();
                // Where a repair puts new structures is each program's own choice.
                let normal = |text: &str| -> String {
                    text.lines()
                        .filter(|l| repair == Repair::None || !l.to_lowercase().contains("end"))
                        .collect()
                };
                let theirs_said = String::from_utf8(theirs.stdout).unwrap();
                let said = if args.contains(&"--output=json") {
                    ours.to_json()
                } else {
                    ours.to_human()
                };
                // Where the refcounts must be rebuilt, qemu-img gives up on leaks without a report.
                if !(theirs_said.is_empty() && theirs.status.code() == Some(1)) {
                    assert_eq!(
                        normal(&said),
                        normal(&theirs_said),
                        "{name} with {what}, {args:?}: {:?}",
                        ours
                    );
                }
                assert_eq!(
                    Some(i32::from(ours.exit_status())),
                    theirs.status.code(),
                    "{name} with {what}"
                );
                if repair == Repair::All && theirs.status.success() {
                    crate::judge::assert_clean(&dir.join("ours"));
                }
            };
            same(&[], Repair::None);
            same(&["--output=json"], Repair::None);
            same(&["-r", "leaks"], Repair::Leaks);
            same(&["-r", "all", "--output=json"], Repair::All);
        }
    }
    assert!(matches!(
        check(&dir.join("base.raw"), None, Repair::None, LockMode::Lock),
        Err(disksmith_image::Error::NotForFormat { .. })
    ));
}

#[test]
fn measurements_are_those_of_qemu_img() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    for name in images(dir) {
        for (option, layout) in [
            ("cluster_size=65536", Qcow2Layout::default()),
            (
                "cluster_size=512",
                Qcow2Layout {
                    cluster_size: 512,
                    ..Default::default()
                },
            ),
            (
                "cluster_size=2M,refcount_bits=1",
                Qcow2Layout {
                    cluster_size: 2 << 20,
                    refcount_bits: 1,
                    extended_l2: false,
                },
            ),
            (
                "extended_l2=on",
                Qcow2Layout {
                    extended_l2: true,
                    ..Default::default()
                },
            ),
        ] {
            if name == "empty.qcow2" && layout.cluster_size == 512 {
                continue;
            }
            let image = open(dir, name);
            let ours = measure(&**image.storage(), Format::Qcow2, layout).unwrap();
            let theirs = ok(dir, "qemu-img", &["measure", "-O", "qcow2", "-o", option, name]);
            assert!(
                theirs.starts_with(&ours.to_human()),
                "{name} {option}: {theirs} {}",
                ours.to_human()
            );
        }
        let ours = measure(&**open(dir, name).storage(), Format::Raw, Qcow2Layout::default()).unwrap();
        assert_eq!(
            ours.to_human(),
            ok(dir, "qemu-img", &["measure", "-O", "raw", name]),
            "{name}"
        );
    }
}
