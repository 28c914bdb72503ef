//! The inner layers of a call's way: hedge, retry, endpoint choice, attempt. The outer ones are in `run`.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{FanoutCall, Monitor, monitor::Event};
use crate::{
    Client, Error,
    channel::BackendId,
    deadline::Deadline,
    hedge::{Hedged, Hedging, Race},
    retry::{Budget, RetryPolicy},
    scope::{Scope, ServerLimits},
};

/// What all calls of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) deadline: Option<Duration>,
    /// The time for the whole, and when it is over.
    pub(super) total: Option<(Duration, Instant)>,
    pub(super) retry: RetryPolicy,
    pub(super) budget: Budget,
    pub(super) hedging: Option<Hedging>,
    pub(super) limits: Option<Arc<ServerLimits>>,
    pub(super) rng: Mutex<fastrand::Rng>,
    pub(super) monitor: Monitor,
}

impl Shared {
    /// The deadline of a call that begins now.
    fn deadline_of(&self, call: &impl FanoutCall) -> Deadline {
        let timeout = [self.deadline, call.deadline()].into_iter().flatten().min();
        let deadline = Deadline::starting_now(timeout);
        match self.total {
            Some((timeout, at)) => deadline.or_earlier(timeout, at),
            None => deadline,
        }
    }
}

/// All attempts at one call.
#[derive(Debug)]
pub(super) struct Effort<'a> {
    shared: &'a Shared,
    deadline: Deadline,
    started: Instant,
    race: Arc<Race>,
    attempts: AtomicU32,
    hedged: AtomicBool,
    decided_by: Mutex<Option<Arc<str>>>,
    tried: Arc<Mutex<Vec<BackendId>>>,
}

/// What is known of a call that has ended, besides its result.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) attempts: u32,
    pub(super) hedged: bool,
    pub(super) latency: Duration,
    pub(super) first_message: Option<Duration>,
    pub(super) endpoint: Option<Arc<str>>,
}

impl<'a> Effort<'a> {
    /// The effort for a call that begins now.
    pub(super) fn new(shared: &'a Shared, call: &impl FanoutCall) -> Self {
        shared.budget.call();
        Self {
            shared,
            deadline: shared.deadline_of(call),
            started: Instant::now(),
            race: Arc::default(),
            attempts: AtomicU32::new(0),
            hedged: AtomicBool::new(false),
            decided_by: Mutex::default(),
            tried: Arc::default(),
        }
    }

    /// Hedge: one lane of attempts, and a second one if the first is slow to answer.
    pub(super) async fn run<C: FanoutCall>(&self, call: &C) -> Result<C::Output, Error> {
        let Some(hedging) = &self.shared.hedging else { return self.lane(call, 0).await };
        let first = Box::pin(self.lane(call, 0));
        let outcome = match hedging.wait() {
            Some(wait) => {
                let second = || {
                    self.shared.budget.hedge().then(|| {
                        self.shared.monitor.count(Event::Hedge);
                        self.hedged.store(true, Ordering::Relaxed);
                        Box::pin(self.lane(call, 1)) as _
                    })
                };
                Hedged::new(&self.race, first, self.started + wait, second).await
            }
            None => first.await,
        };
        if let Some(first) = self.race.first_message() {
            hedging.learn(first - self.started);
        }
        if outcome.is_ok() && self.race.winner() == Some(1) {
            self.shared.monitor.count(Event::HedgeWon);
        }
        outcome
    }

    /// Retry: attempts one after the other, until one succeeds or none is left.
    async fn lane<C: FanoutCall>(&self, call: &C, lane: usize) -> Result<C::Output, Error> {
        let Shared { retry, budget, monitor, .. } = self.shared;
        for retries in 1.. {
            let scope = Arc::new(self.scope(lane));
            let outcome = self.attempt(call, &scope).await;
            self.decide(&scope);
            let error = match outcome {
                Ok(output) => {
                    budget.success();
                    return Ok(output);
                }
                Err(error) => error,
            };
            let allowed = !retry.covers(&error) || budget.failure();
            if scope.seen().rows && !retry.covers_rows() {
                return Err(error);
            }
            let wait = {
                let mut rng = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
                retry.wait(&error, retries, &mut rng)
            };
            let Some(wait) = wait.filter(|wait| self.deadline.leaves(*wait)) else { return Err(error) };
            if !allowed {
                monitor.count(Event::RetryRefused);
                return Err(error);
            }
            monitor.count(Event::Retry);
            sleep(wait).await;
        }
        Err(Error::Superseded)
    }

    /// Endpoint choice and attempt are made by the client that is bound to the scope.
    async fn attempt<C: FanoutCall>(&self, call: &C, scope: &Arc<Scope>) -> Result<C::Output, Error> {
        self.shared.monitor.count(Event::Attempt);
        let attempt = call.attempt(self.shared.client.bound_to(scope.clone()));
        self.deadline.cover(attempt).await?
    }

    fn scope(&self, lane: usize) -> Scope {
        Scope {
            deadline: self.deadline,
            previous: self.attempts.fetch_add(1, Ordering::Relaxed),
            tried: self.tried.clone(),
            limits: self.shared.limits.clone(),
            race: self.race.clone(),
            lane,
            seen: Mutex::default(),
        }
    }

    /// Notes the server of an attempt that has ended: the last one has decided the call.
    fn decide(&self, scope: &Scope) {
        if let Some(endpoint) = scope.seen().endpoint.clone() {
            *self.decided_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
        }
    }

    /// The account, once it has ended.
    pub(super) fn account(self) -> Account {
        Account {
            attempts: self.attempts.into_inner(),
            hedged: self.hedged.into_inner(),
            latency: self.started.elapsed(),
            first_message: self.race.first_message().map(|first| first - self.started),
            endpoint: self.decided_by.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
