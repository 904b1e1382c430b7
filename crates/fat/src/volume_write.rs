//! Writing a planned volume, from its first byte to its last.

use crate::boot_sector::{FIRST_CLUSTER, FatKind};
use crate::directory_entry::{ENTRY_LEN, RawEntry};
use crate::namespace::{DOT, DOT_DOT};
use crate::partition_table;
use crate::volume_builder::Volume;
use crate::volume_tree::{Content, NodeKind};
use disksmith_storage::{Storage, ZeroMode};
use disksmith_vfs::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Bytes that are gathered before they are written.
const BATCH: usize = 1 << 20;

/// Where a volume goes: bytes arrive in the order in which they lie.
trait Sink {
    fn bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Says that a range is zeroes.
    fn zeroes(&mut self, offset: u64, len: u64) -> Result<()>;
}

struct IntoStorage<'a> {
    storage: &'a dyn Storage,
    is_zero: bool,
}

impl Sink for IntoStorage<'_> {
    fn bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.storage.write_at(offset, bytes)?)
    }

    fn zeroes(&mut self, offset: u64, len: u64) -> Result<()> {
        match self.is_zero {
            true => Ok(()),
            false => Ok(self.storage.write_zeroes(offset, len, ZeroMode::Unmap)?),
        }
    }
}

struct IntoStream<'a>(&'a mut dyn Write);

fn output_error(source: std::io::Error) -> Error {
    disksmith_storage::Error::io("the output".to_owned(), "write", None, source).into()
}

impl Sink for IntoStream<'_> {
    fn bytes(&mut self, _: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(output_error)
    }

    fn zeroes(&mut self, _: u64, len: u64) -> Result<()> {
        std::io::copy(&mut std::io::repeat(0).take(len), &mut self.0)
            .map(drop)
            .map_err(output_error)
    }
}

/// Gathers what follows each other.
struct Batch<'a> {
    sink: &'a mut dyn Sink,
    start: u64,
    bytes: Vec<u8>,
}

