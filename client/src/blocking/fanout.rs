//! Many calls at once, waited for by one thread.

use std::time::Duration;

use tokio_stream::{Stream, StreamExt as _};

use super::{Call, runtime::Runtime};
use crate::{
    Client, Error,
    fanout::{
        AllFailed, Concurrency, Failed, FanoutCall, FanoutStream, HedgePolicy, IntoCalls, Monitor, Outcome, Rate,
        Report, ResultSet, Results, RetryPolicy,
    },
};

/// Settings of a fan-out, made by [`blocking::Client::fanout`](super::Client::fanout): as
/// [`fanout::Fanout`](crate::fanout::Fanout), which also says what a fan-out is.
///
/// Calls are those of the blocking client, or whatever else is a [`FanoutCall`]. They go on while this thread waits for
/// the next outcome, and not while it is busy with the last one.
///
/// # Panics
/// Whatever runs calls panics in asynchronous code: see [the module](super).
#[derive(Clone, Debug)]
#[must_use = "a fan-out does nothing until it is run"]
pub struct Fanout {
    inner: crate::fanout::Fanout,
    runtime: Runtime,
}

impl Fanout {
    pub(super) fn new(inner: crate::fanout::Fanout, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    fn with(self, change: impl FnOnce(crate::fanout::Fanout) -> crate::fanout::Fanout) -> Self {
        Self { inner: change(self.inner), runtime: self.runtime }
    }

    /// As [`Fanout::rate`](crate::fanout::Fanout::rate): how fast calls begin.
    pub fn rate(self, rate: Rate) -> Self {
        self.with(|fanout| fanout.rate(rate))
    }

    /// As [`Fanout::rate_per_endpoint`](crate::fanout::Fanout::rate_per_endpoint): how fast attempts begin at each
    /// server.
    pub fn rate_per_endpoint(self, rate: Rate) -> Self {
        self.with(|fanout| fanout.rate_per_endpoint(rate))
    }

    /// As [`Fanout::concurrency`](crate::fanout::Fanout::concurrency): how many calls are under way at once. Default 16.
    pub fn concurrency(self, concurrency: impl Into<Concurrency>) -> Self {
        self.with(|fanout| fanout.concurrency(concurrency))
    }

    /// As [`Fanout::concurrency_per_endpoint`](crate::fanout::Fanout::concurrency_per_endpoint): how many attempts are
    /// under way at once at each server.
    pub fn concurrency_per_endpoint(self, attempts: usize) -> Self {
        self.with(|fanout| fanout.concurrency_per_endpoint(attempts))
    }

    /// As [`Fanout::deadline`](crate::fanout::Fanout::deadline): how long a call may take, over all its attempts.
    pub fn deadline(self, timeout: Duration) -> Self {
        self.with(|fanout| fanout.deadline(timeout))
    }

    /// As [`Fanout::total_deadline`](crate::fanout::Fanout::total_deadline): how long the whole may take.
    pub fn total_deadline(self, timeout: Duration) -> Self {
        self.with(|fanout| fanout.total_deadline(timeout))
    }

    /// As [`Fanout::retry`](crate::fanout::Fanout::retry): which failed attempts are made again.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with(|fanout| fanout.retry(policy))
    }

    /// As [`Fanout::hedge`](crate::fanout::Fanout::hedge): when a second attempt begins beside a slow one.
    pub fn hedge(self, policy: HedgePolicy) -> Self {
        self.with(|fanout| fanout.hedge(policy))
    }

    /// As [`Fanout::in_order`](crate::fanout::Fanout::in_order): outcomes in the order of the input.
    pub fn in_order(self, window: usize) -> Self {
        self.with(|fanout| fanout.in_order(window))
    }

    /// As [`Fanout::seed`](crate::fanout::Fanout::seed): where the randomness of waits begins.
    pub fn seed(self, seed: u64) -> Self {
        self.with(|fanout| fanout.seed(seed))
    }

    /// As [`Fanout::stream`](crate::fanout::Fanout::stream): the outcomes, one by one. Dropping it cancels the rest.
    pub fn stream<I, Kind>(&self, calls: I) -> Outcomes<I::Calls>
    where
        I: IntoCalls<Kind>,
    {
        Outcomes { stream: self.runtime.enter(|| self.inner.stream(calls)), runtime: self.runtime.clone() }
    }

    /// As [`Fanout::collect`](crate::fanout::Fanout::collect): all outcomes, failures as values.
    pub fn collect<I, Kind>(&self, calls: I) -> Results<I::Call>
    where
        I: IntoCalls<Kind>,
    {
        self.runtime.wait(self.inner.collect(calls))
    }

    /// As [`Fanout::try_collect`](crate::fanout::Fanout::try_collect): all outputs; the first failure cancels the rest.
    ///
    /// # Errors
    /// The first failure; that the time for the whole was over is one.
    pub fn try_collect<I, Kind>(&self, calls: I) -> Result<Vec<<I::Call as FanoutCall>::Output>, Failed<I::Call>>
    where
        I: IntoCalls<Kind>,
    {
        self.runtime.wait(self.inner.try_collect(calls))
    }

    /// As [`Fanout::first`](crate::fanout::Fanout::first): the first success; the others are cancelled.
    ///
    /// # Errors
    /// If none has succeeded.
    pub fn first<I, Kind>(&self, calls: I) -> Result<Outcome<I::Call>, AllFailed<I::Call>>
    where
        I: IntoCalls<Kind>,
    {
        self.runtime.wait(self.inner.first(calls))
    }

    /// As [`Fanout::for_each`](crate::fanout::Fanout::for_each), with a sink that blocks.
    ///
    /// # Errors
    /// The sink's; that ends the fan-out, and cancels what is under way.
    pub fn for_each<I, Kind, E>(
        &self,
        calls: I,
        mut sink: impl FnMut(Outcome<I::Call>) -> Result<(), E>,
    ) -> Result<Report, E>
    where
        I: IntoCalls<Kind>,
    {
        let mut outcomes = self.stream(calls);
        outcomes.try_for_each(&mut sink)?;
        Ok(outcomes.monitor().report())
    }
}

/// The outcomes of a fan-out, one by one. Dropping it cancels the calls under way, down to PostgreSQL.
#[derive(Debug)]
pub struct Outcomes<S: Stream>
where
    S::Item: FanoutCall,
{
    stream: FanoutStream<S>,
    runtime: Runtime,
}

impl<S: Stream> Outcomes<S>
where
    S::Item: FanoutCall,
{
    /// As [`FanoutStream::monitor`]: what there is to tell of it, while it runs and after.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.stream.monitor()
    }
}

impl<S: Stream> Iterator for Outcomes<S>
where
    S::Item: FanoutCall,
{
    type Item = Outcome<S::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.wait(self.stream.next())
    }
}

impl FanoutCall for Call {
    type Output = ResultSet;

    async fn attempt(&self, client: Client) -> Result<ResultSet, Error> {
        self.inner.attempt(client).await
    }

    fn deadline(&self) -> Option<Duration> {
        FanoutCall::deadline(&self.inner)
    }
}
