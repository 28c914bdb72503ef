//! The service of the contract, answered from the script.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rowstream_contract::{
    rows,
    v1::{
        CancelQueryRequest, CancelQueryResponse, DescribeQueryRequest, DescribeQueryResponse, ListQueriesRequest,
        ListQueriesResponse, ListTablesRequest, ListTablesResponse, QueryRowRequest, QueryRowResponse,
        StreamQueryRequest, query_service_server::QueryService,
    },
};
use tonic::{Code, Request as Call, Response, Status};

use super::{
    Answer, End, FakeQuery, Method, Request,
    answer::{Content, Failure, Rows},
    messages::{Messages, cancel_requested, messages, stopped},
    record::{Record, Running},
    script::{Found, Script},
    wire::Wire,
};
use crate::{Encoding, Reason, Strategy};

/// What a server's service, its connections and its owner share.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    script: Arc<Mutex<Script>>,
    catalog: Arc<Mutex<Vec<FakeQuery>>>,
    pub(super) record: Arc<Record>,
}

impl Service {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn catalog(&self) -> MutexGuard<'_, Vec<FakeQuery>> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Answer {
        // Apart from the match, which would keep the lock while a closure of the user's runs.
        let found = self.script().find(&request.query);
        match found {
            Found::Answer(answer) => answer,
            Found::Decide(decide) => decide(request),
        }
    }

    /// Notes the call, and waits until its answer begins.
    async fn begin(&self, mut request: Request, wire: Option<Wire>) -> Result<(Running, Request, Rows), Status> {
        let mut running = self.record.begin(&mut request, wire);
        let answer = self.answer(&request);
        let cancel = running.cancel_requested();
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancel_requested(&request.query_id)),
            outcome = start(answer, &request) => outcome,
        };
        match outcome {
            Ok(rows) => Ok((running, request, rows)),
            Err(status) => {
                running.end(End::Failed(status.code()));
                Err(status)
            }
        }
    }
}

/// Waits until the answer begins: with rows, with an error, or never.
async fn start(answer: Answer, request: &Request) -> Result<Rows, Status> {
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    match answer.content {
        Content::Result(rows) => Ok(rows),
        Content::Error(failure) => Err(failure.status(&request.query_id)),
        Content::Hang => std::future::pending().await,
    }
}

/// The first row of an answer, or what stands in its place.
async fn first_row(running: &Running, request: &Request, rows: &Rows) -> Result<QueryRowResponse, Status> {
    if let Some((0, stop)) = &rows.stop {
        return Err(stopped(stop, running, request).await);
    }
    match rows.rows.first() {
        Some(row) => Ok(QueryRowResponse {
            query_id: request.query_id.clone(),
            columns: rows.wire_columns(),
            row: Some(rows::Row(row.clone())),
        }),
        None => Err(Failure::new(Code::NotFound, Some(Reason::NoRow)).status(&request.query_id)),
    }
}

#[tonic::async_trait]
impl QueryService for Service {
    type StreamQueryStream = Messages;

    async fn stream_query(&self, call: Call<StreamQueryRequest>) -> Result<Response<Messages>, Status> {
        let message = call.get_ref();
        let mut request = Request::read(Method::StreamQuery, &call, message.statement.as_ref(), &message.query_id);
        request.max_rows = message.max_rows.try_into().unwrap_or_default();
        request.encoding = Encoding::from_wire(message.encoding).unwrap_or_default();
        request.strategy = Strategy::used(message.strategy).unwrap_or_default();
        let wire = call.extensions().get().cloned();
        let (running, request, rows) = self.begin(request, wire).await?;
        Ok(Response::new(messages(running, request, rows)))
    }

    async fn query_row(&self, call: Call<QueryRowRequest>) -> Result<Response<QueryRowResponse>, Status> {
        let message = call.get_ref();
        let request = Request::read(Method::QueryRow, &call, message.statement.as_ref(), &message.query_id);
        let wire = call.extensions().get().cloned();
        let (mut running, request, rows) = self.begin(request, wire).await?;
        let outcome = first_row(&running, &request, &rows).await;
        running.end(outcome.as_ref().map_or_else(|status| End::Failed(status.code()), |_| End::Answered));
        outcome.map(Response::new)
    }

    async fn describe_query(
        &self,
        call: Call<DescribeQueryRequest>,
    ) -> Result<Response<DescribeQueryResponse>, Status> {
        let message = call.get_ref();
        let mut request = Request::read(Method::DescribeQuery, &call, message.statement.as_ref(), "");
        let mut running = self.record.begin(&mut request, call.extensions().get().cloned());
        let described = self.catalog().iter().find(|query| query.named().name == request.query).cloned();
        let outcome = described.map(|query| Response::new(query.describe(message.plan_estimate))).ok_or_else(|| {
            let told = format!("the fake server knows no query {:?}: add it with FakeServer::query", request.query);
            Failure::new(Code::NotFound, Some(Reason::UnknownQuery)).message(told).status(&request.query_id)
        });
        running.end(outcome.as_ref().map_or_else(|status| End::Failed(status.code()), |_| End::Answered));
        outcome
    }

    /// One query a page, so that a caller who does not turn pages is found out.
    async fn list_queries(&self, call: Call<ListQueriesRequest>) -> Result<Response<ListQueriesResponse>, Status> {
        let page: usize = call.into_inner().page_token.parse().unwrap_or_default();
        let catalog = self.catalog();
        let queries = catalog.get(page).map(FakeQuery::named).into_iter().collect();
        let next_page_token = if page + 1 < catalog.len() { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListQueriesResponse { queries, next_page_token }))
    }

    async fn list_tables(&self, _: Call<ListTablesRequest>) -> Result<Response<ListTablesResponse>, Status> {
        Ok(Response::new(ListTablesResponse::default()))
    }

    async fn cancel_query(&self, call: Call<CancelQueryRequest>) -> Result<Response<CancelQueryResponse>, Status> {
        let running = self.record.cancel(call.into_inner().query_id);
        Ok(Response::new(CancelQueryResponse { running }))
    }
}
