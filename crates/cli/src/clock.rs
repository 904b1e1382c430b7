//! The only place where the clock is read.

use crate::failure::{Failure, Outcome};
use disksmith_vfs::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time that everything written in this run bears: `SOURCE_DATE_EPOCH` where it is set, else now.
pub(crate) fn now() -> Outcome<Timestamp> {
    if let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") {
        let seconds = text.to_str().and_then(|t| t.trim().parse().ok()).ok_or_else(|| {
            Failure::usage(format!(
                "SOURCE_DATE_EPOCH is {}, which is no number of seconds since 1970",
                text.display()
            ))
        })?;
        return Ok(Timestamp {
            seconds,
            nanoseconds: 0,
        });
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: since.subsec_nanos(),
    })
}

/// Whether the user asked for reproducible output.
pub(crate) fn is_fixed() -> bool {
    std::env::var_os("SOURCE_DATE_EPOCH").is_some()
}
