//! Rows as serde types: a struct or map takes columns by name, a tuple or sequence by position.
//!
//! numeric arrives as a string, since every Rust number would round it; bytea as bytes or as a
//! sequence of bytes; an enum without content by the name of its variant.

use std::fmt;

use serde::{
    de::{
        self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{Column, DecodeError, InvalidUtf8, ListIter, RowRef, ValueError, ValueRef};

/// What serde reports, with the column once it is known.
#[derive(Debug)]
pub(super) enum Failure {
    Message(String),
    Column(DecodeError),
}

impl Failure {
    pub(super) fn into_error(self) -> DecodeError {
        match self {
            Self::Message(message) => DecodeError::row(message),
            Self::Column(error) => error,
        }
    }

    fn at(self, column: &Column) -> Self {
        match self {
            Self::Message(message) => Self::Column(DecodeError::value(column, ValueError::Custom(message))),
            Self::Column(error) => Self::Column(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.write_str(message),
            Self::Column(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}

impl From<InvalidUtf8> for Failure {
    fn from(error: InvalidUtf8) -> Self {
        Self::Message(error.to_string())
    }
}

pub(super) struct RowDeserializer<'de> {
    row: RowRef<'de>,
    next: usize,
}

impl<'de> RowDeserializer<'de> {
    pub(super) fn new(row: RowRef<'de>) -> Self {
        Self { row, next: 0 }
    }

    /// Takes the value of the next column.
    fn take<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failure> {
        let position = self.next;
        self.next += 1;
        let value = self.row.value(position).map_err(Failure::Column)?;
        seed.deserialize(ValueDeserializer(value)).map_err(|failure| failure.at(&self.row.columns()[position]))
    }

    /// The value of a row of one column.
    fn only(self) -> Result<ValueDeserializer<'de>, Failure> {
        match self.row.len() {
            1 => self.row.value(0).map(ValueDeserializer).map_err(Failure::Column),
            columns => Err(de::Error::custom(format_args!("it has {columns} columns, where one is asked for"))),
        }
    }
}

macro_rules! of_the_only_column {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for RowDeserializer<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_map(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_seq(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    of_the_only_column! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
    }

    forward_to_deserialize_any! { unit unit_struct map struct identifier ignored_any i128 u128 }
}

impl<'de> MapAccess<'de> for RowDeserializer<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let column = self.row.columns().get(self.next);
        column.map(|column| seed.deserialize(BorrowedStrDeserializer::new(&column.name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        self.take(seed)
    }
}

impl<'de> SeqAccess<'de> for RowDeserializer<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        if self.next < self.row.len() { self.take(seed).map(Some) } else { Ok(None) }
    }
}

#[derive(Clone, Copy)]
struct ValueDeserializer<'de>(ValueRef<'de>);

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            ValueRef::Null => visitor.visit_unit(),
            ValueRef::Bool(value) => visitor.visit_bool(value),
            ValueRef::Int64(value) => visitor.visit_i64(value),
            ValueRef::Double(value) => visitor.visit_f64(value),
            ValueRef::Text(value) | ValueRef::Numeric(value) => visitor.visit_borrowed_str(value),
            ValueRef::Bytes(value) => visitor.visit_borrowed_bytes(value),
            ValueRef::List(list) => visitor.visit_seq(ListDeserializer(list.iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            ValueRef::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            ValueRef::Text(variant) => visitor.visit_enum(variant.into_deserializer()),
            value => Err(de::Error::custom(format_args!("it is {}, not the name of a variant", value.kind()))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct ListDeserializer<'de>(ListIter<'de>);

impl<'de> SeqAccess<'de> for ListDeserializer<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let element = self.0.next().transpose()?;
        element.map(|element| seed.deserialize(ValueDeserializer(element))).transpose()
    }
}
