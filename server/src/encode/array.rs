//! Arrays from binary to `ListValue`, or to PostgreSQL's text form if a lower bound is not 1.
//!
//! The binary form (`array_send`): the number of dimensions, a flag, the element type, for each
//! dimension its size and lower bound, then the elements in row-major order, each with its length
//! or -1 for NULL.

use rowstream_contract::rows::tag;

use super::{Malformed, codec::Scalar, length, prefixed, take, wire};

/// PostgreSQL's own limit (`MAXDIM`).
const MAX_DIMENSIONS: usize = 6;

struct Dimension {
    size: usize,
    lower_bound: i32,
}

/// Appends a `values` field with the array.
pub(crate) fn write(element: Scalar, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let dimensions = dimensions(&mut bytes)?;
    if dimensions.iter().any(|dimension| dimension.lower_bound != 1) {
        return wire::value_with(tag::TEXT, out, |out| printed(element, &dimensions, bytes, out));
    }
    wire::value_with(tag::LIST, out, |out| {
        list(element, &dimensions, &mut bytes, out)?;
        end(bytes)
    })
}

/// Appends the array as `array_out` prints it.
pub(crate) fn write_text(element: Scalar, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let dimensions = dimensions(&mut bytes)?;
    printed(element, &dimensions, bytes, out)
}

fn printed(element: Scalar, dimensions: &[Dimension], mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    if dimensions.iter().any(|dimension| dimension.lower_bound != 1) {
        bounds(dimensions, out);
    }
    text(element, dimensions, &mut bytes, out)?;
    end(bytes)
}

/// Gives each element to `take`, `None` for NULL. Answers false, and gives none, if the array is not a plain list: it
/// has several dimensions, or begins at another index than 1.
pub(crate) fn each_item<E: From<Malformed>>(
    mut bytes: &[u8],
    mut take: impl FnMut(Option<&[u8]>) -> Result<(), E>,
) -> Result<bool, E> {
    let dimensions = dimensions(&mut bytes)?;
    let size = match dimensions.as_slice() {
        [] => 0,
        [only] if only.lower_bound == 1 => only.size,
        _ => return Ok(false),
    };
    for _ in 0..size {
        take(prefixed(&mut bytes)?)?;
    }
    end(bytes)?;
    Ok(true)
}

fn end(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() { Ok(()) } else { Err(Malformed::Binary) }
}

fn dimensions(bytes: &mut &[u8]) -> Result<Vec<Dimension>, Malformed> {
    let count = length(bytes)?.filter(|count| *count <= MAX_DIMENSIONS).ok_or(Malformed::Binary)?;
    take::<8>(bytes)?; // whether there are NULLs, and the element type: both are known otherwise
    let dimensions: Vec<Dimension> = (0..count)
        .map(|_| {
            let size = length(bytes)?.ok_or(Malformed::Binary)?;
            Ok(Dimension { size, lower_bound: i32::from_be_bytes(take(bytes)?) })
        })
        .collect::<Result<_, _>>()?;
    if fits(&dimensions, bytes.len()) { Ok(dimensions) } else { Err(Malformed::Binary) }
}

/// Whether there are bytes for as many elements, each with four for its length. Sizes alone would have lists made
/// without end.
fn fits(dimensions: &[Dimension], bytes: usize) -> bool {
    let elements = dimensions.iter().try_fold(1_usize, |elements, dimension| elements.checked_mul(dimension.size));
    match elements {
        Some(0) => dimensions.len() == 1,
        Some(elements) => dimensions.is_empty() || elements <= bytes / 4,
        None => false,
    }
}

/// The elements of one dimension; for all but the last, each is a list of its own.
fn list(element: Scalar, dimensions: &[Dimension], bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let Some((outer, inner)) = dimensions.split_first() else { return Ok(()) };
    for _ in 0..outer.size {
        if inner.is_empty() {
            match prefixed(bytes)? {
                Some(value) => element.write(value, out)?,
                None => wire::null(out),
            }
        } else {
            wire::value_with(tag::LIST, out, |out| list(element, inner, bytes, out))?;
        }
    }
    Ok(())
}

/// `[0:2][1:3]=`, as `array_out` begins.
fn bounds(dimensions: &[Dimension], out: &mut Vec<u8>) {
    for Dimension { size, lower_bound } in dimensions {
        let upper = i64::from(*lower_bound) + i64::try_from(*size).unwrap_or(i64::MAX) - 1;
        out.extend_from_slice(format!("[{lower_bound}:{upper}]").as_bytes());
    }
    out.push(b'=');
}

fn text(element: Scalar, dimensions: &[Dimension], bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.push(b'{');
    if let Some((outer, inner)) = dimensions.split_first() {
        for i in 0..outer.size {
            if i > 0 {
                out.push(b',');
            }
            if inner.is_empty() {
                text_item(element, prefixed(bytes)?, out)?;
            } else {
                text(element, inner, bytes, out)?;
            }
        }
    }
    out.push(b'}');
    Ok(())
}

fn text_item(element: Scalar, item: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let Some(item) = item else {
        out.extend_from_slice(b"NULL");
        return Ok(());
    };
    let start = out.len();
    element.write_text(item, out)?;
    if needs_quotes(&out[start..]) {
        let plain = out.split_off(start);
        out.push(b'"');
        for byte in plain {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    Ok(())
}

fn needs_quotes(item: &[u8]) -> bool {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    item.is_empty() || item.eq_ignore_ascii_case(b"null") || item.iter().any(special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int4_array(words: &[i32]) -> Result<Vec<u8>, Malformed> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut out = Vec::new();
        write(Scalar::Int4, &bytes, &mut out).map(|()| out)
    }

    #[test]
    fn dimensions_become_lists_of_lists() {
        let flat = int4_array(&[1, 0, 23, 2, 1, 4, 7, -1]).expect("well-formed");
        assert_eq!(flat, [10, 8, 58, 6, 10, 2, 16, 7, 10, 0]);
        let nested = int4_array(&[2, 0, 23, 1, 1, 1, 1, 4, 7]).expect("well-formed");
        assert_eq!(nested, [10, 10, 58, 8, 10, 6, 58, 4, 10, 2, 16, 7]);
        assert_eq!(int4_array(&[0, 0, 23]), Ok(vec![10, 2, 58, 0]));
    }

    #[test]
    fn other_lower_bounds_become_text() {
        let out = int4_array(&[1, 0, 23, 2, 0, 4, 7, -1]).expect("well-formed");
        assert_eq!(&out[4..], b"[0:1]={7,NULL}");
    }

    #[test]
    fn a_wrong_form_is_an_error() {
        for words in [
            &[][..],
            &[7, 0, 23],
            &[-1, 0, 23],
            &[1, 0, 23, 2, 1, 4, 7],
            &[1, 0, 23, -5, 1],
            &[1, 0, 23, 1, 1, 4, 7, 9],
            &[1, 0, 23, i32::MAX, 1],
            &[2, 0, 23, i32::MAX, 1, 0, 1],
        ] {
            assert_eq!(int4_array(words), Err(Malformed::Binary), "{words:?}");
        }
    }
}
