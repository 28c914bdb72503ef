//! What crosses all calls: the request id, the span, a panic turned into INTERNAL, load shedding.
//!
//! The pieces; `serve` stacks them.

use std::any::Any;

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use tower::{BoxError, load_shed::error::Overloaded};
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Span;

use crate::service::status;

/// The header that carries a request's id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes an id for a request that came without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&uuid::Uuid::now_v7().simple().to_string()).ok().map(RequestId::new)
    }
}

/// The span of a request.
pub(crate) fn span<B>(request: &Request<B>) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", id, method = request.uri().path())
}

/// What the caller is told of a panic.
#[allow(clippy::needless_pass_by_value)] // the form that CatchPanicLayer asks for
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    status::internal().into_http()
}

/// What the caller is told when there is no room for its call at all.
pub(crate) fn shed(result: Result<Response<Body>, BoxError>) -> Result<Response<Body>, BoxError> {
    match result {
        Err(error) if error.is::<Overloaded>() => Ok(status::overloaded().into_http()),
        result => result,
    }
}
