//! One call in the making: what to run, with which values, by when. Sending it is here too; what a
//! stream does after its header is in `stream`.

use std::{fmt, time::Duration};

use rowstream_contract::v1::{DescribeQueryRequest, QueryRowRequest, Statement, StreamQueryRequest, statement::Source};
#[cfg(feature = "compression")]
use tonic::metadata::MetadataValue;
use tonic::{Request, transport::Channel};

#[cfg(feature = "compression")]
use crate::Compression;
#[cfg(feature = "arrow")]
use crate::RecordBatchStream;
use crate::{
    ArrowIpcStream, ArrowOptions, Client, Columns, Description, Encoding, Error, ResumeToken, RetryPolicy, Row,
    RowBatch, RowStream, Strategy, Value,
    client::Service,
    deadline::Deadline,
    events::Events,
    fanout::OneRow,
    resume::{Messages, Piece, Reopen, default_policy},
};

/// The request's metadata that asks for gRPC's compression; `grpc-accept-encoding` alone turns nothing on.
#[cfg(feature = "compression")]
const COMPRESSION: &str = "rowstream-compression";

/// A statement and how to run it; made by [`Client::query`], [`Client::sql`] and
/// [`TableRead::call`](crate::TableRead::call). Can be cloned and sent many times.
#[derive(Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    client: Client,
    statement: Statement,
    options: Options,
}

/// What a call may leave to the server's defaults.
#[derive(Clone, Debug, Default)]
struct Options {
    deadline: Option<Duration>,
    max_rows: u64,
    max_batch_rows: u32,
    max_batch_bytes: u32,
    query_id: String,
    strategy: Strategy,
    arrow: ArrowOptions,
    resume_key: Vec<String>,
    resume_from: Option<ResumeToken>,
    /// `None`: the default.
    resume: Option<RetryPolicy>,
    #[cfg(feature = "compression")]
    compression: Option<Compression>,
}

