//! Whichever filesystem a slice of storage holds.
