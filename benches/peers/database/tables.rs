//! The tables of the comparison and their data, which is the same in every run at the same scale.

use std::time::Instant;

use clap::ValueEnum;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tpchgen::{csv::LineItemCsv, generators::LineItemGenerator};

use crate::{Result, copy::copy};

const LINEITEM: &str = include_str!("lineitem.sql");
const EVENTS: &str = include_str!("events.sql");
const EVENTS_AT_SCALE_1: f64 = 5e6;
/// How much larger the one is that shows whether cost grows with the result.
const LARGE: f64 = 10.0;

/// What readers read.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Table {
    /// TPC-H's: 16 columns, numbers, dates and short texts
    Lineitem,
    /// jsonb, text[], timestamps, NULLs
    Events,
    /// lineitem at ten times the scale
    #[value(name = "lineitem_10x")]
    Lineitem10x,
}

/// Makes the list of the tables that are complete.
pub(crate) async fn prepare(database: &mut PgConnection) -> Result<()> {
    database
        .execute("CREATE TABLE IF NOT EXISTS loaded (name text PRIMARY KEY, scale float8, rows int8, copy_bytes int8)")
        .await?;
    Ok(())
}

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lineitem => "lineitem",
            Self::Events => "events",
            Self::Lineitem10x => "lineitem_10x",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Lineitem | Self::Lineitem10x => "l_orderkey, l_linenumber",
            Self::Events => "id",
        }
    }

    /// Loads the table unless it is there, and tells how many rows it has, and how large they are in COPY's binary form.
    pub(crate) async fn ready(self, database: &mut PgConnection, scale: f64) -> Result<Value> {
        let find = "SELECT rows, copy_bytes FROM loaded WHERE name = $1 AND scale = $2";
        let found: Option<(i64, i64)> =
            sqlx::query_as(find).bind(self.name()).bind(scale).fetch_optional(&mut *database).await?;
        let (rows, copy_bytes) = match found {
            Some(loaded) => loaded,
            None => self.load(database, scale).await?,
        };
        Ok(json!({"rows": rows, "copy_bytes": copy_bytes}))
    }

    async fn load(self, database: &mut PgConnection, scale: f64) -> Result<(i64, i64)> {
        let (name, start) = (self.name(), Instant::now());
        eprintln!("loading {name} at scale {scale}");
        database
            .execute(AssertSqlSafe(format!("DELETE FROM loaded WHERE name = '{name}'; DROP TABLE IF EXISTS {name}")))
            .await?;
        let rows = match self {
            Self::Lineitem => lineitem(database, name, scale).await?,
            Self::Lineitem10x => lineitem(database, name, scale * LARGE).await?,
            Self::Events => events(database, scale).await?,
        };
        let rows = i64::try_from(rows)?;
        database.execute(AssertSqlSafe(format!("ALTER TABLE {name} ADD PRIMARY KEY ({})", self.key()))).await?;
        // Frozen, so that no reader has to write what an earlier one would have written.
        database.execute(AssertSqlSafe(format!("VACUUM (FREEZE, ANALYZE) {name}"))).await?;
        database.execute("CHECKPOINT").await?;
        let copy_bytes = copy_bytes(database, name).await?;
        sqlx::query("INSERT INTO loaded VALUES ($1, $2, $3, $4)")
            .bind(name)
            .bind(scale)
            .bind(rows)
            .bind(copy_bytes)
            .execute(&mut *database)
            .await?;
        eprintln!("{name}: {rows} rows, {:.1?}", start.elapsed());
        Ok((rows, copy_bytes))
    }
}

async fn lineitem(database: &mut PgConnection, name: &str, scale: f64) -> Result<u64> {
    database.execute(AssertSqlSafe(LINEITEM.replace("lineitem", name))).await?;
    copy(database, name, LineItemGenerator::new(scale, 1, 1).iter().map(LineItemCsv::new)).await
}

async fn events(database: &mut PgConnection, scale: f64) -> Result<u64> {
    #[expect(clippy::cast_possible_truncation, reason = "a number of rows")]
    let rows = (EVENTS_AT_SCALE_1 * scale) as i64;
    let statements = EVENTS.replace("$1", &rows.to_string());
    database.execute(AssertSqlSafe(statements)).await?;
    Ok(u64::try_from(rows)?)
}

/// What COPY sends for a whole table, which is what every reader's MB/s are counted in.
async fn copy_bytes(database: &mut PgConnection, name: &str) -> Result<i64> {
    let mut copy = database.copy_out_raw(&format!("COPY (SELECT * FROM {name}) TO STDOUT (FORMAT binary)")).await?;
    let mut bytes = 0;
    while let Some(row) = copy.try_next().await? {
        bytes += row.len();
    }
    Ok(i64::try_from(bytes)?)
}
