//! Changing key slots. At every instant of a change at least one slot opens with a passphrase that is known: key material
//! is durable before its slot says that it is in use, a slot is out of use before its material is overwritten, and a slot
//! that is the only one is not overwritten before another holds the new passphrase.

use crate::error::{Error, Result};
use crate::key_slot::{KEY_SLOTS, KeySlot};
use crate::new_volume::{NewVolume, fill_slot};
use crate::outside::{Outside, rounds_for};
use crate::passphrase::Passphrase;
use crate::volume::Volume;

/// How often key material is overwritten before it counts as erased.
const ERASE_PASSES: u32 = 40;

/// A change of key slots, as `qemu-img amend` asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// Whether slots shall hold a key (`active`) or none (`inactive`).
    pub activate: bool,
    /// The passphrase that a slot shall get.
    pub new_passphrase: Option<Passphrase>,
    /// The passphrase whose slots shall be erased.
    pub old_passphrase: Option<Passphrase>,
    /// The slot.
    pub slot: Option<i64>,
    /// How long deriving the new key shall take, in milliseconds.
    pub iter_time: Option<u64>,
    /// Does also what may make the data unreadable for ever.
    pub force: bool,
}

impl Volume {
    /// Makes the change. `current` opens the volume, where that is needed.
    ///
    /// # Errors
    /// [`Error::Refused`] in QEMU's words; nothing was changed then.
    pub fn amend(
        &mut self,
        change: &Amendment,
        current: Option<&Passphrase>,
        outside: &mut dyn Outside,
    ) -> Result<()> {
        if change.activate {
            self.add(change, current, outside)
        } else {
            self.erase(change, outside)
        }
    }

    fn add(
        &mut self,
        change: &Amendment,
        current: Option<&Passphrase>,
        outside: &mut dyn Outside,
    ) -> Result<()> {
        let Some(new) = &change.new_passphrase else {
            return Err(Error::refused("'new-secret' is required to activate a keyslot"));
        };
        if change.old_passphrase.is_some() {
            return Err(Error::refused(
                "'old-secret' must not be given when activating keyslots",
            ));
        }
        let slot = match change.slot {
            Some(number) => {
                let slot = in_range(number).ok_or_else(|| {
                    Error::refused(format!(
                        "Invalid keyslot {} specified, must be between 0 and {}",
                        // as QEMU shows it
                        number as u32,
                        KEY_SLOTS - 1
                    ))
                })?;
                if self.is_active(slot) && !change.force {
                    return Err(Error::refused(format!(
                        "Refusing to overwrite active keyslot {slot} - please erase it first"
                    )));
                }
                slot
            }
            None => self
                .free_slot(None)
                .ok_or_else(|| Error::refused("Can't add a keyslot - all keyslots are in use"))?,
        };
        let current = current.ok_or(Error::PassphraseMissing { prefix: "" })?;
        let key = self.unlock(current)?;
        let iter_time = change.iter_time.unwrap_or(NewVolume::DEFAULT_ITER_TIME);
        let rounds = rounds_for(
            self.header.hash,
            self.header.spec.key_len(),
            iter_time,
            2,
            outside,
        )?;
        let alone = self.is_active(slot) && self.header.active_slots() == 1;
        let spare = alone.then(|| self.free_slot(Some(slot))).flatten();
        if let Some(spare) = spare {
            self.put(spare, &key.bytes, new, rounds, outside)?;
        }
        if self.is_active(slot) {
            self.retire(slot)?;
        }
        self.put(slot, &key.bytes, new, rounds, outside)?;
        if let Some(spare) = spare {
            self.wipe(spare, outside)?;
        }
        Ok(())
    }

