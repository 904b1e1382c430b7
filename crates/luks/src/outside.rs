//! What making a key needs from outside: chance, and time.

use crate::error::{Error, Result};
use crate::hash::HashAlgorithm;
use std::time::Duration;
use zeroize::Zeroizing;

/// Gives random bytes and the time.
pub trait Outside {
    /// Fills `bytes` with random bytes that nobody can guess.
    ///
    /// # Errors
    /// What the source of chance says.
    fn random(&mut self, bytes: &mut [u8]) -> std::result::Result<(), String>;

    /// Time that passed since some fixed moment; processor time of this thread is best.
    fn elapsed(&mut self) -> Duration;
}

pub(crate) fn random<const N: usize>(outside: &mut dyn Outside) -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0u8; N]);
    outside.random(&mut bytes[..]).map_err(Error::Random)?;
    Ok(bytes)
}

/// The fewest rounds that are ever used, as QEMU and cryptsetup have it.
const LEAST_ROUNDS: u64 = 1000;
/// A measurement this long is good enough.
const MEASURED: Duration = Duration::from_millis(60);

/// How many rounds of key derivation take `milliseconds`, divided by `part`.
pub(crate) fn rounds_for(
    hash: HashAlgorithm,
    key_len: usize,
    milliseconds: u64,
    part: u64,
    outside: &mut dyn Outside,
) -> Result<u32> {
    let mut rounds: u32 = 1 << 12;
    let mut key = Zeroizing::new(vec![0u8; key_len]);
    let per_second = loop {
        let start = outside.elapsed();
        hash.derive(b"a passphrase to measure with", &[7; 32], rounds, &mut key);
        let took = outside.elapsed().saturating_sub(start);
        if took >= MEASURED || rounds >= 1 << 28 {
            let micros = took.as_micros().max(1);
            break u64::try_from(u128::from(rounds) * 1_000_000 / micros).unwrap_or(u64::MAX);
        }
        rounds *= if took < MEASURED / 8 { 8 } else { 2 };
    };
    let scaled = per_second
        .checked_mul(milliseconds)
        .ok_or_else(|| Error::refused(format!("PBKDF iterations {per_second} too large to scale")))?
        / 1000
        / part;
    u32::try_from(scaled.max(LEAST_ROUNDS))
        .map_err(|_| Error::refused(format!("PBKDF iterations {scaled} larger than {}", u32::MAX)))
}
