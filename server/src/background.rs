//! What runs beside the calls: the watch over PostgreSQL, the health service that tells of it, what takes up changed
//! files of named queries, and the admin port.

use std::{sync::Arc, time::Duration};

use rowstream_contract::v1::{query_service_server::SERVICE_NAME, read_session_service_server};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    admin::{self, Admin},
    db::health,
    error::Error,
    metrics::calls::{CallCounts, Method},
    plan::{Arguments, Source, named::NamedQuery, request::Statement},
    queries::follow::{Check, Follower},
    reload::Hangups,
    stream::engine::Engine,
};

/// How long checking one named query may take.
const CHECK: Duration = Duration::from_secs(10);

/// What the health service tells of: the whole server, and its services.
const HEALTH_SERVICES: [&str; 3] = ["", SERVICE_NAME, read_session_service_server::SERVICE_NAME];

/// The tasks that run until the server has drained.
pub(crate) struct Background {
    pub(crate) health: HealthReporter,
    /// Whether PostgreSQL answers.
    pub(crate) healthy: watch::Receiver<bool>,
    /// Cancelled when they are to end.
    pub(crate) end: CancellationToken,
    admin: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts to watch over PostgreSQL.
    pub(crate) fn start(engine: &Arc<Engine>, pool_min: usize, shutdown: &CancellationToken) -> Self {
        let health = HealthReporter::new();
        let (healthy, watching) = watch::channel(false);
        let end = CancellationToken::new();
        tokio::spawn(health::watch(engine.database.clone(), pool_min, healthy, end.clone()));
        tokio::spawn(report(health.clone(), watching.clone(), shutdown.clone()));
        Self { health, healthy: watching, end, admin: None }
    }

    /// Follows the files of named queries: on SIGHUP, and if it is to `watch`, when they change.
    pub(crate) fn follow(&self, follower: Follower, watch: bool, hangups: Hangups, check: Checker) {
        let following = follower.run(watch, check, hangups, self.healthy.clone());
        tokio::spawn(self.end.clone().run_until_cancelled_owned(following));
    }

    /// Serves the admin port.
    pub(crate) fn serve_admin(&mut self, listener: TcpListener, admin: Admin) {
        self.admin = Some(tokio::spawn(admin::run(listener, Arc::new(admin), self.end.clone())));
    }

    /// Ends the streams of those who watch the health service, which hold their connections open. They have been told
    /// that it no longer serves.
    pub(crate) async fn end_watches(&mut self) {
        for service in HEALTH_SERVICES {
            self.health.clear_service_status(service).await;
        }
    }

    /// Ends it all, the admin port last: it tells how the drain goes on to its end.
    pub(crate) async fn end(self) {
        self.end.cancel();
        if let Some(admin) = self.admin {
            let _ = admin.await;
        }
    }
}

/// Tells grpc.health.v1 whether PostgreSQL answers; never again once the server is shutting down.
async fn report(health: HealthReporter, mut healthy: watch::Receiver<bool>, shutdown: CancellationToken) {
    loop {
        let serving = *healthy.borrow_and_update() && !shutdown.is_cancelled();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in HEALTH_SERVICES {
            health.set_service_status(service, status).await;
        }
        if shutdown.is_cancelled() {
            return;
        }
        tokio::select! {
            changed = healthy.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => {}
        }
    }
}

/// Has PostgreSQL check a named query by describing it.
pub(crate) struct Checker {
    pub(crate) engine: Arc<Engine>,
    pub(crate) counts: CallCounts,
}

impl Check for Checker {
    async fn check(&self, query: Arc<NamedQuery>) -> Result<(), Error> {
        let count = self.counts.begin(Method::Check);
        count.of_statement(&query.name);
        let call = self.engine.calls.begin(None, "", CHECK, &count)?;
        let statement =
            Statement { source: Source::Named(query), arguments: Arguments::Positional(Vec::new()), partition: None };
        self.engine.describe(call, statement, false).await.map(drop)
    }
}
