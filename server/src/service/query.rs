//! `rowstream.v1.QueryService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use rowstream_contract::{
    deadline,
    rows::Row,
    v1::{self, query_service_server::QueryService, stream_query_response::Event},
};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    status::{status, stream_status},
    table,
};
use crate::{
    error::Error,
    layers::{self, REQUEST_ID},
    metrics::calls::{CallCount, CallCounts, Method},
    plan::{
        self, Source,
        estimate::Estimate,
        named::NamedQuery,
        request::{self, RequestPolicy, Statement},
        resume::{Resume, fingerprint},
    },
    queries::Queries,
    stream::{about::About, calls::Call, engine::Engine, outbox::Message, read::wire_column},
};

/// Sizes of a page of a list: the default and the most.
const PAGE: (usize, usize) = (100, 1000);

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallPolicy {
    pub(crate) max_deadline: Duration,
    pub(crate) default_deadline: Duration,
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Queryable {
    pub(crate) engine: Arc<Engine>,
    pub(crate) queries: Queries,
    pub(crate) requests: RequestPolicy,
    pub(crate) calls: CallPolicy,
    pub(crate) counts: CallCounts,
    /// Cancelled when the server takes no new calls.
    pub(crate) draining: CancellationToken,
}

impl Queryable {
    pub(super) fn statement(&self, statement: Option<v1::Statement>, count: &CallCount) -> Result<Statement, Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Draining);
        }
        let statement = self.requests.statement(statement, |name| self.queries.get(name))?;
        // Named by the operator, or one for all: a caller cannot make up labels.
        match &statement.source {
            Source::Sql(_) | Source::Named(_) => count.of_statement(statement.source.label()),
            // Known to be one that is open once the catalog has been asked.
            Source::Table(_) => {}
        }
        Ok(statement)
    }

    /// Begins a call: its id, its one deadline.
    pub(super) fn begin(
        &self,
        metadata: &MetadataMap,
        query_id: &str,
        source: &Source,
        count: &CallCount,
    ) -> Result<Call, Error> {
        let own = match source {
            Source::Named(query) => query.max_deadline,
            Source::Sql(_) | Source::Table(_) => None,
        };
        self.begin_for(metadata, query_id, own, count)
    }

    pub(super) fn begin_for(
        &self,
        metadata: &MetadataMap,
        query_id: &str,
        own: Option<Duration>,
        count: &CallCount,
    ) -> Result<Call, Error> {
        let id = request::query_id(query_id)?;
        check_compression(metadata)?;
        let asked = asked_timeout(metadata)?.unwrap_or(self.calls.default_deadline);
        let timeout = [Some(asked), own, Some(self.calls.max_deadline)].into_iter().flatten().min();
        let request_id = metadata.get(REQUEST_ID.as_str()).and_then(|id| id.to_str().ok()).unwrap_or_default();
        self.engine.calls.begin(id, request_id, timeout.unwrap_or(asked), count)
    }
}

/// The size of a page as asked for.
fn page_length(size: i32) -> Result<usize, Error> {
    match usize::try_from(size) {
        Ok(0) => Ok(PAGE.0),
        Ok(size) => Ok(size.min(PAGE.1)),
        Err(_) => {
            Err(Error::InvalidRequest { field: "page_size", message: "is negative; 0 is the default".to_owned() })
        }
    }
}

/// The status of a call that ends before its statement is tried. What happens later the engine counts.
pub(super) fn refusal(count: &CallCount, error: &Error, query_id: &str) -> Status {
    count.end(Some(error));
    status(error, query_id)
}

/// A caller's own id to show it again, if it is one.
pub(super) fn valid_id(id: &str) -> String {
    request::query_id(id).ok().flatten().unwrap_or_default()
}

/// The caller's timeout, less what the answer needs to reach it in time.
fn asked_timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Error> {
    let Some(value) = metadata.get(deadline::GRPC_TIMEOUT) else { return Ok(None) };
    let invalid = |message: String| Error::InvalidRequest { field: deadline::GRPC_TIMEOUT, message };
    let text = value.to_str().map_err(|error| invalid(error.to_string()))?;
    deadline::parse(text).map(deadline::without_margin).map(Some).map_err(|error| invalid(error.to_string()))
}

/// Refuses what would otherwise be a call without compression, and nobody the wiser.
fn check_compression(metadata: &MetadataMap) -> Result<(), Error> {
    /// What tonic compresses with, and gRPC's name for not at all.
    const NAMES: [&str; 3] = ["gzip", "zstd", "identity"];
    let Some(value) = metadata.get(layers::COMPRESSION.as_str()) else { return Ok(()) };
    if NAMES.iter().any(|name| value == name) {
        return Ok(());
    }
    let message = format!("{value:?} is not one of {}", NAMES.join(", "));
    Err(Error::InvalidRequest { field: "rowstream-compression", message })
}