impl Batch<'_> {
    fn at(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.bytes.len() + bytes.len() > BATCH {
            self.flush()?;
        }
        if bytes.len() >= BATCH {
            self.sink.bytes(self.start, bytes)?;
            self.start += bytes.len() as u64;
            return Ok(());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Zeroes up to an offset.
    fn pad_to(&mut self, offset: u64) -> Result<()> {
        let len = offset.saturating_sub(self.at());
        if len <= 4096 {
            // 4096 at most.
            let len = len as usize;
            if self.bytes.len() + len > BATCH {
                self.flush()?;
            }
            self.bytes.resize(self.bytes.len() + len, 0);
            return Ok(());
        }
        self.flush()?;
        self.sink.zeroes(self.start, len)?;
        self.start += len;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.bytes.is_empty() {
            self.sink.bytes(self.start, &self.bytes)?;
            self.start += self.bytes.len() as u64;
            self.bytes.clear();
        }
        Ok(())
    }
}

impl Volume {
    /// Writes the volume to the beginning of a storage, which must have room for [`size`](Self::size) bytes. `is_zero` says that the
    /// storage is known to read as zeroes.
    ///
    /// # Errors
    /// Those of the storage; of reading files of the host, or where one has not the length it had.
    pub fn write_to(&self, storage: &dyn Storage, is_zero: bool) -> Result<()> {
        storage.check_range(0, self.size())?;
        self.write(&mut IntoStorage { storage, is_zero })
    }

    /// Writes the whole image to a stream.
    ///
    /// # Errors
    /// Those of the stream; of reading files of the host, or where one has not the length it had.
    pub fn stream(&self, output: &mut dyn Write) -> Result<()> {
        self.write(&mut IntoStream(output))
    }

    fn write(&self, sink: &mut dyn Sink) -> Result<()> {
        let mut batch = Batch {
            sink,
            start: 0,
            bytes: Vec::with_capacity(BATCH),
        };
        if self.before > 0 {
            batch.put(&partition_table::encode(
                self.layout.kind,
                self.options.volume_id,
                self.size,
            ))?;
            batch.pad_to(self.before)?;
        }
        let used = self.starts.last().copied().unwrap_or(FIRST_CLUSTER);
        for (offset, bytes) in
            self.layout
                .reserved_area(&self.options, self.label.as_ref(), used - FIRST_CLUSTER)
        {
            batch.pad_to(self.before + offset)?;
            batch.put(&bytes)?;
        }
        for copy in 0..u64::from(self.layout.fats) {
            let sector = u64::from(self.layout.reserved) + copy * u64::from(self.layout.fat_sectors);
            batch.pad_to(self.before + sector * u64::from(self.layout.sector_len))?;
            self.put_table(&mut batch)?;
        }
        let data = self.before + self.layout.data_sector() * u64::from(self.layout.sector_len);
        if self.layout.kind != FatKind::Fat32 {
            let sector = self.layout.root_sector();
            batch.pad_to(self.before + sector * u64::from(self.layout.sector_len))?;
            self.put_directory(&mut batch, 0)?;
        }
        for number in 0..self.tree.nodes.len() {
            let start = self.starts.get(number).copied().unwrap_or(0);
            if start == 0 {
                continue;
            }
            let cluster = u64::from(start - FIRST_CLUSTER) * self.layout.cluster_len();
            batch.pad_to(data + cluster)?;
            match self.tree.nodes.get(number).map(|node| &node.kind) {
                Some(NodeKind::Directory(_)) => self.put_directory(&mut batch, number)?,
                Some(NodeKind::File(Content::Bytes(bytes))) => batch.put(bytes)?,
                Some(NodeKind::File(Content::HostFile { path, len })) => put_file(&mut batch, path, *len)?,
                None => {}
            }
        }
        batch.pad_to(self.size())?;
        batch.flush()
    }

    /// The table: all chains are in one piece.
    fn put_table(&self, batch: &mut Batch<'_>) -> Result<()> {
        let end: u32 = match self.layout.kind {
            FatKind::Fat12 => 0xfff,
            FatKind::Fat16 => 0xffff,
            FatKind::Fat32 => 0x0fff_ffff,
        };
        let mut entries = TableWriter::new(self.layout.kind);
        let media = end & !0xff | u32::from(self.layout.media);
        entries.push(media);
        entries.push(end);
        let starts = self.starts.iter().filter(|start| **start != 0);
        for (first, next) in starts.clone().zip(starts.skip(1)) {
            for cluster in *first..*next {
                entries.push(if cluster + 1 == *next { end } else { cluster + 1 });
                if entries.bytes.len() >= 64 << 10 {
                    batch.put(&entries.bytes)?;
                    entries.bytes.clear();
                }
            }
        }
        entries.finish();
        batch.put(&entries.bytes)
    }

    fn put_directory(&self, batch: &mut Batch<'_>, number: usize) -> Result<()> {
        let (Some(node), Some(directory)) = (self.tree.nodes.get(number), self.tree.directory(number)) else {
            return Ok(());
        };
        let kind = self.layout.kind;
        let start_of = |number: usize| self.starts.get(number).copied().unwrap_or(0);
        if number == 0 {
            if let Some(label) = &self.label {
                batch.put(&RawEntry::label(label, self.options.time).0)?;
            }
        } else {
            let parent = if directory.parent == 0 {
                0
            } else {
                start_of(directory.parent)
            };
            for (name, first) in [(DOT, start_of(number)), (DOT_DOT, parent)] {
                let mut dot = node.entry;
                dot.set_name(name, 0);
                dot.set_first_cluster(first, kind);
                batch.put(&dot.0)?;
            }
        }
        let mut bytes = Vec::with_capacity(directory.children.len() * ENTRY_LEN as usize * 2);
        for child in &directory.children {
            if let Some(node) = self.tree.nodes.get(*child) {
                node.long.iter().for_each(|part| bytes.extend_from_slice(part));
                let mut entry = node.entry;
                entry.set_first_cluster(start_of(*child), kind);
                bytes.extend_from_slice(&entry.0);
            }
        }
        batch.put(&bytes)
    }
}

/// Packs entries of a table.
struct TableWriter {
    kind: FatKind,
    bytes: Vec<u8>,
    /// The first of two 12-bit entries, which waits for the second.
    half: Option<u32>,
}

impl TableWriter {
    fn new(kind: FatKind) -> Self {
        Self {
            kind,
            bytes: Vec::new(),
            half: None,
        }
    }

    fn push(&mut self, value: u32) {
        match (self.kind, self.half.take()) {
            (FatKind::Fat32, _) => self.bytes.extend_from_slice(&value.to_le_bytes()),
            (FatKind::Fat16, _) => self.bytes.extend_from_slice(&(value as u16).to_le_bytes()),
            (FatKind::Fat12, None) => self.half = Some(value),
            (FatKind::Fat12, Some(low)) => {
                let both = (low | value << 12).to_le_bytes();
                self.bytes.extend(both.iter().take(3));
            }
        }
    }

    fn finish(&mut self) {
        if self.half.is_some() {
            self.push(0);
        }
    }
}

/// Puts all bytes of a file of the host, which must have kept its length.
fn put_file(batch: &mut Batch<'_>, path: &Path, len: u64) -> Result<()> {
    let fail = |source| -> Error {
        disksmith_storage::Error::io(path.display().to_string(), "read", None, source).into()
    };
    let mut file = File::open(path).map_err(fail)?;
    let mut left = len;
    let mut buffer = vec![0; BATCH.min(usize::try_from(len).unwrap_or(BATCH)).max(1)];
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = buffer.get_mut(..want).unwrap_or_default();
        let n = file.read(part).map_err(fail)?;
        if n == 0 {
            return Err(fail(std::io::Error::other(
                "the file became shorter while it was read",
            )));
        }
        batch.put(part.get(..n).unwrap_or_default())?;
        left -= n as u64;
    }
    match file.read(&mut [0]).map_err(fail)? {
        0 => Ok(()),
        _ => Err(fail(std::io::Error::other(
            "the file became longer while it was read",
        ))),
    }
}
