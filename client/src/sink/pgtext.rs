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
