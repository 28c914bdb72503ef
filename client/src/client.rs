//! The client itself, and the calls that run no statement: listing, cancelling, health.

use std::{sync::Arc, time::Duration};

use rowstream_contract::v1::{
    CancelQueryRequest, ListQueriesRequest, ListTablesRequest, query_service_client::QueryServiceClient,
    statement::Source,
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{Call, ClientBuilder, Error, NamedQuery, Table, TableRead, channel::Channels, deadline::Deadline};

/// The service whose health is asked for.
pub(crate) const SERVICE: &str = "rowstream.v1.QueryService";
/// Calls that only read the server's own state get this long.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one or several rowstream-servers that serve the same data. Cheap to clone.
///
/// Calls need a tokio runtime, and a client belongs to the runtime it is first used in.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
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
        Self { inner: Arc::new(Inner { channels, max_message_bytes }) }
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
            let (mut service, endpoint) = self.service();
            let request = deadline.request(ListTablesRequest { page_size: 0, page_token: page_token.clone() });
            let page = deadline.run(&endpoint, service.list_tables(request)).await?.into_inner();
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
            let (mut service, endpoint) = self.service();
            let request = deadline.request(ListQueriesRequest { page_size: 0, page_token: page_token.clone() });
            let page = deadline.run(&endpoint, service.list_queries(request)).await?.into_inner();
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
        let (mut service, endpoint) = self.service();
        let request = deadline.request(CancelQueryRequest { query_id: query_id.into() });
        Ok(deadline.run(&endpoint, service.cancel_query(request)).await?.into_inner().running)
    }

    /// Asks one server whether it serves queries.
    ///
    /// # Errors
    /// Any failure of the call: a server that cannot be reached is an error, not `NotServing`.
    pub async fn health(&self) -> Result<Health, Error> {
        let deadline = Deadline::starting_now(Some(CONTROL_TIMEOUT));
        let (channel, endpoint) = self.inner.channels.take();
        let request = deadline.request(HealthCheckRequest { service: SERVICE.to_owned() });
        match deadline.run(&endpoint, HealthClient::new(channel).check(request)).await {
            Ok(response) => Ok(match response.into_inner().status() {
                ServingStatus::Serving => Health::Serving,
                ServingStatus::NotServing => Health::NotServing,
                ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
            }),
            Err(Error::Status(status)) if status.code() == Code::NotFound => Ok(Health::Unknown),
            Err(error) => Err(error),
        }
    }

    /// The service over the next connection, and the endpoint's name for messages.
    pub(crate) fn service(&self) -> (QueryServiceClient<Channel>, Arc<str>) {
        let (channel, endpoint) = self.inner.channels.take();
        (QueryServiceClient::new(channel).max_decoding_message_size(self.inner.max_message_bytes), endpoint)
    }
}
