//! Chance and time for those below, which have none of their own.

use disksmith_luks::Outside;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// This machine: its random numbers, and the processor time of this thread.
#[derive(Debug)]
pub(crate) struct Host;

impl Outside for Host {
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::fill(bytes).map_err(|error| error.to_string())
    }

    fn elapsed(&mut self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }
}
