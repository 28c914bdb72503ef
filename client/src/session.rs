//! Read sessions: one snapshot of the database, read in several streams.
//!
//! [`ReadSessionBuilder`] takes the snapshot, [`ReadSession`] keeps it alive, [`ReadPartition`] reads a part of it. The
//! streams are those of a query (`stream`, `arrow`, `arrow_ipc`), and go on where they were cut as those do.

use std::time::{Duration, SystemTime};

use rowstream_contract::v1::{
    CreateReadSessionRequest, DeleteReadSessionRequest, ReadPartitionRequest, ReadPartitionResponse,
    RenewReadSessionRequest, StreamQueryResponse, read_partition_response, read_session_service_client,
    stream_query_response,
};
use tokio::{task::JoinHandle, time::sleep};
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, transport::Channel};

#[cfg(feature = "arrow")]
use crate::RecordBatchStream;
use crate::{
    ArrowIpcStream, ArrowOptions, Call, Client, Columns, Encoding, Error, Partition, PartitionStrategy, PartitionToken,
    ResumeGuarantee, ResumeToken, RowStream,
    deadline::Deadline,
    events::Events,
    resume::{Messages, Piece, Reopen, default_policy},
};

type Service = read_session_service_client::ReadSessionServiceClient<Channel>;

/// As the server's own default.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);
/// Renewing and deleting get this long.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// A session in the making; started by [`Client::create_read_session`].
#[derive(Clone, Debug)]
#[must_use = "a session does not begin until it is created"]
pub struct ReadSessionBuilder {
    call: Call,
    partitions: u32,
    strategy: PartitionStrategy,
    partition_by: Vec<String>,
    time_to_live: Duration,
}

impl ReadSessionBuilder {
    /// How many partitions are wished for. There may be fewer. Default: 1.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// How the result is divided. Default: the server chooses.
    pub fn strategy(mut self, strategy: PartitionStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The columns to divide by, with the strategies that take some.
    pub fn partition_by(mut self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// How long the session lives when nobody renews it, as after a crash. Default: 5 minutes.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// Takes the snapshot. The session is renewed until it is dropped.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn create(self) -> Result<ReadSession, Error> {
        let (client, statement, timeout) = self.call.into_parts();
        let request = CreateReadSessionRequest {
            statement: Some(statement),
            partitions: self.partitions.try_into().unwrap_or(i32::MAX),
            partition_strategy: self.strategy.into_wire().into(),
            partition_by: self.partition_by,
            time_to_live: Some(duration(self.time_to_live)?),
        };
        let deadline = client.deadline(timeout);
        let create = |mut service: Service, request| async move { service.create_read_session(request).await };
        let answer = client.ask_sessions(&deadline, &request, create).await?;
        if answer.partitions.is_empty() {
            return Err(Error::protocol("a read session without partitions"));
        }
        let (strategy, guarantee) =
            (PartitionStrategy::from_wire(answer.partition_strategy()), answer.resume_guarantee);
        let renewal = Renewal::start(client, answer.session_id.clone(), self.time_to_live);
        Ok(ReadSession {
            id: answer.session_id,
            columns: answer.columns.into(),
            partitions: answer.partitions.into_iter().map(Partition::from).collect(),
            strategy,
            strategy_reason: answer.partition_reason,
            partition_by: answer.partition_by,
            partitioned_by_primary_key: answer.partition_by_primary_key,
            snapshot_time: answer.snapshot.as_ref().and_then(|snapshot| snapshot.create_time?.try_into().ok()),
            snapshot: answer.snapshot.unwrap_or_default().id,
            resume_guarantee: ResumeGuarantee::from_wire(guarantee),
            _renewal: renewal,
        })
    }
}

fn duration(time: Duration) -> Result<prost_types::Duration, Error> {
    time.try_into().map_err(|_| Error::protocol(format!("a time to live of {time:?} is too long for the contract")))
}

/// A session that is renewed for as long as it is not dropped. Dropping it does not delete it: its snapshot stays until
/// it expires, for those who go on with its partitions.
#[derive(Debug)]
pub struct ReadSession {
    id: String,
    columns: Columns,
    partitions: Vec<Partition>,
    strategy: PartitionStrategy,
    strategy_reason: String,
    partition_by: Vec<String>,
    partitioned_by_primary_key: bool,
    snapshot: String,
    snapshot_time: Option<SystemTime>,
    resume_guarantee: ResumeGuarantee,
    _renewal: Renewal,
}

impl ReadSession {
    /// What [`Client::renew_read_session`] and [`Client::delete_read_session`] take.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The columns of every partition, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The partitions: disjoint, and together complete.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// How the result was divided.
    #[must_use]
    pub fn strategy(&self) -> PartitionStrategy {
        self.strategy
    }

