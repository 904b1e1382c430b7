//! A plain array as the model of a disk, and random operations on both.

use disksmith_qcow2::{GuestCluster, Qcow2};
use disksmith_storage::{Storage, ZeroMode};
use proptest::prelude::*;

/// One operation; positions and lengths are fractions of the disk.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Write {
        at: f64,
        len: f64,
        byte: u8,
        align: bool,
    },
    Zero {
        at: f64,
        len: f64,
        keep: bool,
        align: bool,
    },
    Discard {
        at: f64,
        len: f64,
    },
    Compressed {
        at: f64,
        byte: u8,
    },
    Flush,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![0.0..0.02f64, 0.0..0.3f64];
    prop_oneof![
        5 => (0.0..1.0f64, len.clone(), any::<u8>(), any::<bool>())
            .prop_map(|(at, len, byte, align)| Op::Write { at, len, byte, align }),
        2 => (0.0..1.0f64, len.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(at, len, keep, align)| Op::Zero { at, len, keep, align }),
        2 => (0.0..1.0f64, len).prop_map(|(at, len)| Op::Discard { at, len }),
        2 => (0.0..1.0f64, any::<u8>()).prop_map(|(at, byte)| Op::Compressed { at, byte }),
        1 => Just(Op::Flush),
    ]
}

fn range(size: u64, at: f64, len: f64, unit: u64) -> (usize, usize) {
    let at = ((size as f64 * at) as u64 / unit * unit).min(size - 1);
    let len = ((size as f64 * len) as u64)
        .next_multiple_of(unit)
        .clamp(1, size - at);
    (at as usize, len as usize)
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(at: usize, len: usize, byte: u8) -> Vec<u8> {
    (at..at + len).map(|i| byte ^ ((i >> 9) as u8)).collect()
}

/// Does an operation to the disk and to the model. `image` is there for what a plain storage cannot do.
pub(crate) fn apply(op: &Op, disk: &dyn Storage, image: Option<&Qcow2>, model: &mut [u8], cluster: u64) {
    let size = disk.size();
    let unit = |align: bool| if align { cluster } else { 1 };
    match *op {
        Op::Write { at, len, byte, align } => {
            let (at, len) = range(size, at, len, unit(align));
            let data = pattern(at, len, byte);
            disk.write_at(at as u64, &data).unwrap();
            model[at..at + len].copy_from_slice(&data);
        }
        Op::Zero { at, len, keep, align } => {
            let (at, len) = range(size, at, len, unit(align));
            let mode = if keep { ZeroMode::Keep } else { ZeroMode::Unmap };
            disk.write_zeroes(at as u64, len as u64, mode).unwrap();
            model[at..at + len].fill(0);
        }
        Op::Discard { at, len } => {
            let (at, len) = range(size, at, len, 512);
            disk.discard(at as u64, len as u64).unwrap();
            let mut now = vec![0; len];
            disk.read_at(at as u64, &mut now).unwrap();
            for (is, was) in now.iter().zip(&mut model[at..at + len]) {
                assert!(
                    *is == 0 || is == was,
                    "a discarded byte is neither zero nor as before"
                );
                *was = *is;
            }
        }
        Op::Compressed { at, byte } => {
            let Some(image) = image else { return };
            let index = (size as f64 * at) as u64 / cluster;
            let start = (index * cluster) as usize;
            let len = cluster.min(size - start as u64) as usize;
            let data = pattern(start, len, byte);
            image
                .write_compressed(GuestCluster(index), &data, Some(1))
                .unwrap();
            model[start..start + len].copy_from_slice(&data);
        }
        Op::Flush => disk.flush().unwrap(),
    }
}

/// Compares the whole disk, in pieces of odd sizes.
pub(crate) fn compare(disk: &dyn Storage, model: &[u8]) {
    assert_eq!(disk.size(), model.len() as u64);
    let mut at = 0;
    while at < model.len() {
        let n = 70_001.min(model.len() - at);
        let mut buf = vec![0xa5; n];
        disk.read_at(at as u64, &mut buf).unwrap();
        if let Some(i) = buf.iter().zip(&model[at..]).position(|(a, b)| a != b) {
            panic!("byte {} is {} and should be {}", at + i, buf[i], model[at + i]);
        }
        at += n;
    }
    let mut at = 0;
    while at < model.len() as u64 {
        let extent = disk.extent_at(at, u64::MAX).unwrap();
        assert!(extent.len > 0);
        let end = at + extent.len;
        assert!(end <= model.len() as u64, "an extent reaches beyond the disk");
        if extent.reads_as_zero() {
            assert!(
                model[at as usize..end as usize].iter().all(|b| *b == 0),
                "extent at {at}: {extent:?}"
            );
        }
        at = end;
    }
}
