//! Conditions on the rows of a table: built in Rust, or read from JSON. What they mean is the contract's
//! `Filter`; nothing is checked here that the server checks.

use std::{fmt, ops::Not};

use prost_reflect::{DescriptorPool, DynamicMessage};
use rowstream_contract::{
    FILE_DESCRIPTOR_SET,
    v1::{self, ComparisonOperator, filter::Condition},
};

use crate::Value;

/// A condition on a row of a table.
///
/// ```
/// use rowstream_client::{Filter, col};
///
/// let wanted = Filter::and([
///     col("price").ge(10),
///     Filter::or([col("status").is_in(["O", "P"]), col("shipped").is_null()]),
///     !col("name").like("test%"),
/// ]);
/// ```
///
/// A condition on a NULL is neither true nor false, as in SQL: only `is_null` and `is_not_null` look at
/// NULL. Comparing with NULL is refused by the server.
#[derive(Clone, PartialEq)]
pub struct Filter(v1::Filter);

impl fmt::Debug for Filter {
    /// Without the values: they belong in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter(..)")
    }
}

/// A column to say something about.
pub fn col(name: impl Into<String>) -> ColumnRef {
    ColumnRef(name.into())
}

/// A column, by its name letter by letter; made by [`col`].
#[derive(Clone, Debug)]
#[must_use = "a column alone is no condition"]
pub struct ColumnRef(String);

/// A text that is no filter in JSON.
#[derive(Debug, thiserror::Error)]
#[error("not a filter in protobuf's JSON form: {0}")]
pub struct FilterJsonError(String);

impl Filter {
    /// True if all of them are; with none, true.
    #[must_use]
    pub fn and(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Condition::And(list(filters)))
    }

    /// True if one of them is; with none, false.
    #[must_use]
    pub fn or(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Condition::Or(list(filters)))
    }

    /// Reads the JSON form of the contract's message `Filter`:
    /// `{"comparison": {"column": "price", "operator": "COMPARISON_OPERATOR_LESS", "value": {"int64": 10}}}`.
    ///
    /// # Errors
    /// If it is not one; the message says where.
    ///
    /// # Panics
    /// Never: the contract has the message.
    pub fn from_json(json: &str) -> Result<Self, FilterJsonError> {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the contract's own descriptors");
        let message = pool.get_message_by_name("rowstream.v1.Filter").expect("a message of the contract");
        let wrong = |error: &dyn fmt::Display| FilterJsonError(error.to_string());
        let mut reader = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(message, &mut reader).map_err(|error| wrong(&error))?;
        reader.end().map_err(|error| wrong(&error))?;
        message.transcode_to().map(Self).map_err(|error| wrong(&error))
    }

    fn of(condition: Condition) -> Self {
        Self(v1::Filter { condition: Some(condition) })
    }

    pub(crate) fn from_wire(filter: v1::Filter) -> Self {
        Self(filter)
    }

    pub(crate) fn into_wire(self) -> v1::Filter {
        self.0
    }
}

impl Not for Filter {
    type Output = Self;

    /// True if it is false: where it looks at a NULL, it is neither.
    fn not(self) -> Self {
        Self::of(Condition::Not(Box::new(self.0)))
    }
}

fn list(filters: impl IntoIterator<Item = Filter>) -> v1::FilterList {
    v1::FilterList { filters: filters.into_iter().map(Filter::into_wire).collect() }
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $operator:ident,)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(self, value: impl Into<Value>) -> Filter {
            self.compared(ComparisonOperator::$operator, value.into())
        }
    )*};
}

impl ColumnRef {
    comparisons! {
        /// The column equals the value.
        eq => Equal,
        /// The column is not NULL and does not equal the value.
        ne => NotEqual,
        /// The column is less than the value, as its type is sorted.
        lt => Less,
        /// The column is at most the value.
        le => LessOrEqual,
        /// The column is greater than the value.
        gt => Greater,
        /// The column is at least the value.
        ge => GreaterOrEqual,
    }

    /// The column equals one of the values; with none, no row does.
    #[must_use]
    pub fn is_in(self, values: impl IntoIterator<Item: Into<Value>>) -> Filter {
        let values = values.into_iter().map(|value| value.into().into_wire()).collect();
        Filter::of(Condition::In(v1::InList { column: self.0, values }))
    }

    /// `low <= column <= high`.
    #[must_use]
    pub fn between(self, low: impl Into<Value>, high: impl Into<Value>) -> Filter {
        let (low, high) = (Some(low.into().into_wire()), Some(high.into().into_wire()));
        Filter::of(Condition::Between(v1::Between { column: self.0, low, high }))
    }

    /// The column's whole text matches: `%` is any run of characters, `_` one, a backslash takes both their
    /// meaning.
    #[must_use]
    pub fn like(self, pattern: impl Into<String>) -> Filter {
        self.matched(pattern.into(), false)
    }

    /// As [`like`](Self::like), with upper and lower case the same.
    #[must_use]
    pub fn ilike(self, pattern: impl Into<String>) -> Filter {
        self.matched(pattern.into(), true)
    }

    /// The column is NULL.
    #[must_use]
    pub fn is_null(self) -> Filter {
        Filter::of(Condition::IsNull(self.0))
    }

    /// The column is not NULL.
    #[must_use]
    pub fn is_not_null(self) -> Filter {
        Filter::of(Condition::IsNotNull(self.0))
    }

    fn compared(self, operator: ComparisonOperator, value: Value) -> Filter {
        let (operator, value) = (operator.into(), Some(value.into_wire()));
        Filter::of(Condition::Comparison(v1::Comparison { column: self.0, operator, value }))
    }

    fn matched(self, pattern: String, case_insensitive: bool) -> Filter {
        Filter::of(Condition::Like(v1::Like { column: self.0, pattern, case_insensitive }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_as_rust() {
        let json = r#"{"and": {"filters": [
            {"comparison": {"column": "a", "operator": "COMPARISON_OPERATOR_GREATER_OR_EQUAL", "value": {"int64": "10"}}},
            {"not": {"in": {"column": "b", "values": [{"text": "x"}]}}},
            {"isNull": "c"}, {"like": {"column": "d", "pattern": "e%", "caseInsensitive": true}}]}}"#;
        let rust = Filter::and([col("a").ge(10), !col("b").is_in(["x"]), col("c").is_null(), col("d").ilike("e%")]);
        assert_eq!(Filter::from_json(json).unwrap(), rust);
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for json in ["", "[]", r#"{"isNul": "a"}"#, r#"{"isNull": 1}"#, r#"{"isNull": "a"} x"#] {
            assert!(Filter::from_json(json).is_err(), "{json}");
        }
    }
}
