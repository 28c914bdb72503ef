//! The protobuf shapes that rows are made of, written into a growing buffer.
//!
//! All lengths are minimal varints, so that encoding the decoded message again gives the same bytes
//! (the summary's checksum depends on it).

use rowstream_contract::rows::tag;

const LENGTH_DELIMITED: u8 = 2;

/// The key of a length-delimited field with a number below 16: one byte.
const fn delimited_key(tag: u32) -> u8 {
    key(tag, LENGTH_DELIMITED)
}

#[allow(clippy::cast_possible_truncation)] // every tag of ours is below 16
const fn key(tag: u32, wire_type: u8) -> u8 {
    (tag as u8) << 3 | wire_type
}

const VALUE: u8 = delimited_key(tag::VALUES);

pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

#[allow(clippy::cast_possible_truncation)] // masked to seven bits
const fn low_bits(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// How many bytes [`varint`] writes.
#[allow(clippy::cast_possible_truncation)] // 1 to 10
pub(crate) const fn varint_len(value: u64) -> usize {
    (((value | 1).ilog2() * 9 + 73) / 64) as usize
}

/// A `values` field that is NULL: a `Value` with no kind.
pub(crate) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&[VALUE, 0]);
}

/// A `values` field with a bool.
pub(crate) fn bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[VALUE, 2, key(tag::BOOL, 0), u8::from(value)]);
}

/// A `values` field with an int64.
#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // protobuf's two's complement; at most 11 bytes
pub(crate) fn int64(value: i64, out: &mut Vec<u8>) {
    let bits = value as u64;
    out.extend_from_slice(&[VALUE, 1 + varint_len(bits) as u8, key(tag::INT64, 0)]);
    varint(bits, out);
}

/// A `values` field with a double.
pub(crate) fn double(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[VALUE, 9, key(tag::DOUBLE, 1)]);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A `values` field with bytes that are known already; `tag` is that of the kind.
#[inline]
pub(crate) fn delimited(tag: u32, content: &[u8], out: &mut Vec<u8>) {
    if let Some(short) = u8::try_from(content.len()).ok().filter(|short| *short < 126) {
        out.extend_from_slice(&[VALUE, short + 2, delimited_key(tag), short]);
        out.extend_from_slice(content);
        return;
    }
    let len = content.len() as u64;
    out.push(VALUE);
    varint((1 + varint_len(len) + content.len()) as u64, out);
    out.push(delimited_key(tag));
    varint(len, out);
    out.extend_from_slice(content);
}

/// A `values` field whose content `write` appends; `tag` is that of the kind.
pub(crate) fn value_with<E>(
    tag: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&[VALUE, 0, delimited_key(tag), 0]);
    write(out)?;
    let len = out.len() - start - 4;
    match u8::try_from(len) {
        // Both lengths in one byte each, as for almost every value.
        Ok(short) if short < 126 => {
            out[start + 1] = short + 2;
            out[start + 3] = short;
        }
        _ => widen(start, len as u64, out),
    }
    Ok(())
}

/// Makes room for lengths of more than a byte.
#[cold]
fn widen(start: usize, len: u64, out: &mut Vec<u8>) {
    let mut head = vec![VALUE];
    varint(1 + varint_len(len) as u64 + len, &mut head);
    head.push(out[start + 2]);
    varint(len, &mut head);
    out.splice(start..start + 4, head);
}

/// Begins a `rows` field whose length will take `guess` bytes, if the guess is right.
pub(crate) fn open_row(guess: usize, out: &mut Vec<u8>) -> usize {
    out.push(delimited_key(tag::ROWS));
    let start = out.len();
    out.resize(start + guess, 0);
    start
}

/// Ends the row that [`open_row`] began, moving it if the guess was wrong, and answers the guess for the
/// next.
pub(crate) fn close_row(start: usize, guess: usize, out: &mut Vec<u8>) -> usize {
    let content = start + guess;
    let len = (out.len() - content) as u64;
    let needed = varint_len(len);
    if needed > guess {
        out.splice(content..content, std::iter::repeat_n(0, needed - guess));
    } else if needed < guess {
        out.drain(start..start + guess - needed);
    }
    let (mut at, mut rest) = (start, len);
    while rest >= 0x80 {
        out[at] = low_bits(rest) | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = low_bits(rest);
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_whatever_was_guessed() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            for guess in 1..=4 {
                let mut out = vec![7];
                let start = open_row(guess, &mut out);
                out.extend(std::iter::repeat_n(9, len));
                let needed = close_row(start, guess, &mut out);
                let mut expected = vec![7, 10];
                varint(len as u64, &mut expected);
                assert_eq!(needed, expected.len() - 2);
                expected.extend(std::iter::repeat_n(9, len));
                assert_eq!(out, expected, "length {len}, guess {guess}");
            }
        }
    }

    #[test]
    fn a_value_has_minimal_lengths_whether_its_content_is_known_or_written() {
        for len in [0, 1, 125, 126, 127, 128, 129, 16_381, 16_384, 70_000] {
            let content = vec![9; len];
            let (mut known, mut written) = (vec![7], vec![7]);
            delimited(tag::TEXT, &content, &mut known);
            value_with(tag::TEXT, &mut written, |out| {
                out.extend_from_slice(&content);
                Ok::<_, ()>(())
            })
            .expect("never fails");
            let mut kind = vec![delimited_key(tag::TEXT)];
            varint(len as u64, &mut kind);
            kind.extend_from_slice(&content);
            let mut expected = vec![7, VALUE];
            varint(kind.len() as u64, &mut expected);
            expected.extend_from_slice(&kind);
            assert_eq!((&known, &written), (&expected, &expected), "length {len}");
        }
    }

    #[test]
    fn a_varint_is_as_long_as_it_says() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                varint(value, &mut out);
                assert_eq!(out.len(), varint_len(value), "{value}");
            }
        }
    }
}
