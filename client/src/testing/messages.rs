//! From an answer to the messages of a stream, one when the caller has room for it.

use std::{collections::VecDeque, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;
use rowstream_contract::{
    rows::{Batch, Data, RowBatch, tag},
    v1::{Encoding, Header, Strategy, StreamQueryResponse, stream_query_response::Event},
};
use tonic::{Code, Status};

use super::{
    Damage, End, Request,
    answer::{Failure, Rows, Stop},
    record::Running,
};
use crate::{Reason, integrity::Tally};

pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<StreamQueryResponse, Status>> + Send>>;

/// Something that is no `RowBatch` (a row beyond the end) and no message of Arrow's.
const MALFORMED: &[u8] = &[0x0a, 200, 1];

/// The messages of a call, which ends when they are dropped.
pub(super) fn messages(running: Running, request: Request, rows: Rows) -> Messages {
    let left = if request.max_rows == 0 { u64::MAX } else { request.max_rows };
    let sending = Sending {
        running,
        request,
        rows,
        ready: VecDeque::new(),
        begun: false,
        done: false,
        next_row: 0,
        left,
        batches: 0,
        tally: Tally::default(),
    };
    Box::pin(futures_util::stream::unfold(sending, |mut sending| async move {
        sending.next().await.map(|message| (message, sending))
    }))
}

/// The status of a call that CancelQuery ended.
pub(super) fn cancel_requested(query_id: &str) -> Status {
    Failure::new(Code::Cancelled, Some(Reason::CancelRequested)).status(query_id)
}

struct Sending {
    running: Running,
    request: Request,
    rows: Rows,
    /// Messages that come without anything to wait for.
    ready: VecDeque<Event>,
    begun: bool,
    done: bool,
    /// The index of the next row in `rows`.
    next_row: usize,
    /// Rows that the caller still wants.
    left: u64,
    batches: usize,
    tally: Tally,
}

impl Sending {
    async fn next(&mut self) -> Option<Result<StreamQueryResponse, Status>> {
        while self.ready.is_empty() && !self.done {
            let cancel = self.running.cancel_requested();
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(cancel_requested(&self.request.query_id)),
                outcome = self.advance() => outcome,
            };
            if let Err(status) = outcome {
                self.done = true;
                self.running.end(End::Failed(status.code()));
                return Some(Err(status));
            }
        }
        let event = self.ready.pop_front();
        match &event {
            Some(Event::Batch(_)) => self.running.batch_sent(),
            Some(_) => {}
            None => self.running.end(End::Answered),
        }
        event.map(|event| Ok(StreamQueryResponse { event: Some(event), ..StreamQueryResponse::default() }))
    }

    /// Makes what comes next: the header, a batch, or the summary.
    async fn advance(&mut self) -> Result<(), Status> {
        if !self.begun {
            return self.begin();
        }
        let body = self.next_body();
        if let Some((after, stop)) = self.rows.stop.clone()
            && (self.batches == after || body.is_none())
        {
            return Err(self.stop(&stop).await);
        }
        let Some((body, rows)) = body else {
            self.finish();
            return Ok(());
        };
        if self.batches > 0 && !self.rows.interval.is_zero() {
            tokio::time::sleep(self.rows.interval).await;
        }
        self.batch(body, rows)
    }

    fn begin(&mut self) -> Result<(), Status> {
        let (encoding, arrow_schema) = match self.arrow_schema()? {
            Some(schema) => (Encoding::Arrow, schema),
            None => (Encoding::Rows, Bytes::new()),
        };
        let header = Header {
            query_id: self.request.query_id.clone(),
            columns: self.rows.wire_columns(),
            encoding: encoding.into(),
            strategy: Strategy::Cursor.into(),
            arrow_schema,
            ..Header::default()
        };
        let header = Event::Header(header);
        match self.rows.damage {
            Some(Damage::Empty) => self.done = true,
            Some(Damage::NoHeader) => {}
            Some(Damage::SecondHeader) => self.ready.extend([header.clone(), header]),
            _ => self.ready.push_back(header),
        }
        self.begun = true;
        Ok(())
    }

    /// The schema's message, for callers who ask for Arrow.
    #[cfg(feature = "arrow")]
    fn arrow_schema(&self) -> Result<Option<Bytes>, Status> {
        let schema = || super::arrow::schema(&self.rows.columns).map_err(unscriptable);
        (self.request.encoding == crate::Encoding::Arrow).then(schema).transpose()
    }

    /// Without the feature `arrow`, this server knows of it as little as an old one.
    #[cfg(not(feature = "arrow"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with the feature")]
    fn arrow_schema(&self) -> Result<Option<Bytes>, Status> {
        Ok(None)
    }

    /// A batch's data, in the caller's encoding.
    #[cfg(feature = "arrow")]
    fn data(&self, body: Vec<u8>) -> Result<Data, Status> {
        if self.request.encoding == crate::Encoding::Rows {
            return Ok(Data::Rows(RowBatch(body.into())));
        }
        let rows = crate::RowBatch::try_new(self.rows.columns.clone(), body.into(), 0).map_err(unscriptable)?;
        super::arrow::message(&rows).map(Data::ArrowIpc).map_err(unscriptable)
    }

    #[cfg(not(feature = "arrow"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with the feature")]
    fn data(&self, body: Vec<u8>) -> Result<Data, Status> {
        Ok(Data::Rows(RowBatch(body.into())))
    }

    /// The next batch's rows, encoded, and how many they are. Takes nothing yet.
    fn next_body(&self) -> Option<(Vec<u8>, usize)> {
        let all = &self.rows.rows;
        let start = if self.rows.endless && self.next_row == all.len() { 0 } else { self.next_row };
        let most = if self.rows.batch_rows == 0 { all.len() } else { self.rows.batch_rows };
        let most = most.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let rows = &all[start..all.len().min(start.saturating_add(most))];
        let mut body = Vec::new();
        for row in rows {
            prost::encoding::bytes::encode(tag::ROWS, row, &mut body);
        }
        (!rows.is_empty()).then_some((body, rows.len()))
    }

    fn batch(&mut self, body: Vec<u8>, rows: usize) -> Result<(), Status> {
        let count = |rows: u64| i64::try_from(rows).map_err(|_| Status::internal("more than 2^63 rows"));
        let (row_count, first_row) = (count(rows as u64)?, count(self.tally.rows)?);
        let data = self.data(body)?;
        self.tally
            .add(data.bytes(), rows, row_count, first_row)
            .map_err(|error| Status::internal(error.to_string()))?;
        self.next_row = if self.next_row == self.rows.rows.len() { rows } else { self.next_row + rows };
        self.left -= rows as u64;
        let mut batch = Batch { data, row_count, first_row };
        match self.rows.damage {
            Some(Damage::RowGap) if self.batches == 0 => batch.first_row += 7,
            Some(Damage::MalformedRows) if self.batches == 0 => match &mut batch.data {
                Data::Rows(rows) => rows.0 = Bytes::from_static(MALFORMED),
                Data::ArrowIpc(message) => *message = Bytes::from_static(MALFORMED),
            },
            _ => {}
        }
        self.ready.push_back(Event::Batch(batch));
        self.batches += 1;
        Ok(())
    }

    fn finish(&mut self) {
        let mut summary = self.tally.summary();
        let more = self.rows.endless || self.next_row < self.rows.rows.len();
        summary.truncated = self.rows.truncated || more;
        match self.rows.damage {
            Some(Damage::RowCount) => summary.row_count += 1,
            Some(Damage::ByteCount) => summary.byte_count -= 1,
            Some(Damage::Checksum) => summary.checksum ^= 1,
            _ => {}
        }
        let summaries = match self.rows.damage {
            Some(Damage::NoSummary) => 0,
            Some(Damage::AfterSummary) => 2,
            _ => 1,
        };
        self.ready.extend(std::iter::repeat_n(Event::Summary(summary), summaries));
        self.done = true;
    }

    /// Ends otherwise than with a summary; comes back only with an error.
    async fn stop(&self, stop: &Stop) -> Status {
        stopped(stop, &self.running, &self.request).await
    }
}

/// A scripted value that is not of its column's type.
#[cfg(feature = "arrow")]
fn unscriptable(problem: impl std::fmt::Display) -> Status {
    Status::internal(format!("the scripted rows cannot be sent in Arrow: {problem}"))
}

/// Does what is to come instead of the next message; comes back only with an error.
pub(super) async fn stopped(stop: &Stop, running: &Running, request: &Request) -> Status {
    match stop {
        Stop::Error(failure) => return failure.status(&request.query_id),
        Stop::Cut => running.cut(),
        Stop::Hang => {}
    }
    std::future::pending().await
}
