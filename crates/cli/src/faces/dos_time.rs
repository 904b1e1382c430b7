//! Times as DOS keeps them: without a zone, so in local time.

use disksmith_vfs::Timestamp;
use jiff::tz::TimeZone;

/// The moment whose UTC is what clocks in the system's time zone show at a time.
pub(super) fn to_local(time: Timestamp) -> Timestamp {
    match jiff::Timestamp::from_second(time.seconds) {
        Ok(moment) => Timestamp {
            seconds: time.seconds + i64::from(TimeZone::system().to_offset(moment).seconds()),
            nanoseconds: time.nanoseconds,
        },
        Err(_) => time,
    }
}

/// The moment at which clocks in the system's time zone show what a time says in UTC.
pub(super) fn from_local(time: Timestamp) -> Timestamp {
    let shown = match jiff::Timestamp::from_second(time.seconds) {
        Ok(moment) => moment.to_zoned(TimeZone::UTC).datetime(),
        Err(_) => return time,
    };
    match TimeZone::system().to_ambiguous_timestamp(shown).compatible() {
        Ok(moment) => Timestamp {
            seconds: moment.as_second(),
            nanoseconds: time.nanoseconds,
        },
        Err(_) => time,
    }
}
