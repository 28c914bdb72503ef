//! Dates, times and intervals from binary to the text that PostgreSQL prints with TimeZone UTC,
//! DateStyle ISO and IntervalStyle postgres.
//!
//! The whole range of PostgreSQL: 4714 BC to 294276 AD (dates to 5874897 AD), infinities, 24:00.
//! Calendar libraries end at the year 9999, so the arithmetic is here.

use super::{Malformed, exact, take};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1 March of the year 0 (proleptic Gregorian) to 1 January 2000, PostgreSQL's epoch.
const EPOCH_FROM_MARCH_0: i64 = 730_425;
const DAYS_PER_ERA: i64 = 146_097;

/// `date`: days since 2000-01-01.
pub(crate) fn write_date(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    match i32::from_be_bytes(exact(bytes)?) {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let bc = day(i64::from(days), out);
            era(bc, out);
        }
    }
    Ok(())
}

/// `time`: microseconds since midnight, up to 24:00.
pub(crate) fn write_time(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let micros = i64::from_be_bytes(exact(bytes)?);
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return Err(Malformed::Binary);
    }
    clock(micros, out);
    Ok(())
}

/// `timestamp`, and `timestamptz` with its offset: microseconds since 2000-01-01.
pub(crate) fn write_timestamp(bytes: &[u8], offset: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    match i64::from_be_bytes(exact(bytes)?) {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        micros => {
            let bc = day(micros.div_euclid(MICROS_PER_DAY), out);
            out.push(b' ');
            clock(micros.rem_euclid(MICROS_PER_DAY), out);
            out.extend_from_slice(offset);
            era(bc, out);
        }
    }
    Ok(())
}

/// `interval`: microseconds, days, months, each with a sign of its own.
pub(crate) fn write_interval(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let micros = i64::from_be_bytes(take(&mut bytes)?);
    let days = i32::from_be_bytes(take(&mut bytes)?);
    let months = i32::from_be_bytes(exact(bytes)?);
    let infinity: &[u8] = match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => b"infinity",
        (i64::MIN, i32::MIN, i32::MIN) => b"-infinity",
        _ => b"",
    };
    if !infinity.is_empty() {
        out.extend_from_slice(infinity);
        return Ok(());
    }
    let start = out.len();
    // After a negative part a positive one is printed with its sign.
    let mut negative = false;
    for (amount, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if amount != 0 {
            separate(start, out);
            sign(negative && amount > 0, out);
            integer(i64::from(amount), out);
            out.push(b' ');
            out.extend_from_slice(unit.as_bytes());
            out.extend_from_slice(if amount == 1 { b"" } else { b"s" });
            negative = amount < 0;
        }
    }
    if micros != 0 || out.len() == start {
        separate(start, out);
        if micros < 0 {
            out.push(b'-');
        } else {
            sign(negative, out);
        }
        clock_unsigned(micros.unsigned_abs(), out);
    }
    Ok(())
}

fn separate(start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b' ');
    }
}

fn sign(plus: bool, out: &mut Vec<u8>) {
    if plus {
        out.push(b'+');
    }
}

/// Appends year, month and day, and answers whether the year is BC.
///
/// The civil-from-days algorithm: years begin in March, so that the leap day comes last.
fn day(days_since_2000: i64, out: &mut Vec<u8>) -> bool {
    let days = days_since_2000 + EPOCH_FROM_MARCH_0;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);

    let shown = if year > 0 { year } else { 1 - year };
    match u16::try_from(shown) {
        Ok(shown) if shown < 10_000 => {
            out.extend_from_slice(&pair(i64::from(shown / 100)));
            out.extend_from_slice(&pair(i64::from(shown % 100)));
        }
        _ => padded(shown.unsigned_abs(), 4, out),
    }
    let ([m0, m1], [d0, d1]) = (pair(month), pair(day));
    out.extend_from_slice(&[b'-', m0, m1, b'-', d0, d1]);
    year <= 0
}

/// A number below 100 as two digits.
fn pair(number: i64) -> [u8; 2] {
    let number = u8::try_from(number).unwrap_or(0);
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

fn era(bc: bool, out: &mut Vec<u8>) {
    if bc {
        out.extend_from_slice(b" BC");
    }
}

fn clock(micros: i64, out: &mut Vec<u8>) {
    clock_unsigned(micros.unsigned_abs(), out);
}

fn clock_unsigned(micros: u64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    padded(seconds / 3600, 2, out);
    out.push(b':');
    padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    padded(seconds % 60, 2, out);
    if fraction != 0 {
        out.push(b'.');
        padded(fraction, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Appends a number with at least `width` digits.
fn padded(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while value > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

fn integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    padded(value.unsigned_abs(), 1, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("well-formed");
        String::from_utf8(out).expect("text is ASCII")
    }

    // The right-hand sides were printed by PostgreSQL; the pair's type tests compare many more.
    #[test]
    fn dates_cover_the_whole_calendar() {
        for (days, expected) in [
            (0_i32, "2000-01-01"),
            (-1, "1999-12-31"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-2_451_545, "4714-11-24 BC"),
            (2_145_031_948, "5874897-12-31"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(text(|out| write_date(&days.to_be_bytes(), out)), expected);
        }
    }

    #[test]
    fn times_and_timestamps_drop_trailing_zeros_only() {
        for (micros, expected) in [(0_i64, "00:00:00"), (MICROS_PER_DAY, "24:00:00"), (1_500_000, "00:00:01.5")] {
            assert_eq!(text(|out| write_time(&micros.to_be_bytes(), out)), expected);
        }
        for (micros, expected) in [
            (0_i64, "2000-01-01 00:00:00+00"),
            (-1, "1999-12-31 23:59:59.999999+00"),
            (i64::MAX, "infinity"),
            (-211_813_488_000_000_000, "4714-11-24 00:00:00+00 BC"),
        ] {
            assert_eq!(text(|out| write_timestamp(&micros.to_be_bytes(), b"+00", out)), expected);
        }
    }

    #[test]
    fn intervals_carry_a_sign_for_each_part() {
        for ((micros, days, months), expected) in [
            ((0_i64, 0_i32, 0_i32), "00:00:00"),
            ((14_706_789_000, 3, 14), "1 year 2 mons 3 days 04:05:06.789"),
            ((-3_600_000_000, 1, -1), "-1 mons +1 day -01:00:00"),
            ((1_000_000, 0, -13), "-1 years -1 mons +00:00:01"),
            ((360_000_000_000, 0, 0), "100:00:00"),
            ((0, -1, 0), "-1 days"),
            ((i64::MAX, i32::MAX, i32::MAX), "infinity"),
        ] {
            let bytes = [&micros.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat();
            assert_eq!(text(|out| write_interval(&bytes, out)), expected);
        }
    }
}
