//! The encryption crate against QEMU and cryptsetup, power cuts, and hostile headers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails that way"
)]

mod hostile;
mod judges;
mod slots;
mod volumes;
