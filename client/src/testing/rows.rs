//! Rows for answers, written in Rust: columns by name and type, rows as tuples, arrays or vectors of values.

use bytes::Bytes;
use prost::Message as _;
use rowstream_contract::v1::ListValue;

use crate::{Column, Value};

/// PostgreSQL's OIDs of its common types.
const OIDS: &[(&str, u32)] = &[
    ("bool", 16),
    ("bytea", 17),
    ("int8", 20),
    ("int2", 21),
    ("int4", 23),
    ("text", 25),
    ("json", 114),
    ("json[]", 199),
    ("float4", 700),
    ("float8", 701),
    ("bool[]", 1000),
    ("bytea[]", 1001),
    ("int2[]", 1005),
    ("int4[]", 1007),
    ("text[]", 1009),
    ("varchar[]", 1015),
    ("int8[]", 1016),
    ("float4[]", 1021),
    ("float8[]", 1022),
    ("bpchar", 1042),
    ("varchar", 1043),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamp[]", 1115),
    ("date[]", 1182),
    ("timestamptz", 1184),
    ("timestamptz[]", 1185),
    ("interval", 1186),
    ("numeric[]", 1231),
    ("timetz", 1266),
    ("numeric", 1700),
    ("uuid", 2950),
    ("uuid[]", 2951),
    ("jsonb", 3802),
    ("jsonb[]", 3807),
];

/// The OID of a type; 0 of one that is not common.
pub(super) fn type_oid(type_name: &str) -> u32 {
    OIDS.iter().find(|(name, _)| *name == type_name).map_or(0, |(_, oid)| *oid)
}

impl From<(&str, &str)> for Column {
    /// A column of that name and PostgreSQL type (`int8`, `timestamptz`, `text[]`), for a
    /// [fake server](crate::testing)'s answers. The OID of an uncommon type is 0.
    fn from((name, type_name): (&str, &str)) -> Self {
        let type_oid = type_oid(type_name);
        Self { name: name.to_owned(), type_name: type_name.to_owned(), type_oid, nullable: None }
    }
}

/// A row of an [`Answer`](super::Answer): a tuple of up to twelve values of any types, or an array or vector of
/// values of one type ([`Value`] for any).
pub trait IntoRow {
    /// Its values, one for each column.
    fn into_values(self) -> Vec<Value>;
}

impl<T: Into<Value>> IntoRow for Vec<T> {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Value>, const N: usize> IntoRow for [T; N] {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {$(
        impl<$($name: Into<Value>),+> IntoRow for ($($name,)+) {
            #[allow(non_snake_case, reason = "a variable for each type parameter")]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}

/// The body of a `rowstream.v1.Row`: it and `ListValue` are both a run of values.
pub(super) fn encode(values: Vec<Value>) -> Bytes {
    ListValue { values: values.into_iter().map(Value::into_wire).collect() }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_tuple_an_array_or_a_vector() {
        let expected = [Value::from(1), Value::from("a")];
        assert_eq!((1, "a").into_values(), expected);
        assert_eq!(vec![Value::from(1), "a".into()].into_values(), expected);
        assert_eq!([1, 2].into_values(), [Value::from(1), Value::from(2)]);
        assert_eq!((Some(1), None::<&str>).into_values(), [Value::from(1), Value::null()]);
    }

    #[test]
    fn the_names_of_types_lead_to_their_oids() {
        let column = Column::from(("doc", "jsonb"));
        assert_eq!((column.type_oid, column.is_json()), (3802, true));
        assert_eq!(Column::from(("x", "no_such_type")).type_oid, 0);
    }
}
