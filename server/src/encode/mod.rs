//! From PostgreSQL's binary values to the bytes of a batch, with no struct per value.
//!
//! - [`codec`]: which types are read from binary, and how each becomes a `Value`;
//! - [`numeric`], [`datetime`], [`array`]: the forms that need work;
//! - [`wire`]: the few protobuf shapes that rows are made of;
//! - [`rows`] and [`arrow`]: rows in the two encodings;
//! - [`row`] a row however it was read, [`gather`] a few of them;
//! - [`batch`]: batches that close by bytes or by count.
//!
//! Types that have no codec here never arrive: the plan casts them to text in SQL.

pub(crate) mod array;
pub(crate) mod arrow;
pub(crate) mod batch;
pub(crate) mod codec;
pub(crate) mod datetime;
pub(crate) mod gather;
pub(crate) mod numeric;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod wire;

/// Bytes that are not of the form PostgreSQL documents for the type, or text that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not the type's binary form.
    Binary,
    /// Not valid UTF-8.
    Utf8,
}

/// Takes `N` bytes off the front.
#[inline]
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Malformed::Binary)?;
    *bytes = rest;
    Ok(*head)
}

/// Reads a value that is exactly `N` bytes long.
pub(crate) fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::Binary)
}

/// A 32-bit length; -1 is `None`.
#[inline]
pub(crate) fn length(bytes: &mut &[u8]) -> Result<Option<usize>, Malformed> {
    match i32::from_be_bytes(take(bytes)?) {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| Malformed::Binary),
    }
}

/// Takes a value off the front that follows its length: an array's element, a value of a COPY.
#[inline]
pub(crate) fn prefixed<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let Some(length) = length(bytes)? else { return Ok(None) };
    let (value, rest) = bytes.split_at_checked(length).ok_or(Malformed::Binary)?;
    *bytes = rest;
    Ok(Some(value))
}