    fn erase(&mut self, change: &Amendment, outside: &mut dyn Outside) -> Result<()> {
        if change.new_passphrase.is_some() {
            return Err(Error::refused(
                "'new-secret' must not be given when erasing keyslots",
            ));
        }
        if change.iter_time.is_some() {
            return Err(Error::refused(
                "'iter-time' must not be given when erasing keyslots",
            ));
        }
        if let Some(number) = change.slot {
            let slot = in_range(number).ok_or_else(|| {
                Error::refused(format!(
                    "Invalid keyslot {number} specified, must be between 0 and {}",
                    KEY_SLOTS - 1
                ))
            })?;
            if let Some(old) = &change.old_passphrase
                && self.try_slot(slot, old, &mut 0)?.is_none()
            {
                return Err(Error::refused(format!(
                    "Given keyslot {slot} doesn't contain the given old password for erase operation"
                )));
            }
            if !change.force && !self.is_active(slot) {
                return Err(Error::refused(format!(
                    "Given keyslot {slot} is already erased (inactive) "
                )));
            }
            if !change.force && self.header.active_slots() == 1 {
                return Err(Error::refused(format!(
                    "Attempt to erase the only active keyslot {slot} which will erase all the data in the image \
                     irreversibly - refusing operation"
                )));
            }
            return self.wipe(slot, outside);
        }
        let Some(old) = &change.old_passphrase else {
            return Err(Error::refused(
                "To erase keyslot(s), either explicit keyslot index or the password currently contained in them must \
                 be given",
            ));
        };
        let mut matching = Vec::new();
        let mut spent = 0;
        for slot in 0..KEY_SLOTS {
            if self.try_slot(slot, old, &mut spent)?.is_some() {
                matching.push(slot);
            }
        }
        if matching.is_empty() {
            return Err(Error::refused(
                "No keyslots match given (old) password for erase operation",
            ));
        }
        if !change.force && matching.len() == self.header.active_slots() {
            return Err(Error::refused(
                "All the active keyslots match the (old) password that was given and erasing them will erase all the \
                 data in the image irreversibly - refusing operation",
            ));
        }
        for slot in matching {
            self.wipe(slot, outside)?;
        }
        Ok(())
    }

    fn is_active(&self, slot: usize) -> bool {
        self.header.slots.get(slot).is_some_and(KeySlot::is_active)
    }

    fn free_slot(&self, but: Option<usize>) -> Option<usize> {
        (0..KEY_SLOTS).find(|slot| Some(*slot) != but && !self.is_active(*slot))
    }

    /// Writes the header, and makes it and all before it durable.
    fn write_header(&self) -> Result<()> {
        self.storage.write_at(0, &self.header.encode())?;
        self.storage.flush()?;
        Ok(())
    }

    /// Fills a slot that is not in use.
    fn put(
        &mut self,
        slot: usize,
        key: &[u8],
        passphrase: &Passphrase,
        rounds: u32,
        outside: &mut dyn Outside,
    ) -> Result<()> {
        let (offset, material) = fill_slot(&mut self.header, slot, key, passphrase, rounds, outside)?;
        self.storage.write_at(offset, &material)?;
        self.storage.flush()?;
        self.write_header()
    }

    /// Says that a slot is not in use.
    fn retire(&mut self, slot: usize) -> Result<()> {
        if let Some(place) = self.header.slots.get_mut(slot) {
            *place = KeySlot::unused(place.material_sector);
        }
        self.write_header()
    }

    /// Says that a slot is not in use, and overwrites its key material.
    fn wipe(&mut self, slot: usize, outside: &mut dyn Outside) -> Result<()> {
        let Some(place) = self.header.slots.get(slot).copied() else {
            return Ok(());
        };
        self.retire(slot)?;
        let (offset, len) = self.header.material(&place);
        let mut garbage = vec![0; len.next_multiple_of(512)];
        for _ in 0..ERASE_PASSES {
            outside.random(&mut garbage).map_err(Error::Random)?;
            self.storage.write_at(offset, &garbage)?;
            self.storage.flush()?;
        }
        Ok(())
    }
}

fn in_range(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|slot| *slot < KEY_SLOTS)
}
