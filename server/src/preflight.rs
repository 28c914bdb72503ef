//! `--check-config`: everything that can be found wrong before serving; and what is still asked at a normal start.
//!
//! The settings themselves have been checked when this is reached.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    db::limits::{Limits, LimitsError},
    queries::Folder,
    tls,
};

/// How long PostgreSQL has to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What keeps the server from serving; each names the flag, and what would be right.
    pub problems: Vec<String>,
    /// What could not be checked.
    pub notes: Vec<String>,
}

/// Checks the certificate, the named queries' format, and, if PostgreSQL can be reached, whether it takes the role
/// and admits the pool.
pub async fn preflight(config: &Config) -> Checked {
    let args = &config.args;
    let mut checked = Checked::default();
    if let Some(files) = tls::Files::of(args) {
        checked.problems.extend(tls::check(&files).err());
    }
    if let Some(folder) = &args.queries {
        let at = |problem: String| format!("--queries {}: {problem}", folder.display());
        match Folder::new(folder.clone()).problems() {
            Ok(problems) => checked.problems.extend(problems.into_iter().map(at)),
            Err(error) => checked.problems.push(at(error.to_string())),
        }
    }
    match Limits::of(&config.database, LIMIT.min(args.connect_timeout)).await {
        Ok(limits) => checked.problems.extend(limits.check(args.pool_max, args.max_read_sessions).err()),
        Err(LimitsError::Refused(cause)) => checked.problems.push(format!("{}: {cause}", flag(config))),
        Err(LimitsError::Unknown(cause)) => {
            checked.notes.push(format!("PostgreSQL could not be asked, so its limits were not checked: {cause}"));
        }
    }
    checked
}

/// Ends the server if PostgreSQL, once it answers, does not admit as many connections as the settings ask for: they
/// would fail one by one, under load only. What is answered says why, once it is known.
pub(crate) fn admit(
    config: &Config,
    mut healthy: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> watch::Receiver<Option<String>> {
    let (refuse, refused) = watch::channel(None);
    let (database, pool_max) = (config.database.clone(), config.args.pool_max);
    let sessions = config.args.max_read_sessions;
    tokio::spawn(async move {
        if healthy.wait_for(|healthy| *healthy).await.is_err() {
            return;
        }
        match Limits::of(&database, LIMIT).await.map(|limits| limits.check(pool_max, sessions)) {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => {
                tracing::error!(problem, "PostgreSQL does not admit the pool");
                refuse.send_replace(Some(problem));
                shutdown.cancel();
            }
            Err(error) => tracing::warn!(%error, "cannot ask PostgreSQL how many connections it admits"),
        }
    });
    refused
}

/// The flag that says where PostgreSQL is.
fn flag(config: &Config) -> &'static str {
    if config.args.database_url_file.is_some() { "--database-url-file" } else { "--database-url" }
}