    /// Why so, for people.
    #[must_use]
    pub fn strategy_reason(&self) -> &str {
        &self.strategy_reason
    }

    /// The columns that the result was divided by: one for ranges of a key, one or more for a hash; none else, and for a
    /// hash of all columns of a statement.
    #[must_use]
    pub fn partition_by(&self) -> &[String] {
        &self.partition_by
    }

    /// Whether those are columns of the table's primary key: a row then stays in its partition whatever else of it is
    /// updated.
    #[must_use]
    pub fn is_partitioned_by_primary_key(&self) -> bool {
        self.partitioned_by_primary_key
    }

    /// PostgreSQL's name of the snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// When it was taken, by PostgreSQL's clock.
    #[must_use]
    pub fn snapshot_time(&self) -> Option<SystemTime> {
        self.snapshot_time
    }

    /// What the resume tokens of its partitions promise.
    #[must_use]
    pub fn resume_guarantee(&self) -> ResumeGuarantee {
        self.resume_guarantee
    }
}

/// Renews a session until it is dropped.
#[derive(Debug)]
pub struct Renewal(JoinHandle<()>);

impl Renewal {
    /// Three times in each time to live, so that one failure is none. That a session is gone is told by its streams.
    fn start(client: Client, id: String, time_to_live: Duration) -> Self {
        Self(tokio::spawn(async move {
            loop {
                sleep((time_to_live / 3).max(Duration::from_millis(100))).await;
                let _ = client.renew_read_session(&id, time_to_live).await;
            }
        }))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A read of a partition in the making; started by [`Client::read_partition`]. Can be cloned and sent many times.
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is sent"]
pub struct ReadPartition {
    client: Client,
    partition: PartitionToken,
    live: bool,
    deadline: Option<Duration>,
    resume_from: Option<ResumeToken>,
    arrow: ArrowOptions,
}

impl ReadPartition {
    /// Reads the partition as the database is now, and not in the session's snapshot, which may be gone. Rows that were
    /// written since are as they are now, so that it need not fit together with others. Not for partitions by ctid,
    /// in which rows move. Default: false.
    pub fn live(mut self, live: bool) -> Self {
        self.live = live;
        self
    }

    /// As [`Call::deadline`].
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.deadline = Some(timeout);
        self
    }

    /// As [`Call::resume_from`], of an earlier stream of the same partition.
    pub fn resume_from(mut self, token: ResumeToken) -> Self {
        self.resume_from = Some(token);
        self
    }

    /// As [`Call::arrow_options`].
    pub fn arrow_options(mut self, options: ArrowOptions) -> Self {
        self.arrow = options;
        self
    }

    /// As [`Call::stream`].
    ///
    /// # Errors
    /// ABORTED, reason SNAPSHOT_LOST, if the snapshot is gone; whatever else ended the call before its first row.
    pub async fn stream(&self) -> Result<RowStream, Error> {
        Ok(RowStream::new(self.events(Encoding::Rows).await?))
    }

    /// As [`Call::record_batches`].
    ///
    /// # Errors
    /// As of [`stream`](Self::stream).
    #[cfg(feature = "arrow")]
    pub async fn record_batches(&self) -> Result<RecordBatchStream, Error> {
        RecordBatchStream::try_new(self.events(Encoding::Arrow).await?)
    }

    /// As [`Call::arrow_ipc`].
    ///
    /// # Errors
    /// As of [`stream`](Self::stream).
    pub async fn arrow_ipc(&self) -> Result<ArrowIpcStream, Error> {
        Ok(ArrowIpcStream::new(self.events(Encoding::Arrow).await?))
    }

    async fn events(&self, encoding: Encoding) -> Result<Events, Error> {
        let deadline = self.client.deadline(self.deadline);
        let piece = self.piece(encoding, &deadline, self.resume_from.clone()).await?;
        let reopen = || -> Reopen {
            let read = self.clone();
            Box::new(move |token| {
                let read = read.clone();
                Box::pin(async move { read.piece(encoding, &deadline, Some(token)).await })
            })
        };
        let scope = self.client.scope().cloned();
        Events::begin(piece, deadline, scope, default_policy(), reopen, self.resume_from.as_ref())
    }

    /// One attempt, from that boundary on.
    async fn piece(&self, encoding: Encoding, deadline: &Deadline, from: Option<ResumeToken>) -> Result<Piece, Error> {
        let message = ReadPartitionRequest {
            partition: self.partition.as_bytes().to_vec(),
            encoding: encoding.into_wire(),
            arrow: (encoding == Encoding::Arrow).then(|| self.arrow.into_wire()),
            resume_token: from.map(|token| token.as_bytes().to_vec()).unwrap_or_default(),
            live: self.live,
            ..ReadPartitionRequest::default()
        };
        let send = |channel| {
            let (mut service, request) =
                (self.client.sessions(channel), self.client.request(deadline, message.clone()));
            async move { service.read_partition(request).await }
        };
        let (response, lease) = self.client.attempt(deadline, send).await?;
        let messages = response.into_inner().map(|message| message.map(as_of_a_query));
        Piece::open(Messages::new(messages), encoding, deadline, lease).await
    }
}

/// The events are the same; only the messages around them have two names.
fn as_of_a_query(message: ReadPartitionResponse) -> StreamQueryResponse {
    use read_partition_response::Event as Of;
    use stream_query_response::Event;
    let event = message.event.map(|event| match event {
        Of::Header(header) => Event::Header(header),
        Of::Batch(batch) => Event::Batch(batch),
        Of::Summary(summary) => Event::Summary(summary),
    });
    StreamQueryResponse { event, resume_token: message.resume_token }
}

impl Client {
    /// Reads one snapshot in several streams: what this call would run, divided. Of the call, the statement, its values
    /// and the deadline count.
    pub fn create_read_session(&self, call: Call) -> ReadSessionBuilder {
        ReadSessionBuilder {
            call,
            partitions: 1,
            strategy: PartitionStrategy::Auto,
            partition_by: Vec::new(),
            time_to_live: TIME_TO_LIVE,
        }
    }

