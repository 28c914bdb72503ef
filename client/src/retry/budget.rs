//! What retries and hedges of a whole fan-out may cost: gRFC A6's tokens, and a share of the calls for hedges.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RetryPolicy;

/// Hedges, as a share of the calls that have begun; some are always allowed.
const HEDGE_RATIO: f64 = 0.1;
const MOST_SAVED_HEDGES: f64 = 10.0;

/// Shared by all calls of a fan-out.
#[derive(Debug)]
pub(crate) struct Budget {
    most: f64,
    ratio: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    hedges: f64,
}

impl Budget {
    /// The budget of a policy for so many calls at once.
    pub(crate) fn new(policy: &RetryPolicy, concurrency: usize) -> Self {
        let by_concurrency = || f64::from(u32::try_from(concurrency).unwrap_or(u32::MAX)) * 2.0;
        let most = policy.tokens.unwrap_or_else(|| by_concurrency().max(20.0));
        let state = Mutex::new(State { tokens: most, hedges: 1.0 });
        Self { most, ratio: policy.token_ratio, state }
    }

    /// A call has begun.
    pub(crate) fn call(&self) {
        let mut state = self.state();
        state.hedges = (state.hedges + HEDGE_RATIO).min(MOST_SAVED_HEDGES);
    }

    /// An attempt has succeeded.
    pub(crate) fn success(&self) {
        let mut state = self.state();
        state.tokens = (state.tokens + self.ratio).min(self.most);
    }

    /// An attempt has failed in a way that could be retried. Answers whether it may be.
    pub(crate) fn failure(&self) -> bool {
        let mut state = self.state();
        state.tokens = (state.tokens - 1.0).max(0.0);
        state.tokens > self.most / 2.0
    }

    /// Whether one more attempt may be made beside one that is slow.
    pub(crate) fn hedge(&self) -> bool {
        let mut state = self.state();
        let allowed = state.hedges >= 1.0 && state.tokens > self.most / 2.0;
        if allowed {
            state.hedges -= 1.0;
        }
        allowed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_retries_at_half_of_the_tokens_and_successes_bring_them_back() {
        let budget = Budget::new(&RetryPolicy::default().budget(10, 0.5), 1);
        let allowed = (0..100).take_while(|_| budget.failure()).count();
        assert_eq!(allowed, 4, "5 of 10 tokens are left after the fifth failure, and more than half are needed");
        budget.success();
        assert!(!budget.failure(), "a success gives half a token back, and a failure takes a whole one");
        for _ in 0..200 {
            budget.success();
        }
        assert_eq!((0..100).take_while(|_| budget.failure()).count(), 4, "never more than there were");
    }

    #[test]
    fn the_default_grows_with_the_concurrency() {
        for (concurrency, allowed) in [(1, 9), (16, 15), (100, 99)] {
            let budget = Budget::new(&RetryPolicy::default(), concurrency);
            assert_eq!((0..1000).take_while(|_| budget.failure()).count(), allowed, "{concurrency}");
        }
    }

    #[test]
    fn a_tenth_of_the_calls_may_be_hedged() {
        let budget = Budget::new(&RetryPolicy::default(), 16);
        let mut hedged = 0;
        for _ in 0..1_000 {
            budget.call();
            hedged += u32::from(budget.hedge());
        }
        assert!((100..=101).contains(&hedged), "{hedged}");
        while budget.failure() {}
        for _ in 0..100 {
            budget.call();
        }
        assert!(!budget.hedge(), "an outage ends hedges too");
    }
}
