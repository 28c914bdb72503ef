//! `numeric` from binary, and to the text that `numeric_out` prints.
//!
//! The binary form (`numeric_send`): the number of base-10000 digits, the weight of the first one,
//! the sign, the display scale, and the digits, all 16-bit big-endian.

use super::{Malformed, exact, take};

pub(super) const NEGATIVE: u16 = 0x4000;
pub(super) const NAN: u16 = 0xC000;
pub(super) const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// "0000" to "9999", one after another.
static GROUPS: [[u8; 4]; 10_000] = groups();

#[allow(clippy::cast_possible_truncation)] // each is a single digit
const fn groups() -> [[u8; 4]; 10_000] {
    let mut table = [[0; 4]; 10_000];
    let mut i = 0;
    while i < 10_000 {
        table[i] =
            [b'0' + (i / 1000) as u8, b'0' + (i / 100 % 10) as u8, b'0' + (i / 10 % 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    table
}

/// A value of the type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numeric<'a> {
    /// One that is no number, as it is printed.
    Special(&'static str),
    Number(Number<'a>),
}

/// A number in its base-10000 digits, 16-bit big-endian each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    pub(crate) negative: bool,
    /// The power of the first digit: 0 is the one before the point.
    pub(crate) weight: i16,
    /// How many decimal places are shown.
    pub(crate) scale: u16,
    pub(crate) digits: &'a [u8],
}

/// Takes the binary form apart; the digits themselves are not looked at.
#[inline]
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Numeric<'_>, Malformed> {
    let count = usize::from(u16::from_be_bytes(take(&mut bytes)?));
    let weight = i16::from_be_bytes(take(&mut bytes)?);
    let sign = u16::from_be_bytes(take(&mut bytes)?);
    let scale = u16::from_be_bytes(take(&mut bytes)?);
    match sign {
        NAN => Ok(Numeric::Special("NaN")),
        INFINITY => Ok(Numeric::Special("Infinity")),
        MINUS_INFINITY => Ok(Numeric::Special("-Infinity")),
        0 | NEGATIVE if bytes.len() == count * 2 => {
            Ok(Numeric::Number(Number { negative: sign == NEGATIVE, weight, scale, digits: bytes }))
        }
        _ => Err(Malformed::Binary),
    }
}

/// Appends the number as PostgreSQL prints it: every digit, no exponent.
pub(crate) fn write(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let number = match parse(bytes)? {
        Numeric::Number(number) => number,
        Numeric::Special(text) => {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
    };
    if number.negative {
        out.push(b'-');
    }
    let scale = usize::from(number.scale);
    let digits = Digits { bytes: number.digits, weight: isize::from(number.weight) };
    if (0..SHORT_GROUPS).contains(&digits.weight) && scale <= 4 {
        return short(&digits, scale, out);
    }
    whole(&digits, out)?;
    fraction(&digits, scale, out)
}

/// Numbers with a whole part of at most this many groups, and at most one group after the point, are
/// put together on the stack: amounts, quantities, prices.
const SHORT_GROUPS: isize = 4;

fn short(digits: &Digits<'_>, scale: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut text = [b'.'; 4 * 4 + 1 + 4];
    let mut end = 0;
    for power in (0..=digits.weight).rev() {
        text[end..end + 4].copy_from_slice(digits.group(power)?);
        end += 4;
    }
    let zeros = text.iter().take(3).take_while(|digit| **digit == b'0').count();
    if scale > 0 {
        text[end + 1..end + 5].copy_from_slice(digits.group(-1)?);
        end += 1 + scale;
    }
    out.extend_from_slice(&text[zeros..end]);
    Ok(())
}

/// The base-10000 digits, addressed by their power: 0 is the one before the point.
struct Digits<'a> {
    bytes: &'a [u8],
    weight: isize,
}

impl Digits<'_> {
    fn group(&self, power: isize) -> Result<&'static [u8; 4], Malformed> {
        let Some(digit) = usize::try_from(self.weight - power).ok().and_then(|i| self.bytes.get(i * 2..i * 2 + 2))
        else {
            return Ok(&GROUPS[0]);
        };
        GROUPS.get(usize::from(u16::from_be_bytes(exact(digit)?))).ok_or(Malformed::Binary)
    }
}

fn whole(digits: &Digits<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if digits.weight < 0 {
        out.push(b'0');
        return Ok(());
    }
    let first = digits.group(digits.weight)?;
    let zeros = first.iter().take(3).take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&first[zeros..]);
    for power in (0..digits.weight).rev() {
        out.extend_from_slice(digits.group(power)?);
    }
    Ok(())
}

fn fraction(digits: &Digits<'_>, scale: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if scale == 0 {
        return Ok(());
    }
    out.push(b'.');
    let (mut left, mut power) = (scale, -1);
    while left > 0 {
        let shown = left.min(4);
        out.extend_from_slice(&digits.group(power)?[..shown]);
        left -= shown;
        power -= 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[u16]) -> Result<String, Malformed> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut out = Vec::new();
        write(&bytes, &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn numbers_keep_every_digit_and_their_scale() {
        for (words, expected) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[1, 0, 0, 0, 1], "1"),
            (&[2, 0, NEGATIVE, 4, 12, 3400], "-12.3400"),
            (&[1, 0xffff, 0, 4, 1], "0.0001"),
            (&[1, 0xfffe, 0, 8, 1], "0.00000001"),
            (&[1, 2, 0, 0, 123], "12300000000"),
            (&[2, 1, 0, 1, 10, 1], "100001.0"),
            (&[0, 0, NAN, 0], "NaN"),
            (&[0, 0, INFINITY, 0], "Infinity"),
            (&[0, 0, MINUS_INFINITY, 0], "-Infinity"),
        ] {
            assert_eq!(text(words).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_wrong_form_is_an_error() {
        for words in [&[][..], &[1, 0, 0, 0], &[1, 0, 0, 0, 10_000], &[0, 0, 1, 0], &[0, 0, 0, 0, 5]] {
            assert_eq!(text(words), Err(Malformed::Binary), "{words:?}");
        }
    }
}
