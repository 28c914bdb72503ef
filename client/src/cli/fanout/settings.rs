//! From the arguments to the library's settings.

use std::{io, time::Duration};

use rowstream_client::{
    Client, Description,
    fanout::{Concurrency, Fanout, RetryPolicy},
};

use super::{
    args::{Fanout as Arguments, Limits},
    lookup::{Describe, Statement},
};
use crate::cli::failure::Failure;

/// With --ordered, how many calls may wait for their turn, for each that may be under way.
const WINDOW_PER_CALL: usize = 16;

/// The fan-out that the arguments ask for.
pub(super) fn of(client: &Client, deadline: Option<Duration>, arguments: &Arguments) -> Fanout {
    let limits = &arguments.limits;
    let concurrency = match limits.adaptive {
        true => Concurrency::adaptive(limits.concurrency),
        false => Concurrency::fixed(limits.concurrency),
    };
    let mut fanout = client.fanout().concurrency(concurrency).retry(retries(limits));
    if let Some(rate) = limits.rate {
        fanout = fanout.rate(rate);
    }
    if let Some(rate) = limits.rate_per_endpoint {
        fanout = fanout.rate_per_endpoint(rate);
    }
    if let Some(attempts) = limits.concurrency_per_endpoint {
        fanout = fanout.concurrency_per_endpoint(attempts);
    }
    if let Some(timeout) = deadline {
        fanout = fanout.deadline(timeout);
    }
    if let Some(timeout) = limits.total_deadline {
        fanout = fanout.total_deadline(timeout);
    }
    if let Some(hedge) = limits.hedge {
        fanout = fanout.hedge(hedge);
    }
    if arguments.output.ordered {
        // One slow call holds back what comes after it; so many outcomes wait for it at most.
        fanout = fanout.in_order(limits.concurrency.saturating_mul(WINDOW_PER_CALL));
    }
    fanout
}

fn retries(limits: &Limits) -> RetryPolicy {
    RetryPolicy::default()
        .max_retries(limits.retries)
        .codes(limits.retry_on.iter().copied())
        .after_rows(limits.retry_after_rows)
}

/// Asks once what the statement takes and gives, as persistently as its calls are made.
pub(super) async fn describe(
    client: &Client,
    deadline: Option<Duration>,
    limits: &Limits,
    statement: &Statement,
) -> Result<Description, Failure> {
    let mut fanout = client.fanout().retry(retries(limits));
    if let Some(timeout) = deadline {
        fanout = fanout.deadline(timeout);
    }
    let described = fanout.try_collect([Describe(statement.clone())]).await;
    let mut described = described.map_err(|failed| Failure::Call { error: failed.error, sql: statement.sql() })?;
    described.pop().ok_or_else(|| Failure::Start(io::Error::other("no description")))
}
