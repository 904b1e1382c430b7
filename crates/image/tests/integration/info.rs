//! `info` prints what qemu-img prints, to the byte.

use crate::judge::{directory, have, ok, qemu_img, qemu_io};
use disksmith_image::{ImageInfo, InfoOptions, info};
use std::path::Path;

fn date(_: i64) -> String {
    "DATE".into()
}

/// qemu-img prints dates in local time; tests do not depend on the zone.
fn without_dates(text: &str) -> String {
    let mut out = String::new();
    let mut rows = false;
    for line in text.lines() {
        if line.starts_with("ID ") {
            rows = true;
        } else if rows && line.starts_with(|c: char| c.is_ascii_digit()) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let keep: Vec<&str> = fields
                .iter()
                .copied()
                .filter(|f| !f.contains('-') || *f == "--")
                .collect();
            let keep: Vec<&str> = keep
                .into_iter()
                .filter(|f| f.matches(':').count() != 2 || f.contains('.'))
                .collect();
            out.push_str(&keep.join(" ").replace(" DATE", ""));
            out.push('\n');
            continue;
        } else {
            rows = false;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn assert_like_qemu(path: &Path) {
    let name = path.to_str().unwrap();
    let here = Path::new("/");
    let one = info(path, &InfoOptions::default()).unwrap();
    assert_eq!(
        one[0].to_json(),
        ok(here, "qemu-img", &["info", "--output=json", name]),
        "{name}"
    );
    assert_eq!(
        without_dates(&one[0].to_human(&date)),
        without_dates(&ok(here, "qemu-img", &["info", name]))
    );
}

fn assert_chain_like_qemu(path: &Path) {
    let name = path.to_str().unwrap();
    let here = Path::new("/");
    let chain = info(
        path,
        &InfoOptions {
            chain: true,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(
        ImageInfo::chain_to_json(&chain),
        ok(
            here,
            "qemu-img",
            &["info", "--backing-chain", "--output=json", name]
        )
    );
    assert_eq!(
        without_dates(&ImageInfo::chain_to_human(&chain, &date)),
        without_dates(&ok(here, "qemu-img", &["info", "--backing-chain", name]))
    );
}

#[test]
fn every_kind_of_image_is_told_as_qemu_img_tells_it() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    for (name, create) in [
        ("v2.qcow2", "create -q -f qcow2 -o compat=0.10 v2.qcow2 1G"),
        ("v3.qcow2", "create -q -f qcow2 v3.qcow2 123M"),
        (
            "all.qcow2",
            "create -q -f qcow2 -o extended_l2=on,lazy_refcounts=on,refcount_bits=64,compression_type=zstd,cluster_size=2M all.qcow2 15T",
        ),
        (
            "data.qcow2",
            "create -q -f qcow2 -o data_file=d.raw,data_file_raw=on data.qcow2 100M",
        ),
        ("over.qcow2", "create -q -f qcow2 -b v3.qcow2 -F qcow2 over.qcow2"),
        ("raw", "create -q -f raw raw 10M"),
    ] {
        qemu_img(dir, create);
        assert_like_qemu(&dir.join(name));
    }
    qemu_io(dir, "raw", "raw", &["write -P 7 1M 2M"]);
    assert_like_qemu(&dir.join("raw"));
    std::fs::File::create(dir.join("odd"))
        .unwrap()
        .set_len(1000)
        .unwrap();
    assert_like_qemu(&dir.join("odd"));
    std::fs::File::create(dir.join("empty")).unwrap();
    assert_like_qemu(&dir.join("empty"));
}

#[test]
fn snapshots_and_bitmaps_are_told_as_qemu_img_tells_them() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f qcow2 a.qcow2 64M");
    qemu_img(dir, "snapshot -c first a.qcow2");
    ok(
        dir,
        "qemu-img",
        &[
            "snapshot",
            "-c",
            "a name that is longer than its column",
            "a.qcow2",
        ],
    );
    assert_like_qemu(&dir.join("a.qcow2"));
    qemu_img(dir, "bitmap --add a.qcow2 one");
    qemu_img(dir, "bitmap --add -g 32k a.qcow2 two");
    qemu_img(dir, "bitmap --disable a.qcow2 two");
    assert_like_qemu(&dir.join("a.qcow2"));
}

#[test]
fn chains_are_told_as_qemu_img_tells_them() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    std::fs::create_dir(dir.join("sub")).unwrap();
    qemu_img(dir, "create -q -f raw base.raw 10M");
    qemu_img(dir, "create -q -f qcow2 -b ../base.raw -F raw sub/a.qcow2");
    qemu_img(dir, "create -q -f qcow2 -b sub/a.qcow2 -F qcow2 b.qcow2 12M");
    assert_chain_like_qemu(&dir.join("b.qcow2"));
    assert_chain_like_qemu(&dir.join("sub/../sub/a.qcow2"));
}

#[test]
fn encrypted_images_are_told_of() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(
        dir,
        "create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 a.qcow2 10M",
    );
    let told = info(&dir.join("a.qcow2"), &InfoOptions::default()).unwrap();
    assert!(told[0].encrypted);
    assert_eq!(told[0].virtual_size, 10 << 20);
    assert!(told[0].to_json().contains("\"format\": \"luks\""));
}
