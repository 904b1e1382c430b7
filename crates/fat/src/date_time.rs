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

/// The date, the time of day and the hundredths of a second of a point in time. What is before 1980 or after 2107 becomes the nearest
/// that can be stored.
pub(crate) fn from_timestamp(time: Timestamp) -> (u16, u16, u8) {
    const FIRST: i64 = 315_532_800;
    const LAST: i64 = 4_354_819_199;
    let seconds = time.seconds.clamp(FIRST, LAST);
    let nanoseconds = if seconds == time.seconds {
        time.nanoseconds
    } else {
        0
    };
    let (year, month, day) = date_of(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let date = (year - 1980) << 9 | month << 5 | day;
    let (hours, minutes, pairs) = (of_day / 3600, of_day % 3600 / 60, of_day % 60 / 2);
    let packed = hours << 11 | minutes << 5 | pairs;
    let hundredths = of_day % 2 * 100 + i64::from(nanoseconds / 10_000_000).min(99);
    // Seven bits of years, and five, six and five of the time of day: all fit.
    (date as u16, packed as u16, hundredths as u8)
}

/// Year, month and day of a number of days since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Days from 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    let from_march = (of_year * 5 + 2) / 153;
    let day = of_year - (from_march * 153 + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
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

    #[test]
    fn what_is_stored_reads_back() {
        for seconds in (315_532_800..4_354_819_199).step_by(86_399 * 7 + 1) {
            let time = Timestamp {
                seconds,
                nanoseconds: 120_000_000,
            };
            let (date, of_day, hundredths) = from_timestamp(time);
            assert_eq!(to_timestamp(date, of_day, hundredths), time);
        }
        for (seconds, nearest) in [
            (i64::MIN, 315_532_800),
            (0, 315_532_800),
            (i64::MAX, 4_354_819_199),
        ] {
            let (date, of_day, hundredths) = from_timestamp(Timestamp {
                seconds,
                nanoseconds: 0,
            });
            assert_eq!(to_timestamp(date, of_day, hundredths).seconds, nearest);
        }
    }
}
