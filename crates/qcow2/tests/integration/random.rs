//! Random operations against the model, judged by qemu-img at the end of each sequence.

use crate::judge;
use crate::model::{Op, apply, compare, op, pattern};
use disksmith_qcow2::{Backing, CompressionType, CreateOptions, create};
use disksmith_storage::{HostFile, Storage, StorageRef};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone)]
struct Config {
    version: u32,
    cluster_bits: u32,
    refcount_bits: u32,
    zstd: bool,
    extended_l2: bool,
    /// Size of the backing file relative to the disk: none, shorter, longer.
    backing: Option<f64>,
    backing_raw: bool,
    ours: bool,
    snapshot: bool,
    ops: Vec<Op>,
    more: Vec<Op>,
}

fn config() -> impl Strategy<Value = Config> {
    (
        (
            0..10u32,
            prop_oneof![Just(9u32), Just(10), Just(12), Just(14), Just(16), Just(21)],
            0..7u32,
        ),
        (
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
        ),
        prop_oneof![Just(None), (0.1..1.6f64).prop_map(Some)],
        prop::collection::vec(op(), 1..24),
        prop::collection::vec(op(), 1..24),
    )
        .prop_map(
            |((v, cluster_bits, order), (zstd, ext, raw, ours, snapshot), backing, ops, more)| {
                let version = if v < 3 { 2 } else { 3 };
                let refcount_bits = if version < 3 { 16 } else { 1 << order };
                Config {
                    version,
                    cluster_bits,
                    refcount_bits,
                    zstd: zstd && version == 3,
                    extended_l2: ext && version == 3 && cluster_bits >= 14,
                    backing,
                    backing_raw: raw,
                    ours,
                    snapshot: snapshot && refcount_bits >= 16,
                    ops,
                    more,
                }
            },
        )
}

impl Config {
    fn size(&self) -> u64 {
        let clusters = match self.cluster_bits {
            9..=10 => 200,
            11..=14 => 70,
            15..=16 => 20,
            _ => 3,
        };
        (clusters << self.cluster_bits) + 1536
    }

    fn make(&self, dir: &Path) -> Vec<u8> {
        let image = dir.join("disk.qcow2");
        let mut model = vec![0; self.size() as usize];
        let mut backing = None;
        if let Some(share) = self.backing {
            let len = ((self.size() as f64 * share) as u64).next_multiple_of(512);
            let bytes = pattern(0, len as usize, 0x5a);
            std::fs::write(dir.join("base.raw"), &bytes).unwrap();
            let n = bytes.len().min(model.len());
            model[..n].copy_from_slice(&bytes[..n]);
            let (name, format) = if self.backing_raw {
                ("base.raw", "raw")
            } else {
                ("base.qcow2", "qcow2")
            };
            if !self.backing_raw {
                let (raw, base) = (dir.join("base.raw"), dir.join("base.qcow2"));
                judge::qemu_img(&[
                    "convert",
                    "-c",
                    "-f",
                    "raw",
                    "-O",
                    "qcow2",
                    raw.to_str().unwrap(),
                    base.to_str().unwrap(),
                ]);
            }
            backing = Some(Backing {
                name: name.into(),
                format: Some(format.into()),
            });
        }
        if self.ours {
            let file: StorageRef = Arc::new(HostFile::create_new(&image).unwrap());
            let options = CreateOptions {
                version: self.version,
                cluster_bits: self.cluster_bits,
                refcount_bits: self.refcount_bits,
                compression: if self.zstd {
                    CompressionType::Zstd
                } else {
                    CompressionType::Zlib
                },
                extended_l2: self.extended_l2,
                backing,
                ..CreateOptions::new(self.size())
            };
            create(&file, None, &options).unwrap();
        } else {
            let mut o = format!(
                "compat={},cluster_size={},refcount_bits={}",
                if self.version < 3 { "0.10" } else { "1.1" },
                1u64 << self.cluster_bits,
                self.refcount_bits,
            );
            if self.zstd {
                o += ",compression_type=zstd";
            }
            if self.extended_l2 {
                o += ",extended_l2=on";
            }
            let size = self.size().to_string();
            let mut args = vec!["create", "-q", "-f", "qcow2", "-o", &o];
            let format;
            if let Some(b) = &backing {
                format = b.format.clone().unwrap();
                args.extend(["-b", std::str::from_utf8(&b.name).unwrap(), "-F", &format]);
            }
            args.extend([image.to_str().unwrap(), &size]);
            judge::qemu_img(&args);
        }
        model
    }
}

