//! Which blocks were revoked last by which transaction.

use super::error::JournalError;
use super::sequence::Sequence;
use std::collections::HashMap;

/// Blocks that were revoked, each with the last transaction that did so.
#[derive(Debug)]
pub(super) struct RevokeTable {
    last: HashMap<u64, Sequence>,
    limit: usize,
}

impl RevokeTable {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            last: HashMap::new(),
            limit,
        }
    }

    pub(super) fn revoke(&mut self, block: u64, by: Sequence) -> Result<(), JournalError> {
        if self.last.len() >= self.limit && !self.last.contains_key(&block) {
            return Err(JournalError::TooLarge {
                what: "the number of revoked blocks",
                value: self.limit as u64 + 1,
                limit: self.limit as u64,
            });
        }
        let entry = self.last.entry(block).or_insert(by);
        if by.after(*entry) {
            *entry = by;
        }
        Ok(())
    }

    /// Whether what `transaction` wrote to a block is void: the same or a later transaction revoked it.
    pub(super) fn is_revoked(&self, block: u64, transaction: Sequence) -> bool {
        self.last
            .get(&block)
            .is_some_and(|revoked| revoked.at_or_after(transaction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_revocation_counts() {
        let mut table = RevokeTable::new(1);
        table.revoke(9, Sequence(5)).unwrap();
        table.revoke(9, Sequence(4)).unwrap();
        assert!(table.is_revoked(9, Sequence(5)));
        assert!(!table.is_revoked(9, Sequence(6)));
        assert!(!table.is_revoked(8, Sequence(1)));
        assert!(table.revoke(10, Sequence(6)).is_err());
    }
}
