//! Why a value could not be read as what was asked for.

use std::fmt;

use super::Column;

/// Text that is not valid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not valid UTF-8")]
pub struct InvalidUtf8;

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// NULL, where the Rust type is no `Option`.
    #[error("it is NULL; ask for an Option")]
    Null,
    /// Another kind of value.
    #[error("it is {found}, not {expected}")]
    Kind {
        /// What the Rust type takes.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// A number that the Rust type cannot hold without loss.
    #[error("the number does not fit into {0}")]
    Range(&'static str),
    /// Text that is not valid UTF-8.
    #[error(transparent)]
    Utf8(#[from] InvalidUtf8),
    /// What a `serde::Deserialize` says.
    #[error("{0}")]
    Custom(String),
}

/// A value, or a whole row, is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(Box<Failure>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    NoColumn(String),
    Value { column: String, type_name: String, error: ValueError },
    Row(String),
}

impl DecodeError {
    pub(super) fn no_column(asked: impl fmt::Display) -> Self {
        Self(Box::new(Failure::NoColumn(asked.to_string())))
    }

    pub(crate) fn value(column: &Column, error: impl Into<ValueError>) -> Self {
        let (name, type_name) = (column.name.clone(), column.type_name.clone());
        Self(Box::new(Failure::Value { column: name, type_name, error: error.into() }))
    }

    pub(super) fn row(message: impl fmt::Display) -> Self {
        Self(Box::new(Failure::Row(message.to_string())))
    }

    /// What is wrong with the value, if it is about one.
    #[must_use]
    pub fn value_error(&self) -> Option<&ValueError> {
        match &*self.0 {
            Failure::Value { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Failure::NoColumn(asked) => write!(f, "the result has no column {asked}"),
            Failure::Value { column, type_name, error } => {
                write!(f, "column {column:?} of type {type_name} cannot be read: {error}")
            }
            Failure::Row(message) => write!(f, "the row cannot be read: {message}"),
        }
    }
}

impl std::error::Error for DecodeError {}
