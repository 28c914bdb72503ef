//! The client itself, and the calls that run no statement: listing, cancelling, health.

use std::{sync::Arc, time::Duration};

use rowstream_contract::v1::{
    CancelQueryRequest, ListQueriesRequest, ListTablesRequest, query_service_client::QueryServiceClient,
    statement::Source,
};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    Call, ClientBuilder, Error, NamedQuery, Table, TableRead,
    channel::{Channels, Lease},
    deadline::Deadline,
    fanout::Fanout,
    scope::Scope,
};

/// The service whose health is asked for.
const SERVICE: &str = "rowstream.v1.QueryService";
/// gRFC A6: how many attempts at the same call there were before this one.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// Calls that only read the server's own state get this long.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one or several rowstream-servers that serve the same data. Cheap to clone.
///
/// Calls need a tokio runtime, and a client belongs to the runtime it is first used in.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    /// The attempt of a fan-out that everything called through this client belongs to.
    scope: Option<Arc<Scope>>,
}

#[derive(Debug)]
struct Inner {
    channels: Channels,
    max_message_bytes: usize,
}

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

impl Client {
    /// Starts a client of these endpoints, each `http://HOST:PORT`, or `https://HOST:PORT` for TLS.
    pub fn builder(endpoints: impl IntoIterator<Item: Into<String>>) -> ClientBuilder {
        ClientBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }

    pub(crate) fn new(channels: Channels, max_message_bytes: usize) -> Self {
        Self { inner: Arc::new(Inner { channels, max_message_bytes }), scope: None }
    }

    /// Many calls at once, through this client: see [`crate::fanout`].
    pub fn fanout(&self) -> Fanout {
        Fanout::new(self.clone())
    }

    /// The same client for one attempt of a fan-out.
    pub(crate) fn bound_to(&self, scope: Arc<Scope>) -> Self {
        Self { inner: self.inner.clone(), scope: Some(scope) }
    }

    /// A call of one of the server's named queries.
    pub fn query(&self, name: impl Into<String>) -> Call {
        Call::new(self.clone(), Source::Query(name.into()))
    }

    /// A call of ad-hoc SQL: one row-returning statement with parameters `$1`, `$2`, ... The server
    /// must allow it.
    pub fn sql(&self, sql: impl Into<String>) -> Call {
        Call::new(self.clone(), Source::Sql(sql.into()))
    }

    /// A read of a table, without SQL: `schema.table`, or `table` in schema `public`. The server must have
    /// opened it.
    pub fn table(&self, table: impl Into<String>) -> TableRead {
        TableRead::new(self.clone(), table.into())
    }

    /// All tables that the server has opened, ordered by schema and name, with a default deadline of 10 s
    /// for the whole.
    ///
    /// # Errors
    /// Any failure of the call; [`Error::Protocol`] if the pages do not end.
    pub async fn tables(&self) -> Result<Vec<Table>, Error> {
        let deadline = Deadline::starting_now(Some(CONTROL_TIMEOUT));
        let (mut tables, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListTablesRequest { page_size: 0, page_token: page_token.clone() };
            let sent =
                self.send(&deadline, request, |mut service, request| async move { service.list_tables(request).await });
            let (page, _) = sent.await?;
            let empty = page.tables.is_empty();
            tables.extend(page.tables.into_iter().map(Table::from));
            if page.next_page_token.is_empty() {
                return Ok(tables);
            }
            if empty || page.next_page_token == page_token {
                return Err(Error::protocol("the pages of the list of tables do not advance"));
            }
            page_token = page.next_page_token;
        }
    }

    /// All named queries, ordered by name, with a default deadline of 10 s for the whole.
    ///
    /// # Errors
    /// Any failure of the call; [`Error::Protocol`] if the pages do not end.
    pub async fn list_queries(&self) -> Result<Vec<NamedQuery>, Error> {
        let deadline = Deadline::starting_now(Some(CONTROL_TIMEOUT));
        let (mut queries, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListQueriesRequest { page_size: 0, page_token: page_token.clone() };
            let sent = self
                .send(&deadline, request, |mut service, request| async move { service.list_queries(request).await });
            let (page, _) = sent.await?;
            let empty = page.queries.is_empty();
            for query in page.queries {
                queries.push(NamedQuery::try_from(query)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(queries);
            }
            if empty || page.next_page_token == page_token {
                return Err(Error::protocol("the pages of the list of queries do not advance"));
            }
            page_token = page.next_page_token;
        }
    }

    /// Cancels a running call, in PostgreSQL too, by the query id of its header. Answers whether it
    /// was running *on the server that was asked*: with several endpoints a call may run elsewhere.
    ///
    /// # Errors
    /// Any failure of the call to cancel.
    pub async fn cancel(&self, query_id: impl Into<String>) -> Result<bool, Error> {
        let deadline = Deadline::starting_now(Some(CONTROL_TIMEOUT));
        let request = CancelQueryRequest { query_id: query_id.into() };
        let sent =
            self.send(&deadline, request, |mut service, request| async move { service.cancel_query(request).await });
        Ok(sent.await?.0.running)
    }

    /// Asks one server whether it serves queries.
    ///
    /// # Errors
    /// Any failure of the call: a server that cannot be reached is an error, not `NotServing`.
    pub async fn health(&self) -> Result<Health, Error> {
        let deadline = Deadline::starting_now(Some(CONTROL_TIMEOUT));
        let lease = self.inner.channels.lease(&[]).await;
        let request = deadline.request(HealthCheckRequest { service: SERVICE.to_owned() });
        match deadline.run(lease.endpoint(), HealthClient::new(lease.channel()).check(request)).await {
            Ok(response) => Ok(match response.into_inner().status() {
                ServingStatus::Serving => Health::Serving,
                ServingStatus::NotServing => Health::NotServing,
                ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
            }),
            Err(Error::Status(status)) if status.code() == Code::NotFound => Ok(Health::Unknown),
            Err(error) => Err(error),
        }
    }

    /// The deadline of a call that begins now; in a fan-out the one of its attempt, if that is earlier.
    pub(crate) fn deadline(&self, timeout: Option<Duration>) -> Deadline {
        let deadline = Deadline::starting_now(timeout);
        self.scope.as_ref().map_or(deadline, |scope| deadline.min(scope.deadline))
    }

    /// The attempt that this client is bound to.
    pub(crate) fn scope(&self) -> Option<&Arc<Scope>> {
        self.scope.as_ref()
    }

    /// Sends a request to a server of the client's choice.
    pub(crate) async fn send<M, R, F>(
        &self,
        deadline: &Deadline,
        message: M,
        rpc: impl Fn(QueryServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<(R, Lease), Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let avoid = self.scope.as_ref().map_or(&[][..], |scope| &scope.avoid);
        let mut lease = deadline.limit(self.inner.channels.lease(avoid)).await?;
        if let Some(scope) = &self.scope {
            deadline.limit(scope.enter(&lease)).await?;
        }
        let mut request = deadline.request(message);
        if let Some(previous) = self.scope.as_ref().map(|scope| scope.previous).filter(|previous| *previous > 0) {
            request.metadata_mut().insert(PREVIOUS_ATTEMPTS, previous.into());
        }
        let service = QueryServiceClient::new(lease.channel()).max_decoding_message_size(self.inner.max_message_bytes);
        match deadline.run(&lease.endpoint().clone(), rpc(service, request)).await {
            Ok(response) => {
                lease.first_message();
                Ok((response.into_inner(), lease))
            }
            Err(error) => {
                lease.failed(&error);
                Err(error)
            }
        }
    }
}
