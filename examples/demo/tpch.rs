//! TPC-H's customers, orders and line items, generated here and loaded by COPY.

use std::{fmt::Display, time::Instant};

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tpchgen::{
    csv::{CustomerCsv, LineItemCsv, OrderCsv},
    generators::{CustomerGenerator, LineItemGenerator, OrderGenerator},
};

use crate::{Result, copy::copy};

const TABLES: &str = include_str!("tpch.sql");
const KEYS: &str = include_str!("tpch_keys.sql");

/// How the demo knows a schema of its own again.
const MARK: &str = "made by the demo of rowstream";

/// Makes schema `tpch` anew, and returns the number of line items.
pub(crate) async fn load(database: &mut PgConnection, scale: f64) -> Result<u64> {
    make_room(database).await?;
    database.execute(TABLES).await?;
    let customers = CustomerGenerator::new(scale, 1, 1).iter().map(CustomerCsv::new);
    fill(database, "tpch.customer", customers).await?;
    let orders = OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new);
    fill(database, "tpch.orders", orders).await?;
    let items = LineItemGenerator::new(scale, 1, 1).iter().map(LineItemCsv::new);
    let count = fill(database, "tpch.lineitem", items).await?;

    let start = Instant::now();
    database.execute(KEYS).await?;
    for table in ["customer", "orders", "lineitem"] {
        database.execute(AssertSqlSafe(format!("VACUUM (ANALYZE) tpch.{table}"))).await?;
    }
    println!("keys and statistics: {:.1?}", start.elapsed());
    Ok(count)
}

/// Loads a table, and says how long that took.
async fn fill<R>(database: &mut PgConnection, table: &str, rows: R) -> Result<u64>
where
    R: Iterator<Item: Display> + Send + 'static,
{
    let start = Instant::now();
    let count = copy(database, table, rows).await?;
    println!("{table}: {count} rows, {:.1?}", start.elapsed());
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