/// The messages of a stream, as `answer` puts them; its error has the token of the message before.
pub(super) fn answers<T>(
    messages: impl Stream<Item = Result<Message, Error>>,
    id: String,
    answer: impl Fn(Event, Vec<u8>) -> T,
) -> impl Stream<Item = Result<T, Status>> {
    let mut last = Vec::new();
    messages.map(move |message| match message {
        Ok(Message { event, resume_token }) => {
            last.clone_from(&resume_token);
            Ok(answer(event, resume_token))
        }
        Err(error) => Err(stream_status(&error, &id, &last)),
    })
}

pub(super) type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl QueryService for Queryable {
    type StreamQueryStream = Pin<Box<dyn Stream<Item = Result<v1::StreamQueryResponse, Status>> + Send>>;

    async fn stream_query(&self, request: Request<v1::StreamQueryRequest>) -> Answer<Self::StreamQueryStream> {
        let (metadata, _, mut request) = request.into_parts();
        let id = valid_id(&request.query_id);
        let count = self.counts.begin(Method::StreamQuery);
        let refused = |error: Error| refusal(&count, &error, &id);
        let fingerprint = fingerprint(&mut request);
        let statement =
            self.statement(request.statement.take(), &count).map_err(|error| refusal(&count, &error, ""))?;
        let options = self.requests.options(&request, &statement.source).map_err(refused)?;
        let resume = Resume::try_new(&request, fingerprint, &self.engine.token_keys).map_err(refused)?;
        let call = self.begin(&metadata, &request.query_id, &statement.source, &count).map_err(refused)?;
        let id = call.id.clone();
        let events = self.engine.stream(call, statement, options, resume).await.map_err(|error| status(&error, &id))?;
        let messages =
            answers(events, id, |event, resume_token| v1::StreamQueryResponse { event: Some(event), resume_token });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn query_row(&self, request: Request<v1::QueryRowRequest>) -> Answer<v1::QueryRowResponse> {
        let (metadata, _, request) = request.into_parts();
        let count = self.counts.begin(Method::QueryRow);
        let statement = self.statement(request.statement, &count).map_err(|error| refusal(&count, &error, ""))?;
        let options = self.requests.one_row();
        let call = self.begin(&metadata, &request.query_id, &statement.source, &count);
        let call = call.map_err(|error| refusal(&count, &error, &valid_id(&request.query_id)))?;
        let query_id = call.id.clone();
        let answer = async {
            let mut events = self.engine.one_row(call, statement, options).await?;
            let (mut columns, mut row) = (Vec::new(), None);
            while let Some(message) = events.next().await {
                match message?.event {
                    Event::Header(header) => columns = header.columns,
                    Event::Batch(batch) => row = Some(only_row(&batch)?),
                    Event::Summary(_) => {}
                }
            }
            let row = row.ok_or(Error::NoRow)?;
            Ok(v1::QueryRowResponse { query_id: query_id.clone(), columns, row: Some(row) })
        };
        answer.await.map(Response::new).map_err(|error: Error| status(&error, &query_id))
    }

    async fn describe_query(&self, request: Request<v1::DescribeQueryRequest>) -> Answer<v1::DescribeQueryResponse> {
        let (metadata, _, request) = request.into_parts();
        let count = self.counts.begin(Method::DescribeQuery);
        let refused = |error: Error| refusal(&count, &error, "");
        let statement = self.statement(request.statement, &count).map_err(refused)?;
        let source = statement.source.clone();
        let call = self.begin(&metadata, "", &source, &count).map_err(refused)?;
        let id = call.id.clone();
        // Who may run no SQL is not shown that of the server's own making either.
        let shown = |estimate: Option<Estimate>| estimate.map(|given| plan_estimate(given, self.requests.allow_sql));
        if let Source::Table(read) = &source {
            let described = self.engine.describe_table(call, read.clone(), request.plan_estimate).await;
            let (table, rendered, estimate) = described.map_err(|error| status(&error, &id))?;
            let plan_estimate = shown(estimate);
            return Ok(Response::new(v1::DescribeQueryResponse {
                plan_estimate,
                ..table::described(&table, &rendered)
            }));
        }
        let about = self.engine.describe(call, statement, request.plan_estimate).await;
        let About { described, estimate } = about.map_err(|error| status(&error, &id))?;
        let types = described.parameters.iter().map(|name| (name.short.clone(), name.oid)).collect::<Vec<_>>();
        let about = match &source {
            Source::Named(query) => named(query, &types),
            Source::Sql(_) | Source::Table(_) => {
                v1::NamedQuery { parameters: anonymous(&types), ..v1::NamedQuery::default() }
            }
        };
        Ok(Response::new(v1::DescribeQueryResponse {
            parameters: about.parameters,
            columns: described.columns.iter().map(wire_column).collect(),
            description: about.description,
            max_deadline: about.max_deadline,
            max_rows: about.max_rows,
            plan_estimate: shown(estimate),
            max_batch_bytes: about.max_batch_bytes,
        }))
    }

    async fn list_queries(&self, request: Request<v1::ListQueriesRequest>) -> Answer<v1::ListQueriesResponse> {
        let v1::ListQueriesRequest { page_size, page_token } = request.into_inner();
        let count = self.counts.begin(Method::ListQueries);
        let size = page_length(page_size).map_err(|error| refusal(&count, &error, ""))?;
        let mut page = self.queries.after(&page_token, size + 1);
        let more = page.len() > size;
        page.truncate(size);
        let next_page_token = page.last().filter(|_| more).map_or_else(String::new, |query| query.name.clone());
        let queries = page.iter().map(|query| named(query, &[])).collect();
        count.end(None);
        Ok(Response::new(v1::ListQueriesResponse { queries, next_page_token }))
    }

    async fn list_tables(&self, request: Request<v1::ListTablesRequest>) -> Answer<v1::ListTablesResponse> {
        let (metadata, _, v1::ListTablesRequest { page_size, page_token }) = request.into_parts();
        let count = self.counts.begin(Method::ListTables);
        let begun = || {
            if self.draining.is_cancelled() {
                return Err(Error::Draining);
            }
            let page = (page_length(page_size)?, table::after(&page_token)?);
            Ok((page, self.begin_for(&metadata, "", None, &count)?))
        };
        let ((size, after), call) = begun().map_err(|error| refusal(&count, &error, ""))?;
        let id = call.id.clone();
        let tables = self.engine.tables(call, after, size + 1).await.map_err(|error| status(&error, &id))?;
        Ok(Response::new(table::page(tables, size)))
    }

    async fn cancel_query(&self, request: Request<v1::CancelQueryRequest>) -> Answer<v1::CancelQueryResponse> {
        let id = request.into_inner().query_id;
        let count = self.counts.begin(Method::CancelQuery);
        if id.is_empty() {
            let error = Error::InvalidRequest { field: "query_id", message: "is required".to_owned() };
            return Err(refusal(&count, &error, ""));
        }
        count.end(None);
        Ok(Response::new(v1::CancelQueryResponse { running: self.engine.calls.cancel(&id) }))
    }
}

/// The row of a batch of one, without its own key and length.
fn only_row(batch: &rowstream_contract::rows::Batch) -> Result<Row, Error> {
    let mut body = batch.data.bytes().clone();
    let broken = || Error::Internal("a batch of one row is malformed".to_owned());
    let key = prost::encoding::decode_key(&mut body).map_err(|_| broken())?;
    let length = prost::encoding::decode_varint(&mut body).map_err(|_| broken())?;
    if key.0 == rowstream_contract::rows::tag::ROWS && usize::try_from(length) == Ok(body.len()) {
        Ok(Row(body))
    } else {
        Err(broken())
    }
}

/// A named query as the contract tells it; `types` are those that PostgreSQL has told, if it was asked.
fn named(query: &NamedQuery, types: &[(String, u32)]) -> v1::NamedQuery {
    let parameters = query.parameters.iter().enumerate().map(|(i, declared)| {
        let (type_name, type_oid) = types.get(i).cloned().unwrap_or_else(|| (declared.type_name.clone(), 0));
        v1::Parameter {
            position: position(i),
            name: declared.name.clone(),
            type_name,
            type_oid,
            required: declared.default.is_none(),
            default_value: declared.default.as_ref().map(plan::default_value),
            description: declared.description.clone(),
        }
    });
    v1::NamedQuery {
        name: query.name.clone(),
        description: query.description.clone(),
        parameters: parameters.collect(),
        max_deadline: query.max_deadline.and_then(|deadline| deadline.try_into().ok()),
        max_rows: query.max_rows.unwrap_or(0),
        max_batch_bytes: query.max_batch_bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
    }
}

fn plan_estimate(estimate: Estimate, shows_plan: bool) -> v1::PlanEstimate {
    v1::PlanEstimate {
        rows: estimate.rows,
        width_bytes: estimate.width_bytes,
        startup_cost: estimate.startup_cost,
        total_cost: estimate.total_cost,
        generic: estimate.generic,
        json: if shows_plan { estimate.json } else { String::new() },
        parallel_workers: estimate.parallel_workers,
    }
}

fn anonymous(types: &[(String, u32)]) -> Vec<v1::Parameter> {
    let parameter = |(i, (type_name, type_oid)): (usize, &(String, u32))| v1::Parameter {
        position: position(i),
        type_name: type_name.clone(),
        type_oid: *type_oid,
        required: true,
        ..v1::Parameter::default()
    };
    types.iter().enumerate().map(parameter).collect()
}

fn position(index: usize) -> i32 {
    i32::try_from(index + 1).unwrap_or(i32::MAX)
}
