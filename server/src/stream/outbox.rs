//! Between the task that reads and the caller that listens: one event at a time, and at the end
//! exactly one outcome.
//!
//! The reading side never waits for a caller longer than the stall timeout, and never to say that it
//! failed: an error lies beside the queue, where the caller finds it when it comes.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rowstream_contract::v1::stream_query_response::Event;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, timeout},
};
use tokio_stream::Stream;

use super::calls::Known;
use crate::{
    admission::Memory,
    error::Error,
    stop::{Cause, Phase, Stop, StopOnDrop, Stopped},
};

type Item = (Message, Option<Memory>);

/// An event, and the token of the row boundary behind it; empty if there is none.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) event: Event,
    pub(crate) resume_token: Vec<u8>,
}

impl From<Event> for Message {
    fn from(event: Event) -> Self {
        Self { event, resume_token: Vec::new() }
    }
}

/// The reading task's end.
#[derive(Debug)]
pub(crate) struct Outbox {
    events: mpsc::Sender<Item>,
    failure: Arc<OnceLock<Error>>,
    stop: Stop,
    stall_timeout: Duration,
    /// Time spent waiting for the caller.
    pub(crate) waited: Duration,
}

/// The caller's end: header, batches, summary, or an error as the last item. Dropping it stops the
/// call.
pub(crate) struct Events {
    events: mpsc::Receiver<Item>,
    failure: Arc<OnceLock<Error>>,
    stopped: BoxFuture<'static, Stopped>,
    ended: bool,
    /// Given up with the last item.
    known: Option<Known>,
    _stop: StopOnDrop,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Both ends; `capacity` events may wait between them.
pub(crate) fn pair(stop: &Stop, known: Option<Known>, stall_timeout: Duration, capacity: usize) -> (Outbox, Events) {
    let (sender, receiver) = mpsc::channel(capacity);
    let failure = Arc::new(OnceLock::new());
    let outbox =
        Outbox { events: sender, failure: failure.clone(), stop: stop.clone(), stall_timeout, waited: Duration::ZERO };
    let waiting = stop.clone();
    let stopped = Box::pin(async move { waiting.stopped().await });
    (outbox, Events { events: receiver, failure, stopped, ended: false, known, _stop: StopOnDrop(stop.clone()) })
}

impl Outbox {
    /// Hands over an event, waiting for room, and answers whether it could. Returns at once if the call has been
    /// stopped, and stops it if the caller is gone or takes too long.
    pub(crate) async fn send(&mut self, message: impl Into<Message>, memory: Option<Memory>) -> bool {
        if self.stop.now().is_some() {
            return false;
        }
        let item = match self.events.try_send((message.into(), memory)) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => {
                self.stop.stop(Cause::CallerGone);
                return false;
            }
            Err(TrySendError::Full(item)) => item,
        };
        let start = Instant::now();
        // A deadline that has just passed is noticed by the wait below.
        let _ = self.stop.enter(Phase::Send);
        let sending = timeout(self.stall_timeout, self.events.send(item));
        let sent = self.stop.unless_stopped(sending).await;
        match sent {
            Ok(Ok(Ok(()))) | Err(_) => {}
            Ok(Ok(Err(_))) => self.stop.stop(Cause::CallerGone),
            Ok(Err(_)) => self.stop.stop(Cause::Stalled),
        }
        let _ = self.stop.enter(Phase::Fetch);
        self.waited += start.elapsed();
        matches!(sent, Ok(Ok(Ok(()))))
    }

    /// Leaves an error for the caller to find after what it has not yet taken.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.get_or_init(|| error);
    }

    /// Waits until the caller has taken everything, at most the stall timeout.
    pub(crate) async fn taken(self) {
        let Self { events, failure, stop, stall_timeout, .. } = self;
        if failure.get().is_some() {
            return;
        }
        // The last event is in the queue; a permit for another one means that it was taken.
        let taken = timeout(stall_timeout, events.reserve_many(events.max_capacity()));
        if let Ok(Err(_)) = stop.unless_stopped(taken).await {
            failure.get_or_init(|| Error::Stopped(Stopped { cause: Cause::Stalled, phase: Phase::Send }));
        }
    }
}

impl Events {
    /// The item that is given out now is the last.
    fn end(&mut self) {
        self.ended = true;
        self.known = None;
    }
}

impl Stream for Events {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.events.poll_recv(context) {
            Poll::Ready(Some((message, _memory))) => {
                if matches!(message.event, Event::Summary(_)) {
                    self.end();
                }
                return Poll::Ready(Some(Ok(message)));
            }
            Poll::Ready(None) => {
                self.end();
                let lost = || Error::Internal("the reading task ended without an outcome".to_owned());
                return Poll::Ready(Some(Err(self.failure.get().cloned().unwrap_or_else(lost))));
            }
            Poll::Pending => {}
        }
        // The reading task may still be busy ending its statement; the caller need not wait for that.
        let stopped = ready!(self.stopped.as_mut().poll(context));
        if stopped.cause == Cause::Failed {
            self.stopped = Box::pin(std::future::pending());
            return Poll::Pending;
        }
        self.end();
        Poll::Ready(Some(Err(stopped.into())))
    }
}

#[cfg(test)]
mod tests {
    use rowstream_contract::v1;
    use tokio_stream::StreamExt as _;

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    fn ends() -> (Outbox, Events, Stop) {
        let stop = Stop::new(Instant::now() + Duration::from_secs(3600));
        let (outbox, events) = pair(&stop, None, STALL, 1);
        (outbox, events, stop)
    }

    fn header() -> Event {
        Event::Header(v1::Header::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_nothing_is_stalled_and_reads_so_when_it_returns() {
        let (mut outbox, mut events, stop) = ends();
        let start = Instant::now();
        outbox.send(header(), None).await;
        outbox.send(header(), None).await;
        assert_eq!(start.elapsed(), STALL);
        assert_eq!(stop.now(), Some(Stopped { cause: Cause::Stalled, phase: Phase::Send }));
        assert!(matches!(events.next().await, Some(Ok(Message { event: Event::Header(_), .. }))));
        let error = events.next().await;
        assert!(matches!(error, Some(Err(Error::Stopped(Stopped { cause: Cause::Stalled, .. })))));
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn a_caller_that_drops_its_end_stops_the_call() {
        let (mut outbox, events, stop) = ends();
        assert!(outbox.send(header(), None).await, "handed over, whatever comes after");
        drop(events);
        assert!(!outbox.send(header(), None).await);
        assert_eq!(stop.now().map(|stopped| stopped.cause), Some(Cause::CallerGone));
    }

    #[tokio::test]
    async fn an_error_comes_after_what_was_sent_and_a_lost_task_is_one() {
        let (mut outbox, mut events, _stop) = ends();
        outbox.send(header(), None).await;
        outbox.fail(Error::NoRow);
        drop(outbox);
        assert!(matches!(events.next().await, Some(Ok(_))));
        assert!(matches!(events.next().await, Some(Err(Error::NoRow))));

        let (outbox, mut events, _stop) = ends();
        drop(outbox);
        assert!(matches!(events.next().await, Some(Err(Error::Internal(_)))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_summary_that_nobody_takes_frees_the_call_after_the_stall_timeout() {
        let (mut outbox, mut events, _stop) = ends();
        outbox.send(Event::Summary(v1::Summary::default()), None).await;
        let start = Instant::now();
        outbox.taken().await;
        assert_eq!(start.elapsed(), STALL);
        assert!(matches!(events.next().await, Some(Ok(Message { event: Event::Summary(_), .. }))));
    }
}
