//! How many connections PostgreSQL admits for this role in this database, held against what the settings ask for.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

use super::{ConnectOptions, control};

/// Every limit there is, and whom it limits.
const ASK: &str = "
    SELECT current_setting('max_connections')::int8,
           current_setting('superuser_reserved_connections')::int8,
           coalesce(current_setting('reserved_connections', true), '0')::int8,
           rolsuper, rolconnlimit::int8, datconnlimit::int8, rolname::text, datname::text
    FROM pg_roles, pg_database WHERE rolname = session_user AND datname = current_database()";

/// PostgreSQL's limits on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    max: i64,
    superuser_reserved: i64,
    /// `reserved_connections`, from PostgreSQL 16 on.
    reserved: i64,
    is_superuser: bool,
    /// -1 if there is none, like the next.
    of_role: i64,
    of_database: i64,
    role: String,
    database: String,
}

/// Why the limits are not known.
#[derive(Debug)]
pub(crate) enum LimitsError {
    /// PostgreSQL answered, and takes neither the role, nor its password, or has no such database.
    Refused(String),
    /// PostgreSQL could not be asked.
    Unknown(String),
}

impl std::fmt::Display for LimitsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Refused(cause) | Self::Unknown(cause)) = self;
        f.write_str(cause)
    }
}

impl Limits {
    /// Asks on a connection of its own, which does not outlive the answer.
    pub(crate) async fn of(options: &ConnectOptions, limit: Duration) -> Result<Self, LimitsError> {
        let asked = async {
            let mut connection =
                PgConnection::connect_with(options).await.map_err(|error| LimitsError::from(&error))?;
            let limits = Self::ask(&mut connection).await;
            // The answer is there; how the connection ends does not matter.
            let _ = connection.close().await;
            limits
        };
        timeout(limit, asked).await.unwrap_or_else(|_| Err(late(limit)))
    }

    async fn ask(connection: &mut PgConnection) -> Result<Self, LimitsError> {
        let row = sqlx::query(ASK).fetch_one(connection).await.map_err(|error| LimitsError::from(&error))?;
        let read = || {
            Ok(Self {
                max: row.try_get(0)?,
                superuser_reserved: row.try_get(1)?,
                reserved: row.try_get(2)?,
                is_superuser: row.try_get(3)?,
                of_role: row.try_get(4)?,
                of_database: row.try_get(5)?,
                role: row.try_get(6)?,
                database: row.try_get(7)?,
            })
        };
        read().map_err(|error: sqlx::Error| LimitsError::from(&error))
    }

    /// Whether a pool of this size has room, beside a connection for each of so many read sessions.
    ///
    /// # Errors
    /// Names the settings, the narrowest limit, and what would be right.
    pub(crate) fn check(&self, pool_max: usize, sessions: usize) -> Result<(), String> {
        let [pool, sessions, control] =
            [pool_max, sessions, control::CONNECTIONS].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let needed = pool.saturating_add(sessions).saturating_add(control);
        let (admitted, why) = self.narrowest();
        if needed <= admitted {
            return Ok(());
        }
        let fits = admitted.saturating_sub(control).saturating_sub(sessions);
        let lower = if fits > 0 {
            format!("set --pool-max to at most {fits}, or raise")
        } else {
            "lower both, or raise".to_owned()
        };
        Err(format!(
            "--pool-max {pool_max} and --max-read-sessions {sessions} need {needed} connections, {control} of them to cancel, \
             but PostgreSQL admits {admitted} ({why}); {lower} that limit"
        ))
    }

    /// The narrowest limit, and what it is.
    fn narrowest(&self) -> (i64, String) {
        if self.is_superuser {
            return (self.max, format!("max_connections {}", self.max));
        }
        let free = (self.max - self.superuser_reserved - self.reserved).max(0);
        let reserved = match self.reserved {
            0 => String::new(),
            reserved => format!(" - reserved_connections {reserved}"),
        };
        let shared = format!(
            "max_connections {} - superuser_reserved_connections {}{reserved}",
            self.max, self.superuser_reserved
        );
        [
            (free, shared),
            (self.of_role, format!("CONNECTION LIMIT of role {:?}", self.role)),
            (self.of_database, format!("CONNECTION LIMIT of database {:?}", self.database)),
        ]
        .into_iter()
        .filter(|(limit, _)| *limit >= 0)
        .min_by_key(|(limit, _)| *limit)
        .unwrap_or_default()
    }
}

impl From<&sqlx::Error> for LimitsError {
    /// Classes 28 (authorization) and 3D (no such database) are about what the URL says.
    fn from(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
        let cause = error.to_string();
        if code.starts_with("28") || code.starts_with("3D") { Self::Refused(cause) } else { Self::Unknown(cause) }
    }
}

fn late(limit: Duration) -> LimitsError {
    LimitsError::Unknown(format!("no answer within {}", humantime::format_duration(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Limits = Limits {
        max: 100,
        superuser_reserved: 3,
        reserved: 0,
        is_superuser: false,
        of_role: -1,
        of_database: -1,
        role: String::new(),
        database: String::new(),
    };

    #[test]
    fn the_narrowest_limit_counts_and_the_message_says_what_fits() {
        for (limits, most) in [
            (PLAIN, 95),
            (Limits { reserved: 5, ..PLAIN }, 90),
            (Limits { of_role: 12, ..PLAIN }, 10),
            (Limits { of_database: 20, of_role: 30, ..PLAIN }, 18),
            (Limits { is_superuser: true, of_role: 5, of_database: 5, ..PLAIN }, 98),
        ] {
            assert_eq!(limits.check(most, 0), Ok(()));
            assert_eq!(limits.check(most - 4, 4), Ok(()));
            assert!(limits.check(most, 1).is_err());
            let refused = limits.check(most + 1, 0).expect_err("one too many");
            assert!(refused.contains(&format!("set --pool-max to at most {most}")), "{refused}");
        }
        assert!(
            Limits { of_role: 1, ..PLAIN }
                .check(1, 0)
                .expect_err("none fits")
                .ends_with("; lower both, or raise that limit")
        );
    }
}
