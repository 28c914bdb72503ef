//! Floating-point numbers as PostgreSQL prints them: the shortest digits that read back to the same
//! number, `Infinity` and `NaN` spelled out, an exponent of at least two digits for what is below
//! 1e-4 or has more digits before the point than the type is precise to (float8out, float4out).

/// Appends a float8 as `float8out` prints it.
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    write(value.is_nan(), value.is_infinite(), value.is_sign_negative(), 15, out, |buffer| buffer.format_finite(value));
}

/// Appends a float4 as `float4out` prints it.
pub fn write_f32(value: f32, out: &mut Vec<u8>) {
    write(value.is_nan(), value.is_infinite(), value.is_sign_negative(), 6, out, |buffer| buffer.format_finite(value));
}

fn write(
    nan: bool,
    infinite: bool,
    negative: bool,
    precision: i32,
    out: &mut Vec<u8>,
    shortest: impl FnOnce(&mut zmij::Buffer) -> &str,
) {
    if nan {
        return out.extend_from_slice(b"NaN");
    }
    if negative {
        out.push(b'-');
    }
    if infinite {
        return out.extend_from_slice(b"Infinity");
    }
    let mut buffer = zmij::Buffer::new();
    let (digits, count, exponent) = decimal(shortest(&mut buffer));
    layout(&digits[..count], exponent, precision, out);
}

/// The significant digits of a printed number, how many there are, and the power of ten of the first.
fn decimal(printed: &str) -> ([u8; 20], usize, i32) {
    let printed = printed.trim_start_matches('-');
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
    (digits, count, exponent)
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
