//! Tables as the contract tells of them, page by page.

use prost::Message as _;
use rowstream_contract::v1;

use crate::{
    cursor::catalog::PAGE_COLUMNS,
    error::Error,
    plan::{
        Column,
        table::{Kind, Table, TableColumn, name::TableName, render::Rendered},
    },
    stream::read::wire_column,
};

/// The size at which a page is closed: a list that no message limit refuses.
const PAGE_BYTES: usize = 1 << 20;

/// The name that the page begins behind.
pub(super) fn after(page_token: &str) -> Result<TableName, Error> {
    if page_token.is_empty() {
        return Ok(TableName { schema: String::new(), name: String::new() });
    }
    TableName::parse(page_token).map_err(|_| {
        let message = "is not the next_page_token of a page".to_owned();
        Error::InvalidRequest { field: "page_token", message }
    })
}

/// A page of at most `size` tables; one more tells that there are more.
pub(super) fn page(tables: Vec<Table>, size: usize) -> v1::ListTablesResponse {
    let found = tables.len();
    // Where so many columns are, the list was cut, and there may be more.
    let cut = tables.iter().map(|table| table.attributes).sum::<i64>() > PAGE_COLUMNS;
    let (mut page, mut bytes) = (Vec::new(), 0);
    for table in tables.into_iter().take(size).map(told) {
        bytes += table.encoded_len();
        if bytes > PAGE_BYTES && !page.is_empty() {
            break;
        }
        page.push(table);
    }
    let more = page.len() < found || cut;
    let next_page_token = page.last().filter(|_| more).map_or_else(String::new, |last| last.table.clone());
    v1::ListTablesResponse { tables: page, next_page_token }
}

/// What a read of a table takes and gives: no parameters, since the values are in its filter.
pub(super) fn described(table: &Table, read: &Rendered) -> v1::DescribeQueryResponse {
    v1::DescribeQueryResponse {
        columns: read.described.columns.iter().map(wire_column).collect(),
        description: table.comment.clone(),
        ..v1::DescribeQueryResponse::default()
    }
}

fn told(table: Table) -> v1::Table {
    let kind = match table.kind {
        Kind::Table => v1::TableKind::Table,
        Kind::Partitioned => v1::TableKind::PartitionedTable,
        Kind::View => v1::TableKind::View,
        Kind::Materialized => v1::TableKind::MaterializedView,
        Kind::Foreign => v1::TableKind::ForeignTable,
    };
    v1::Table {
        table: table.name.to_string(),
        schema: table.name.schema,
        name: table.name.name,
        kind: kind.into(),
        estimated_row_count: table.estimated_rows,
        comment: table.comment,
        columns: table.columns.into_iter().map(column).collect(),
        primary_key: table.primary_key,
    }
}

fn column(column: TableColumn) -> v1::Column {
    let nullable = column.nullable;
    wire_column(&Column { nullable, ..Column::new(column.name, column.type_name, column.cast) })
}
