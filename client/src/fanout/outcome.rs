//! How a call ended.

use std::{fmt, sync::Arc, time::Duration};

use super::FanoutCall;
use crate::Error;

/// How a call of a fan-out ended: one for each call that was taken from the input, failures too.
pub struct Outcome<C: FanoutCall> {
    /// The call's place in the input, from 0.
    pub index: u64,
    /// The call itself, given back.
    pub call: C,
    /// What it brought, or why it failed in the end.
    pub result: Result<C::Output, Error>,
    /// How many attempts there were, hedges included. 0 if the time for the whole was over before the first.
    pub attempts: u32,
    /// Whether a second attempt ran beside the first.
    pub hedged: bool,
    /// From when the call was let in, by rate and concurrency, to its end.
    pub latency: Duration,
    /// The server of the attempt that decided it, if it came to one: the endpoint's URL as it was given.
    pub endpoint: Option<Arc<str>>,
}

impl<C> fmt::Debug for Outcome<C>
where
    C: FanoutCall,
    C::Output: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("index", &self.index)
            .field("result", &self.result)
            .field("attempts", &self.attempts)
            .field("hedged", &self.hedged)
            .field("latency", &self.latency)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
