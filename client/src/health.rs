//! Asking a server whether it takes calls, by the standard service `grpc.health.v1`.

use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// The service whose health is asked for.
pub(crate) const SERVICE: &str = "rowstream.v1.QueryService";

/// Whether a server takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// It is draining, or PostgreSQL does not answer.
    NotServing,
    /// It answers, but serves no `rowstream.v1.QueryService`.
    Unknown,
}

/// Asks the server at the other end.
pub(crate) async fn check(
    channel: Channel,
    request: impl FnOnce(HealthCheckRequest) -> Request<HealthCheckRequest>,
) -> Result<Health, Status> {
    let request = request(HealthCheckRequest { service: SERVICE.to_owned() });
    match HealthClient::new(channel).check(request).await {
        Ok(response) => Ok(match response.into_inner().status() {
            ServingStatus::Serving => Health::Serving,
            ServingStatus::NotServing => Health::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
        }),
        Err(status) if status.code() == Code::NotFound => Ok(Health::Unknown),
        Err(status) => Err(status),
    }
}
