//! Asks PostgreSQL what it estimates of a plan. The EXPLAIN is ours, never with ANALYZE, and what it explains has been
//! proved to be one row-returning statement (`describe`): a caller's own EXPLAIN is never run.
//!
//! With values it explains the very `DECLARE` that a call would run, so the plan is the cursor's. Without values for
//! all parameters it explains a generic plan, through PREPARE, since EXPLAIN (GENERIC_PLAN) is there from PostgreSQL 16
//! on only; workers are switched off for it, because a cursor gets none.

use sqlx::{
    AssertSqlSafe, Row as _, ValueRef as _,
    postgres::{PgArguments, PgRow},
};

use super::session::{Session, statement_timeout};
use crate::{
    error::{CallerText, Error},
    plan::{Described, estimate::Estimate, sql},
    stop::Stop,
};

/// The plan for these values, as a call would have it.
pub(crate) async fn bound(
    session: &mut Session,
    stop: &Stop,
    described: &Described,
    arguments: PgArguments,
) -> Result<Estimate, Error> {
    let parameters = described.parameter_oids();
    let explain = sql::declare(&described.query, &parameters).after("EXPLAIN (FORMAT JSON) ");
    let (connection, guard) = session.split();
    let fetch = sqlx::query_with(AssertSqlSafe(explain.sql), arguments).fetch_one(&mut connection.sql);
    let row = guard.run(stop, explain.text, fetch).await?;
    Estimate::parse(&json(&row)?, false)
}

/// The plan for any values.
pub(crate) async fn generic(session: &mut Session, stop: &Stop, described: &Described) -> Result<Estimate, Error> {
    let types: Vec<_> = described.parameters.iter().map(|parameter| parameter.qualified.as_str()).collect();
    let nulls = vec!["NULL"; types.len()].join(", ");
    let prepare = described.query.after(&format!("PREPARE {PREPARED} ({}) AS\n", types.join(", ")));
    let (connection, guard) = session.split();
    let run = sqlx::raw_sql(AssertSqlSafe(prepare.sql)).execute(&mut connection.sql);
    guard.run(stop, prepare.text, run).await?;
    let explain = format!(
        "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL max_parallel_workers_per_gather = 0; \
         EXPLAIN (FORMAT JSON) EXECUTE {PREPARED}({nulls})"
    );
    let fetch = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut connection.sql);
    let explained = guard.run(stop, CallerText::NONE, fetch).await;
    // A prepared statement outlives its transaction.
    let forget = match &explained {
        Ok(_) => format!("DEALLOCATE {PREPARED}"),
        Err(_) => format!("ROLLBACK; DEALLOCATE {PREPARED}; BEGIN READ ONLY; {}", statement_timeout(stop)),
    };
    let forget = sqlx::raw_sql(AssertSqlSafe(forget)).execute(&mut connection.sql);
    if let Err(error) = guard.run(stop, CallerText::NONE, forget).await {
        guard.discard();
        return explained.and(Err(error));
    }
    Estimate::parse(&json(&explained?)?, true)
}

const PREPARED: &str = "rowstream_estimate";

/// Text in the simple protocol; what the extended one calls the binary form of json is its text too.
fn json(row: &PgRow) -> Result<String, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Internal(format!("EXPLAIN: {error}"));
    let value = row.try_get_raw(0).map_err(|error| failed(&error))?;
    debug_assert!(!value.is_null(), "EXPLAIN prints a document");
    let bytes = value.as_bytes().map_err(|error| failed(&error))?;
    String::from_utf8(bytes.to_vec()).map_err(|error| failed(&error))
}
