// SPDX-License-Identifier: Apache-2.0
//! Calendar time in slice names.

use super::api::UtcMillis;

/// `yyyyMMddHHmmssSSS` in UTC.
#[must_use]
pub fn compact(at: UtcMillis) -> String {
    let (days, millis) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1000 % 60, millis % 1000);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{milli:03}")
}

/// Year, month and day of the Gregorian calendar, by days since 1970-01-01.
///
/// Years are counted from March, so that the leap day is a year's last; 146,097 days make 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_the_calendar_has_them() {
        let known = [
            (0, "19700101000000000"),
            (951_782_399_999, "20000228235959999"),
            (951_782_400_000, "20000229000000000"),
            (1_709_164_799_001, "20240228235959001"),
            (1_735_689_599_999, "20241231235959999"),
            (4_107_542_400_000, "21000301000000000"),
        ];
        for (millis, text) in known {
            assert_eq!(compact(UtcMillis(millis)), text);
        }
    }
}
