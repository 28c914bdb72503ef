//! The client itself, and the calls that run no statement: listing, cancelling, health.

use std::{sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rowstream_contract::v1::{
    CancelQueryRequest, ListQueriesRequest, ListTablesRequest, query_service_client::QueryServiceClient,
    read_session_service_client::ReadSessionServiceClient, statement::Source,
};
use tonic::{Request, transport::Channel};

use crate::{
    Call, ClientBuilder, Error, Health, NamedQuery, Table, TableRead,
    channel::{BackendId, Channels},
    deadline::Deadline,
    fanout::Fanout,
    health,
    scope::Scope,
};

pub(crate) type Service = QueryServiceClient<Channel>;

/// gRFC A6: how many attempts at the same call there were before this one.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// Calls that only read the server's own state get this long.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one or several rowstream-servers that serve the same data. Cheap to clone.
///
/// Each address of each endpoint is a server of its own: `localhost` may be two, a name with many addresses as many. A
/// call goes to the less loaded of two servers drawn at random, where load is this client's calls and streams under way.
/// If no connection comes about, nothing was sent, and the other servers are tried at once.
///
/// A server is left out for a second when a connection to it cannot be opened, when it is draining, when it answers
/// UNAVAILABLE three times in a row, or when it is far slower than the others; twice as long each further time, up to
/// half a minute. Then it is asked by the standard health service, and comes back when it is serving. If all are left
/// out, calls are sent all the same. Names are looked up again every half minute while they are used.
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
        let deadline = self.deadline(Some(CONTROL_TIMEOUT));
        let (mut tables, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListTablesRequest { page_size: 0, page_token: page_token.clone() };
            let list = |mut service: Service, request| async move { service.list_tables(request).await };
            let page = self.ask(&deadline, &request, list).await?;
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
        let deadline = self.deadline(Some(CONTROL_TIMEOUT));
        let (mut queries, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListQueriesRequest { page_size: 0, page_token: page_token.clone() };
            let list = |mut service: Service, request| async move { service.list_queries(request).await };
            let page = self.ask(&deadline, &request, list).await?;
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

    /// Cancels a running call, in PostgreSQL too, by the query id of its header. Asks every server, at all addresses
    /// of all endpoints, and answers whether one of them was running it. A server that no connection can be opened to
    /// does not count if another has answered: what it was running is not known.
    ///
    /// # Errors
    /// The failure of a server to answer, if none says that it was running the call.
    pub async fn cancel(&self, query_id: impl Into<String>) -> Result<bool, Error> {
        let deadline = self.deadline(Some(CONTROL_TIMEOUT));
        let query_id = query_id.into();
        let backends = deadline.cover(self.inner.channels.backends()).await?;
        let mut answers: FuturesUnordered<_> =
            backends.into_iter().map(|backend| self.cancel_on(backend, &deadline, &query_id)).collect();
        let (mut answered, mut unreachable, mut failed) = (false, None, None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(true) => return Ok(true),
                Ok(false) => answered = true,
                Err(error @ Error::Connect { .. }) => unreachable = unreachable.or(Some(error)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed.or(unreachable.filter(|_| !answered)) {
            Some(error) => Err(error),
            None => Ok(false),
        }
    }

    async fn cancel_on(&self, backend: BackendId, deadline: &Deadline, query_id: &str) -> Result<bool, Error> {
        let mut lease = deadline.cover(self.inner.channels.lease_of(backend)).await??;
        let request = deadline.request(CancelQueryRequest { query_id: query_id.to_owned() });
        lease.sent();
        match deadline.run(lease.endpoint(), self.service(lease.channel()).cancel_query(request)).await {
            Ok(answer) => {
                lease.first_message();
                Ok(answer.into_inner().running)
            }
            Err(error) => {
                lease.failed(&error);
                Err(error)
            }
        }
    }

    /// Asks one server whether it serves queries: with several endpoints, or a name of several addresses, the one that
    /// the next call might be sent to. So the answer is about what a call may expect, not about each of the servers;
    /// ask those by clients of their own.
    ///
    /// # Errors
    /// Any failure of the call: if no server can be reached that is an error, not `NotServing`.
    pub async fn health(&self) -> Result<Health, Error> {
        let deadline = self.deadline(Some(CONTROL_TIMEOUT));
        let check = |channel| health::check(channel, |message| deadline.request(message));
        let (health, mut lease) = self.attempt(&deadline, check).await?;
        lease.first_message();
        Ok(health)
    }

    /// The same client for one attempt of a fan-out.
    pub(crate) fn bound_to(&self, scope: Arc<Scope>) -> Self {
        Self { inner: self.inner.clone(), scope: Some(scope) }
    }

    /// The attempt that this client is bound to.
    pub(crate) fn scope(&self) -> Option<&Arc<Scope>> {
        self.scope.as_ref()
    }

    /// The deadline of a call that begins now; in a fan-out the one of its attempt, if that is earlier.
    pub(crate) fn deadline(&self, timeout: Option<Duration>) -> Deadline {
        let deadline = Deadline::starting_now(timeout);
        self.scope.as_ref().map_or(deadline, |scope| deadline.min(scope.deadline))
    }

    /// A request that tells the server the time that remains, and how many attempts there were before.
    pub(crate) fn request<T>(&self, deadline: &Deadline, message: T) -> Request<T> {
        let mut request = deadline.request(message);
        if let Some(previous) = self.scope.as_ref().map(|scope| scope.previous).filter(|previous| *previous > 0) {
            request.metadata_mut().insert(PREVIOUS_ATTEMPTS, previous.into());
        }
        request
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.inner.channels
    }

    /// The service of read sessions over this connection.
    pub(crate) fn sessions(&self, channel: Channel) -> ReadSessionServiceClient<Channel> {
        ReadSessionServiceClient::new(channel).max_decoding_message_size(self.inner.max_message_bytes)
    }

    /// The service over this connection.
    pub(crate) fn service(&self, channel: Channel) -> Service {
        QueryServiceClient::new(channel).max_decoding_message_size(self.inner.max_message_bytes)
    }
}
