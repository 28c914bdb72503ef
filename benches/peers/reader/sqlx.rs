//! sqlx without a service: one `fetch`, rows as they come, the bytes of every value looked at but not converted.

use std::{hint::black_box, time::Instant};

use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _, ValueRef as _, postgres::PgConnectOptions};

use crate::{Read, Result};

pub(crate) async fn read(database_url: &str, sql: &str) -> Result<Read> {
    let options: PgConnectOptions = database_url.parse()?;
    let mut database: PgConnection = options.disable_statement_logging().connect().await?;
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut database);
    let (mut count, mut first) = (0, None);
    while let Some(row) = rows.try_next().await? {
        first.get_or_insert_with(Instant::now);
        for column in 0..row.len() {
            let value = row.try_get_raw(column)?;
            if !value.is_null() {
                black_box(value.as_bytes()?);
            }
        }
        count += 1;
    }
    Ok(Read { rows: count, first, more: Value::Null })
}
