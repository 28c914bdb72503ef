//! `rowstream.v1.ReadSessionService`.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use data_encoding::BASE64URL_NOPAD;
use rowstream_contract::v1::{
    self, ResumeGuarantee, read_partition_response, read_session_service_server::ReadSessionService,
    stream_query_response::Event,
};
use tokio_stream::Stream;
use tonic::{Request, Response};

use super::{
    query::{Answer, Queryable, answers, refusal, valid_id},
    status::status,
};
use crate::{
    error::Error,
    metrics::calls::{CallCount, Method},
    plan::{
        partition::{Sized, Slice, Wish},
        request::{Partition, Statement, invalid},
        resume::{Resume, fingerprint},
    },
    snapshot::payload::{PartitionPayload, SessionPayload},
    stream::{divide::Divided, read::wire_column, sessions::Created},
    token::{Keys, Kind},
};

/// How long a session lives if its caller does not say.
const LIVE: Duration = Duration::from_secs(5 * 60);
/// The most that all tokens of a session may be together, as far as the statement makes them so large.
const MAX_TOKENS_BYTES: usize = 2 << 20;
/// Callers are not authenticated: all are one.
const CALLER: &str = "";

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct ReadSessions {
    pub(crate) queryable: Queryable,
    pub(crate) keys: Keys,
}

impl ReadSessions {
    /// The session of an id, if this caller may use it.
    fn session(&self, id: &str) -> Result<SessionPayload, Error> {
        const FIELD: &str = "session_id";
        if id.is_empty() {
            return Err(invalid(FIELD, "is required"));
        }
        let token = BASE64URL_NOPAD.decode(id.as_bytes()).map_err(|_| Error::InvalidToken(FIELD))?;
        let session: SessionPayload = self.keys.open(Kind::Session, &token)?;
        session.check(CALLER, FIELD, SystemTime::now())?;
        Ok(session)
    }

    /// The statement of a partition's token, in its snapshot.
    fn partition(&self, token: &[u8], live: bool, count: &CallCount) -> Result<Statement, Error> {
        const FIELD: &str = "partition";
        if token.is_empty() {
            return Err(invalid(FIELD, "is required"));
        }
        let PartitionPayload { session, statement, part, shape } = self.keys.open(Kind::Partition, token)?;
        session.check_caller(CALLER, FIELD)?;
        let snapshot = match (live, &part.slice) {
            (true, Some(Slice::Pages(_))) => {
                return Err(invalid(
                    "live",
                    "goes with no part by CTID: rows that are updated move from one to another",
                ));
            }
            (true, _) => None,
            (false, _) => {
                session.check(CALLER, FIELD, SystemTime::now())?;
                let own = self.queryable.engine.snapshots.snapshot(session.id())?;
                Some(own.unwrap_or_else(|| session.snapshot()))
            }
        };
        let statement = self.queryable.statement(Some(statement), count)?;
        Ok(Statement {
            partition: Some(Arc::new(Partition { session: session.id(), snapshot, part, shape })),
            ..statement
        })
    }

    fn created(&self, created: Created, statement: &v1::Statement, live: Duration) -> v1::CreateReadSessionResponse {
        let Created {
            id,
            snapshot,
            taken,
            expires,
            latest,
            columns,
            shape,
            divided: Divided { chosen, by, parts },
            by_primary_key,
            resumable,
            estimate,
        } = created;
        let guarantee = if resumable { ResumeGuarantee::ExactSnapshot } else { ResumeGuarantee::None };
        let session = SessionPayload::new(id, &snapshot, CALLER, latest, live);
        let partition = |sized: Sized| {
            let payload = PartitionPayload {
                session: session.clone(),
                statement: statement.clone(),
                part: sized.part,
                shape: shape.clone(),
            };
            let rows = estimate.rows * sized.share;
            v1::Partition {
                token: self.keys.seal(Kind::Partition, &payload).into(),
                estimated_row_count: whole(rows),
                estimated_bytes: whole(rows * f64::from(estimate.width_bytes)),
            }
        };
        v1::CreateReadSessionResponse {
            session_id: BASE64URL_NOPAD.encode(&self.keys.seal(Kind::Session, &session)),
            columns: columns.iter().map(wire_column).collect(),
            partitions: parts.into_iter().map(partition).collect(),
            partition_strategy: chosen.strategy.wire().into(),
            partition_reason: chosen.reason,
            snapshot: Some(v1::Snapshot { id: snapshot.id, create_time: Some(taken.into()) }),
            expire_time: Some(expires.into()),
            resume_guarantee: guarantee.into(),
            partition_by: by,
            partition_by_primary_key: by_primary_key,
        }
    }
}

/// An estimate as a whole number.
fn whole(estimate: f64) -> i64 {
    // What does not fit is as good as the largest number.
    #[allow(clippy::cast_possible_truncation)]
    let whole = estimate.round() as i64;
    whole
}

/// How long a session is to live, at most as long as a snapshot may.
fn live(asked: Option<prost_types::Duration>, default: Duration, most: Duration) -> Result<Duration, Error> {
    const WRONG: &str = "is not more than 0";
    let Some(asked) = asked else { return Ok(default.min(most)) };
    match Duration::try_from(asked) {
        Ok(live) if !live.is_zero() => Ok(live.min(most)),
        _ => Err(invalid("time_to_live", WRONG)),
    }
}

#[tonic::async_trait]
impl ReadSessionService for ReadSessions {
    type ReadPartitionStream = Pin<Box<dyn Stream<Item = Result<v1::ReadPartitionResponse, tonic::Status>> + Send>>;

