//! Values as PostgreSQL prints them: the output functions of bool, the numbers, bytea and arrays.

use rowstream_contract::float;

use crate::decode::{InvalidUtf8, ListRef, ValueRef};

/// Appends a value as text; nothing for NULL.
///
/// # Errors
/// If an element of an array is not valid UTF-8.
pub fn write_value(value: ValueRef<'_>, float4: bool, out: &mut Vec<u8>) -> Result<(), InvalidUtf8> {
    match value {
        ValueRef::Null => {}
        ValueRef::Bool(value) => out.push(if value { b't' } else { b'f' }),
        ValueRef::Int64(value) => write_int(value, out),
        ValueRef::Double(value) => write_float(value, float4, out),
        ValueRef::Text(text) | ValueRef::Numeric(text) => out.extend_from_slice(text.as_bytes()),
        ValueRef::Bytes(bytes) => write_bytea(bytes, out),
        ValueRef::List(list) => write_array(list, float4, out)?,
    }
    Ok(())
}

/// Appends an integer.
pub fn write_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a float8, or a float4 that was widened to travel.
pub fn write_float(value: f64, float4: bool, out: &mut Vec<u8>) {
    if float4 {
        #[expect(clippy::cast_possible_truncation, reason = "it was a float4 before it was widened")]
        float::write_f32(value as f32, out);
    } else {
        float::write_f64(value, out);
    }
}

/// Appends a bytea in the hex form: `\x0aff`.
pub fn write_bytea(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * bytes.len());
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends an array as `array_out` prints it: `{1,2,NULL,"a b"}`.
///
/// # Errors
/// If an element is not valid UTF-8.
pub fn write_array(list: ListRef<'_>, float4: bool, out: &mut Vec<u8>) -> Result<(), InvalidUtf8> {
    out.push(b'{');
    for (index, element) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match element? {
            ValueRef::Null => out.extend_from_slice(b"NULL"),
            ValueRef::Text(text) => write_element(text.as_bytes(), out),
            element @ ValueRef::Bytes(_) => {
                let mut text = Vec::new();
                write_value(element, float4, &mut text)?;
                write_element(&text, out);
            }
            // The rest prints without a character that needs quotes.
            element => write_value(element, float4, out)?,
        }
    }
    out.push(b'}');
    Ok(())
}

fn write_element(text: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"NULL") && !text.iter().any(special) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// An interval as PostgreSQL prints it with IntervalStyle `postgres`: `1 year 2 mons -3 days +04:05:06.7`.
#[cfg(feature = "parquet")]
pub(super) fn interval(months: i32, days: i32, microseconds: i64) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    let mut negative_before = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let space = if text.is_empty() { "" } else { " " };
            let sign = if negative_before && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{space}{sign}{value} {unit}{plural}");
            negative_before = value < 0;
        }
    }
    if text.is_empty() || microseconds != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match microseconds {
            ..0 => "-",
            _ if negative_before => "+",
            _ => "",
        };
        let (seconds, fraction) = (microseconds.unsigned_abs() / 1_000_000, microseconds.unsigned_abs() % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let _ = write!(text, "{space}{sign}{hours:02}:{minutes:02}:{seconds:02}");
        if fraction != 0 {
            let _ = write!(text, ".{}", format!("{fraction:06}").trim_end_matches('0'));
        }
    }
    text
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::interval;

    // The left-hand sides are what psql 15 prints for `make_interval` of the right-hand ones.
    #[test]
    fn intervals_are_printed_as_postgresql_prints_them() {
        for (text, months, days, microseconds) in [
            ("00:00:00", 0, 0, 0),
            ("1 year 2 mons 3 days 04:05:06.789", 14, 3, 14_706_789_000),
            ("1 mon", 1, 0, 0),
            ("-1 days", 0, -1, 0),
            ("-1 years -2 mons +3 days -04:05:06.000007", -14, 3, -14_706_000_007),
            ("-1 mons +00:00:01", -1, 0, 1_000_000),
            ("-00:00:00.5", 0, 0, -500_000),
            ("100:00:00", 0, 0, 360_000_000_000),
        ] {
            assert_eq!(interval(months, days, microseconds), text);
        }
    }
}
