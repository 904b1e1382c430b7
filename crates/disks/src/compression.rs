//! Compressed files, told by how they begin.

use std::fs::File;
use std::io::{BufReader, Read, Result};
use std::os::unix::fs::FileExt;

/// An xz file may want so much memory, in bytes: enough for `xz -9`.
const XZ_MEMORY: u64 = 100 << 20;
/// The same for zstd, as the logarithm of a number of bytes: enough for `zstd --ultra -22`.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// Looks at the first bytes of a file.
    pub(crate) fn of(file: &File) -> Result<Self> {
        let mut head = [0; 6];
        let mut len = 0;
        while let Some(rest) = head.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, len as u64)? {
                0 => break,
                n => len += n,
            }
        }
        Ok(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        })
    }

    /// The contents of a file from its start on.
    pub(crate) fn open(self, file: &File) -> Result<Box<dyn Read + Send>> {
        let raw = BufReader::with_capacity(
            1 << 17,
            FromStart {
                file: file.try_clone()?,
                at: 0,
            },
        );
        Ok(match self {
            Self::None => Box::new(raw),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
            Self::Xz => {
                let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY, xz2::stream::CONCATENATED)?;
                Box::new(xz2::bufread::XzDecoder::new_stream(raw, stream))
            }
            Self::Zstd => {
                let mut reader = zstd::stream::read::Decoder::with_buffer(raw)?;
                reader.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(reader)
            }
        })
    }
}

/// A file that is read from its start, wherever others who have it open are.
struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
