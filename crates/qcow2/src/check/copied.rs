//! The copied flags of the active tables, which stand exactly where the refcount is 1.

use super::{Checker, Finding, Repair};
use crate::entry::{COPIED, L2Entry, OFFSET_MASK};
use crate::error::Result;
use crate::io::read_padded;
use byteorder::{BigEndian, ByteOrder};
use std::collections::HashSet;

fn corrected(entry: u64, refcount: u64) -> u64 {
    if refcount == 1 {
        entry | COPIED
    } else {
        entry & !COPIED
    }
}

impl Checker<'_> {
    pub(super) fn check_copied(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        let fix = match self.repair {
            Repair::None => false,
            // After a refcount is known to be right.
            Repair::Leaks => self.report.is_clean(),
            Repair::All => true,
        };
        let mut table = vec![0u8; geometry.cluster_size() as usize];
        let mut visited: HashSet<u64> = HashSet::new();
        if fix {
            // Flags rely on refcounts that were just mended.
            self.core.file.flush()?;
        }
        for index in 0..self.l1.len() {
            let entry = self.l1.get(index).copied().unwrap_or(0);
            let l2 = entry & OFFSET_MASK;
            if l2 == 0 {
                continue;
            }
            let Some(refcount) = self.refcount_of(l2 >> geometry.cluster_bits)? else {
                continue;
            };
            if (refcount == 1) != (entry & COPIED != 0) {
                self.note_copied(fix, |repaired| Finding::CopiedL2 {
                    index: index as u64,
                    entry,
                    refcount,
                    repaired,
                });
                if fix {
                    let new = corrected(entry, refcount);
                    self.core
                        .file
                        .write_at(self.header.l1_offset + index as u64 * 8, &new.to_be_bytes())?;
                    if let Some(entry) = self.l1.get_mut(index) {
                        *entry = new;
                    }
                }
            }
            if !self.may_walk(visited.insert(l2)) {
                continue;
            }
            read_padded(&*self.core.file, l2, &mut table)?;
            // What lies across another table, or beyond the file, is not changed.
            let can = geometry.within(l2) == 0 && l2 + geometry.cluster_size() <= self.core.file.size();
            if self.check_table(&mut table, fix && can)? {
                self.core.file.write_at(l2, &table)?;
            }
        }
        Ok(())
    }

    fn note_copied(&mut self, fix: bool, finding: impl FnOnce(bool) -> Finding) {
        self.tell(finding(fix));
        if fix {
            self.report.corruptions_fixed += 1;
        } else {
            self.report.corruptions += 1;
        }
    }

    /// Checks the entries of an L2 table. Says whether it changed.
    fn check_table(&mut self, table: &mut [u8], fix: bool) -> Result<bool> {
        let geometry = self.core.geometry;
        let data_file = self.core.has_data_file();
        let mut changed = false;
        for bytes in table.chunks_exact_mut(geometry.l2_entry_size() as usize) {
            let descriptor = BigEndian::read_u64(bytes);
            let entry = L2Entry {
                descriptor,
                bitmap: 0,
            };
            if descriptor == 0 || !entry.has_cluster(data_file) {
                continue;
            }
            let refcount = if data_file {
                Some(1)
            } else {
                self.refcount_of(entry.offset() >> geometry.cluster_bits)?
            };
            let Some(refcount) = refcount else { continue };
            if (refcount == 1) == entry.is_copied() {
                continue;
            }
            self.note_copied(fix, |repaired| Finding::CopiedData {
                entry: descriptor,
                refcount,
                repaired,
            });
            if fix {
                BigEndian::write_u64(bytes, corrected(descriptor, refcount));
                changed = true;
            }
        }
        Ok(changed)
    }
}
