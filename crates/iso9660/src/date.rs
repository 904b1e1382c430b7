//! The two forms of date and time: ECMA-119 8.4.26.1 (17 bytes, decimal) and 9.1.5 (7 bytes, binary).

use disksmith_vfs::Timestamp;

const SECONDS_A_DAY: i64 = 86_400;

/// A civil date and time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Civil {
    /// From seconds since 1970 (proleptic Gregorian calendar).
    fn from_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(SECONDS_A_DAY);
        let in_day = seconds.rem_euclid(SECONDS_A_DAY);
        // Days are counted in eras of 400 years that start on 1 March of the year 0.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month: month as u8,
            day: day as u8,
            hour: (in_day / 3600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
        }
    }

    fn seconds(&self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * SECONDS_A_DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }

    /// Whether the fields that were read are a date at all.
    fn is_plausible(&self) -> bool {
        (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 62
    }
}

/// Whether a time fits the 7-byte form, whose year is 1900 to 2155.
pub(crate) fn fits_record(time: Timestamp) -> bool {
    (1900..=2155).contains(&Civil::from_seconds(time.seconds).year)
}

/// The 7-byte form (ECMA-119 9.1.5), in UTC. Years beyond its range become the nearest that it can say.
pub(crate) fn encode_record(time: Timestamp) -> [u8; 7] {
    let civil = Civil::from_seconds(time.seconds);
    let year = (civil.year - 1900).clamp(0, 255) as u8;
    [
        year,
        civil.month,
        civil.day,
        civil.hour,
        civil.minute,
        civil.second,
        0,
    ]
}

/// The 17-byte form (ECMA-119 8.4.26.1), in UTC; `None` is "not specified".
pub(crate) fn encode_volume(time: Option<Timestamp>) -> [u8; 17] {
    let mut out = [b'0'; 17];
    out[16] = 0;
    let Some(time) = time else { return out };
    let civil = Civil::from_seconds(time.seconds);
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:02}",
        civil.year.clamp(1, 9999),
        civil.month,
        civil.day,
        civil.hour,
        civil.minute,
        civil.second,
        time.nanoseconds / 10_000_000 % 100
    );
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    out
}

/// Reads a time as volume descriptors have it: `YYYYMMDDhhmmsscc`, in UTC. `None` where it is none.
pub fn volume_time(digits: &str) -> Option<Timestamp> {
    let mut bytes = [0; 17];
    if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    for (to, from) in bytes.iter_mut().zip(digits.bytes()) {
        *to = from;
    }
    decode_volume(&bytes)
}

/// Reads the 7-byte form; all zeroes, and what is no date, give `None`.
pub(crate) fn decode_record(bytes: &[u8]) -> Option<Timestamp> {
    let &[year, month, day, hour, minute, second, offset] = bytes.get(..7)? else {
        return None;
    };
    let civil = Civil {
        year: 1900 + i64::from(year),
        month,
        day,
        hour,
        minute,
        second,
    };
    finish(civil, offset, 0)
}

/// Reads the 17-byte form; "not specified", and what is no date, give `None`.
pub(crate) fn decode_volume(bytes: &[u8]) -> Option<Timestamp> {
    let digits = bytes.get(..16)?;
    let number = |from: usize, to: usize| -> Option<u16> {
        digits.get(from..to)?.iter().try_fold(0u16, |sum, digit| {
            let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
            Some(sum * 10 + u16::from(digit))
        })
    };
    let small = |from: usize| -> Option<u8> { number(from, from + 2).and_then(|n| u8::try_from(n).ok()) };
    let civil = Civil {
        year: i64::from(number(0, 4)?),
        month: small(4)?,
        day: small(6)?,
        hour: small(8)?,
        minute: small(10)?,
        second: small(12)?,
    };
    finish(civil, *bytes.get(16)?, u32::from(small(14)?) * 10_000_000)
}

/// Takes the offset from Greenwich off, which is counted in quarters of an hour (ECMA-119 9.1.5).
fn finish(civil: Civil, offset: u8, nanoseconds: u32) -> Option<Timestamp> {
    if !civil.is_plausible() {
        return None;
    }
    let quarters = i64::from(offset.cast_signed()).clamp(-48, 52);
    Some(Timestamp {
        seconds: civil.seconds() - quarters * 900,
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp {
            seconds,
            nanoseconds: 0,
        }
    }

    #[test]
    fn known_dates() {
        assert_eq!(encode_record(at(0)), [70, 1, 1, 0, 0, 0, 0]);
        assert_eq!(encode_record(at(951_782_399)), [100, 2, 28, 23, 59, 59, 0]);
        assert_eq!(encode_record(at(951_782_400)), [100, 2, 29, 0, 0, 0, 0]);
        assert_eq!(&encode_volume(Some(at(1_700_000_000)))[..16], b"2023111422132000");
        assert_eq!(&encode_volume(None)[..16], b"0000000000000000");
        assert_eq!(decode_volume(&encode_volume(None)), None);
    }

    #[test]
    fn both_forms_come_back() {
        for seconds in (-2_208_988_800..5_869_583_999i64).step_by(86_399 * 97) {
            assert_eq!(decode_record(&encode_record(at(seconds))), Some(at(seconds)));
            assert_eq!(
                decode_volume(&encode_volume(Some(at(seconds)))),
                Some(at(seconds))
            );
        }
    }

    #[test]
    fn zones_are_taken_off() {
        assert_eq!(decode_record(&[70, 1, 1, 1, 0, 0, 4]), Some(at(0)));
        assert_eq!(
            decode_record(&[70, 1, 1, 0, 0, 0, 0u8.wrapping_sub(4)]),
            Some(at(3600))
        );
        assert_eq!(decode_record(&[0; 7]), None);
    }
}
