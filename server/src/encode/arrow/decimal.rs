//! `numeric` from binary to the unscaled integers of Arrow's decimals. Exact, or refused.

use arrow_buffer::i256;

use super::{Unfit, What};
use crate::encode::{
    Malformed,
    numeric::{self, Numeric},
};

/// An integer that Arrow has decimals of.
pub(super) trait Unscaled: Copy + PartialOrd {
    const ZERO: Self;
    fn from_u64(value: u64) -> Self;
    /// `self * factor + digits`, if it fits.
    fn shifted(self, factor: u16, digits: u16) -> Option<Self>;
    fn negated(self) -> Self;
}

impl Unscaled for i128 {
    const ZERO: Self = 0;

    fn shifted(self, factor: u16, digits: u16) -> Option<Self> {
        self.checked_mul(factor.into())?.checked_add(digits.into())
    }

    #[inline]
    fn from_u64(value: u64) -> Self {
        value.into()
    }

    #[inline]
    fn negated(self) -> Self {
        -self
    }
}

impl Unscaled for i256 {
    const ZERO: Self = Self::ZERO;

    fn shifted(self, factor: u16, digits: u16) -> Option<Self> {
        self.checked_mul(Self::from_i128(factor.into()))?.checked_add(Self::from_i128(digits.into()))
    }

    fn from_u64(value: u64) -> Self {
        Self::from_i128(value.into())
    }

    fn negated(self) -> Self {
        self.wrapping_neg()
    }
}

/// What a number of so many digits is below: ten to the `precision`.
pub(super) fn bound<T: Unscaled>(precision: u8) -> T {
    // A precision that its type does not have never comes here.
    (0..precision).try_fold(T::from_u64(1), |power, _| power.shifted(10, 0)).unwrap_or(T::ZERO)
}

/// The number times ten to the `scale`, below `bound`.
#[inline]
pub(super) fn unscaled<T: Unscaled>(bytes: &[u8], scale: u8, bound: T) -> Result<T, Unfit> {
    let number = match numeric::parse(bytes)? {
        Numeric::Number(number) => number,
        Numeric::Special("NaN") => return Err(Unfit::Unrepresentable(What::Nan)),
        Numeric::Special(_) => return Err(Unfit::Unrepresentable(What::InfiniteNumber)),
    };
    // How many places are shown is never more than the column's own scale.
    let weight = i32::from(number.weight);
    let value = match short(number.digits, weight, scale) {
        Some(value) => T::from_u64(value),
        None => magnitude(number.digits, weight, scale)?,
    };
    if value >= bound {
        return Err(Unfit::Stale);
    }
    Ok(if number.negative { value.negated() } else { value })
}

/// The same for a number of few digits, which most are; `None` if it is not one, or is not as it should be.
#[inline]
fn short(groups: &[u8], weight: i32, scale: u8) -> Option<u64> {
    /// So many groups of four digits are below 2^63.
    const GROUPS: usize = 4;
    let (groups, _) = groups.as_chunks();
    if groups.len() > GROUPS {
        return None;
    }
    let mut digits = 0;
    for group in groups {
        let group = u16::from_be_bytes(*group);
        if group >= 10_000 {
            return None;
        }
        digits = digits * 10_000 + u64::from(group);
    }
    let last = weight + 1 - i32::try_from(groups.len()).ok()?;
    match i32::from(scale) + 4 * last {
        0 => Some(digits),
        more @ 1.. => digits.checked_mul(10_u64.checked_pow(more.cast_unsigned())?),
        -1 if digits.is_multiple_of(10) => Some(digits / 10),
        -2 if digits.is_multiple_of(100) => Some(digits / 100),
        -3 if digits.is_multiple_of(1000) => Some(digits / 1000),
        _ => None,
    }
}

