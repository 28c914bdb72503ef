//! What a request's body may take before its call begins: time to arrive, and memory over all requests.
//!
//! From the moment a request has been read its call has a deadline, and a bound on calls; until then only what is
//! here keeps a caller who never finishes a request, or sends thousands of the largest, from taking the server.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use rowstream_contract::deadline;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Status, body::Body, service::Routes};
use tower::Service;

use crate::{
    error::Error,
    service::status::status,
    stop::{Cause, Phase, Stopped},
};

/// The longest time a request may take to arrive, whatever its deadline.
const ARRIVE: Duration = Duration::from_secs(10);

/// The bytes that requests take in memory, over all that are arriving, waiting or running.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// What one request takes; given back when dropped.
#[derive(Debug)]
struct Share {
    requests: Requests,
    bytes: AtomicUsize,
}

impl Requests {
    pub(crate) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// Puts the bounds on a request, and answers what takes its response: that holds the request's share for
    /// as long as the response lives.
    fn bound(&self, request: Request<Body>) -> (Request<Body>, impl FnOnce(Response<Body>) -> Response<Body> + use<>) {
        let share = Arc::new(Share { requests: self.clone(), bytes: AtomicUsize::new(0) });
        let (limit, late) = limit(request.headers());
        let kept = share.clone();
        let request = request.map(|body| {
            let time = Box::pin(sleep_until(Instant::now() + limit));
            Body::new(Arriving { body, time, late: Some(late), refused: None, share })
        });
        (request, move |response| response.map(|body| Body::new(Holding { body, _share: kept })))
    }
}

/// The services, with the bounds on every request.
#[derive(Clone, Debug)]
pub(crate) struct Bounded {
    pub(crate) routes: Routes,
    pub(crate) requests: Requests,
}

impl Service<Request<Body>> for Bounded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (request, hold) = self.requests.bound(request);
        let answer = self.routes.call(request);
        Box::pin(async move { answer.await.map(hold) })
    }
}

impl Share {
    fn grow(&self, bytes: usize) -> Result<(), Error> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = self.requests.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if taken > self.requests.most { Err(Error::Overloaded) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.requests.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// How long a request may take to arrive, and what it is told if it takes longer.
fn limit(headers: &HeaderMap) -> (Duration, Error) {
    let asked = headers.get(deadline::GRPC_TIMEOUT).and_then(|value| deadline::parse(value.to_str().ok()?).ok());
    match asked {
        Some(asked) if asked < ARRIVE => (asked, Stopped { cause: Cause::Deadline, phase: Phase::Queue }.into()),
        _ => {
            let message = format!("did not arrive within {}", humantime::format_duration(ARRIVE));
            (ARRIVE, Error::InvalidRequest { field: "request", message })
        }
    }
}

/// A request's body, as long as it has time and there is room.
///
/// What is still coming of a request that is refused for want of room is read and thrown away first: a caller whose
/// stream is closed under its hands goes on sending for a while, and enough of that ends its whole connection.
struct Arriving {
    body: Body,
    time: Pin<Box<Sleep>>,
    late: Option<Error>,
    refused: Option<Error>,
    share: Arc<Share>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let ended = loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(_))) if self.refused.is_some() => {}
                Poll::Ready(Some(Ok(frame))) => match self.share.grow(frame.data_ref().map_or(0, Bytes::len)) {
                    Ok(()) => return Poll::Ready(Some(Ok(frame))),
                    Err(error) => self.refused = Some(error),
                },
                Poll::Pending if self.late.is_some() && self.time.as_mut().poll(context).is_ready() => {
                    break self.refused.take().or(self.late.take());
                }
                Poll::Ready(None) if self.refused.is_some() => break self.refused.take(),
                other => return other,
            }
        };
        Poll::Ready(ended.map(|error| Err(status(&error, ""))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A response's body, which holds the share of its request.
struct Holding {
    body: Body,
    _share: Arc<Share>,
}

impl http_body::Body for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body::Body as _;
    use tonic::Code;

    use super::*;

    /// A body of one frame that never ends.
    struct Endless(Option<Bytes>);

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }

    fn request(bytes: usize, timeout: Option<&str>) -> Request<Body> {
        let mut request = Request::builder();
        if let Some(timeout) = timeout {
            request = request.header(deadline::GRPC_TIMEOUT, timeout);
        }
        request.body(Body::new(Endless(Some(vec![0; bytes].into())))).expect("valid")
    }

    async fn next(request: &mut Request<Body>) -> Result<usize, Code> {
        let frame = poll_fn(|context| Pin::new(request.body_mut()).poll_frame(context)).await.expect("not the end");
        frame.map(|frame| frame.data_ref().map_or(0, Bytes::len)).map_err(|status| status.code())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_is_told_so_in_time() {
        for (timeout, limit, code) in
            [(None, ARRIVE, Code::InvalidArgument), (Some("2S"), Duration::from_secs(2), Code::DeadlineExceeded)]
        {
            let start = Instant::now();
            let (mut request, _) = Requests::new(1024).bound(request(5, timeout));
            assert_eq!(next(&mut request).await, Ok(5));
            assert_eq!(next(&mut request).await, Err(code));
            assert_eq!(start.elapsed(), limit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_its_bytes_until_its_response_is_gone() {
        let requests = Requests::new(1024);
        let (mut first, respond) = requests.bound(request(1000, None));
        assert_eq!(next(&mut first).await, Ok(1000));
        drop(first);
        let (mut second, _) = requests.bound(request(100, None));
        assert_eq!(next(&mut second).await, Err(Code::ResourceExhausted));
        drop(second);
        let whole = "x".repeat(100);
        let (mut whole, _) = requests.bound(Request::new(Body::new(whole)));
        assert_eq!(next(&mut whole).await, Err(Code::ResourceExhausted));
        assert!(whole.body().is_end_stream(), "what is refused is read to its end");
        drop(whole);
        drop(respond(Response::new(Body::empty())));
        let (mut third, _) = requests.bound(request(1000, None));
        assert_eq!(next(&mut third).await, Ok(1000));
    }
}