    /// Reads one partition of a session.
    pub fn read_partition(&self, partition: impl Into<PartitionToken>) -> ReadPartition {
        ReadPartition {
            client: self.clone(),
            partition: partition.into(),
            live: false,
            deadline: None,
            resume_from: None,
            arrow: ArrowOptions::new(),
        }
    }

    /// Puts off a session's end to that time from now.
    ///
    /// # Errors
    /// ABORTED, reason SNAPSHOT_LOST, or FAILED_PRECONDITION, reason SESSION_EXPIRED, if it is gone.
    pub async fn renew_read_session(&self, id: &str, time_to_live: Duration) -> Result<(), Error> {
        let request =
            RenewReadSessionRequest { session_id: id.to_owned(), time_to_live: Some(duration(time_to_live)?) };
        let renew = |mut service: Service, request| async move { service.renew_read_session(request).await };
        self.ask_sessions(&self.deadline(Some(CONTROL_TIMEOUT)), &request, renew).await.map(drop)
    }

    /// Renews a session now, and from then on until the answer is dropped: for going on with the partitions of one.
    ///
    /// # Errors
    /// As of [`renew_read_session`](Self::renew_read_session).
    pub async fn keep_read_session(&self, id: &str, time_to_live: Duration) -> Result<Renewal, Error> {
        self.renew_read_session(id, time_to_live).await?;
        Ok(Renewal::start(self.clone(), id.to_owned(), time_to_live))
    }

    /// Ends a session. Answers whether a server held its snapshot.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn delete_read_session(&self, id: &str) -> Result<bool, Error> {
        let request = DeleteReadSessionRequest { session_id: id.to_owned() };
        let delete = |mut service: Service, request| async move { service.delete_read_session(request).await };
        Ok(self.ask_sessions(&self.deadline(Some(CONTROL_TIMEOUT)), &request, delete).await?.deleted)
    }

    async fn ask_sessions<M: Clone, T, F>(
        &self,
        deadline: &Deadline,
        message: &M,
        mut call: impl FnMut(Service, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let send = |channel| call(self.sessions(channel), self.request(deadline, message.clone()));
        let (answer, mut lease) = self.attempt(deadline, send).await?;
        lease.first_message();
        Ok(answer.into_inner())
    }
}