    async fn create_read_session(
        &self,
        request: Request<v1::CreateReadSessionRequest>,
    ) -> Answer<v1::CreateReadSessionResponse> {
        let (metadata, _, request) = request.into_parts();
        let queryable = &self.queryable;
        let count = queryable.counts.begin(Method::CreateReadSession);
        let prepared = || {
            let asked = request.statement.clone().unwrap_or_default();
            let statement = queryable.statement(request.statement, &count)?;
            let mut wish = Wish::try_new(request.partitions, request.partition_strategy, request.partition_by)?;
            wish.partitions = wish.partitions.min(MAX_TOKENS_BYTES / prost::Message::encoded_len(&asked).max(1)).max(1);
            let live = live(request.time_to_live, LIVE, queryable.engine.snapshots.limits().age)?;
            let call = queryable.begin(&metadata, "", &statement.source, &count)?;
            Ok((asked, statement, wish, live, call))
        };
        let (asked, statement, wish, live, call) = prepared().map_err(|error| refusal(&count, &error, ""))?;
        let id = call.id.clone();
        let created = queryable.engine.create_session(call, statement, wish, live).await;
        let created = created.map_err(|error| status(&error, &id))?;
        Ok(Response::new(self.created(created, &asked, live)))
    }

    async fn read_partition(&self, request: Request<v1::ReadPartitionRequest>) -> Answer<Self::ReadPartitionStream> {
        let (metadata, _, request) = request.into_parts();
        let queryable = &self.queryable;
        let id = valid_id(&request.query_id);
        let count = queryable.counts.begin(Method::ReadPartition);
        let prepared = || {
            let statement = self.partition(&request.partition, request.live, &count)?;
            let mut as_stream = as_stream(&request);
            let fingerprint = fingerprint(&mut as_stream);
            let options = queryable.requests.options(&as_stream, &statement.source)?;
            let resume = Resume::try_new(&as_stream, fingerprint, &self.keys)?;
            let call = queryable.begin(&metadata, &request.query_id, &statement.source, &count)?;
            Ok((statement, options, resume, call))
        };
        let (statement, options, resume, call) = prepared().map_err(|error| refusal(&count, &error, &id))?;
        let id = call.id.clone();
        let events =
            queryable.engine.stream(call, statement, options, resume).await.map_err(|error| status(&error, &id))?;
        let messages = answers(events, id, |event, resume_token| v1::ReadPartitionResponse {
            event: Some(of_partition(event)),
            resume_token,
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn renew_read_session(
        &self,
        request: Request<v1::RenewReadSessionRequest>,
    ) -> Answer<v1::RenewReadSessionResponse> {
        let (metadata, _, request) = request.into_parts();
        let queryable = &self.queryable;
        let count = queryable.counts.begin(Method::RenewReadSession);
        let snapshots = &queryable.engine.snapshots;
        let prepared = || {
            let session = self.session(&request.session_id)?;
            let live = live(request.time_to_live, session.live(), snapshots.limits().age)?;
            snapshots.snapshot(session.id())?;
            Ok((session, live))
        };
        let (session, live) = prepared().map_err(|error| refusal(&count, &error, ""))?;
        let expires = match snapshots.renew(session.id(), live) {
            Some(expires) => {
                count.end(None);
                expires
            }
            // Another server holds it, or did.
            None => {
                let call = queryable.begin_for(&metadata, "", None, &count);
                let call = call.map_err(|error| refusal(&count, &error, ""))?;
                let (id, most) = (call.id.clone(), session.left(SystemTime::now()));
                let adopted = queryable.engine.adopt_session(call, session.id(), session.snapshot(), live, most).await;
                adopted.map_err(|error| status(&error, &id))?
            }
        };
        Ok(Response::new(v1::RenewReadSessionResponse { expire_time: Some(expires.into()) }))
    }

    async fn delete_read_session(
        &self,
        request: Request<v1::DeleteReadSessionRequest>,
    ) -> Answer<v1::DeleteReadSessionResponse> {
        let request = request.into_inner();
        let count = self.queryable.counts.begin(Method::DeleteReadSession);
        let deleted = match self.session(&request.session_id) {
            Ok(session) => self.queryable.engine.snapshots.delete(session.id()).await,
            // It has ended by itself, which is all the same.
            Err(Error::SessionExpired(_)) => Ok(false),
            Err(error) => Err(error),
        };
        let deleted = deleted.map_err(|error| refusal(&count, &error, ""))?;
        count.end(None);
        Ok(Response::new(v1::DeleteReadSessionResponse { deleted }))
    }
}

/// A partition's stream is asked for as any stream, of a statement that the token stands for.
fn as_stream(request: &v1::ReadPartitionRequest) -> v1::StreamQueryRequest {
    v1::StreamQueryRequest {
        encoding: request.encoding,
        strategy: request.strategy,
        arrow: request.arrow,
        max_batch_rows: request.max_batch_rows,
        max_batch_bytes: request.max_batch_bytes,
        resume_token: request.resume_token.clone(),
        statement: Some(v1::Statement {
            // What is read at another state goes on at no other.
            source: Some(v1::statement::Source::Sql(format!(
                "{}{}",
                if request.live { "live " } else { "" },
                BASE64URL_NOPAD.encode(&request.partition)
            ))),
            ..v1::Statement::default()
        }),
        ..v1::StreamQueryRequest::default()
    }
}

fn of_partition(event: Event) -> read_partition_response::Event {
    match event {
        Event::Header(header) => read_partition_response::Event::Header(header),
        Event::Batch(batch) => read_partition_response::Event::Batch(batch),
        Event::Summary(summary) => read_partition_response::Event::Summary(summary),
    }
}
