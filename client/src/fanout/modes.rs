//! The ways to run a fan-out: what is kept, and what ends it.

use std::fmt;

use tokio_stream::StreamExt as _;

use super::{Fanout, FanoutCall, FanoutStream, IntoCalls, Outcome, Report};
use crate::Error;

/// All outcomes of a fan-out.
pub struct Results<C: FanoutCall> {
    /// In the order of the input.
    pub outcomes: Vec<Outcome<C>>,
    /// What it took. [`Report::ended`] says whether every call of the input is there.
    pub report: Report,
}

/// The failure that ended a fan-out.
pub struct Failed<C: FanoutCall> {
    /// The failed call's place in the input, from 0.
    pub index: u64,
    /// The call, given back; `None` if the time for the whole was over before this one was taken from the input.
    pub call: Option<C>,
    /// Why it failed in the end.
    pub error: Error,
    /// How many attempts there were.
    pub attempts: u32,
}

/// No call has succeeded.
pub struct AllFailed<C: FanoutCall> {
    /// How many failed.
    pub failed: u64,
    /// The last of them; `None` if there was no call at all.
    pub last: Option<Outcome<C>>,
}

impl Fanout {
    /// Runs the calls, and gives their outcomes one by one: those that failed too, as values. One failure stops
    /// nothing. See [`FanoutStream`] for what a slow consumer means.
    pub fn stream<I, Kind>(&self, calls: I) -> FanoutStream<I::Calls>
    where
        I: IntoCalls<Kind>,
    {
        FanoutStream::new(self, calls.into_calls())
    }

    /// Runs all calls, and keeps all outcomes, failures as values: one failure stops nothing.
    pub async fn collect<I, Kind>(&self, calls: I) -> Results<I::Call>
    where
        I: IntoCalls<Kind>,
    {
        let mut stream = self.stream(calls);
        let mut outcomes = Vec::new();
        while let Some(outcome) = stream.next().await {
            outcomes.push(outcome);
        }
        outcomes.sort_unstable_by_key(|outcome| outcome.index);
        Results { outcomes, report: stream.monitor().report() }
    }

    /// Runs all calls for their outputs, in the order of the input. The first failure cancels the rest, down to
    /// PostgreSQL.
    ///
    /// # Errors
    /// The first failure; that the time for the whole was over is one.
    pub async fn try_collect<I, Kind>(&self, calls: I) -> Result<Vec<<I::Call as FanoutCall>::Output>, Failed<I::Call>>
    where
        I: IntoCalls<Kind>,
    {
        let mut stream = self.stream(calls);
        let mut outputs = Vec::new();
        while let Some(Outcome { index, call, result, attempts, .. }) = stream.next().await {
            match result {
                Ok(output) => outputs.push((index, output)),
                Err(error) => return Err(Failed { index, call: Some(call), error, attempts }),
            }
        }
        if let Some((index, error)) = stream.cut_off() {
            return Err(Failed { index, call: None, error, attempts: 0 });
        }
        outputs.sort_unstable_by_key(|(index, _)| *index);
        Ok(outputs.into_iter().map(|(_, output)| output).collect())
    }

    /// Runs the calls until one has succeeded, and cancels the others, down to PostgreSQL. Failures are passed over.
    ///
    /// # Errors
    /// If none has succeeded.
    pub async fn first<I, Kind>(&self, calls: I) -> Result<Outcome<I::Call>, AllFailed<I::Call>>
    where
        I: IntoCalls<Kind>,
    {
        let mut stream = self.stream(calls);
        let (mut failed, mut last) = (0, None);
        while let Some(outcome) = stream.next().await {
            if outcome.result.is_ok() {
                return Ok(outcome);
            }
            failed += 1;
            last = Some(outcome);
        }
        Err(AllFailed { failed, last })
    }

    /// Runs all calls, and hands each outcome to the sink, one at a time. While the sink is busy calls under way go on,
    /// and no further one begins: so no more outcomes wait for it than there are calls at once.
    ///
    /// # Errors
    /// The sink's; that ends the fan-out, and cancels what is under way.
    pub async fn for_each<I, Kind, E>(
        &self,
        calls: I,
        mut sink: impl AsyncFnMut(Outcome<I::Call>) -> Result<(), E>,
    ) -> Result<Report, E>
    where
        I: IntoCalls<Kind>,
    {
        let mut stream = self.stream(calls);
        while let Some(outcome) = stream.next().await {
            let taking = sink(outcome);
            stream.work_during(taking).await?;
        }
        Ok(stream.monitor().report())
    }
}

impl<C> fmt::Debug for Results<C>
where
    C: FanoutCall,
    C::Output: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("outcomes", &self.outcomes).field("report", &self.report).finish()
    }
}

impl<C: FanoutCall> fmt::Debug for Failed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, error, attempts, .. } = self;
        f.debug_struct("Failed")
            .field("index", index)
            .field("error", error)
            .field("attempts", attempts)
            .finish_non_exhaustive()
    }
}

impl<C: FanoutCall> fmt::Display for Failed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} failed after {} attempts: {}", self.index, self.attempts, self.error)
    }
}

impl<C: FanoutCall> std::error::Error for Failed<C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<C> fmt::Debug for AllFailed<C>
where
    C: FanoutCall,
    C::Output: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllFailed").field("failed", &self.failed).field("last", &self.last).finish()
    }
}

impl<C: FanoutCall> fmt::Display for AllFailed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last.as_ref().and_then(|last| last.result.as_ref().err()) {
            Some(error) => write!(f, "all {} calls failed; the last one: {error}", self.failed),
            None => f.write_str("there was no call"),
        }
    }
}

impl<C> std::error::Error for AllFailed<C>
where
    C: FanoutCall,
    C::Output: fmt::Debug,
{
}
