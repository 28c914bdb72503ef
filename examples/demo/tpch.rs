//! TPC-H's customers, orders and line items, generated here and loaded by COPY.

use std::{fmt::Display, io::Write as _, mem, time::Instant};

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::{sync::mpsc, task};
use tpchgen::{
    csv::{CustomerCsv, LineItemCsv, OrderCsv},
    generators::{CustomerGenerator, LineItemGenerator, OrderGenerator},
};

use crate::Result;

const TABLES: &str = include_str!("tpch.sql");
const KEYS: &str = include_str!("tpch_keys.sql");

/// How the demo knows a schema of its own again.
const MARK: &str = "made by the demo of rowstream";
/// The size of one piece of COPY's input.
const CHUNK_BYTES: usize = 256 * 1024;

/// Makes schema `tpch` anew, and returns the number of line items.
pub(crate) async fn load(database: &mut PgConnection, scale: f64) -> Result<u64> {
    make_room(database).await?;
    database.execute(TABLES).await?;
    let customers = CustomerGenerator::new(scale, 1, 1).iter().map(CustomerCsv::new);
    copy(database, "customer", customers).await?;
    let orders = OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new);
    copy(database, "orders", orders).await?;
    let items = LineItemGenerator::new(scale, 1, 1).iter().map(LineItemCsv::new);
    let count = copy(database, "lineitem", items).await?;

    let start = Instant::now();
    database.execute(KEYS).await?;
    for table in ["customer", "orders", "lineitem"] {
        database.execute(AssertSqlSafe(format!("VACUUM (ANALYZE) tpch.{table}"))).await?;
    }
    println!("keys and statistics: {:.1?}", start.elapsed());
    Ok(count)
}

/// Removes what an earlier demo left in this database, and nothing else.
async fn make_room(database: &mut PgConnection) -> Result<()> {
    let comment = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'tpch'";
    let found: Option<Option<String>> = sqlx::query_scalar(comment).fetch_optional(&mut *database).await?;
    match found {
        None => {}
        Some(Some(comment)) if comment == MARK => {
            database.execute("DROP SCHEMA tpch CASCADE").await?;
        }
        Some(_) => return Err("this database has a schema tpch that the demo has not made; it is left alone".into()),
    }
    let make = format!("CREATE SCHEMA tpch; COMMENT ON SCHEMA tpch IS '{MARK}'");
    database.execute(AssertSqlSafe(make)).await?;
    Ok(())
}

/// Loads one table while its rows are generated on another thread, and returns their number.
async fn copy<R>(database: &mut PgConnection, table: &str, rows: R) -> Result<u64>
where
    R: Iterator<Item: Display> + Send + 'static,
{
    let start = Instant::now();
    let (chunks, mut next) = mpsc::channel(4);
    let generating = task::spawn_blocking(move || generate(rows, &chunks));
    let mut copy = database.copy_in_raw(&format!("COPY tpch.{table} FROM STDIN (FORMAT csv)")).await?;
    while let Some(chunk) = next.recv().await {
        copy.send(chunk).await?;
    }
    generating.await?;
    let count = copy.finish().await?;
    println!("{table}: {count} rows, {:.1?}", start.elapsed());
    Ok(count)
}

/// Writes rows as CSV until nobody takes them any more.
fn generate(rows: impl Iterator<Item: Display>, chunks: &mpsc::Sender<Vec<u8>>) {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for row in rows {
        writeln!(chunk, "{row}").expect("a vector takes everything");
        if chunk.len() >= CHUNK_BYTES {
            let full = mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES));
            if chunks.blocking_send(full).is_err() {
                return;
            }
        }
    }
    // The receiver is gone only if COPY has failed, and that error is the one to tell.
    let _ = chunks.blocking_send(chunk);
}
