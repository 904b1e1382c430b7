//! Compressed clusters (specification: "Compressed Clusters Descriptor", "Compression type").

use crate::header::CompressionType;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// QEMU inflates with a window of 4 KiB, so nothing may refer further back.
const WINDOW_BITS: u8 = 12;

/// Compresses one cluster. `None` when the result would not be smaller than the cluster.
/// `level` is the codec's own scale; `None` takes what QEMU takes (its default for both).
pub fn compress_cluster(kind: CompressionType, level: Option<u32>, data: &[u8]) -> Option<Vec<u8>> {
    match kind {
        CompressionType::Zlib => {
            let level = level.map_or_else(Compression::default, |l| Compression::new(l.min(9)));
            let mut out = vec![0u8; data.len().checked_sub(1)?];
            let mut codec = Compress::new_with_window_bits(level, false, WINDOW_BITS);
            match codec.compress(data, &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => {
                    out.truncate(codec.total_out() as usize);
                    Some(out)
                }
                _ => None,
            }
        }
        CompressionType::Zstd => {
            let level = level.map_or(0, |l| l.min(22) as i32);
            let out = zstd::bulk::compress(data, level).ok()?;
            (out.len() < data.len()).then_some(out)
        }
    }
}

/// Decompresses one cluster of `cluster_size` bytes from `data`, which may be followed by padding. `None` when the
/// data is damaged or holds less than a cluster.
pub fn decompress_cluster(kind: CompressionType, data: &[u8], cluster_size: usize) -> Option<Vec<u8>> {
    let mut out = vec![0u8; cluster_size];
    match kind {
        CompressionType::Zlib => {
            // A greater window than was used to compress reads the same stream.
            let mut codec = Decompress::new(false);
            codec.decompress(data, &mut out, FlushDecompress::Finish).ok()?;
            (codec.total_out() == cluster_size as u64).then_some(out)
        }
        CompressionType::Zstd => {
            let mut codec = zstd::stream::raw::Decoder::new().ok()?;
            let mut input = zstd::stream::raw::InBuffer::around(data);
            let mut output = zstd::stream::raw::OutBuffer::around(out.as_mut_slice());
            use zstd::stream::raw::Operation;
            loop {
                let (before_in, before_out) = (input.pos(), output.pos());
                let left = codec.run(&mut input, &mut output).ok()?;
                if output.pos() == cluster_size {
                    break;
                }
                if left == 0 || (input.pos() == before_in && output.pos() == before_out) {
                    return None;
                }
            }
            Some(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_with_padding() {
        let mut data: Vec<u8> = (0..65536u32).map(|i| (i / 7) as u8).collect();
        data[4000..9000].fill(3);
        for kind in [CompressionType::Zlib, CompressionType::Zstd] {
            let mut packed = compress_cluster(kind, None, &data).unwrap();
            assert!(packed.len() < data.len());
            packed.resize(packed.len() + 300, 0x55);
            assert_eq!(decompress_cluster(kind, &packed, data.len()).unwrap(), data);
            packed.truncate(20);
            assert_eq!(decompress_cluster(kind, &packed, data.len()), None);
        }
    }

    #[test]
    fn noise_is_not_compressed() {
        let mut x = 1u64;
        let data: Vec<u8> = (0..4096)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x as u8
            })
            .collect();
        assert_eq!(compress_cluster(CompressionType::Zlib, None, &data), None);
        assert_eq!(compress_cluster(CompressionType::Zstd, None, &data), None);
    }
}
