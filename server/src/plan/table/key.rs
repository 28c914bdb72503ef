//! The order by which the read of a table can be resumed: the one it asks for, made whole by its key.

use super::{
    Operator, Relation, Table, TableColumn,
    read::TableRead,
    render::{ordered_by, reference},
};
use crate::{
    error::Error,
    plan::{
        Column,
        keyset::{self, KeyColumn, Operators, Ordered, invalid},
        resume::Resume,
    },
};

/// An order that tells every row from every other.
#[derive(Debug)]
pub(super) struct Order {
    columns: Vec<KeyColumn>,
    /// The primary key is in it: no two rows are equal.
    unique: bool,
}

impl Order {
    /// The order of a read that shows these columns; `None` if it can not be resumed, which nobody has asked for then.
    pub(super) fn of(
        table: &Table,
        read: &TableRead,
        shown: &[&TableColumn],
        resume: &Resume,
    ) -> Result<Option<Self>, Error> {
        let asked = !resume.key.is_empty();
        let by: Vec<&TableColumn> = (read.order_by.iter().enumerate())
            .map(|(i, order)| ordered_by(table, i, order))
            .collect::<Result<_, _>>()?;
        let by_itself = is_unique(table, &by) && by.iter().all(|column| place(column, shown).is_some());
        if !asked && !by_itself {
            return if resume.from.is_none() { Ok(None) } else { Err(Error::InvalidToken("resume_token")) };
        }
        let mut columns: Vec<KeyColumn> = Vec::new();
        for (i, (column, order)) in by.iter().zip(&read.order_by).enumerate() {
            let Some(index) = place(column, shown) else {
                let message =
                    format!("column {:?} is not among those read, and a resumed read goes by it", column.name);
                let field = format!("statement.table.order_by[{i}]");
                return Err(Error::InvalidField { field, message });
            };
            if columns.iter().all(|known| known.index != index) {
                let nulls_first = order.nulls_first.unwrap_or(order.descending);
                columns.push(KeyColumn { descending: order.descending, nulls_first, ..key_column(index, column) });
            }
        }
        let mut all = by;
        for (index, column) in named(table, shown, resume)? {
            if columns.iter().all(|known| known.index != index) {
                columns.push(key_column(index, column));
                all.push(column);
            }
        }
        Ok(Some(Self { columns, unique: is_unique(table, &all) }))
    }

    /// Whether that column of the result is part of it.
    pub(super) fn has(&self, index: usize) -> bool {
        self.columns.iter().any(|column| column.index == index)
    }

    pub(super) fn ordered(&self, columns: &[Column], parameters: usize, resume: &Resume) -> Result<Ordered, Error> {
        keyset::ordered(&self.columns, columns, "", parameters, self.unique, resume)
    }
}

/// The columns that the request names as a key, and their places.
fn named<'a>(
    table: &'a Table,
    shown: &[&'a TableColumn],
    resume: &Resume,
) -> Result<Vec<(usize, &'a TableColumn)>, Error> {
    let names = if resume.by_primary_key() { &table.primary_key } else { &resume.key };
    if names.is_empty() && resume.by_primary_key() {
        let message = format!("table {} has no primary key that may be read; name columns that are unique", table.name);
        return Err(invalid(0, message));
    }
    let find = |(i, name): (usize, &String)| {
        let i = if resume.by_primary_key() { 0 } else { i };
        let found = shown.iter().enumerate().find(|(_, column)| column.name == *name);
        let (index, column) = found.ok_or_else(|| invalid(i, format!("column {name:?} is not among those read")))?;
        if column.operators.contains_key(&Relation::Less) {
            return Ok((index, *column));
        }
        let short = &column.type_name.short;
        Err(invalid(i, format!("column {name:?} has type {short}, which has no order")))
    };
    names.iter().enumerate().map(find).collect()
}

/// Whether the primary key is among the columns, and holds for all rows: it does not for those of inheriting tables.
fn is_unique(table: &Table, columns: &[&TableColumn]) -> bool {
    let proven = |name: &String| columns.iter().any(|column| column.name == *name && column.nullable == Some(false));
    !table.primary_key.is_empty() && table.primary_key.iter().all(proven)
}

fn place(column: &TableColumn, shown: &[&TableColumn]) -> Option<usize> {
    shown.iter().position(|shown| shown.name == column.name)
}

fn key_column(index: usize, column: &TableColumn) -> KeyColumn {
    let wire_oid = Column::new(String::new(), column.type_name.clone(), column.cast.clone()).wire_oid;
    KeyColumn {
        index,
        reference: reference(column),
        descending: false,
        nulls_first: false,
        nullable: column.nullable != Some(false),
        operators: operators(column),
        type_name: column.type_name.clone(),
        wire_oid,
    }
}

fn operators(column: &TableColumn) -> Operators {
    let written = |relation: Relation| {
        column.operators.get(&relation).map_or_else(|| relation.symbol().to_owned(), Operator::written)
    };
    Operators {
        equal: written(Relation::Equal),
        less: written(Relation::Less),
        less_or_equal: written(Relation::LessOrEqual),
        greater: written(Relation::Greater),
        greater_or_equal: written(Relation::GreaterOrEqual),
    }
}
