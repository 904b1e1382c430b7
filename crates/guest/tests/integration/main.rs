//! Edits of whole guests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::type_complexity
)]

mod audit;
mod customize;
mod distributions;
mod firstboot;
mod guest_programs;
mod hostile;
mod judge;
mod operations;
mod packages;
mod real_guest;
mod releases;
mod selinux;
mod sysprep;
