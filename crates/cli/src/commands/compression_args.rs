//! How archives are compressed.

use crate::failure::{Failure, Outcome};
use clap::ValueEnum;
use std::io::{BufRead, BufReader, Read, Write};
use xz2::stream::{CONCATENATED, Check, Filters, LzmaOptions, Stream};

/// A kind of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// None
    None,
    /// gzip
    #[value(alias = "gz")]
    Gzip,
    /// bzip2
    #[value(alias = "bz2")]
    Bzip2,
    /// xz
    Xz,
    /// zstd
    #[value(alias = "zst")]
    Zstd,
}

/// The dictionary of archives that are written, in bytes: compressing takes twelve times as much memory.
const XZ_DICTIONARY: u32 = 2 << 20;

/// The most memory that an archive may ask for to be decompressed, in bytes: 65 MiB is what `xz -9` needs.
const XZ_MEMORY: u64 = 80 << 20;

impl Compression {
    /// The kind whose first bytes these are.
    fn of(start: &[u8]) -> Self {
        let begins = |magic: &[u8]| start.starts_with(magic);
        if begins(b"\x1f\x8b") {
            Self::Gzip
        } else if begins(b"BZh") {
            Self::Bzip2
        } else if begins(b"\xfd7zXZ\0") {
            Self::Xz
        } else if begins(b"\x28\xb5\x2f\xfd") {
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// What a compressed stream holds. Without a kind, the first bytes tell it.
    pub(crate) fn decompress(kind: Option<Self>, input: Box<dyn Read>) -> Outcome<Box<dyn Read>> {
        let mut input = BufReader::with_capacity(1 << 18, input);
        let failed = |error: std::io::Error| Failure::usage(format!("cannot read the archive: {error}"));
        let kind = match kind {
            Some(kind) => kind,
            None => Self::of(input.fill_buf().map_err(failed)?),
        };
        Ok(match kind {
            Self::None => Box::new(input),
            Self::Gzip => gathered(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Bzip2 => gathered(bzip2::bufread::MultiBzDecoder::new(input)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                    .map_err(|error| failed(error.into()))?;
                gathered(xz2::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => gathered(zstd::stream::read::Decoder::with_buffer(input).map_err(failed)?),
        })
    }

    /// Has `work` write to a stream that compresses into `out`.
    pub(crate) fn compress<E: From<std::io::Error>>(
        self,
        out: &mut dyn Write,
        work: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = std::io::BufWriter::with_capacity(1 << 18, out);
        match self {
            Self::None => work(&mut out)?,
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
                work(&mut writer)?;
                writer.finish()?;
            }
            Self::Bzip2 => {
                let mut writer = bzip2::write::BzEncoder::new(&mut out, bzip2::Compression::default());
                work(&mut writer)?;
                writer.finish()?;
            }
            Self::Xz => {
                let mut options = LzmaOptions::new_preset(6).map_err(std::io::Error::from)?;
                options.dict_size(XZ_DICTIONARY);
                let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64)
                    .map_err(std::io::Error::from)?;
                let mut writer = xz2::write::XzEncoder::new_stream(&mut out, stream);
                work(&mut writer)?;
                writer.finish()?;
            }
            Self::Zstd => {
                let mut writer = zstd::stream::write::Encoder::new(&mut out, 0)?;
                work(&mut writer)?;
                writer.finish()?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// Archives are read by blocks: larger pieces are faster to decompress.
fn gathered(input: impl Read + 'static) -> Box<dyn Read> {
    Box::new(BufReader::with_capacity(1 << 18, input))
}
