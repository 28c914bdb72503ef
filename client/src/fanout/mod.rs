//! Many calls at once: as fast as they may go and no faster, each with a deadline, each accounted for.
//!
//! ```no_run
//! # async fn example(ids: Vec<i64>) -> Result<(), rowstream_client::Error> {
//! use std::time::Duration;
//! use rowstream_client::{Client, fanout::Rate};
//!
//! let client = Client::builder(["http://127.0.0.1:50051"]).build()?;
//! let calls = ids.into_iter().map(|id| client.query("orders_of_customer").bind_named("customer", id));
//! let results = client
//!     .fanout()
//!     .rate(Rate::per_second(200.0)?)
//!     .concurrency(50)
//!     .deadline(Duration::from_secs(2))
//!     .collect(calls)
//!     .await;
//! for outcome in results.outcomes {
//!     match outcome.result {
//!         Ok(rows) => println!("call {}: {} rows", outcome.index, rows.len()),
//!         Err(error) => println!("call {}: {error}, after {} attempts", outcome.index, outcome.attempts),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a call
//!
//! call -> rate -> concurrency -> hedge -> retry -> endpoint choice -> attempt
//!
//! 1. A **call** is pulled from the input when there is room for it, and not before: the input may be endless.
//! 2. The **rate** is a token bucket that says when it may begin ([`Rate`]).
//! 3. The **concurrency** is the number of permits; a call keeps its own to its end ([`Concurrency`]). Its deadline
//!    begins now.
//! 4. A **hedge** is a second attempt beside one that is slow ([`HedgePolicy`]); each of the two goes through what
//!    follows.
//! 5. A **retry** is an attempt after one that failed before its first row, within the budget
//!    ([`RetryPolicy`]). It takes no further token and no further permit: the load it adds is bounded by the budget.
//! 6. The **endpoint** is chosen anew for each attempt: the less loaded of two, and none that the call has tried if
//!    there is another. Limits for each server are here.
//! 7. An **attempt** is one RPC, which is told what remains of the deadline, and the number of attempts before it.
//!
//! Retry is inside of hedge, and rate outside of both, so that a server in trouble gets fewer calls and not more.
//!
//! # Ending it
//!
//! Dropping a [`FanoutStream`], or any future made here, cancels every attempt under way, down to PostgreSQL. A fan-out
//! has no task of its own: it makes progress while it is polled, and nothing outlives it.

mod attempt;
mod call;
mod modes;
mod monitor;
mod order;
mod outcome;
mod run;
mod source;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub use self::{
    call::{FanoutCall, OneRow, ResultSet},
    modes::{AllFailed, Failed, Results},
    monitor::{Ended, Monitor, Percentiles, Report},
    outcome::Outcome,
    run::FanoutStream,
    source::{ByIterator, ByStream, IntoCalls},
};
use crate::{Client, hedge::Hedging, retry::Budget, scope::ServerLimits};
pub use crate::{
    hedge::HedgePolicy,
    limiter::{Adaptive, Concurrency, Rate},
    retry::RetryPolicy,
};

/// How many calls at once, if nobody says.
const DEFAULT_CONCURRENCY: usize = 16;

/// Settings of a fan-out; made by [`Client::fanout`]. Can be cloned and run many times; each run has limits, a budget
/// and counts of its own.
#[derive(Clone, Debug)]
#[must_use = "a fan-out does nothing until it is run"]
pub struct Fanout {
    client: Client,
    rate: Option<Rate>,
    rate_per_endpoint: Option<Rate>,
    concurrency: Concurrency,
    concurrency_per_endpoint: Option<usize>,
    deadline: Option<Duration>,
    total_deadline: Option<Duration>,
    retry: RetryPolicy,
    hedge: Option<HedgePolicy>,
    window: Option<usize>,
    seed: Option<u64>,
}

impl Fanout {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            rate: None,
            rate_per_endpoint: None,
            concurrency: Concurrency::Fixed(DEFAULT_CONCURRENCY),
            concurrency_per_endpoint: None,
            deadline: None,
            total_deadline: None,
            retry: RetryPolicy::default(),
            hedge: None,
            window: None,
            seed: None,
        }
    }

    /// How fast calls begin. Default: as fast as the concurrency lets them.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// How fast attempts begin at each server, retries and hedges included. Default: no limit.
    pub fn rate_per_endpoint(mut self, rate: Rate) -> Self {
        self.rate_per_endpoint = Some(rate);
        self
    }

    /// How many calls are under way at once. Default 16.
    pub fn concurrency(mut self, concurrency: impl Into<Concurrency>) -> Self {
        self.concurrency = concurrency.into();
        self
    }

    /// How many attempts are under way at once at each server; 0 counts as 1. Default: no limit.
    pub fn concurrency_per_endpoint(mut self, attempts: usize) -> Self {
        self.concurrency_per_endpoint = Some(attempts);
        self
    }

    /// How long a call may take from when it begins, over all its attempts and the waits between them. A call's own
    /// deadline holds too, if it is shorter. Default: the call's own.
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.deadline = Some(timeout);
        self
    }

    /// How long the whole may take from when it is run. Then no call begins any more, and those under way are past their
    /// deadline. Default: no limit.
    pub fn total_deadline(mut self, timeout: Duration) -> Self {
        self.total_deadline = Some(timeout);
        self
    }

    /// Which failed attempts are made again. Default: [`RetryPolicy::default`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// When a second attempt begins beside a slow one. At most a tenth of the calls are hedged, and none while failures
    /// have used up half of the retry budget. Default: never.
    pub fn hedge(mut self, policy: HedgePolicy) -> Self {
        self.hedge = Some(policy);
        self
    }

    /// Gives outcomes in the order of the input. One that is ready before its turn waits, and at most `window` calls
    /// are under way or wait so; 0 counts as 1. Default: as they are ready.
    pub fn in_order(mut self, window: usize) -> Self {
        self.window = Some(window.max(1));
        self
    }

    /// Where the randomness of the waits before retries begins: the same seed, the same waits. Default: anywhere.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What the calls of one run share.
    fn shared(&self) -> Arc<attempt::Shared> {
        let rng = self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Arc::new(attempt::Shared {
            client: self.client.clone(),
            deadline: self.deadline,
            total: self.total_deadline.and_then(|timeout| Some((timeout, Instant::now().checked_add(timeout)?))),
            budget: Budget::new(&self.retry, self.concurrency.most()),
            retry: self.retry.clone(),
            hedging: self.hedge.map(Hedging::new),
            limits: ServerLimits::new(self.rate_per_endpoint, self.concurrency_per_endpoint),
            rng: std::sync::Mutex::new(rng),
            monitor: Monitor::new(),
        })
    }
}

#[cfg(test)]
mod tests;
