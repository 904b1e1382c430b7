//! Images that somebody damaged on purpose: errors, never a panic or a hang.

use crate::judge::{directory, have, qemu_img, qemu_io};
use disksmith_image::{
    ConvertOptions, Format, Image, InfoOptions, NoProgress, OpenOptions, check, compare, convert,
    find_clones, info, map, measure,
};
use disksmith_qcow2::Repair;
use disksmith_storage::LockMode;
use proptest::prelude::*;
use std::path::Path;

/// Uses an image in every way that reads it.
fn use_it(dir: &Path, name: &str) {
    let path = dir.join(name);
    let _ = info(
        &path,
        &InfoOptions {
            chain: true,
            ..Default::default()
        },
    );
    let _ = check(&path, None, Repair::None, LockMode::Lock);
    let _ = find_clones(&path);
    let Ok(image) = Image::open(&path, &OpenOptions::read()) else {
        return;
    };
    // What a damaged header calls the disk's size need not be read in full.
    if image.size() > 64 << 20 {
        return;
    }
    let _ = map(&**image.storage(), 0, u64::MAX);
    let _ = measure(&**image.storage(), Format::Qcow2, Default::default());
    let _ = compare(&**image.storage(), &**image.storage(), false, &NoProgress);
    let options = ConvertOptions {
        existing: disksmith_storage::Existing::Replace,
        ..ConvertOptions::new(Format::Raw)
    };
    let _ = convert(
        std::slice::from_ref(&path),
        &OpenOptions::read(),
        &dir.join("out"),
        &options,
        &NoProgress,
    );
}

fn sample() -> Vec<u8> {
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f raw base 1M");
    qemu_img(
        dir,
        "create -q -f qcow2 -o cluster_size=4k -b base -F raw a.qcow2 2M",
    );
    qemu_io(
        dir,
        "qcow2",
        "a.qcow2",
        &["write -P 1 0 20k", "write -c -P 2 64k 4k", "write -z 100k 8k"],
    );
    qemu_img(dir, "snapshot -c s a.qcow2");
    qemu_img(dir, "bitmap --add a.qcow2 b");
    std::fs::read(dir.join("a.qcow2")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("DISKSMITH_LONG").is_some() { 20_000 } else { 150 }
    ))]

    #[test]
    fn damaged_images_are_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..8),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        if !have("qemu-img") {
            return Ok(());
        }
        static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = SAMPLE.get_or_init(sample).clone();
        for (index, value, in_header) in damage {
            let range = if in_header { 112 } else { bytes.len() };
            bytes[index.index(range)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = directory();
        std::fs::write(dir.path().join("base"), vec![7; 1 << 20]).unwrap();
        std::fs::write(dir.path().join("a.qcow2"), &bytes).unwrap();
        use_it(dir.path(), "a.qcow2");
        prop_assert_eq!(std::fs::read(dir.path().join("a.qcow2")).unwrap(), bytes);
    }
}
