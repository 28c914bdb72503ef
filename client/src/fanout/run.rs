//! The outer layers of a call's way: call, rate, concurrency. What follows is in `attempt`.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::stream::FuturesUnordered;
use tokio::time::{Sleep, sleep_until};
use tokio_stream::Stream;
use tonic::Code;

use super::{
    Ended, Fanout, FanoutCall, Monitor, Outcome,
    attempt::{Account, Effort, Shared},
    order::Ready,
};
use crate::{
    Error,
    limiter::{AdaptiveLimit, Concurrency, Sample, TokenBucket},
};

/// A running fan-out: the outcomes of its calls.
///
/// It works while it is polled; a consumer that takes nothing for long lets deadlines pass unseen.
/// [`Fanout::for_each`] works on while its sink waits. Dropping it cancels every call under way, down to PostgreSQL.
pub struct FanoutStream<S: Stream>
where
    S::Item: FanoutCall,
{
    shared: Arc<Shared>,
    calls: Option<Pin<Box<S>>>,
    /// The place in the input of the next call.
    index: u64,
    /// A call that waits for its token, or its permit.
    waiting: Option<S::Item>,
    bucket: Option<TokenBucket>,
    /// The waiting call has its token.
    token: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// The time for the whole, and when it is over.
    total: Option<(Duration, Pin<Box<Sleep>>)>,
    limit: Limit,
    under_way: FuturesUnordered<UnderWay<S::Item>>,
    ready: Ready<Outcome<S::Item>>,
    /// The time for the whole was over before the input was.
    late: bool,
}

type UnderWay<C> = Pin<Box<dyn Future<Output = (Outcome<C>, Sample)> + Send>>;

#[derive(Debug)]
enum Limit {
    Fixed(usize),
    Adaptive(AdaptiveLimit),
}

impl Limit {
    fn new(concurrency: &Concurrency) -> Self {
        match concurrency {
            Concurrency::Fixed(calls) => Self::Fixed((*calls).max(1)),
            Concurrency::Adaptive(adaptive) => Self::Adaptive(AdaptiveLimit::new(adaptive.clone())),
        }
    }

    fn now(&self) -> usize {
        match self {
            Self::Fixed(calls) => *calls,
            Self::Adaptive(limit) => limit.now(),
        }
    }
}

