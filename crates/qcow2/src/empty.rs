//! Emptying an image: nothing of the disk is left in it, so that all of it shows through from the backing file.

use crate::entry::OFFSET_MASK;
use crate::error::Result;
use crate::shadow::Qcow2Shadow;
use crate::state::State;

impl Qcow2Shadow {
    /// Takes everything out of the image that the guest's disk holds, as after a commit to the backing file. Its size, its internal
    /// snapshots and its bitmaps stay.
    ///
    /// # Errors
    /// When the image is damaged. The change set is at its end then.
    pub fn empty(&mut self) -> Result<()> {
        self.change(State::empty)
    }
}

impl State {
    fn empty(&mut self) -> Result<()> {
        self.distinct_tables(&self.l1, self.header.l1_offset)?;
        for index in 0..self.l1.len() {
            let table = self.l1.get(index).copied().unwrap_or(0) & OFFSET_MASK;
            if table != 0 {
                self.drop_path(table)?;
                if let Some(entry) = self.l1.get_mut(index) {
                    *entry = 0;
                }
                self.settle()?;
            }
        }
        if !self.l1.is_empty() {
            self.l1_dirty.insert(0);
        }
        Ok(())
    }
}
