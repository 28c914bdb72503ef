//! What crosses all calls: the request id, the span, a panic turned into INTERNAL, load shedding, and the
//! bounds on a request's body (which are in `incoming`).

use std::any::Any;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tower::{
    BoxError, ServiceBuilder, ServiceExt as _, limit::GlobalConcurrencyLimitLayer, load_shed::error::Overloaded,
    util::BoxCloneSyncService,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};
use tracing::Span;

use crate::{
    error::Error,
    incoming::{Bounded, Requests},
    metrics::calls::CallCounts,
    service::status::status,
};

/// All services under all layers.
pub(crate) type Routes = BoxCloneSyncService<Request<Incoming>, Response<Body>, BoxError>;

/// Puts the layers around the services, the outermost first. At most `max_calls` calls may be under way
/// before their answer begins; the next one is refused at once.
pub(crate) fn stack(
    routes: tonic::service::Routes,
    max_calls: usize,
    requests: Requests,
    counts: CallCounts,
) -> Routes {
    let service = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, NewId))
        .layer(TraceLayer::new_for_grpc().make_span_with(span).on_failure(()))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(CatchPanicLayer::custom(panicked))
        .map_result(move |result| shed(result, &counts))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(max_calls))
        .service(Bounded { routes, requests });
    let service = service.map_request(|mut request: Request<Incoming>| {
        choose_compression(request.headers_mut());
        request.map(Body::new)
    });
    BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)).map_err(Into::into))
}

/// The header that carries a request's id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The metadata by which a caller asks for compressed messages, by one of gRPC's names.
pub(crate) const COMPRESSION: HeaderName = HeaderName::from_static("rowstream-compression");
/// What gRPC clients say of themselves: Python's and Go's always, asked or not.
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Answers are compressed for those who ask for it and can read it, not for all who can.
fn choose_compression(headers: &mut HeaderMap) {
    let accepted = headers.remove(ACCEPT_ENCODING);
    let Some(asked) = headers.get(COMPRESSION).cloned() else { return };
    let names = accepted.as_ref().and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if names.split(',').any(|name| name.trim() == asked) {
        headers.insert(ACCEPT_ENCODING, asked);
    }
}

/// Makes an id for a request that came without one.
#[derive(Clone, Copy, Debug)]
struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&uuid::Uuid::now_v7().simple().to_string()).ok().map(RequestId::new)
    }
}

/// The span of a request.
fn span(request: &Request<Body>) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", id, method = request.uri().path())
}

/// What the caller is told of a panic.
#[allow(clippy::needless_pass_by_value)] // the form that CatchPanicLayer asks for
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    status(&Error::Internal(text.to_owned()), "").into_http()
}

/// What the caller is told when there is no room for its call at all.
fn shed(result: Result<Response<Body>, BoxError>, counts: &CallCounts) -> Result<Response<Body>, BoxError> {
    match result {
        Err(error) if error.is::<Overloaded>() => {
            counts.shed(&Error::Overloaded);
            Ok(status(&Error::Overloaded, "").into_http())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use futures_util::future::BoxFuture;
    use hyper_util::{client::legacy, rt::TokioExecutor};
    use tokio::net::TcpListener;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};
    use tonic::{Code, Status, server::NamedService, service};

    use super::*;
    use crate::{
        metrics::Metrics,
        transport::{TransportConfig, run},
    };

    /// A service with a bug.
    #[derive(Clone)]
    struct Broken;

    impl NamedService for Broken {
        const NAME: &'static str = "test.Broken";
    }

    impl tower::Service<Request<Body>> for Broken {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            Box::pin(async move {
                assert!(!request.uri().path().ends_with("/Panic"), "a secret");
                Ok(Status::ok("").into_http())
            })
        }
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_internal_and_the_next_call_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let minute = Duration::from_secs(60);
        let config = TransportConfig {
            max_connections: 1,
            max_connection_streams: 10,
            keepalive_interval: minute,
            keepalive_timeout: minute,
            tls: None,
        };
        let metrics = Metrics::new();
        let routes = stack(service::Routes::new(Broken), 10, Requests::new(1024), metrics.calls);
        let end = CancellationToken::new();
        tokio::spawn(run(listener, routes, config, metrics.connections, TaskTracker::new(), end.clone(), end.clone()));

        let client = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
        for (method, code, message) in [("Panic", Code::Internal, "internal error"), ("Fine", Code::Ok, "")] {
            let url = format!("http://{address}/test.Broken/{method}");
            let request = Request::post(url).header("content-type", "application/grpc").body(Body::empty());
            let response = client.request(request.expect("valid")).await.expect("the process lives");
            let status = Status::from_header_map(response.headers()).expect("a status");
            assert_eq!((status.code(), status.message()), (code, message));
        }
        end.cancel();
    }
}
