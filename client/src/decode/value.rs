//! One value, read where it lies in the batch's bytes.

use super::{
    InvalidUtf8,
    scan::{self, BOOL_KEY, BYTES_KEY, DOUBLE_KEY, INT64_KEY, LIST_KEY, NULL, NUMERIC_KEY, TEXT_KEY, VALUES_KEY},
};

/// A value, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// NULL.
    Null,
    /// bool.
    Bool(bool),
    /// int2, int4, int8.
    Int64(i64),
    /// float8, and float4 widened without loss ([`Column::is_float4`](super::Column::is_float4)).
    Double(f64),
    /// Text, and every type without a kind of its own, as PostgreSQL prints it.
    Text(&'a str),
    /// bytea.
    Bytes(&'a [u8]),
    /// numeric, with every digit: `-12.3400`, `NaN`, `Infinity`.
    Numeric(&'a str),
    /// An array; one with several dimensions is a list of lists.
    List(ListRef<'a>),
}

impl<'a> ValueRef<'a> {
    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Its kind, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a bool",
            Self::Int64(_) => "an integer",
            Self::Double(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Numeric(_) => "a numeric",
            Self::List(_) => "an array",
        }
    }

    /// Reads the value at an offset that `scan` found.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], offset: u32) -> Result<Self, InvalidUtf8> {
        Ok(match RawValue::read(bytes, offset) {
            RawValue::Null => Self::Null,
            RawValue::Bool(value) => Self::Bool(value),
            RawValue::Int64(value) => Self::Int64(value),
            RawValue::Double(value) => Self::Double(value),
            RawValue::Text(bytes) => Self::Text(text(bytes)?),
            RawValue::Bytes(bytes) => Self::Bytes(bytes),
            RawValue::Numeric(bytes) => Self::Numeric(text(bytes)?),
            RawValue::List(list) => Self::List(list),
        })
    }
}

/// A [`ValueRef`] whose text has not been proven to be UTF-8: for whoever goes over its bytes anyway.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawValue<'a> {
    Null,
    Bool(bool),
    Int64(i64),
    Double(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Numeric(&'a [u8]),
    List(ListRef<'a>),
}

impl<'a> RawValue<'a> {
    /// Bytes that `scan` has not approved read as NULL rather than panic.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], offset: u32) -> Self {
        if offset == NULL {
            return Self::Null;
        }
        let mut at = offset as usize;
        let Some(key) = bytes.get(at) else { return Self::Null };
        at += 1;
        match *key {
            BOOL_KEY => Self::Bool(scan::varint(bytes, &mut at).is_ok_and(|value| value != 0)),
            INT64_KEY => Self::Int64(scan::varint(bytes, &mut at).map_or(0, u64::cast_signed)),
            DOUBLE_KEY => {
                let bits = bytes.get(at..at + 8).and_then(|bits| bits.try_into().ok()).unwrap_or_default();
                Self::Double(f64::from_le_bytes(bits))
            }
            TEXT_KEY => Self::Text(content(bytes, at)),
            NUMERIC_KEY => Self::Numeric(content(bytes, at)),
            BYTES_KEY => Self::Bytes(content(bytes, at)),
            LIST_KEY => Self::List(ListRef { bytes: content(bytes, at) }),
            _ => Self::Null,
        }
    }
}

#[inline]
fn content(bytes: &[u8], mut at: usize) -> &[u8] {
    match scan::length(bytes, &mut at) {
        Ok(end) => &bytes[at..end],
        Err(_) => &[],
    }
}

#[inline]
fn text(bytes: &[u8]) -> Result<&str, InvalidUtf8> {
    std::str::from_utf8(bytes).map_err(|_| InvalidUtf8)
}

/// The elements of an array, borrowed from their batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListRef<'a> {
    bytes: &'a [u8],
}

impl<'a> ListRef<'a> {
    /// The elements, in order.
    #[must_use]
    pub fn iter(&self) -> ListIter<'a> {
        ListIter { bytes: self.bytes, at: 0 }
    }
}

impl<'a> IntoIterator for ListRef<'a> {
    type Item = Result<ValueRef<'a>, InvalidUtf8>;
    type IntoIter = ListIter<'a>;

    fn into_iter(self) -> ListIter<'a> {
        self.iter()
    }
}

/// Goes over the elements of an array.
#[derive(Clone, Debug)]
pub struct ListIter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = Result<ValueRef<'a>, InvalidUtf8>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.bytes.len() {
            if let Some(end) = scan::delimited(self.bytes, &mut self.at, VALUES_KEY).ok()? {
                let element = &self.bytes[..end];
                let offset = scan::value(element, self.at, u32::MAX).ok()?;
                self.at = end;
                return Some(ValueRef::read(element, offset));
            }
        }
        None
    }
}
