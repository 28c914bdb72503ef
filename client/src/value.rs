//! Owned values, to bind to parameters.

use bytes::Bytes;
use rowstream_contract::v1::{self, value::Kind};

/// The value of a parameter.
///
/// Text is taken for every type and read as PostgreSQL reads that type's input, so a `uuid` or a
/// `timestamptz` is bound as a string.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Value(v1::Value);

impl Value {
    /// NULL.
    #[must_use]
    pub fn null() -> Self {
        Self::default()
    }

    /// A numeric in PostgreSQL's text form: `12.30`, `-1e10`, `NaN`.
    pub fn numeric(digits: impl Into<String>) -> Self {
        Self::of(Kind::Numeric(digits.into()))
    }

    /// The text of a text or numeric value; `None` for NULL and every other kind.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0.kind {
            Some(Kind::Text(text) | Kind::Numeric(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer; `None` for NULL and every other kind.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self.0.kind {
            Some(Kind::Int64(value)) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn from_wire(value: v1::Value) -> Self {
        Self(value)
    }

    pub(crate) fn into_wire(self) -> v1::Value {
        self.0
    }

    fn of(kind: Kind) -> Self {
        Self(v1::Value { kind: Some(kind) })
    }
}

macro_rules! from {
    ($($type:ty: $value:ident => $kind:expr,)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::of($kind)
            }
        }
    )*};
}

from! {
    bool: value => Kind::Bool(value),
    i16: value => Kind::Int64(value.into()),
    i32: value => Kind::Int64(value.into()),
    i64: value => Kind::Int64(value),
    u16: value => Kind::Int64(value.into()),
    u32: value => Kind::Int64(value.into()),
    f32: value => Kind::Double(value.into()),
    f64: value => Kind::Double(value),
    &str: value => Kind::Text(value.to_owned()),
    String: value => Kind::Text(value),
    &String: value => Kind::Text(value.clone()),
    &[u8]: value => Kind::Bytes(Bytes::copy_from_slice(value)),
    Vec<u8>: value => Kind::Bytes(value.into()),
    Bytes: value => Kind::Bytes(value),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Self::null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        let values = values.into_iter().map(|value| value.into().into_wire()).collect();
        Self::of(Kind::List(v1::ListValue { values }))
    }
}
