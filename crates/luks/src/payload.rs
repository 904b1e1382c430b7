//! The encrypted sectors of a volume, as the plain bytes that they stand for. A last sector of which a part is missing is whole here,
//! as with QEMU: what is missing counts as zeroes, before it is decrypted.

use crate::sector_cipher::{SECTOR, SectorCipher};
use disksmith_storage::{
    Alignment, Error, Extent, Prepared, Result, Shadow, Storage, StorageRef, Unprepared, ZeroMode,
};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So much is encrypted at a time when it cannot be done in place.
const PIECE: usize = 256 << 10;

/// What holds a storage.
pub trait Holder: Send + Sync + Debug {
    /// The storage.
    fn storage(&self) -> &dyn Storage;
}

impl Holder for StorageRef {
    fn storage(&self) -> &dyn Storage {
        &**self
    }
}

impl Holder for Box<dyn Shadow> {
    fn storage(&self) -> &dyn Storage {
        let shadow: &dyn Shadow = &**self;
        shadow
    }
}

/// Shows the plain bytes of encrypted sectors. The sectors are counted from the payload's start.
#[derive(Debug)]
pub struct Payload<H> {
    holder: H,
    offset: u64,
    cipher: Arc<SectorCipher>,
    /// Held while a sector is changed in part.
    edges: Mutex<()>,
}

impl<H: Holder> Payload<H> {
    /// The payload from byte `offset` of what `holder` holds to its end.
    pub fn new(holder: H, offset: u64, cipher: Arc<SectorCipher>) -> Self {
        Self {
            holder,
            offset,
            cipher,
            edges: Mutex::new(()),
        }
    }

    fn below(&self) -> &dyn Storage {
        self.holder.storage()
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads whole sectors.
    fn read_sectors(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = self.offset + offset;
        let present = self.below().size().saturating_sub(start).min(buf.len() as u64) as usize;
        let (data, missing) = buf.split_at_mut(present);
        missing.fill(0);
        if !data.is_empty() {
            self.below().read_at(start, data)?;
        }
        self.cipher.decrypt(offset / SECTOR, buf);
        Ok(())
    }

    /// Writes whole sectors.
    fn write_sectors(&self, mut offset: u64, buf: &[u8], scratch: &mut Vec<u8>) -> Result<()> {
        for piece in buf.chunks(PIECE) {
            scratch.clear();
            scratch.extend_from_slice(piece);
            self.cipher.encrypt(offset / SECTOR, scratch);
            let start = self.offset + offset;
            let end = start + scratch.len() as u64;
            if end > self.below().size() {
                // the last sector becomes whole
                self.below().set_size(end)?;
            }
            self.below().write_at(start, scratch)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Changes a part of one sector.
    fn write_part(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let _edges = self.lock();
        let start = offset - offset % SECTOR;
        let mut sector = [0u8; SECTOR as usize];
        self.read_sectors(start, &mut sector)?;
        let within = (offset - start) as usize;
        for (to, from) in sector.iter_mut().skip(within).zip(bytes) {
            *to = *from;
        }
        self.write_sectors(start, &sector, &mut Vec::new())
    }
}

impl<H: Holder> Storage for Payload<H> {
    fn size(&self) -> u64 {
        let size = self.below().size().saturating_sub(self.offset);
        size.checked_next_multiple_of(SECTOR)
            .unwrap_or(size - size % SECTOR)
    }

    fn name(&self) -> String {
        self.below().name()
    }

    fn is_writable(&self) -> bool {
        self.below().is_writable()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let head = (offset % SECTOR) as usize;
        if head == 0 && (buf.len() as u64).is_multiple_of(SECTOR) {
            return self.read_sectors(offset, buf);
        }
        let mut scratch = vec![0; (head + buf.len()).next_multiple_of(SECTOR as usize)];
        self.read_sectors(offset - head as u64, &mut scratch)?;
        for (to, from) in buf.iter_mut().zip(scratch.iter().skip(head)) {
            *to = *from;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let head = (offset.next_multiple_of(SECTOR) - offset).min(buf.len() as u64) as usize;
        let (first, rest) = buf.split_at(head);
        let (whole, last) = rest.split_at(rest.len() - rest.len() % SECTOR as usize);
        if !first.is_empty() {
            self.write_part(offset, first)?;
        }
        let offset = offset + head as u64;
        if !whole.is_empty() {
            self.write_sectors(offset, whole, &mut Vec::new())?;
        }
        if !last.is_empty() {
            self.write_part(offset + whole.len() as u64, last)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.below().flush()
    }

    /// As QEMU: what is new holds nothing that was written, so that it reads as whatever its bytes decrypt to. Here it is
    /// filled with zeroes, encrypted.
    fn set_size(&self, size: u64) -> Result<()> {
        let old = self.size();
        let below = size.checked_add(self.offset).ok_or(Error::OutOfBounds {
            object: self.name(),
            offset: size,
            len: self.offset,
            size: old,
        })?;
        self.below().set_size(below)?;
        if size > old {
            self.write_zeroes(old, size - old, ZeroMode::Keep)?;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        Ok(Extent::data(limit.max(1).min(self.size().saturating_sub(offset))))
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: SECTOR,
            allocation: 1,
        }
    }
}

impl Shadow for Payload<Box<dyn Shadow>> {
    fn is_dirty(&self) -> bool {
        self.holder.is_dirty()
    }

    fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        self.holder.prepare()
    }

    fn try_prepare(self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Unprepared> {
        let Self {
            holder,
            offset,
            cipher,
            edges,
        } = *self;
        holder.try_prepare().map_err(|unprepared| Unprepared {
            shadow: unprepared.shadow.map(|holder| {
                Box::new(Self {
                    holder,
                    offset,
                    cipher,
                    edges,
                }) as Box<dyn Shadow>
            }),
            ..unprepared
        })
    }

    fn abandon(self: Box<Self>) -> Result<()> {
        self.holder.abandon()
    }
}
