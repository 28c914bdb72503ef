//! A deadline and a cancel, and what PostgreSQL itself says of them.

use std::time::{Duration, Instant};

use rowstream_client::Client;
use rowstream_testkit::eventually;
use sqlx::{PgConnection, Row as _};

use crate::Result;

/// Would run for hours.
const ENDLESS: &str = "SELECT count(*) FROM tpch.lineitem AS a, tpch.lineitem AS b WHERE a.l_comment < b.l_comment";

const DEADLINE: Duration = Duration::from_millis(500);
/// How long PostgreSQL may take to show a change before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs an endless statement with a deadline.
pub(crate) async fn deadline(client: &Client, database: &mut PgConnection) -> Result<()> {
    println!("{ENDLESS}\nwith a deadline of {DEADLINE:?}");
    let call = client.sql(ENDLESS).query_id("demo-deadline").deadline(DEADLINE);
    let start = Instant::now();
    let call = tokio::spawn(async move { call.query_row().await });
    let pid = until_active(database, "demo-deadline").await;
    show(database, pid, "before").await?;
    let error = call.await?.err().ok_or("the call ended well")?;
    println!("after {:.0?}: {error}", start.elapsed());
    until_idle(database, pid).await;
    show(database, pid, "after").await
}

/// Cancels an endless statement from beside.
pub(crate) async fn cancel(client: &Client, database: &mut PgConnection) -> Result<()> {
    println!("{ENDLESS}\ncancelled by its id");
    let call = client.sql(ENDLESS).query_id("demo-cancel");
    let call = tokio::spawn(async move { call.query_row().await });
    let pid = until_active(database, "demo-cancel").await;
    show(database, pid, "before").await?;
    let start = Instant::now();
    client.cancel("demo-cancel").await?;
    until_idle(database, pid).await;
    println!("PostgreSQL stopped {:.1?} after the cancel was sent", start.elapsed());
    println!("{}", call.await?.err().ok_or("the call ended well")?);
    show(database, pid, "after").await
}

/// Waits until a call of that query id is well under way in PostgreSQL, and returns its backend.
async fn until_active(database: &mut PgConnection, query_id: &str) -> i32 {
    // Past its first moments, in which PostgreSQL compiles the statement and hears nothing.
    let backend = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE $1 AND state = 'active' \
                   AND clock_timestamp() - query_start > '300 ms'";
    let application_name = format!("rowstream {query_id} %");
    let mut pid = None;
    eventually("the statement runs in PostgreSQL", PATIENCE, async || {
        let found = sqlx::query_scalar(backend).bind(&application_name).fetch_optional(&mut *database).await;
        pid = found.ok().flatten();
        pid.is_some()
    })
    .await;
    pid.unwrap_or_default()
}

/// Waits until a backend has stopped its work, and closed its transaction.
async fn until_idle(database: &mut PgConnection, pid: i32) {
    let busy = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state <> 'idle')";
    eventually("PostgreSQL stops", PATIENCE, async || {
        matches!(sqlx::query_scalar(busy).bind(pid).fetch_one(&mut *database).await, Ok(false))
    })
    .await;
}

/// Prints a backend's row of pg_stat_activity.
async fn show(database: &mut PgConnection, pid: i32, when: &str) -> Result<()> {
    let activity = "SELECT format('pid %s  %s  [%s]  %s', pid, state, application_name, \
                    left(regexp_replace(query, '\\s+', ' ', 'g'), 60)) FROM pg_stat_activity WHERE pid = $1";
    let row = sqlx::query(activity).bind(pid).fetch_optional(database).await?;
    let text = match row {
        Some(row) => row.try_get(0)?,
        None => format!("pid {pid}  gone"),
    };
    println!("  pg_stat_activity {when}: {text}");
    Ok(())
}
