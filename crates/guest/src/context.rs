//! What comes from outside the guest: randomness, the host's files, and choices.

use crate::crypt::Scheme;
use crate::error::{Error, Result};
use crate::inspect::Guest;
use crate::progress::Observer;
use std::fmt::Debug;
use std::path::PathBuf;

/// A source of random bytes.
pub trait RandomSource: Debug {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// [`Error::Random`].
    fn fill(&mut self, buf: &mut [u8]) -> Result<()>;
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&mut self, buf: &mut [u8]) -> Result<()> {
        getrandom::fill(buf).map_err(|e| Error::Random {
            reason: e.to_string(),
        })
    }
}

/// Bytes that only depend on a seed: for output that shall be the same each time, and for tests. Not for real passwords.
#[derive(Debug, Clone)]
pub struct SeededRandom {
    state: u64,
}

impl SeededRandom {
    /// Starts the sequence.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl RandomSource for SeededRandom {
    fn fill(&mut self, buf: &mut [u8]) -> Result<()> {
        // SplitMix64.
        for chunk in buf.chunks_mut(8) {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            for (to, from) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *to = from;
            }
        }
        Ok(())
    }
}

/// Who owns files that are copied in from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyOwner {
    /// The numbers that own them on the host, as virt-customize does.
    #[default]
    Host,
    /// Root.
    Root,
}

/// What becomes of work for programs of the guest, which disksmith does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exec {
    /// It is refused before anything is changed.
    #[default]
    Refuse,
    /// The guest does it at its first boot, in the order given, with the other first-boot work.
    FirstBoot,
}

/// Which accounts the operation `user-account` of sysprep removes: all people's but those to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountChoice {
    /// They stay.
    pub keep: Vec<String>,
    /// Only they go; empty: all but those to be kept.
    pub remove: Vec<String>,
}

/// Scripts of the host that work on the guest's files.
pub trait ScriptRunner: Debug {
    /// Runs them all, with the guest as a directory.
    ///
    /// # Errors
    /// Where a script fails, or the guest cannot be made a directory of the host.
    fn run(&mut self, guest: &Guest) -> Result<()>;
}

/// What an edit needs besides the guest and the operations.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where salts and made-up passwords come from.
    pub random: &'a mut dyn RandomSource,
    /// The home of the user on the host: where `--ssh-inject USER` finds a key.
    pub host_home: Option<PathBuf>,
    /// Who owns what is copied in.
    pub copy_owner: CopyOwner,
    /// The hash for passwords; `None`: the guest's own.
    pub password_scheme: Option<Scheme>,
    /// What becomes of `--install`, `--run` and the like.
    pub exec: Exec,
    /// The perl of the host, for edit expressions that are beyond what is known here; `None`: such are refused.
    pub perl: Option<PathBuf>,
    /// Who is told of each step as it begins.
    pub observer: Option<&'a mut dyn Observer>,
    /// Scripts for the operation `script` of sysprep.
    pub scripts: Option<&'a mut dyn ScriptRunner>,
    /// Which accounts the operation `user-account` of sysprep takes.
    pub accounts: AccountChoice,
    /// Whether a guest whose labels cannot be known is told to relabel.
    pub selinux_relabel: bool,
}

impl<'a> Context<'a> {
    /// The defaults, with this source of randomness.
    pub fn new(random: &'a mut dyn RandomSource) -> Self {
        Self {
            random,
            host_home: None,
            copy_owner: CopyOwner::Host,
            password_scheme: None,
            exec: Exec::Refuse,
            perl: None,
            observer: None,
            scripts: None,
            accounts: AccountChoice::default(),
            selinux_relabel: true,
        }
    }
}
