//! Dates and times of directory entries, FAT specification 1.03, "Date and Time Formats".

use disksmith_vfs::Timestamp;

/// A date (bits 0-4 day, 5-8 month, 9-15 years since 1980), a time (bits 0-4 two seconds, 5-10 minute, 11-15 hour) and hundredths
/// of a second (0-199), taken as UTC. A field that is out of range counts as the nearest that is not.
pub(crate) fn to_timestamp(date: u16, time: u16, hundredths: u8) -> Timestamp {
    let year = 1980 + i64::from(date >> 9);
    let month = i64::from(date >> 5 & 0xf).clamp(1, 12);
    let day = i64::from(date & 0x1f).max(1);
    let hours = i64::from(time >> 11).min(23);
    let minutes = i64::from(time >> 5 & 0x3f).min(59);
    let hundredths = u32::from(hundredths.min(199));
    let seconds = i64::from(time & 0x1f).min(29) * 2 + i64::from(hundredths / 100);
    Timestamp {
        seconds: days_since_1970(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds,
        nanoseconds: hundredths % 100 * 10_000_000,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. The year starts with March here, so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (month_from_march * 153 + 2) / 5 + day - 1;
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let seconds = |date, time| to_timestamp(date, time, 0).seconds;
        // `date -u -d … +%s` says so.
        assert_eq!(seconds(1 << 5 | 1, 0), 315_532_800); // 1980-01-01 00:00:00
        assert_eq!(seconds(0, 0), 315_532_800);
        assert_eq!(
            seconds(20 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 28),
            951_827_696
        ); // 2000-02-29 12:34:56
        assert_eq!(
            seconds(44 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29),
            1_735_689_598
        ); // 2024-12-31 23:59:58
        assert_eq!(seconds(127 << 9 | 12 << 5 | 31, 0), 4_354_732_800); // 2107-12-31
        let late = to_timestamp(1 << 5 | 1, 0, 199);
        assert_eq!((late.seconds, late.nanoseconds), (315_532_801, 990_000_000));
        to_timestamp(u16::MAX, u16::MAX, u8::MAX);
    }
}
