//! Reading a table without SQL text: names, what the catalog tells of a table, the validated request, and
//! the statement made of both. Pure, as all of `plan`: the catalog is read by `cursor::catalog`.

pub(crate) mod key;
pub(crate) mod name;
pub(crate) mod read;
pub(crate) mod render;
pub(crate) mod slice;

use std::collections::HashMap;

use self::name::TableName;
use super::{TypeName, composite::Compound, sql::Cast};

/// What the catalog tells of a table that is open.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    /// Changes with every change of the table or of its columns.
    pub(crate) version: String,
    pub(crate) name: TableName,
    pub(crate) kind: Kind,
    /// -1 where PostgreSQL has no estimate.
    pub(crate) estimated_rows: i64,
    pub(crate) comment: String,
    /// Its columns, those included that are dropped or may not be read.
    pub(crate) attributes: i64,
    /// Those that may be read, in the table's order.
    pub(crate) columns: Vec<TableColumn>,
    pub(crate) primary_key: Vec<String>,
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns whose type is a composite, or an array of one.
    pub(crate) fn composites(&self) -> impl Iterator<Item = &TableColumn> {
        self.columns.iter().filter(|column| column.is_composite)
    }
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    Partitioned,
    View,
    Materialized,
    Foreign,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    /// Of a domain, its base type.
    pub(crate) type_name: TypeName,
    /// How it becomes text, if its type has no codec.
    pub(crate) cast: Cast,
    /// PostgreSQL's type modifier, which tells the digits of a `numeric`. `None` for a domain.
    pub(crate) modifier: Option<i32>,
    /// `None` where the catalog does not tell.
    pub(crate) nullable: Option<bool>,
    /// The type is an array: several values of it cannot be put into an array.
    pub(crate) is_array: bool,
    /// It is a composite, or an array of one.
    pub(crate) is_composite: bool,
    /// The fields, where they are known: they are looked up for a table that is read.
    pub(crate) composite: Option<Compound>,
    /// A value is bound as text, and cast in the statement: our driver cannot describe parameters of every type
    /// (multiranges, and what may hold one).
    pub(crate) from_text: bool,
    pub(crate) operators: Operators,
}

/// What a type's values can be compared by: the operators of its default operator classes, by what they do,
/// and those that match patterns.
pub(crate) type Operators = HashMap<Relation, Operator>;

/// What an operator says about two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    LikeAnyCase,
}

impl Relation {
    /// All of them, by the symbol that callers know them by.
    pub(crate) const ALL: [(&str, Self); 8] = [
        ("=", Self::Equal),
        ("<>", Self::NotEqual),
        ("<", Self::Less),
        ("<=", Self::LessOrEqual),
        (">", Self::Greater),
        (">=", Self::GreaterOrEqual),
        ("LIKE", Self::Like),
        ("ILIKE", Self::LikeAnyCase),
    ];

    pub(crate) fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(_, relation)| *relation == self).map_or("", |(symbol, _)| symbol)
    }
}

/// An operator as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) schema: String,
    pub(crate) symbol: String,
    /// The type of its right side is `text`, not the column's own.
    pub(crate) takes_text: bool,
}

impl Operator {
    /// As it is written, whatever the search path is.
    pub(super) fn written(&self) -> String {
        format!("OPERATOR({}.{})", name::quoted(&self.schema), self.symbol)
    }
}
