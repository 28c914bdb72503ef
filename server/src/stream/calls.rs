//! Every call that is under way, by its id, so that it can be cancelled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::time::{Duration, Instant};

use crate::{
    error::Error,
    metrics::calls::CallCount,
    stop::{Cause, Stop},
};

/// How much of a request's id the log shows.
const MAX_REQUEST_ID: usize = 64;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<HashMap<String, Stop>>>);

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    /// The id of the request that brought it, for the log.
    pub(crate) request_id: String,
    pub(crate) stop: Stop,
    pub(crate) started: Instant,
    /// The deadline as the caller's clock shows it.
    pub(crate) deadline: SystemTime,
    pub(crate) count: CallCount,
    /// The caller's end takes it along, so that the id is free once its caller knows how the call ended, although the
    /// task is still clearing up.
    pub(crate) known: Option<Known>,
}

/// Keeps a call known by its id, until dropped.
#[derive(Debug)]
pub(crate) struct Known {
    id: String,
    calls: Calls,
}

impl Calls {
    /// Begins a call that ends within `timeout`.
    pub(crate) fn begin(
        &self,
        id: Option<String>,
        request_id: &str,
        timeout: Duration,
        count: &CallCount,
    ) -> Result<Call, Error> {
        let started = Instant::now();
        let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string());
        let stop = Stop::new(started + timeout);
        let mut calls = self.lock();
        if calls.contains_key(&id) {
            return Err(Error::QueryIdInUse(id));
        }
        calls.insert(id.clone(), stop.clone());
        drop(calls);
        let request_id = request_id.chars().take(MAX_REQUEST_ID).collect();
        let known = Some(Known { id: id.clone(), calls: self.clone() });
        let deadline = SystemTime::now() + timeout;
        Ok(Call { id, request_id, stop, started, deadline, count: count.clone(), known })
    }

    /// Stops the call of that id; answers whether there was one.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let stop = self.lock().get(id).cloned();
        stop.inspect(|stop| stop.stop(Cause::CancelRequested)).is_some()
    }

    /// Stops every call.
    pub(crate) fn stop_all(&self, cause: Cause) {
        let stops: Vec<Stop> = self.lock().values().cloned().collect();
        stops.iter().for_each(|stop| stop.stop(cause));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Stop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, calls::Method};

    #[tokio::test]
    async fn an_id_is_in_use_exactly_as_long_as_its_call_is_known() {
        let calls = Calls::default();
        let count = Metrics::new().calls.begin(Method::StreamQuery);
        let begin = || calls.begin(Some("a".to_owned()), "", Duration::from_secs(1), &count);
        let mut call = begin().expect("free");
        assert!(matches!(begin(), Err(Error::QueryIdInUse(_))));
        assert!(calls.cancel("a"));
        assert_eq!(call.stop.stopped().await.cause, Cause::CancelRequested);
        drop(call.known.take());
        assert!(!calls.cancel("a"));
        begin().expect("free again");
    }
}
