//! What `pg_stat_activity` says of the server's backends, over a connection that stays: psql takes longer to start
//! than what is to be measured.

use std::time::Duration;

use rowstream_testkit::{Database, eventually};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// Watches the backends of one database.
#[derive(Debug)]
pub(crate) struct Watch {
    connection: PgConnection,
    /// Of the server's backends in this database.
    condition: String,
}

impl Watch {
    /// Connects straight to PostgreSQL, whatever the server goes through.
    pub(crate) async fn of(database: &Database) -> Self {
        let url = database.url().replace(&format!("/{}", database.name()), "/postgres");
        let connection = PgConnection::connect(&url).await.expect("PostgreSQL answers");
        let condition = format!("backend_type = 'client backend' and datname = '{}'", database.name());
        Self { connection, condition }
    }

    /// How many backends of the server there are for which more holds.
    pub(crate) async fn count(&mut self, more: &str) -> usize {
        let sql = format!("select count(*) from pg_stat_activity where {} and ({more})", self.condition);
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await.expect("a count");
        row.try_get_raw(0).expect("a column").as_str().expect("text").parse().expect("a number")
    }

    /// The pids of the backends for which more holds.
    pub(crate) async fn pids(&mut self, more: &str) -> Vec<i32> {
        let sql = format!("select pid from pg_stat_activity where {} and ({more})", self.condition);
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await.expect("pids");
        let pid = |row: &sqlx::postgres::PgRow| row.try_get_raw(0).ok()?.as_str().ok()?.parse().ok();
        rows.iter().map(|row| pid(row).expect("a pid")).collect()
    }

    /// Runs a statement for its effect.
    pub(crate) async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.expect(sql);
    }

    /// How many work, or hold a transaction open.
    pub(crate) async fn busy(&mut self) -> usize {
        self.count("state <> 'idle'").await
    }

    /// Waits until none does, and tells how long that took.
    pub(crate) async fn until_idle(&mut self, limit: Duration) -> Duration {
        eventually("no backend is busy or in a transaction", limit, async || self.busy().await == 0).await
    }
}