fn snapshot(image: &Path, name: &str) {
    judge::qemu_img(&["snapshot", "-c", name, image.to_str().unwrap()]);
}

/// The snapshot's contents must be what they were when it was taken.
fn assert_snapshot(image: &Path, dir: &Path, name: &str, model: &[u8]) {
    let copy = dir.join("copy.qcow2");
    std::fs::copy(image, &copy).unwrap();
    judge::qemu_img(&["snapshot", "-a", name, copy.to_str().unwrap()]);
    judge::assert_clean(&copy);
    assert!(judge::contents(&copy, dir) == model, "snapshot {name} changed");
    judge::qemu_img(&["snapshot", "-d", name, copy.to_str().unwrap()]);
    judge::assert_clean(&copy);
    std::fs::remove_file(copy).unwrap();
}

fn cases() -> u32 {
    if std::env::var_os("DISKSMITH_LONG").is_some() {
        2000
    } else {
        20
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn direct_writing_matches_the_model(config in config()) {
        if !judge::available() {
            return Ok(());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.qcow2");
        let mut model = config.make(dir.path());
        let cluster = 1 << config.cluster_bits;
        let mut kept = None;
        for (round, ops) in [&config.ops, &config.more].into_iter().enumerate() {
            let image = judge::open(&path, true);
            compare(&*image, &model);
            for op in ops {
                apply(op, &*image, Some(&image), &mut model, cluster);
            }
            compare(&*image, &model);
            image.flush().unwrap();
            drop(image);
            judge::assert_clean(&path);
            compare(&*judge::open(&path, false), &model);
            prop_assert!(judge::contents(&path, dir.path()) == model);
            if round == 0 && config.snapshot {
                snapshot(&path, "s");
                kept = Some(model.clone());
            }
        }
        if let Some(kept) = kept {
            assert_snapshot(&path, dir.path(), "s", &kept);
        }
    }

    #[test]
    fn change_sets_match_the_model(config in config(), switch in any::<bool>()) {
        if !judge::available() {
            return Ok(());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.qcow2");
        let mut model = config.make(dir.path());
        let cluster = 1 << config.cluster_bits;
        {
            let image = judge::open(&path, true);
            for op in &config.ops {
                apply(op, &*image, Some(&image), &mut model, cluster);
            }
            image.flush().unwrap();
        }
        let mut kept = None;
        if config.snapshot {
            snapshot(&path, "s");
            kept = Some(model.clone());
        }
        let before = std::fs::read(&path).unwrap();
        let image = judge::open(&path, true);
        let shadow = image.shadow().unwrap();
        let mut new = model.clone();
        for op in &config.more {
            apply(op, &*shadow, None, &mut new, cluster);
        }
        compare(&*shadow, &new);
        compare(&*image, &model);
        prop_assert!(image.write_at(0, &[1]).is_err());
        if switch {
            let prepared = shadow.prepare().unwrap();
            // Not visible yet, and nothing leaked.
            judge::assert_clean(&path);
            prop_assert!(judge::contents(&path, dir.path()) == model);
            prepared.switch().unwrap();
            judge::assert_clean(&path);
            compare(&*image, &new);
            prop_assert!(judge::contents(&path, dir.path()) == new);
            if let Some(kept) = kept {
                assert_snapshot(&path, dir.path(), "s", &kept);
            }
            // A second one over the result, and then direct writing.
            let shadow = image.shadow().unwrap();
            for op in &config.ops {
                apply(op, &*shadow, None, &mut new, cluster);
            }
            shadow.prepare().unwrap().switch().unwrap();
            judge::assert_clean(&path);
            for op in &config.more {
                apply(op, &*image, Some(&image), &mut new, cluster);
            }
            image.flush().unwrap();
            judge::assert_clean(&path);
            prop_assert!(judge::contents(&path, dir.path()) == new);
        } else {
            shadow.abandon().unwrap();
            judge::assert_clean(&path);
            let mut after = std::fs::read(&path).unwrap();
            prop_assert_eq!(after.len(), before.len());
            // Bytes of clusters that nobody uses may differ.
            after.clear();
            prop_assert!(judge::contents(&path, dir.path()) == model);
            image.write_at(0, &[1]).unwrap();
            image.flush().unwrap();
            judge::assert_clean(&path);
        }
    }
}
