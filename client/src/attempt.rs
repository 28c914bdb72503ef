//! The last two layers of every call: endpoint choice, then the attempt.
//!
//! A connection that cannot be opened is no failure of the attempt while there are backends that were not tried. What
//! else fails is told to the caller, once.

use rowstream_contract::v1::query_service_client::QueryServiceClient;
use tonic::{Request, Response, Status, transport::Channel};

use crate::{Client, Error, channel::Lease, deadline::Deadline};

impl Client {
    /// Makes one attempt, and gives the lease that it was made on: who reads on keeps it, and tells it of the first
    /// message and of failures from there on. `send` runs again if nothing could be sent.
    pub(crate) async fn attempt<T, F>(
        &self,
        deadline: &Deadline,
        mut send: impl FnMut(Channel) -> F,
    ) -> Result<(T, Lease), Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut tried = self.scope().map_or_else(Vec::new, |scope| scope.avoid());
        loop {
            let mut lease = deadline.cover(self.channels().lease(&tried)).await??;
            if let Some(scope) = self.scope() {
                deadline.cover(scope.enter(&lease)).await?;
            }
            lease.sent();
            let error = match deadline.run(lease.endpoint(), send(lease.channel())).await {
                Ok(answer) => return Ok((answer, lease)),
                Err(error) => error,
            };
            lease.failed(&error);
            tried.push(lease.backend());
            if !self.channels().may_go_elsewhere(&error, &tried) {
                return Err(error);
            }
        }
    }

    /// One attempt of a call with one answer.
    pub(crate) async fn ask<M: Clone, T, F>(
        &self,
        deadline: &Deadline,
        message: &M,
        mut call: impl FnMut(QueryServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let send = |channel| call(self.service(channel), self.request(deadline, message.clone()));
        let (answer, mut lease) = self.attempt(deadline, send).await?;
        lease.first_message();
        Ok(answer.into_inner())
    }
}