/// Digits are groups of four; `weight` is the power of the first, 0 that of the group before the point.
fn magnitude<T: Unscaled>(groups: &[u8], weight: i32, scale: u8) -> Result<T, Unfit> {
    let (whole_groups, rest) = (i32::from(scale / 4), scale % 4);
    // The last power of which all four digits are part of the number.
    let last = -whole_groups;
    let mut groups = groups.chunks_exact(2).map(|group| u16::from_be_bytes([group[0], group[1]]));
    let mut value = T::ZERO;
    let mut power = weight;
    // Above zero; below it, leading groups that are not sent are zeros that change nothing.
    while power >= last {
        let group = digit(groups.next())?;
        value = value.shifted(10_000, group).ok_or(Unfit::Stale)?;
        power -= 1;
    }
    if rest > 0 {
        let group = if power == last - 1 { digit(groups.next())? } else { 0 };
        let unit = 10_u16.pow(u32::from(4 - rest));
        if group % unit != 0 {
            return Err(Unfit::Stale);
        }
        value = value.shifted(10_u16.pow(u32::from(rest)), group / unit).ok_or(Unfit::Stale)?;
    }
    if groups.any(|group| group != 0) { Err(Unfit::Stale) } else { Ok(value) }
}

fn digit(group: Option<u16>) -> Result<u16, Malformed> {
    match group.unwrap_or(0) {
        group @ 0..10_000 => Ok(group),
        _ => Err(Malformed::Binary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::numeric::{INFINITY, NAN, NEGATIVE};

    fn of(words: &[u16], scale: u8) -> Result<i128, Unfit> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let narrow = unscaled::<i128>(&bytes, scale, bound(38));
        let wide = unscaled::<i256>(&bytes, scale, bound(76));
        if let (Ok(narrow), Ok(wide)) = (narrow, wide) {
            assert_eq!(i256::from_i128(narrow), wide);
        }
        narrow
    }

    #[test]
    fn numbers_become_integers_of_their_scale() {
        for (words, scale, expected) in [
            (&[0, 0, 0, 0][..], 2, 0),
            (&[1, 0, 0, 0, 1], 2, 100),
            (&[2, 0, 0, 2, 12, 3400], 2, 1234),
            (&[2, 0, NEGATIVE, 4, 12, 3456], 4, -123_456),
            (&[2, 0, 0, 5, 12, 3456], 5, 1_234_560),
            (&[3, 0, 0, 5, 12, 3456, 7000], 5, 1_234_567),
            (&[1, 0xffff, 0, 4, 1], 4, 1),
            (&[1, 0xffff, 0, 2, 100], 2, 1),
            (&[1, 0xfffe, 0, 8, 1], 8, 1),
            (&[1, 0xfffe, 0, 6, 100], 6, 1),
            (&[1, 2, 0, 0, 123], 0, 12_300_000_000),
            (&[2, 1, 0, 1, 10, 1], 1, 1_000_010),
        ] {
            assert_eq!(of(words, scale), Ok(expected), "{words:?}, scale {scale}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(of(&[0, 0, NAN, 0], 2), Err(Unfit::Unrepresentable(What::Nan)));
        assert_eq!(of(&[0, 0, INFINITY, 0], 2), Err(Unfit::Unrepresentable(What::InfiniteNumber)));
        assert_eq!(of(&[2, 0, 0, 4, 12, 3456], 2), Err(Unfit::Stale));
        assert_eq!(of(&[1, 0xfffe, 0, 8, 1], 4), Err(Unfit::Stale));
        assert_eq!(of(&[1, 20, 0, 0, 1], 2), Err(Unfit::Stale));
        let hundred: Vec<u8> = [1, 0, 0, 0, 100_u16].iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(unscaled::<i128>(&hundred, 1, bound(3)), Err(Unfit::Stale), "numeric(3, 1) ends at 99.9");
        assert_eq!(unscaled::<i128>(&hundred, 1, bound(4)), Ok(1000));
        for words in [&[][..], &[1, 0, 0, 0], &[1, 0, 0, 0, 10_000], &[0, 0, 1, 0], &[0, 0, 0, 0, 5]] {
            assert_eq!(of(words, 0), Err(Unfit::Malformed(Malformed::Binary)), "{words:?}");
        }
    }
}
