//! Numbers of transactions.

use std::cmp::Ordering;
use std::fmt;

/// The number of a transaction. Numbers wrap around; which of two is later is told by their distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sequence(pub u32);

impl Sequence {
    /// The transaction after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Orders two numbers that are less than half the number space apart.
    pub fn compare(self, other: Self) -> Ordering {
        0.cmp(&(other.0.wrapping_sub(self.0) as i32))
    }

    /// Whether this is `other` or a later transaction.
    pub fn at_or_after(self, other: Self) -> bool {
        self.compare(other) != Ordering::Less
    }

    /// Whether this is a later transaction than `other`.
    pub fn after(self, other: Self) -> bool {
        self.compare(other) == Ordering::Greater
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_wraps_around() {
        assert!(Sequence(2).after(Sequence(1)));
        assert!(Sequence(1).after(Sequence(u32::MAX)));
        assert!(!Sequence(u32::MAX).after(Sequence(1)));
        assert!(Sequence(7).at_or_after(Sequence(7)));
        assert_eq!(Sequence(u32::MAX).next(), Sequence(0));
    }
}
