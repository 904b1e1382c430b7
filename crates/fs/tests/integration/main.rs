//! What is recognised, beside what blkid says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blkid;
mod hostile;