impl fmt::Debug for Call {
    /// Leaves out the SQL and the values: they belong in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = match &self.statement.source {
            Some(Source::Query(name)) => name,
            Some(Source::Table(read)) => &read.table,
            _ => "(sql)",
        };
        f.debug_struct("Call").field("query", &query).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Call {
    pub(crate) fn new(client: Client, source: Source) -> Self {
        let statement = Statement { source: Some(source), ..Statement::default() };
        Self { client, statement, options: Options::default() }
    }

    /// Gives the next positional parameter its value: the first call binds `$1`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.statement.parameters.push(value.into().into_wire());
        self
    }

    /// Gives a parameter of a named query its value. Excludes [`bind`](Self::bind).
    pub fn bind_named(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.statement.named_parameters.insert(name.into(), value.into().into_wire());
        self
    }

    /// How long the whole call may take, from sending it to its last row: connecting, waiting in the
    /// server, every fetch, and the time this side takes to read. Default: the server's.
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.options.deadline = Some(timeout);
        self
    }

    /// The most rows to send; the summary says whether there were more. Default 0: no limit.
    /// [`query_row`](Self::query_row) ignores it.
    pub fn max_rows(mut self, rows: u64) -> Self {
        self.options.max_rows = rows;
        self
    }

    /// The most rows in one batch. Default 0: no limit by rows.
    pub fn max_batch_rows(mut self, rows: u32) -> Self {
        self.options.max_batch_rows = rows;
        self
    }

    /// The size at which the server closes a batch, in bytes. Default 0: 96 KiB.
    pub fn max_batch_bytes(mut self, bytes: u32) -> Self {
        self.options.max_batch_bytes = bytes;
        self
    }

    /// An id for this call, to find it in the server's log and in `pg_stat_activity`, and to cancel
    /// it: 1 to 36 of the characters `A-Z a-z 0-9 . _ : -`. Default: the server makes one.
    pub fn query_id(mut self, id: impl Into<String>) -> Self {
        self.options.query_id = id.into();
        self
    }

    /// How the server reads from PostgreSQL. Default: it chooses. [`query_row`](Self::query_row) ignores it.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// What becomes of values in [`record_batches`](Self::record_batches) and [`arrow_ipc`](Self::arrow_ipc).
    pub fn arrow_options(mut self, options: ArrowOptions) -> Self {
        self.options.arrow = options;
        self
    }

    /// Columns by which the stream can be resumed: together they tell every row from every other, and rows come in
    /// their order, ascending, NULLs last. For a table, `["*"]` is its primary key; one that is read in the order of
    /// its primary key needs none. Two rows that agree in all of them fail with INVALID_ARGUMENT, reason
    /// RESUME_KEY_NOT_UNIQUE. Default: none.
    ///
    /// Such a stream goes on by itself when its connection or its server is lost, and on another server if there is
    /// one; each row is given out once. What is read after an interruption is the database's state then.
    /// [`query_row`](Self::query_row) ignores it, as do calls of a fan-out, which are made again as a whole.
    pub fn resume_key(mut self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.options.resume_key = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Goes on behind the row boundary of a token: of [`RowStream::resume_token`], or of [`Error::resume_token`]. The
    /// call must be the same as the one that it comes from, but for deadline, query id, strategy and sizes of batches.
    pub fn resume_from(mut self, token: ResumeToken) -> Self {
        self.options.resume_from = Some(token);
        self
    }

    /// How streams that can be resumed are: how often in a row, and after what waits. A failure is healed so whose
    /// code is the policy's, and a stream that was cut off; never a change of the columns. Default: UNAVAILABLE and
    /// ABORTED, 8 times in a row. [`RetryPolicy::none`] turns it off.
    pub fn resume(mut self, policy: RetryPolicy) -> Self {
        self.options.resume = Some(policy);
        self
    }

    /// Lets gRPC compress the answer's messages. Pays where the network is slower than compressing is; in Arrow,
    /// [`ArrowOptions::compression`] does the same for less. Default: no.
    #[cfg(feature = "compression")]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.options.compression = Some(compression);
        self
    }

    /// Sends the call and waits for the header.
    ///
    /// # Errors
    /// Whatever ended the call before its first row.
    pub async fn stream(&self) -> Result<RowStream, Error> {
        self.stream_through(&self.client).await
    }

    /// The same in Arrow, as record batches.
    ///
    /// # Errors
    /// Whatever ended the call before its first row; [`Error::Protocol`] if the server does not know Arrow.
    #[cfg(feature = "arrow")]
    pub async fn record_batches(&self) -> Result<RecordBatchStream, Error> {
        RecordBatchStream::try_new(self.events(&self.client, Encoding::Arrow).await?)
    }

    /// The same in Arrow, as the messages of Arrow's IPC format, for passing them on as they are.
    ///
    /// # Errors
    /// Whatever ended the call before its first row; [`Error::Protocol`] if the server does not know Arrow.
    pub async fn arrow_ipc(&self) -> Result<ArrowIpcStream, Error> {
        Ok(ArrowIpcStream::new(self.events(&self.client, Encoding::Arrow).await?))
    }

    /// The same through a client that is bound to an attempt of a fan-out.
    pub(crate) async fn stream_through(&self, client: &Client) -> Result<RowStream, Error> {
        Ok(RowStream::new(self.events(client, Encoding::Rows).await?))
    }

    /// What a read session takes of it.
    pub(crate) fn into_parts(self) -> (Client, Statement, Option<Duration>) {
        (self.client, self.statement, self.options.deadline)
    }

    async fn events(&self, client: &Client, encoding: Encoding) -> Result<Events, Error> {
        let deadline = client.deadline(self.options.deadline);
        let piece = self.piece(client, encoding, &deadline, self.options.resume_from.clone()).await?;
        let policy = self.options.resume.clone().unwrap_or_else(default_policy);
        let reopen = || -> Reopen {
            let again = (self.clone(), client.clone());
            Box::new(move |token| {
                let (call, client) = again.clone();
                Box::pin(async move { call.piece(&client, encoding, &deadline, Some(token)).await })
            })
        };
        let from = self.options.resume_from.as_ref();
        Events::begin(piece, deadline, client.scope().cloned(), policy, reopen, from)
    }

    /// One attempt, from that boundary on.
    async fn piece(
        &self,
        client: &Client,
        encoding: Encoding,
        deadline: &Deadline,
        token: Option<ResumeToken>,
    ) -> Result<Piece, Error> {
        let request = StreamQueryRequest {
            statement: Some(self.statement.clone()),
            encoding: encoding.into_wire(),
            max_rows: self.options.max_rows.try_into().unwrap_or(i64::MAX),
            max_batch_rows: self.options.max_batch_rows.try_into().unwrap_or(i32::MAX),
            max_batch_bytes: self.options.max_batch_bytes.try_into().unwrap_or(i32::MAX),
            resume_key: self.options.resume_key.clone(),
            resume_token: token.map(|token| token.as_bytes().to_vec()).unwrap_or_default(),
            query_id: self.options.query_id.clone(),
            strategy: self.options.strategy.into_wire(),
            arrow: (encoding == Encoding::Arrow).then(|| self.options.arrow.into_wire()),
        };
        let send = |channel| {
            let (mut service, request) = self.prepare(client, channel, deadline, request.clone());
            async move { service.stream_query(request).await }
        };
        let (response, lease) = client.attempt(deadline, send).await?;
        Piece::open(Messages::new(response.into_inner()), encoding, deadline, lease).await
    }

    /// The service over a connection, and a request, both with the compression that the call asks for.
    fn prepare<T>(&self, client: &Client, channel: Channel, deadline: &Deadline, message: T) -> (Service, Request<T>) {
        #[cfg_attr(not(feature = "compression"), expect(unused_mut, reason = "the compression changes both"))]
        let (mut service, mut request) = (client.service(channel), client.request(deadline, message));
        #[cfg(feature = "compression")]
        if let Some(compression) = self.options.compression {
            service = service.accept_compressed(compression.encoding());
            request.metadata_mut().insert(COMPRESSION, MetadataValue::from_static(compression.name()));
        }
        (service, request)
    }

    /// Sends the call for its first row only.
    ///
    /// # Errors
    /// NOT_FOUND, reason NO_ROW, if there is none; any other failure of the call.
    pub async fn query_row(&self) -> Result<Row, Error> {
        self.query_row_through(&self.client).await
    }

    /// The same through a client that is bound to an attempt of a fan-out.
    pub(crate) async fn query_row_through(&self, client: &Client) -> Result<Row, Error> {
        let deadline = client.deadline(self.options.deadline);
        let request =
            QueryRowRequest { statement: Some(self.statement.clone()), query_id: self.options.query_id.clone() };
        let query = |mut service: Service, request| async move { service.query_row(request).await };
        let response = client.ask(&deadline, &request, query).await?;
        if let Some(scope) = client.scope() {
            if !scope.first_message() {
                return Err(Error::Superseded);
            }
            scope.rows();
        }
        let row = response.row.ok_or_else(|| Error::protocol("an answer without a row"))?;
        let columns = Columns::from(response.columns);
        RowBatch::of_one_row(columns, row.0)
            .map_err(Error::protocol)?
            .into_rows()
            .next()
            .ok_or_else(|| Error::protocol("an answer without a row"))
    }

    /// The same call for its first row only, as a call of a fan-out.
    pub fn one_row(self) -> OneRow {
        OneRow(self)
    }

    /// Asks what the statement takes and gives, and runs nothing. Bound values are ignored.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn describe(&self) -> Result<Description, Error> {
        let statement = Statement { source: self.statement.source.clone(), ..Statement::default() };
        self.ask(DescribeQueryRequest { statement: Some(statement), plan_estimate: false }).await
    }

    /// As [`describe`](Self::describe), with what PostgreSQL estimates of the plan for the bound values, or for any
    /// values if none is bound.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn describe_with_plan(&self) -> Result<Description, Error> {
        self.ask(DescribeQueryRequest { statement: Some(self.statement.clone()), plan_estimate: true }).await
    }

    async fn ask(&self, request: DescribeQueryRequest) -> Result<Description, Error> {
        let deadline = self.client.deadline(self.options.deadline);
        let describe = |mut service: Service, request| async move { service.describe_query(request).await };
        Description::try_from(self.client.ask(&deadline, &request, describe).await?)
    }

    pub(crate) fn deadline_option(&self) -> Option<Duration> {
        self.options.deadline
    }
}
