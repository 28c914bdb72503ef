//! The columns of a result, and how to name one.

use std::{ops::Deref, sync::Arc};

use rowstream_contract::v1;

use super::DecodeError;

/// PostgreSQL's OIDs of the types that are not printed by their kind alone.
pub(crate) mod oid {
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT4_ARRAY: u32 = 1021;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const JSON_ARRAY: u32 = 199;
    pub(crate) const JSONB: u32 = 3802;
    pub(crate) const JSONB_ARRAY: u32 = 3807;
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Column {
    /// The name; not unique, and `?column?` for an unnamed expression.
    pub name: String,
    /// PostgreSQL's short type name: `int8`, `timestamptz`, `text[]`.
    pub type_name: String,
    /// PostgreSQL's OID of the type.
    pub type_oid: u32,
    /// Whether a value can be NULL; `None` where PostgreSQL's catalog does not tell, as for SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nullable: Option<bool>,
}

impl Column {
    /// Whether doubles of this column are float4, and print as such.
    #[must_use]
    pub fn is_float4(&self) -> bool {
        matches!(self.type_oid, oid::FLOAT4 | oid::FLOAT4_ARRAY)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn into_wire(self) -> v1::Column {
        let Self { name, type_name, type_oid, nullable } = self;
        v1::Column { name, type_name, type_oid, nullable }
    }

    /// Whether texts of this column are JSON documents.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self.type_oid, oid::JSON | oid::JSON_ARRAY | oid::JSONB | oid::JSONB_ARRAY)
    }
}

impl From<v1::Column> for Column {
    fn from(column: v1::Column) -> Self {
        Self { name: column.name, type_name: column.type_name, type_oid: column.type_oid, nullable: column.nullable }
    }
}

/// The columns of a result, in order. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Arc<[Column]>);

impl Columns {
    /// Where the first column of that name is.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column.name == name)
    }
}

impl Deref for Columns {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.0
    }
}

impl From<Vec<v1::Column>> for Columns {
    fn from(columns: Vec<v1::Column>) -> Self {
        columns.into_iter().map(Column::from).collect()
    }
}

impl FromIterator<Column> for Columns {
    fn from_iter<T: IntoIterator<Item = Column>>(columns: T) -> Self {
        Self(columns.into_iter().collect())
    }
}

/// What names a column: its position from 0, or its name (the first of that name).
pub trait ColumnIndex {
    /// The position.
    ///
    /// # Errors
    /// If there is no such column.
    fn position(&self, columns: &Columns) -> Result<usize, DecodeError>;
}

impl ColumnIndex for usize {
    fn position(&self, columns: &Columns) -> Result<usize, DecodeError> {
        if *self < columns.len() { Ok(*self) } else { Err(DecodeError::no_column(self)) }
    }
}

impl ColumnIndex for str {
    fn position(&self, columns: &Columns) -> Result<usize, DecodeError> {
        columns.position(self).ok_or_else(|| DecodeError::no_column(format_args!("{self:?}")))
    }
}

impl ColumnIndex for String {
    fn position(&self, columns: &Columns) -> Result<usize, DecodeError> {
        self.as_str().position(columns)
    }
}

impl<T: ColumnIndex + ?Sized> ColumnIndex for &T {
    fn position(&self, columns: &Columns) -> Result<usize, DecodeError> {
        (**self).position(columns)
    }
}
