//! Floating-point numbers as PostgreSQL prints them: the shortest digits that read back to the same
//! number, `Infinity` and `NaN` spelled out, an exponent of at least two digits for what is below
//! 1e-4 or has more digits before the point than the type is precise to (float8out, float4out).

/// Appends a float8 as `float8out` prints it.
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    if special(value.is_nan(), value.is_infinite(), value.is_sign_negative(), out) {
        return;
    }
    let value = value.abs();
    let shortest = Decimal::read(zmij::Buffer::new().format_finite(value));
    let longer = |digits: usize| Some(format!("{value:.digits$e}")).filter(|text| text.parse() == Ok(value));
    let printed = shortest.not_half_way(&Binary::of_f64(value), longer);
    layout(printed.digits(), printed.exponent, 15, out);
}

/// Appends a float4 as `float4out` prints it.
pub fn write_f32(value: f32, out: &mut Vec<u8>) {
    if special(value.is_nan(), value.is_infinite(), value.is_sign_negative(), out) {
        return;
    }
    let value = value.abs();
    let shortest = Decimal::read(zmij::Buffer::new().format_finite(value));
    let longer = |digits: usize| Some(format!("{value:.digits$e}")).filter(|text| text.parse() == Ok(value));
    let printed = shortest.not_half_way(&Binary::of_f32(value), longer);
    layout(printed.digits(), printed.exponent, 6, out);
}

/// Writes the sign, and the number if it has no digits.
fn special(nan: bool, infinite: bool, negative: bool, out: &mut Vec<u8>) -> bool {
    if negative && !nan {
        out.push(b'-');
    }
    match (nan, infinite) {
        (true, _) => out.extend_from_slice(b"NaN"),
        (_, true) => out.extend_from_slice(b"Infinity"),
        _ => {}
    }
    nan || infinite
}

/// A finite number above 0 as `mantissa * 2^exponent`, if it is not subnormal.
struct Binary {
    mantissa: u64,
    exponent: i32,
    /// The next smaller number is closer than the next larger one.
    power_of_two: bool,
}

impl Binary {
    fn of_f64(value: f64) -> Self {
        let bits = value.to_bits();
        Self::new(bits & ((1 << 52) - 1), bits >> 52, 52, 1075)
    }

    fn of_f32(value: f32) -> Self {
        let bits = u64::from(value.to_bits());
        Self::new(bits & ((1 << 23) - 1), bits >> 23, 23, 150)
    }

    fn new(fraction: u64, exponent: u64, width: u32, bias: i32) -> Self {
        let exponent = i32::try_from(exponent).unwrap_or(0) - bias;
        Self { mantissa: fraction | 1 << width, exponent, power_of_two: fraction == 0 }
    }
}

/// The significant digits of a printed number, how many there are, and the power of ten of the first.
struct Decimal {
    digits: [u8; 20],
    count: usize,
    exponent: i32,
}

impl Decimal {
    fn read(printed: &str) -> Self {
        let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
        let mut exponent: i32 = exponent.parse().unwrap_or(0);
        let (mut digits, mut count, mut seen_point) = ([0; 20], 0, false);
        exponent -= 1;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => seen_point = true,
                b'0' if count == 0 => exponent -= i32::from(seen_point),
                digit => {
                    digits[count] = digit;
                    count += 1;
                    exponent += i32::from(!seen_point);
                }
            }
        }
        while count > 0 && digits[count - 1] == b'0' {
            count -= 1;
        }
        Self { digits, count, exponent }
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    /// Whether it lies exactly half-way between that number and one of its neighbours. It then reads
    /// back to it, because ties go to the even one, but PostgreSQL does not rely on how ties are read.
    fn is_half_way(&self, number: &Binary) -> bool {
        let Binary { mantissa, exponent, power_of_two } = *number;
        // Below that, what is half-way has more digits than any number is printed with.
        if exponent < 1 {
            return false;
        }
        let zeros = self.exponent + 1 - i32::try_from(self.count).unwrap_or(0);
        // Beyond 5^23 the odd part is larger than a mantissa.
        let Some(zeros) = u32::try_from(zeros).ok().filter(|zeros| *zeros <= 23) else { return false };
        let digits = self.digits().iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        let odd = digits * 5_u128.pow(zeros);
        let twos = odd.trailing_zeros();
        let (odd, twos) = (odd >> twos, i32::try_from(twos + zeros).unwrap_or(0));
        let mantissa = u128::from(mantissa);
        let below = if power_of_two { (4 * mantissa - 1, exponent - 2) } else { (2 * mantissa - 1, exponent - 1) };
        (odd, twos) == (2 * mantissa + 1, exponent - 1) || (odd, twos) == below
    }

    /// This, or if it is half-way, the number with as few more digits as it takes; `longer` prints it
    /// with so many digits after the first, if that reads back to it.
    fn not_half_way(self, number: &Binary, longer: impl Fn(usize) -> Option<String>) -> Self {
        if !self.is_half_way(number) {
            return self;
        }
        let mut printed = (self.count..17).filter_map(longer).map(|printed| Self::read(&printed));
        printed.find(|printed| !printed.is_half_way(number)).unwrap_or(self)
    }
}

fn layout(digits: &[u8], exponent: i32, precision: i32, out: &mut Vec<u8>) {
    let Some((first, rest)) = digits.split_first() else {
        return out.push(b'0');
    };
    if exponent < -4 || exponent >= precision {
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        return out.extend_from_slice(exponent.abs().to_string().as_bytes());
    }
    let Ok(whole) = usize::try_from(exponent + 1) else {
        out.extend_from_slice(b"0.");
        out.extend((exponent + 1..0).map(|_| b'0'));
        return out.extend_from_slice(digits);
    };
    if whole == 0 {
        out.extend_from_slice(b"0.");
        out.extend_from_slice(digits);
    } else if digits.len() <= whole {
        out.extend_from_slice(digits);
        out.extend((digits.len()..whole).map(|_| b'0'));
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f64_text(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn f32_text(value: f32) -> String {
        let mut out = Vec::new();
        write_f32(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    // The right-hand sides were printed by PostgreSQL 15; the pair's type tests compare more of them
    // with a live psql.
    #[test]
    fn float8_is_printed_as_postgresql_prints_it() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.001_234_5, "0.0012345"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1_234_567_890_123_456.0, "1.234567890123456e+15"),
            (1e300, "1e+300"),
            // 333050507366768800 would be half-way to the next number.
            (333_050_507_366_768_770.0, "3.3305050736676877e+17"),
            (9_007_199_254_740_992.0, "9.007199254740992e+15"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(f64_text(value), text);
        }
    }

    #[test]
    fn float4_is_printed_with_its_own_precision() {
        for (value, text) in [
            (0.1, "0.1"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (16_777_216.0, "1.6777216e+07"),
            (1e-5, "1e-05"),
            (1.175_494_4e-38, "1.1754944e-38"),
        ] {
            assert_eq!(f32_text(value), text);
        }
    }
}