impl<S> FanoutStream<S>
where
    S: Stream,
    S::Item: FanoutCall,
{
    pub(super) fn new(fanout: &Fanout, calls: S) -> Self {
        let shared = fanout.shared();
        let limit = Limit::new(&fanout.concurrency);
        shared.monitor.limit(limit.now());
        Self {
            calls: Some(Box::pin(calls)),
            index: 0,
            waiting: None,
            bucket: fanout.rate.as_ref().map(TokenBucket::new),
            token: false,
            timer: None,
            total: shared.total.map(|(timeout, at)| (timeout, Box::pin(sleep_until(at)))),
            limit,
            under_way: FuturesUnordered::new(),
            ready: Ready::new(fanout.window),
            late: false,
            shared,
        }
    }

    /// What there is to tell of it, while it runs and after.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.shared.monitor.clone()
    }

    /// Works on the calls under way, and lets no further one begin, until `busy` is ready: for a consumer that has to
    /// wait for something between two outcomes.
    pub async fn work_during<F: Future>(&mut self, busy: F) -> F::Output {
        let mut busy = pin!(busy);
        std::future::poll_fn(|context| {
            self.poll_work(context);
            busy.as_mut().poll(context)
        })
        .await
    }

    /// Lets calls begin, as far as there is room, rate and input.
    fn poll_begin(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(call)) = self.poll_admitted(context) {
            let index = self.index;
            self.index += 1;
            self.shared.monitor.begun();
            self.under_way.push(Box::pin(run(self.shared.clone(), index, call, self.under_way.len() + 1)));
        }
    }

    /// The next call, with a token and a place.
    fn poll_admitted(&mut self, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.waiting.is_none() {
            if !self.ready.has_room_for(self.index) || !self.has_permit() {
                return Poll::Pending;
            }
            let Some(calls) = &mut self.calls else { return Poll::Ready(None) };
            match calls.as_mut().poll_next(context) {
                Poll::Ready(Some(call)) => self.waiting = Some(call),
                Poll::Ready(None) => {
                    self.calls = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        std::task::ready!(self.poll_token(context));
        if !self.has_permit() {
            return Poll::Pending;
        }
        self.token = false;
        Poll::Ready(self.waiting.take())
    }

    fn has_permit(&self) -> bool {
        self.under_way.len() + self.ready.counted() < self.limit.now()
    }

    fn poll_token(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(bucket) = &self.bucket else { return Poll::Ready(()) };
        while !self.token {
            if let Some(timer) = &mut self.timer {
                std::task::ready!(timer.as_mut().poll(context));
                self.timer = None;
            }
            match bucket.take() {
                Ok(()) => self.token = true,
                Err(at) => self.timer = Some(Box::pin(sleep_until(at))),
            }
        }
        Poll::Ready(())
    }

    /// Works on the calls under way.
    fn poll_under_way(&mut self, context: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some((outcome, sample))) = Pin::new(&mut self.under_way).poll_next(context) {
            any = true;
            if let Limit::Adaptive(limit) = &mut self.limit {
                limit.record(sample);
                self.shared.monitor.limit(limit.now());
            }
            self.ready.push(outcome.index, outcome);
        }
        any
    }

    /// Ends the input when the time for the whole is over. A call that waits for its token ends with it.
    fn poll_total(&mut self, context: &mut Context<'_>) {
        let Some((timeout, timer)) = &mut self.total else { return };
        let timeout = *timeout;
        if timer.as_mut().poll(context).is_pending() {
            return;
        }
        self.total = None;
        let call = self.waiting.take();
        self.late = self.calls.take().is_some() || call.is_some();
        if let Some(call) = call {
            let (index, latency) = (self.index, Duration::ZERO);
            self.index += 1;
            self.shared.monitor.begun();
            self.shared.monitor.call_ended(Code::DeadlineExceeded, latency);
            let result = Err(Error::DeadlineExceeded { timeout, resume_token: None });
            self.ready
                .push(index, Outcome { index, call, result, attempts: 0, hedged: false, latency, endpoint: None });
        }
    }

    /// Where in the input the time for the whole was over, if it was before the input's end.
    pub(super) fn cut_off(&self) -> Option<(u64, Error)> {
        let (timeout, _) = self.shared.total?;
        self.late.then_some((self.index, Error::DeadlineExceeded { timeout, resume_token: None }))
    }

    /// Works without letting calls begin, for a consumer that is busy.
    fn poll_work(&mut self, context: &mut Context<'_>) {
        self.poll_total(context);
        self.poll_under_way(context);
    }
}

/// One call, to its end.
async fn run<C: FanoutCall>(shared: Arc<Shared>, index: u64, call: C, in_flight: usize) -> (Outcome<C>, Sample) {
    let effort = Effort::new(&shared, &call);
    let result = effort.run(&call).await;
    let Account { attempts, hedged, latency, first_message, endpoint } = effort.account();
    let code = result.as_ref().err().map_or(Code::Ok, Error::code);
    shared.monitor.call_ended(code, latency);
    let overloaded = matches!(code, Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded);
    let sample = Sample { latency: first_message.unwrap_or(latency), in_flight, overloaded };
    (Outcome { index, call, result, attempts, hedged, latency, endpoint }, sample)
}

impl<S> Stream for FanoutStream<S>
where
    S: Stream,
    S::Item: FanoutCall,
{
    type Item = Outcome<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.poll_total(context);
        loop {
            this.poll_begin(context);
            let any = this.poll_under_way(context);
            if let Some(outcome) = this.ready.pop() {
                return Poll::Ready(Some(outcome));
            }
            if !any {
                break;
            }
        }
        let over = this.calls.is_none() && this.waiting.is_none() && this.under_way.is_empty() && this.ready.len() == 0;
        if over {
            this.shared.monitor.end(if this.late { Ended::TotalDeadline } else { Ended::Complete });
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl<S: Stream> Unpin for FanoutStream<S> where S::Item: FanoutCall {}

impl<S: Stream> Drop for FanoutStream<S>
where
    S::Item: FanoutCall,
{
    fn drop(&mut self) {
        self.shared.monitor.end(Ended::Dropped);
    }
}

impl<S: Stream> fmt::Debug for FanoutStream<S>
where
    S::Item: FanoutCall,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanoutStream").field("monitor", &self.shared.monitor).finish_non_exhaustive()
    }
}
