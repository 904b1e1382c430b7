//! Who is told of the steps of an edit while it goes on.

use crate::operation::Operation;
use std::fmt::Debug;

/// A step that begins.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// An operation of customize. Passwords are told of once, by [`Progress::Passwords`].
    Operation(&'a Operation),
    /// All passwords.
    Passwords,
    /// A cleaning operation of sysprep, by its name.
    Cleaning(&'a str),
    /// The saved random seed gets new contents.
    RandomSeed,
    /// There is no file for a random seed.
    NoRandomSeed,
    /// An empty `/etc/machine-id` is filled.
    MachineId,
    /// What comes last: labels.
    Finishing,
}

/// Somebody who is told.
pub trait Observer: Debug {
    /// A step begins.
    fn begins(&mut self, step: Progress<'_>);
}
