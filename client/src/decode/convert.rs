//! Which Rust type takes which value. Nothing is converted with loss: a number that does not fit is
//! an error, and numeric is read as text.

use super::{InvalidUtf8, ListRef, ValueError, ValueRef};

/// A Rust type that a value can be read as.
///
/// `Option<T>` takes NULL, `Vec<T>` an array, `&str` and `String` text and numeric, [`ValueRef`]
/// everything.
pub trait FromValue<'a>: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// If the value is of another kind, NULL, or does not fit.
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError>;
}

fn mismatch<T>(value: ValueRef<'_>, expected: &'static str) -> Result<T, ValueError> {
    match value {
        ValueRef::Null => Err(ValueError::Null),
        value => Err(ValueError::Kind { expected, found: value.kind() }),
    }
}

impl<'a> FromValue<'a> for ValueRef<'a> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError> {
        Ok(value)
    }
}

impl FromValue<'_> for bool {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Bool(value) => Ok(value),
            value => mismatch(value, "a bool"),
        }
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl FromValue<'_> for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
                match value {
                    ValueRef::Int64(value) => value.try_into().map_err(|_| ValueError::Range(stringify!($type))),
                    value => mismatch(value, "an integer"),
                }
            }
        }
    )*};
}

integers!(i16 i32 i64 u16 u32 u64 usize);

impl FromValue<'_> for f64 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Double(value) => Ok(value),
            value => mismatch(value, "a float"),
        }
    }
}

impl FromValue<'_> for f32 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Double(value) => exact_f32(value).ok_or(ValueError::Range("f32")),
            value => mismatch(value, "a float"),
        }
    }
}

fn exact_f32(value: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "whether something was lost is checked right after")]
    let narrow = value as f32;
    (value.is_nan() || f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Text(value) | ValueRef::Numeric(value) => Ok(value),
            value => mismatch(value, "text"),
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        <&str>::from_value(value).map(Self::from)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Bytes(value) => Ok(value),
            value => mismatch(value, "bytes"),
        }
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        <&[u8]>::from_value(value).map(Self::from)
    }
}

impl<'a> FromValue<'a> for ListRef<'a> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError> {
        match value {
            ValueRef::List(value) => Ok(value),
            value => mismatch(value, "an array"),
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Vec<T> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError> {
        let element = |element: Result<ValueRef<'a>, InvalidUtf8>| T::from_value(element?);
        ListRef::from_value(value)?.iter().map(element).collect()
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}
