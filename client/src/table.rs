//! Reading a table without SQL: what to read of it, and the tables that a server has opened.

use rowstream_contract::v1::{self, statement::Source};
use serde::Serialize;

use crate::{Call, Client, Column, Description, Error, Filter, Row, RowStream};

/// A read of a table in the making; started by [`Client::table`]. Can be cloned and sent many times.
///
/// [`call`](Self::call) makes a [`Call`] of it, which takes a deadline and the like.
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is sent"]
pub struct TableRead {
    client: Client,
    read: v1::TableRead,
}

impl TableRead {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, read: v1::TableRead { table, ..v1::TableRead::default() } }
    }

    /// The columns to read, in this order. Default: all that the server may read.
    pub fn columns(mut self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        self.read.columns = names.into_iter().map(Into::into).collect();
        self
    }

    /// Which rows to read. Default: all. Called again, both conditions hold.
    pub fn filter(mut self, filter: Filter) -> Self {
        let filter = match self.read.filter.take() {
            Some(before) => Filter::and([Filter::from_wire(before), filter]),
            None => filter,
        };
        self.read.filter = Some(filter.into_wire());
        self
    }

    /// The order of the rows, the most significant first: `"price desc nulls last"`. Default: none in
    /// particular.
    pub fn order_by(mut self, orders: impl IntoIterator<Item: Into<String>>) -> Self {
        self.read.order_by = orders.into_iter().map(Into::into).collect();
        self
    }

    /// The most rows to read. Default 0: no limit.
    pub fn limit(mut self, rows: u64) -> Self {
        self.read.limit = rows.try_into().unwrap_or(i64::MAX);
        self
    }

    /// The call that reads it, to be given a deadline and the like.
    pub fn call(self) -> Call {
        Call::new(self.client, Source::Table(self.read))
    }

    /// As [`Call::stream`].
    ///
    /// # Errors
    /// NOT_FOUND, reason UNKNOWN_TABLE, if no such table is open; whatever else ended the call before its
    /// first row.
    pub async fn stream(&self) -> Result<RowStream, Error> {
        self.clone().call().stream().await
    }

    /// As [`Call::query_row`].
    ///
    /// # Errors
    /// NOT_FOUND, reason NO_ROW, if there is none; any other failure of the call.
    pub async fn query_row(&self) -> Result<Row, Error> {
        self.clone().call().query_row().await
    }

    /// As [`Call::describe`].
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn describe(&self) -> Result<Description, Error> {
        self.clone().call().describe().await
    }
}

/// A table that a server has opened to reading.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// What [`Client::table`] takes.
    pub table: String,
    /// The schema's name.
    pub schema: String,
    /// The table's name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// PostgreSQL's estimate of the number of rows, if it has one.
    pub estimated_rows: Option<u64>,
    /// The table's comment in PostgreSQL.
    pub comment: String,
    /// The columns that can be read, in the table's order.
    pub columns: Vec<Column>,
    /// The names of the primary key's columns.
    pub primary_key: Vec<String>,
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TableKind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    PartitionedTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    ForeignTable,
    /// Something that this version does not know.
    Unknown,
}

impl TableKind {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::PartitionedTable => "partitioned table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::ForeignTable => "foreign table",
            Self::Unknown => "of an unknown kind",
        }
    }
}

impl From<v1::Table> for Table {
    fn from(table: v1::Table) -> Self {
        let kind = match table.kind() {
            v1::TableKind::Table => TableKind::Table,
            v1::TableKind::PartitionedTable => TableKind::PartitionedTable,
            v1::TableKind::View => TableKind::View,
            v1::TableKind::MaterializedView => TableKind::MaterializedView,
            v1::TableKind::ForeignTable => TableKind::ForeignTable,
            v1::TableKind::Unspecified => TableKind::Unknown,
        };
        Self {
            table: table.table,
            schema: table.schema,
            name: table.name,
            kind,
            estimated_rows: table.estimated_row_count.try_into().ok(),
            comment: table.comment,
            columns: table.columns.into_iter().map(Column::from).collect(),
            primary_key: table.primary_key,
        }
    }
}
